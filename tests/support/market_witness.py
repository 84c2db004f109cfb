"""Run a bot on the local exchange against a moving market, and witness who bares its positions.

After every request and every price the exchange's own state is looked at, not what the shim says. The bot
runs as it is, under an installed shim whose journal and policy the environment names.
"""

import argparse
import asyncio
import hashlib
import hmac
import importlib
import json
import runpy
import sys
import threading
import time
import urllib.parse
import urllib.request
from decimal import Decimal
from pathlib import Path

import exit_shim
from exit_shim.shim import default_shim
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import redirect_clients

STOPS = {"STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"}
AGAINST = {"BTCUSDT": -1, "ETHUSDT": -1, "SOLUSDT": 1}
OWNERS_PREFIX = "xs-"
PATIENCE_S = 60.0
STEP, FARTHEST = Decimal("0.00003"), Decimal("0.02")


class Witness:
    """Looks at the engine at every instant.

    Attributes:
        covered: The symbols whose position anybody's stops have covered once.
        protected: The symbols whose position the executor's own stops have covered once.
        spells: Each time that a position lost its cover: by which request or price, for how many instants,
            and whether the executor had protected it before.
        resting: The orders at the last instant at which all positions were open.
    """

    def __init__(self, exchange):
        self.exchange = exchange
        self.covered, self.protected = set(), set()
        self.spells, self.bare_now = [], {}
        self.instants = self.ticks = 0
        self.resting = []

    def hook(self):
        """Have every request looked at, before anything else can happen."""
        service = self.exchange.service
        act = service.act

        def act_and_look(arrival):
            with service.lock:
                answer = act(arrival)
                request = arrival.request
                self.look({"method": request.method, "path": request.path, **request.params})
                return answer

        service.act = act_and_look

    def look(self, cause):
        """Look at every position, after a request or a price."""
        self.instants += 1
        for symbol in AGAINST:
            self._look_at(symbol, cause)
        if all(self.exchange.engine.position(symbol).amount for symbol in AGAINST):
            self.resting = names_of_resting(self.exchange)

    def _look_at(self, symbol, cause):
        amount = self.exchange.engine.position(symbol).amount
        if not amount:
            self.covered.discard(symbol)
            self.protected.discard(symbol)
            if (spell := self.bare_now.pop(symbol, None)) is not None:
                spell["ended_by"] = cause
            return
        size, own, whole = abs(amount), Decimal(0), Decimal(0)
        for algo in self.exchange.engine.open_algos(symbol):
            if guards(algo, amount):
                closes = size if algo.close_position else algo.quantity
                whole += closes
                own += closes * algo.client_id.startswith(OWNERS_PREFIX)
        if own >= size:
            self.protected.add(symbol)
        if whole >= size:
            self.covered.add(symbol)
            if (spell := self.bare_now.pop(symbol, None)) is not None:
                spell["ended_by"] = cause
        elif symbol in self.bare_now:
            self.bare_now[symbol]["instants"] += 1
        elif symbol in self.covered:
            spell = {"symbol": symbol, "cause": cause, "instants": 1, "instant": self.instants}
            self.bare_now[symbol] = spell | {"is_protected": symbol in self.protected}
            self.spells.append(self.bare_now[symbol])


def names_of_resting(exchange):
    """Return the ids of all open orders."""
    engine = exchange.engine
    return [str(one.algo_id) for one in engine.open_algos()] + [
        str(one.order_id) for one in engine.open_orders()
    ]


def guards(algo, amount):
    """Return whether a conditional order is a stop that can only reduce a position."""
    is_active = algo.type != "TRAILING_STOP_MARKET" or algo.activated
    reduces = algo.close_position or algo.reduce_only
    return algo.type in STOPS and algo.side == ("SELL" if amount > 0 else "BUY") and is_active and reduces


class Market:
    """Moves the prices against the positions until told to stop, a thousand times a second at most.

    Attributes:
        by_hand: The id of the stop that a person places, once the first position is open.
        switched: Whether enforcement was switched on, where it begins switched off.
    """

    def __init__(self, exchange, witness, *, starts_off):
        self.exchange, self.witness = exchange, witness
        self.opening = {symbol: exchange.engine.quote(symbol).mark for symbol in AGAINST}
        self.by_hand, self.switched = None, not starts_off
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        if not self.switched:
            default_shim().switch(enforce=False)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def moved(self):
        """Return how far each price is from where it began."""
        engine = self.exchange.engine
        return {symbol: float(engine.quote(symbol).mark / self.opening[symbol] - 1) for symbol in AGAINST}

    def _run(self):
        while not self._done.wait(0.001):
            with self.exchange.lock:
                self._move()
                is_open = self.exchange.engine.position("BTCUSDT").amount
                is_ready = self.witness.protected == self._symbols_with_others() == set(AGAINST)
            if not self.switched and is_ready:
                default_shim().switch(enforce=True)
                self.switched = True
            if self.switched and is_open and self.by_hand is None:
                self.by_hand = str(place_by_hand(self.exchange.url)["algoId"])

    def _move(self):
        self.witness.ticks += 1
        for symbol, way in AGAINST.items():
            away = min(self.witness.ticks * STEP, FARTHEST)
            price = round(self.opening[symbol] * (1 + way * away), 2)
            self.exchange.engine.set_mark(symbol, price)
            self.witness.look({"price": str(price), "of": symbol})

    def wait_for_takeover(self):
        """Wait, within bounds, until the conditional orders are the executor's and those placed by hand."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            with self.exchange.lock:
                if self.switched and not self._symbols_with_others():
                    return
            time.sleep(0.01)

    def _symbols_with_others(self):
        return {
            algo.symbol
            for algo in self.exchange.engine.open_algos()
            if not algo.client_id.startswith(OWNERS_PREFIX) and str(algo.algo_id) != self.by_hand
        }


def place_by_hand(url):
    """Place a stop far away as a person would in the app: no client that the shim knows sends it."""
    order = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "algoType": "CONDITIONAL",
        "quantity": "0.001",
        "triggerPrice": "30000",
        "reduceOnly": "true",
        "timestamp": int(time.time() * 1000),
    }
    query = urllib.parse.urlencode(order)
    signature = hmac.new(b"local-secret", query.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{url}/fapi/v1/algoOrder?{query}&signature={signature}",
        method="POST",
        headers={"X-MBX-APIKEY": "local-key"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def hold_the_close(bot, market):
    """Have the bot close its positions only once no conditional order of its own rests."""
    sys.path.insert(1, str(bot))
    monitor = importlib.import_module("backend.services.monitoring.position_monitor").PositionMonitor
    close_everything = monitor.close_everything

    async def close_later(self):
        await asyncio.to_thread(market.wait_for_takeover)
        await close_everything(self)

    monitor.close_everything = close_later


def run(script, *, starts_off, holds_close):
    """Run the bot, and return what was witnessed."""
    with LocalExchange(rate_limits=False) as exchange, redirect_clients(exchange.url, exchange.register):
        witness = Witness(exchange)
        witness.hook()
        with exit_shim.install(), Market(exchange, witness, starts_off=starts_off) as market:
            sys.path[0] = str(script.parent)
            if holds_close:
                hold_the_close(script.parent.parent / "legacy_bot", market)
            runpy.run_path(str(script), run_name="__main__")
        default_shim().close()
        return {
            "ticks": witness.ticks,
            "instants": witness.instants,
            "spells": witness.spells,
            "moved": market.moved(),
            "by_hand": market.by_hand,
            "switched": market.switched,
            "rested": witness.resting,
            "resting": names_of_resting(exchange),
            "held": [symbol for symbol in AGAINST if exchange.engine.position(symbol).amount],
            "troubles": default_shim().internal_errors.count,
        }


def main():
    """Run the bot that the command line names, and write down what was witnessed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start-off", action="store_true", help="enforce once legacy orders rest everywhere")
    parser.add_argument("--hold-the-close", action="store_true", help="close once no legacy stops rest")
    options = parser.parse_args()
    seen = run(options.script, starts_off=options.start_off, holds_close=options.hold_the_close)
    options.out.write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
