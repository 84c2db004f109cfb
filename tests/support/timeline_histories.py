"""Histories of exits for the timeline: what it says of cover is held against the exchange, step by step.

    python tests/support/timeline_histories.py --histories 500 --seed 0

A history is made from a seed: modules place, cancel, change and close through the shim, somebody trades by
hand beside it, prices move, answers get lost, polls come at random moments and late, the user data stream is
on or off. After each step the journal is folded twice: whole, and from the last sight of positions; now and
then a third time, as `exit-shim why` does.
"""

import argparse
import collections
import contextlib
import random
import sys
import tempfile
import time
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from binance.exceptions import BinanceAPIException
from virtual_time import jump, jumping

import exit_shim
from exit_shim.domain.events import PositionSeen
from exit_shim.exchange.engine.events import MarketEvent
from exit_shim.exchange.engine.views.stream import user_event
from exit_shim.feeds.exchange_poller import ExchangePoller
from exit_shim.guard.exchange_snapshot import ask, covers, guarded, read_snapshot
from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.reports.incident import find_incidents, read_history
from exit_shim.reports.situation import fold, read_positions
from exit_shim.reports.timeline import Timeline
from exit_shim.testing import FakeClient, LocalExchange, faults

WHY_SHARE = 0.3
"""How often it is read as `exit-shim why` does, which costs more."""

SYMBOLS = ("BTCUSDT", "ETHUSDT")
MODULES = ("brain", "rearm", "monitor")
ACCOUNT = "mine"

ACTIONS = {
    "enter": 3, "place_stop": 7, "place_target": 3, "cancel_stop": 6, "cancel_any": 2, "cancel_all": 2,
    "move_stop": 3, "modify": 1, "close": 2, "hand_stop": 2, "hand_cancel": 2, "hand_close": 1,
    "hand_enter": 2, "price": 4, "lost_answer": 3, "reuse_name": 2, "look": 8, "look_amid": 3, "wait": 5,
    "stream": 2, "restart": 1,
}  # fmt: skip
"""What may happen, and how often."""

UNSEEN = frozenset({"enter", "hand_stop", "hand_cancel", "hand_close", "hand_enter", "price"})
"""What only the exchange knows of, until somebody looks or listens."""


class Claim(NamedTuple):
    """What the timeline said of a position, and what the exchange had."""

    way: str
    key: tuple[str, str]
    says: str
    truth: str


class AmidClient:
    """A client of the poller; between its answers and their being recorded something happens."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.amid: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class World:
    """One history, lived.

    Args:
        seed: What everything is drawn from.
        folder: Where the journal is.
        tally: Counts what was said.
    """

    def __init__(self, seed: int, folder: Path, tally: collections.Counter) -> None:
        self.draw = random.Random(seed)
        self.aside = random.Random(seed)
        self.tally = tally
        self.hedge = self.draw.random() < 0.35
        self.sides = ("LONG", "SHORT") if self.hedge else ("BOTH",)
        self.exchange = LocalExchange(hedge_mode=self.hedge, rate_limits=False, wallet=100_000)
        self.raw = FakeClient(exchange=self.exchange)
        self.path = folder / "journal.db"
        self.is_streaming = self.draw.random() < 0.5
        self.events: list[Any] = []
        self.unseen: set[str] = set()
        self.recorded: set[str] = set()
        self.names: list[str] = []
        self.log: list[str] = []
        self.exchange.engine.feed.listeners.append(self.events.append)
        self.begin()
        self.look()

    # The bot's process

    def begin(self) -> None:
        """Start a shim with a poller that looks when it is told to."""
        self.shim = exit_shim.ExitShim(journal=str(self.path), account=ACCOUNT, resolve=False, sinks=[])
        self.client = self.shim.wrap(FakeClient(exchange=self.exchange))
        feeds = self.shim.account_feeds
        self.poller = ExchangePoller(
            guard=self.shim.guard,
            client=self.raw,
            account=ACCOUNT,
            every_s=60.0,
            exchange_log=feeds._exchange_log,
            on_finding=lambda _: None,
            on_trouble=self.fail,
        )
        feeds.pollers.append(self.poller)
        log = feeds._exchange_log
        self.record, log._record = log._record, self.note_recorded

    def close(self) -> None:
        """End it."""
        self.shim.close()
        self.exchange.stop()

    def fail(self, step: str, error: Exception) -> None:
        """Let no failed look pass."""
        raise AssertionError(step) from error

    def listen(self) -> None:
        """Hand what happened at the exchange to the shim, if it listens."""
        events = self.events[:]
        self.events.clear()
        state = self.exchange.engine.state
        for event in events:
            if self.is_streaming and not isinstance(event, MarketEvent):
                self.shim.feed_user_event(user_event(event, state.symbols), ACCOUNT)

    def look(self) -> None:
        """Have the poller look; what it records is seen from now on."""
        self.recorded.clear()
        self.poller.look()
        # A look records nothing of a position that is as it was recorded last: a stop can have come and gone.
        self.unseen -= self.recorded

    def note_recorded(self, event: Any) -> None:
        """Record an event of the exchange, and note which positions were seen."""
        if isinstance(event, PositionSeen):
            self.recorded.add(event.symbol)
        self.record(event)

    def do_look(self, symbol: str, side: str) -> None:
        """Look now."""
        self.look()

    # Steps

    def step(self) -> None:
        """Let one thing happen, and compare."""
        (what,) = self.draw.choices(list(ACTIONS), list(ACTIONS.values()))
        self.act(what)
        self.settle(what)

    def act(self, what: str) -> None:
        """Do one thing; the exchange may refuse it."""
        symbol = self.draw.choice([*SYMBOLS[:1] * 3, SYMBOLS[1]])
        side = self.draw.choice(self.sides)
        self.log.append(f"{what} {symbol} {side} stream={self.is_streaming}")
        if what in UNSEEN and not self.is_streaming:
            self.unseen.add(symbol)
        with contextlib.suppress(BinanceAPIException), exit_shim.attributed(self.draw.choice(MODULES)):
            getattr(self, f"do_{what}")(symbol, side)

    def settle(self, what: str) -> None:
        """Hand on what was heard, and hold what is said against what is."""
        self.listen()
        jump(self.draw.choice([0.01, 0.01, 0.4, 2.5]))
        self.compare(what)

    def amount(self, symbol: str, side: str) -> Decimal:
        """Return what is held of a position."""
        return Decimal(self.exchange.engine.position(symbol, side).amount)

    def exit_fields(self, symbol: str, side: str) -> dict[str, Any]:
        """Return the fields that every exit of a position has."""
        amount = self.amount(symbol, side)
        is_long = amount > 0 if amount else (side != "SHORT")
        fields = {"symbol": symbol, "side": "SELL" if is_long else "BUY"}
        return fields | ({"positionSide": side} if self.hedge else {})

    def quantity(self, symbol: str, side: str) -> str:
        """Return a part of a position, or more than it."""
        size = abs(self.amount(symbol, side)) or Decimal("0.02")
        part = self.draw.choice([1, 1, 1, Decimal("0.5"), Decimal("1.5")])
        return str((size * part).quantize(Decimal("0.001")))

    def price_at(self, symbol: str, fields: dict[str, Any], *, stop: bool) -> str:
        """Return a price on the side on which a stop or a target of this side waits."""
        mark = self.exchange.engine.quote(symbol).mark
        is_below = (fields["side"] == "SELL") == stop
        far = self.draw.choice([Decimal("0.01"), Decimal("0.03"), Decimal("0.08")])
        return str((mark * (1 - far if is_below else 1 + far)).quantize(Decimal("0.1")))

    def stop_fields(self, symbol: str, side: str) -> dict[str, Any]:
        """Return a stop of any kind."""
        fields = self.exit_fields(symbol, side)
        kind = self.draw.choice(["STOP_MARKET"] * 6 + ["TRAILING_STOP_MARKET", "STOP"])
        reduces = {} if self.hedge else {"reduceOnly": "true"}
        fields |= {"type": kind, "quantity": self.quantity(symbol, side), **reduces}
        if kind == "TRAILING_STOP_MARKET":
            fields["callbackRate"] = 2
            if self.draw.random() < 0.6:
                fields["activationPrice"] = self.price_at(symbol, fields, stop=False)
            return fields
        fields["stopPrice"] = self.price_at(symbol, fields, stop=True)
        if kind == "STOP":
            return fields | {"price": fields["stopPrice"], "timeInForce": "GTC"}
        if self.draw.random() < 0.5:
            for name in ("quantity", "reduceOnly"):
                fields.pop(name, None)
            fields["closePosition"] = "true"
        return fields

    def do_enter(self, symbol: str, side: str, client: Any = None) -> None:
        """Open or enlarge a position."""
        long = self.draw.random() < 0.6 if side == "BOTH" else side == "LONG"
        sides = {"positionSide": side} if self.hedge else {}
        order = {"symbol": symbol, "side": "BUY" if long else "SELL", "type": "MARKET", **sides}
        quantity = self.draw.choice(["0.02", "0.03"])
        (client or self.client).futures_create_order(**order, quantity=quantity)

    def do_hand_enter(self, symbol: str, side: str) -> None:
        """Open or enlarge a position by hand."""
        self.do_enter(symbol, side, self.raw)

    def do_place_stop(self, symbol: str, side: str, client: Any = None) -> Any:
        """Place a stop."""
        return (client or self.client).futures_create_order(**self.stop_fields(symbol, side))

    def do_hand_stop(self, symbol: str, side: str) -> None:
        """Place a stop by hand."""
        self.do_place_stop(symbol, side, self.raw)

    def do_place_target(self, symbol: str, side: str) -> None:
        """Place a take profit, conditional or as a limit order."""
        fields = self.exit_fields(symbol, side)
        price = self.price_at(symbol, fields, stop=False)
        reduces = {} if self.hedge else {"reduceOnly": "true"}
        fields |= {"quantity": self.quantity(symbol, side), **reduces}
        if self.draw.random() < 0.5:
            fields |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
        else:
            fields |= {"type": "TAKE_PROFIT_MARKET", "stopPrice": price}
        self.client.futures_create_order(**fields)

    def do_reuse_name(self, symbol: str, side: str) -> None:
        """Place a stop under a client order id that ended orders may have had."""
        name = self.draw.choice(["again", "once-more"])
        self.client.futures_create_order(**self.stop_fields(symbol, side), clientAlgoId=f"{name}-{symbol}")

    def resting(self, symbol: str) -> list[Any]:
        """Return the conditional orders that rest."""
        return list(self.exchange.engine.open_algos(symbol))

    def do_cancel_stop(self, symbol: str, side: str, client: Any = None) -> None:
        """Cancel a conditional order, whoever placed it."""
        algos = self.resting(symbol)
        if not algos:
            return
        algo = self.draw.choice(algos)
        named = {"algoId": algo.algo_id} if self.draw.random() < 0.7 else {"clientAlgoId": algo.client_id}
        (client or self.client).futures_cancel_algo_order(symbol=symbol, **named)

    def do_hand_cancel(self, symbol: str, side: str) -> None:
        """Cancel a conditional order by hand."""
        self.do_cancel_stop(symbol, side, self.raw)

    def do_cancel_any(self, symbol: str, side: str) -> None:
        """Cancel an order that may have ended."""
        algos = self.exchange.engine.all_algos(symbol)
        if algos:
            self.client.futures_cancel_algo_order(symbol=symbol, algoId=self.draw.choice(algos).algo_id)

    def do_cancel_all(self, symbol: str, side: str) -> None:
        """Cancel all of a store."""
        if self.draw.random() < 0.7:
            self.client.futures_cancel_all_algo_open_orders(symbol=symbol)
        else:
            self.client.futures_cancel_all_open_orders(symbol=symbol)

    def do_move_stop(self, symbol: str, side: str) -> None:
        """Place a stop, then cancel another one; or the other way round."""
        steps = [self.do_place_stop, self.do_cancel_stop]
        for step in steps if self.draw.random() < 0.5 else steps[::-1]:
            with contextlib.suppress(BinanceAPIException):
                step(symbol, side)
            self.settle("move_stop")

    def do_modify(self, symbol: str, side: str) -> None:
        """Change a limit order."""
        orders = self.exchange.engine.open_orders(symbol)
        if orders:
            order = self.draw.choice(orders)
            self.client.futures_modify_order(
                symbol=symbol, orderId=order.order_id, side=order.side, quantity=str(order.quantity),
                price=str((order.price * Decimal("1.001")).quantize(Decimal("0.1"))),
            )  # fmt: skip

    def close_fields(self, symbol: str, side: str) -> dict[str, Any]:
        """Return an order that closes now."""
        reduces = {} if self.hedge else {"reduceOnly": "true"}
        fields = self.exit_fields(symbol, side) | {"type": "MARKET", **reduces}
        return fields | {"quantity": self.quantity(symbol, side)}

    def do_close(self, symbol: str, side: str, client: Any = None) -> None:
        """Close a position, or a part of it."""
        (client or self.client).futures_create_order(**self.close_fields(symbol, side))

    def do_hand_close(self, symbol: str, side: str) -> None:
        """Close by hand."""
        self.do_close(symbol, side, self.raw)

    def do_price(self, symbol: str, side: str) -> None:
        """Move the price; stops may fire."""
        quote, start = self.exchange.engine.quote(symbol), self.exchange.engine.state.symbols[symbol].start
        by = Decimal(str(self.draw.choice([0.005, 0.012, 0.035]) * self.draw.choice([1, -1])))
        if abs(quote.mark * (1 + by) / start - 1) > Decimal("0.15"):
            by = -by
        self.exchange.set_mark(symbol, (quote.mark * (1 + by)).quantize(Decimal("0.1")))

    def do_lost_answer(self, symbol: str, side: str) -> None:
        """Place or cancel, and never learn whether it arrived."""
        places = self.draw.random() < 0.5
        fault = faults.unknown_error(executed=self.draw.random() < 0.5)
        injected = self.exchange.faults.inject(fault, method="POST" if places else "DELETE", path="algoOrder")
        try:
            (self.do_place_stop if places else self.do_cancel_stop)(symbol, side)
        finally:
            injected.cancel()

    def do_look_amid(self, symbol: str, side: str) -> None:
        """Look, and let something happen between the exchange's answer and its being recorded."""
        amid = self.draw.choice(["cancel_stop", "place_stop", "hand_cancel", "hand_stop", "close", "enter"])
        log = self.poller._exchange_log
        take = log.take_sight

        def take_late(*args: Any, **options: Any) -> None:
            self.act(amid)
            self.listen()
            jump(0.02)
            self.recorded.clear()
            take(*args, **options)
            self.unseen -= self.recorded

        log.take_sight = take_late  # type: ignore[method-assign]
        try:
            self.poller.look()
        finally:
            log.take_sight = take  # type: ignore[method-assign]
        if amid in UNSEEN and not self.is_streaming:
            self.unseen.update(SYMBOLS)

    def do_wait(self, symbol: str, side: str) -> None:
        """Let time pass, in which the poller may look or may not."""
        for _ in range(self.draw.choice([1, 1, 1, 3, 8])):
            jump(61)
            if self.draw.random() < 0.85:
                self.look()

    def do_stream(self, symbol: str, side: str) -> None:
        """Begin or end listening; a listener has the poller look once it is connected."""
        self.listen()
        self.is_streaming = not self.is_streaming
        if self.is_streaming:
            jump(3)
            self.look()

    def do_restart(self, symbol: str, side: str) -> None:
        """End the bot's process and start it again."""
        self.listen()
        if self.draw.random() < 0.7:
            self.shim.journal.end()
        else:
            # It was killed: what it saw last is taken to be so for a while.
            self.unseen.update(SYMBOLS)
        self.shim.close()
        jump(5)
        self.begin()
        if self.draw.random() < 0.7:
            self.look()

    # What is said, and what is

    def truth(self) -> dict[tuple[str, str], str]:
        """Return the cover of each position by the exchange's own lists."""
        snapshot = ask(read_snapshot(self.raw))
        covers_by = {}
        for position in snapshot.positions:
            stops = [each for each in snapshot.resting if each.is_protective and position.is_guarded_by(each)]
            is_whole = covers(stops, position.size)
            part = "partly" if guarded(stops, position.size) else "bare"
            covers_by[position.symbol, position.position_side] = "covered" if is_whole else part
        return covers_by

    def claims(self) -> dict[str, dict[tuple[str, str], str]]:
        """Return what each way of reading says."""
        assert self.shim.flush()
        reader, now = JournalReader(self.path), time.time_ns()
        whole = Timeline(on_life=lambda _: None, on_span=lambda _: None)
        fold(reader, whole, RecordFilter())
        whole.advance(now)
        states = {"whole": whole.positions(), "window": read_positions(reader, now)}
        if self.aside.random() < WHY_SHARE:
            histories = [read_history(reader, RecordFilter(symbol=symbol), now) for symbol in SYMBOLS]
            incidents = [one for each in histories if each for one in find_incidents(each, now)]
            states["why"] = [incident.now for incident in incidents]
        return {
            way: {(each.position.symbol, each.position.position_side): each.cover for each in found}
            for way, found in states.items()
        }

    def compare(self, what: str) -> None:
        """Hold each claim against the exchange.

        Raises:
            AssertionError: Something is said to be so that is not, though it could be known.
        """
        truth = self.truth()
        for way, said in self.claims().items():
            for (symbol, side), says in said.items():
                actual = truth.get((symbol, side), "flat")
                sight = "blind" if symbol in self.unseen else "seen"
                verdict = "unknown" if says == "unknown" else "right" if says == actual else "WRONG"
                self.tally[f"{way} {sight} {verdict}"] += 1
                if verdict == "WRONG" and sight == "seen":
                    raise AssertionError(f"{way}: says {says}, is {actual}: {symbol} {side} after {what}")


def live(seed: int, folder: Path, tally: collections.Counter, steps: int = 40) -> str | None:
    """Live a history; return what is wrong, with what happened, None for nothing."""
    world = World(seed, folder, tally)
    try:
        for _ in range(steps):
            world.step()
    except Exception:  # noqa: BLE001 - a failure of any kind is one to report
        return "\n".join([f"seed {seed}", *world.log, traceback.format_exc()])
    finally:
        world.close()
    return None


def live_all(seeds: range, steps: int = 40) -> tuple[list[str], collections.Counter]:
    """Live many histories; return the failures, and counts of what was said."""
    tally: collections.Counter = collections.Counter()
    failures = []
    shared = Path("/dev/shm")
    with jumping():
        for seed in seeds:
            with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
                wrong = live(seed, Path(folder), tally, steps)
                failures += [wrong] if wrong else []
    return failures, tally


def main() -> int:
    """Live many histories, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--show", type=int, default=1, help="how many failures to show")
    asked = parser.parse_args()
    began = time.perf_counter()
    failures, tally = live_all(range(asked.seed, asked.seed + asked.histories), asked.steps)
    for failure in failures[: asked.show]:
        sys.stdout.write(failure + "\n\n")
    for failure in failures:
        sys.stdout.write(failure.splitlines()[0] + " " + failure.strip().splitlines()[-1] + "\n")
    for name in sorted(tally):
        sys.stdout.write(f"{tally[name]:7} {name}\n")
    took = time.perf_counter() - began
    sys.stdout.write(f"{asked.histories} histories in {took:.0f} s, {len(failures)} failures\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
