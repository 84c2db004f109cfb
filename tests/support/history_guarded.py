"""The world behind the guard, and all that must hold of it: judged by the engine's state, call by call."""

import asyncio
import collections
import re
import time
from pathlib import Path
from typing import Any

from binance import Client
from cover_oracle import Open, is_any, is_bare, is_covered, is_exit_of, is_whole, open_positions
from history_excuses import DENIED, DUPLICATE, ONE_CLOSES_ALREADY, WHOLE, Excuses, Loss
from history_sight import WITHIN, Call, Sight, words
from history_worlds import SecondProcess, Violation, World
from virtual_time import jump

import exit_shim
from exit_shim.journal import read_records
from exit_shim.testing import FakeAsyncClient

SYMBOLS = ("BTCUSDT", "ETHUSDT")
OWNERS = ("brain", "brain_two")
UNDER = ("owners", "anybody")
EVERYWHERE = WITHIN * 2
LOOK_S = 0.5
"""How long a look takes at the most."""

FRESH_S = 1.01
"""How old an answer of the exchange may be, with what a clock rounds."""

FOR_ROLES = re.compile("OWNERSHIP_CONFLICT|UNKNOWN_MODULE|FOREIGN_CANCEL")
UNSENT = frozenset({"denied", "simulated", "not_sent"})


class Guarded(World):
    """The world behind the guard.

    Args:
        history: What happens.
        folder: Where the journal is.
        second: The other process, where the history has one.
        tally: Counts.
        hedge: The position mode.
    """

    def __init__(
        self, history: Any, folder: Path, second: SecondProcess | None, tally: Any, *, hedge: bool
    ) -> None:
        super().__init__(history, hedge=hedge)
        self.tally = tally
        self.about = ""
        self.moment = 0
        self.second = second
        self.denied_modules = {"old_stops", "old_trailer", "watcher"}
        if history.unknown == "deny":
            self.denied_modules.add("stranger")
        self.journal = folder / "journal.db"
        policy = self.journal.with_suffix(".toml")
        policy.write_text(history.policy)
        self.options = {"journal": str(self.journal), "policy": str(policy), "mode": "EXIT_BRAIN_V3"}
        self.inner: Any = self.raw
        if second is not None:
            self.exchange.start()
            self.inner = Client("local-key", "local-secret", ping=False)
            self.inner.FUTURES_URL = self.exchange.url + "/fapi"
            second.ask(what="begin", url=self.exchange.url, **self.options)
        self.begin()
        self.asked_for: collections.Counter[tuple[str, str]] = collections.Counter()
        self.unsent = 0
        self.excuses = {symbol: Excuses(self.denied_modules) for symbol in SYMBOLS}
        self.covers: dict[tuple[str, str], list[tuple[float, bool]]] = {
            (symbol, under): [(self.now(), False)] for symbol in SYMBOLS for under in UNDER
        }
        self.last_send: dict[tuple[int, str], float] = {}
        self.simulated: dict[int, tuple[Any, str]] = {}
        self.looking: dict[str, float] = {}

    def now(self) -> float:
        """Return the time."""
        return time.monotonic()

    def begin(self) -> None:
        """Start a shim, and wrap the clients."""
        self.shim = exit_shim.ExitShim(**self.options, resolve=False, sinks=[])
        self.client = self.shim.wrap(self.inner)
        self.patient = None if self.second else self.shim.wrap(FakeAsyncClient(exchange=self.exchange))

    def restart(self) -> None:
        """End the shim and start another on the same journal."""
        self.tally["restarts"] += 1
        self.shim.close()
        self.begin()

    def close(self) -> None:
        """Let go of everything."""
        super().close()
        if self.second is not None:
            self.second.ask(what="end")
            self.inner.session.close()
        self.shim.close()
        self.exchange.stop()

    # Calls

    def call(self, bot: Any, method: str, params: dict[str, Any]) -> Any:
        """Have a module call its client, and hold what came of it against the rule."""
        return self._judged(Call(bot, method, params), lambda: self._asked(bot, method, params))

    def call_within(self, bot: Any, limit: float, method: str, params: dict[str, Any]) -> Any:
        """Do the same under a time limit."""
        if self.patient is None:
            return self.call(bot, method, params)

        def ask() -> Any:
            with exit_shim.attributed(bot.module):
                return self.call_slowly(self.patient, limit, method, params)

        try:
            return self._judged(Call(bot, method, params, limit), ask)
        finally:
            if bot.options["times"] == 2:  # else the next call finds the look still running
                self.loop.run_until_complete(asyncio.sleep(3))

    def _asked(self, bot: Any, method: str, params: dict[str, Any]) -> Any:
        if self.second is not None and bot.process:
            return self.second.ask(what="call", module=bot.module, method=method, params=params)
        with exit_shim.attributed(bot.module):
            return getattr(self.client, method)(**params)

    def _judged(self, call: Call, ask: Any) -> Any:
        self.moment += 1
        self.tally["calls"] += 1
        before, answer, error = Sight(self, call), None, None
        try:
            with self.answering(call.bot):
                answer = ask()
        except Exception as raised:  # noqa: BLE001 - it is the module's to see
            error = raised
        before.placed = self.note_placed(call.bot.module)
        if call.method == "futures_get_algo_order":
            self._check_told(call.bot, answer)
        else:
            self._check(call, before, answer, error)
        self.note_cover(call.method, call.bot.module)
        if error is not None:
            raise error
        return answer

    def _check(self, call: Call, before: Sight, answer: Any, error: Exception | None) -> None:
        bot = call.bot
        if call.operation != "place" or call.is_exit:
            self.asked_for[bot.module, call.operation] += len(call.params.get("batchOrders", "1"))
        is_sent = len(self.exchange.order_requests) > before.requests
        refused = before.name_is_of if error is not None and not before.placed else None
        excuses = self.excuses[before.symbol]
        if is_sent:
            excuses.note_call(call, self.moment, before.placed[0] if before.placed else None, refused)
            self._check_batch(call, before, answer)
            self._note_sent(call, before, error)
            return
        self.unsent += len(call.params.get("batchOrders", "1"))
        if call.limit is not None and isinstance(error, asyncio.TimeoutError):
            self._check_timed_out(call, before)
            return
        excuses.note_call(call, self.moment, None, refused)
        self._check_held(call, before, answer, error)

    def _note_sent(self, call: Call, before: Sight, error: Exception | None) -> None:
        self.tally["sent"] += 1
        self.last_send[call.bot.process, before.symbol] = self.now()
        self.note_refused(call.bot.module, before.symbol, error)
        if (
            before.is_covered
            and call.bot.module in self.denied_modules
            and call.operation == "cancel"
            and error is None
        ):
            self.tally["cancels of denied modules that went out under cover"] += 1

    def note_refused(self, module: str, symbol: str, error: Exception | None) -> None:
        """A closePosition stop that the exchange refused: another such one protected the position then."""
        if getattr(error, "code", None) == ONE_CLOSES_ALREADY:
            self.excuses[symbol].note_held(module, self.moment, "anybody")

    def _check_batch(self, call: Call, before: Sight, answer: Any) -> None:
        """Elements of a batch that were held back while others left."""
        elements = answer if isinstance(answer, list) else []
        held = [one for one in elements if one.get("code") == DENIED or one.get("orderId", 0) < 0]
        if held:
            self.unsent += len(held)
            self.tally["held: part of a batch"] += 1
            if self._why_held(call, before) is None:
                raise self._wrong(call, f"part of a batch was held back without cover: {held}")

    def _check_timed_out(self, call: Call, before: Sight) -> None:
        """A call that its time limit ended before it left: only a limit shorter than a look may do that."""
        symbol = call.bot.symbol
        self.tally["not sent: time limit"] += 1
        self.excuses[symbol].note_timed_out(call.bot.module, call.bot.side, self.moment)
        if call.limit is None or call.limit > LOOK_S:
            raise self._wrong(call, f"a look took longer than {call.limit} s: the call was not sent")
        last = self.looking.get(symbol, 0.0)
        if before.began - last < LOOK_S - 0.05 and last > self.last_send.get((0, symbol), 0.0):
            raise self._wrong(
                call, "a second call did not join the look of the first: it was not sent either"
            )
        self.looking[symbol] = before.began

    def _check_held(self, call: Call, before: Sight, answer: Any, error: Exception | None) -> None:
        """A call that did not leave: was that right at this very moment?"""
        bot, named = call.bot, call.params.get("clientAlgoId")
        by_a_name_that_is_free = named and call.operation == "cancel" and before.name_is_of is None
        if call.number < 0 or by_a_name_that_is_free:
            self.tally["about a simulated order"] += 1
            return
        if isinstance(answer, dict) and (mine := answer.get("algoId") or answer.get("orderId") or 0) < 0:
            method = "futures_get_algo_order" if "algoId" in answer else "futures_get_order"
            self.simulated[mine] = (bot, method)
        why = f"{type(error).__name__} {error}" if error is not None else repr(answer)
        if before.is_close:
            raise self._wrong(call, f"a close was held back: {why}")
        under = self._why_held(call, before)
        if under is None:
            raise self._wrong(call, f"held back without cover: {why}\nbefore: {before.words}")
        if bot.module in OWNERS and FOR_ROLES.search(why):
            raise self._wrong(call, f"an owner was denied for its role: {why}")
        self.excuses[before.symbol].note_held(bot.module, self.moment, under)

    def _why_held(self, call: Call, before: Sight) -> str | None:
        """Return whose stops made it right to hold a call back, and count it; None: nobody's."""
        bot = call.bot
        if before.is_covered:
            self.tally["held"] += 1
            self.tally[f"held: {call.operation}"] += 1
            if bot.module in OWNERS:
                self.tally["held: an owner's"] += 1
            return "owners"
        if "STRIPPED" in self.history.rules and before.strips:
            self.tally["exception to cover: STRIPPED"] += 1
            return "anybody"
        if self._was_covered_lately(bot.process, before.symbol):
            self.tally["exception to cover: an answer up to 1 s old"] += 1
            self.excuses[before.symbol].note_loss(
                "owners", Loss(self.moment, "what happened elsewhere within 1 s", "")
            )
            return "owners"
        return None

    def _was_covered_lately(self, process: int, symbol: str) -> bool:
        """Whether cover was there within the last second, with nothing of this process sent since."""
        now = self.now()
        since = max(now - FRESH_S, self.last_send.get((process, symbol), 0.0))
        log = [*self.covers[symbol, "owners"], (now, False)]
        return any(covered and until > since for (_, covered), (until, _) in zip(log, log[1:], strict=False))  # noqa: RUF007 - not in 3.9

    def _check_told(self, bot: Any, answer: Any) -> None:
        """What is told to be open is: really, or under cover."""
        if not isinstance(answer, dict) or answer.get("algoStatus") != "NEW":
            return
        number = answer["algoId"]
        if number > 0:
            if number not in {algo.algo_id for algo in self.exchange.engine.open_algos()}:
                raise Violation(f"{self.about}\n{bot.module} is told NEW of {number}, which does not rest")
            return
        whose = self.simulated.get(number)
        if whose is not None and whose[0].module != bot.module and number != bot.memory.get("stop"):
            raise Violation(
                f"{self.about}\n{bot.module} is told NEW of a simulated order of {whose[0].module}"
            )
        self._check_open(bot, answer)

    def _check_open(self, bot: Any, answer: dict[str, Any]) -> None:
        if not self.is_covered(bot.symbol):
            text = f"{self.about}\n{bot.module} is told that {answer} is open, without cover"
            raise Violation(f"{text}\n{words(self, bot.symbol)}")

    def _wrong(self, call: Call, what: str) -> Violation:
        return Violation(f"{self.about}\n{what}\n{call}\n{words(self, call.bot.symbol)}")

    # What must hold after each step

    def is_covered(self, symbol: str, under: str = "owners") -> bool:
        """Return whether stops of owners, or of anybody, surely cover all of a symbol."""
        counts = is_any if under == "anybody" else lambda algo: self.placed_by.get(algo.algo_id) in OWNERS
        return is_covered(self.exchange, symbol, counts, WITHIN)

    def note_cover(self, cause: str, by: str = "") -> None:
        """Remember when the cover of each symbol came and went, and by what."""
        for (symbol, under), log in self.covers.items():
            covered = self.is_covered(symbol, under)
            if log[-1][1] and not covered:
                self.excuses[symbol].note_loss(under, Loss(self.moment, cause, by))
            log.append((self.now(), covered))

    def check_simulated(self) -> None:
        """Ask for simulated orders of late: none shows as open without cover."""
        for number, (bot, method) in list(self.simulated.items())[-2:]:
            if (number + self.moment) % 3:
                continue
            ids = {"algoId": number} if "algo" in method else {"symbol": bot.symbol, "orderId": number}
            answer = self._asked(bot, method, ids)
            self.tally["simulated orders asked for"] += 1
            if "NEW" in {answer.get("algoStatus"), answer.get("status")}:
                self._check_open(bot, answer)
            else:
                del self.simulated[number]

    def compare(self, off: World) -> None:
        """Hold the positions and their stops against those of the world without a guard."""
        for symbol in SYMBOLS:
            here = {one.side: one for one in open_positions(self.exchange, symbol)}
            there = {one.side: one for one in open_positions(off.exchange, symbol)}
            if {side: one.amount for side, one in here.items()} != {
                side: one.amount for side, one in there.items()
            }:
                self.tally["resynchronised"] += 1
                self._begin_anew(off, symbol)
                continue
            for side, position in here.items():
                if is_bare(self.exchange, position) and is_whole(
                    off.exchange, there[side], is_any, EVERYWHERE
                ):
                    self._excuse(off, position)

    def _excuse(self, off: World, position: Open) -> None:
        """A position is bare here and protected there: a stated exception explains it, or it is wrong."""
        excuses, here, there = (
            self.excuses[position.symbol],
            protecting(self, position),
            protecting(off, position),
        )
        in_both = [number for key in here if key in there for number in here[key][: len(there[key])]]
        missing: dict[str, Any] = {}
        for module, size, terms in there:
            if len(there[module, size, terms]) > len(here.get((module, size, terms), [])):
                missing[module] = max(size, missing.get(module, size))
        for module, size in sorted(missing.items()):
            sides = position.side, position.exit_side
            if (why := excuses.find(module, sides, size, in_both)) is not None:
                self.tally[f"exception: {why}"] += 1
                return
        raise Violation(
            f"{self.about}\n{position} is bare here and protected without the guard by {missing}; {excuses}\n"
            f"here: {words(self, position.symbol)}\nthere: {words(off, position.symbol)}"
        )

    def _begin_anew(self, off: World, symbol: str) -> None:
        """The worlds' positions differ: close both, and forget what was held."""
        for world in (self, off):
            engine = world.exchange.engine
            engine.cancel_all_algos(symbol)
            engine.cancel_all_orders(symbol)
            for side in ("LONG", "SHORT"):
                world.act_in_app("app_close", symbol, {"side": side})
        self.excuses[symbol] = Excuses(self.denied_modules)
        jump(2.5)
        self.note_cover("resynchronised")

    def check_journal(self) -> None:
        """Everything that was asked for is in the journal, and what did not leave is recorded as that."""
        self.shim.flush()
        if self.second is not None:
            self.second.ask(what="flush")
        assert self.shim.journal is not None
        assert self.shim.journal.flush()
        records = list(read_records(self.journal))
        recorded = collections.Counter(
            (one.intent.attribution.module, one.intent.operation) for one in records
        )
        if missing := self.asked_for - recorded:
            raise Violation(f"not in the journal: {dict(missing)}")
        outcomes = [one.outcome for one in records if one.outcome is not None]
        unsent = sum(one.result in UNSENT or one.error_code == DUPLICATE for one in outcomes)
        if unsent < self.unsent:
            raise Violation(f"{self.unsent} calls did not leave, and {unsent} are recorded as such")
        for one in records:
            for found in re.findall(r"because=(\w+)", " ".join(map(str, one.reasons))):
                self.tally[f"let out: {found}"] += 1


def protecting(world: World, position: Open) -> dict[Any, list[int]]:
    """Return the ids of stops that protect a position in a world, by whose and what they are."""
    found: dict[Any, list[int]] = collections.defaultdict(list)
    for algo in world.exchange.engine.open_algos(position.symbol):
        if is_exit_of(algo, position) and algo.type in {"STOP_MARKET", "TRAILING_STOP_MARKET"}:
            size = WHOLE if algo.close_position else algo.quantity
            terms = algo.type, algo.trigger_price, algo.callback_rate, algo.working_type
            found[world.placed_by[algo.algo_id], size, terms].append(algo.algo_id)
    return found
