"""What looks at the exchange cost: `python benchmarks/looks.py [--seconds N] [--rate N] [--symbols N]`.

A legacy module moves its stop 8 times a second, in turn on 10 symbols. On each an owner's stop covers the
position, so every move is denied for which the exchange could be seen. Requests and request weight are
counted by the local exchange, over HTTP, and are those of looks alone. A run of less than a minute is not
extrapolated: the budget is one of a minute, and can be used up at its beginning.
"""

import argparse
import contextlib
import json
import logging
import time
from collections import Counter

import msgspec
from binance.client import Client
from binance.exceptions import BinanceAPIException

import exit_shim
from exit_shim.clients.accounts import label_of
from exit_shim.domain.events import Outcome
from exit_shim.exchange.engine.symbols import DEFAULT_SYMBOLS
from exit_shim.guard.policy import Mode
from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

OWNER, LEGACY = "exit_brain_v3", "position_monitor"
CONNECTS_S = 10.0
"""How long the user data stream may take to be sure."""


class Records:
    """Keeps what was decided of each order."""

    def __init__(self):
        self.why = Counter()

    wants = frozenset({Outcome})

    def on(self, record):
        if record.intent.attribution.module != LEGACY:
            return
        if record.intent.verdict.is_held:
            self.why["denied"] += 1
            return
        reasons = " ".join(record.intent.verdict.reasons)
        _, _, because = reasons.partition("because=")
        self.why[f"went out, {because.split()[0] if because else 'not denied'}"] += 1


def policy(denied):
    """Enforce for one owner, against one legacy module."""
    mode = Mode(owners=(OWNER,), legacy=(LEGACY,))
    return exit_shim.Policy(
        mode="EXIT_BRAIN_V3", level="enforce", on_deny=denied, modes={"EXIT_BRAIN_V3": mode}
    )


def stop(symbol, trigger, **more):
    """A stop loss of a long position."""
    return {"symbol": symbol, "side": "SELL", "type": "STOP_MARKET", "stopPrice": trigger, **more}


def count_weight(exchange):
    """Have the weight of each request written down, as the exchange counts it."""
    spent, limits = [], exchange.service.gate.limits
    count = limits.count_weight

    def counted(amount, now):
        spent.append(amount)
        return count(amount, now)

    limits.count_weight = counted
    return spent


def run(*, seconds, rate, symbols, denied, stream):
    """One run: what the exchange counted, and what became of the moves."""
    traded = [msgspec.structs.replace(DEFAULT_SYMBOLS[0], base=f"S{number}") for number in range(symbols)]
    names = [symbol.name for symbol in traded]
    records = Records()
    with contextlib.ExitStack() as closing:
        exchange = closing.enter_context(LocalExchange(symbols=traded, remembered_requests=1_000_000))
        closing.enter_context(redirect_clients(exchange.url, exchange.register))
        client = Client(LOCAL_KEY, LOCAL_SECRET)
        closing.callback(close_client, client)
        shim = exit_shim.ExitShim(journal=False, policy=policy(denied), mode="EXIT_BRAIN_V3", sinks=[records])
        closing.callback(shim.close)
        wrapped = shim.wrap(client)
        for name in names:
            client.futures_create_order(symbol=name, side="BUY", type="MARKET", quantity=0.01)
            with exit_shim.attributed(OWNER):
                wrapped.futures_create_order(**stop(name, 50_000, closePosition="true"))
        if stream:
            listen(shim, wrapped, names[0])
        spent = count_weight(exchange)
        before = len(exchange.requests)
        move_stops(wrapped, client, names, seconds, rate)
        shim.flush(10)
        arrived = exchange.requests[before:]
        looks = [weight for one, weight in zip(arrived, spent, strict=True) if one.method == "GET"]
        refused = sum(one.http_status in {418, 429} for one in arrived)
    return {
        "stream": stream,
        "seconds": seconds,
        "requests of looks": len(looks),
        "weight of looks": sum(looks),
        "refused for too many": refused,
        **records.why,
    }


def listen(shim, wrapped, symbol):
    """Follow the user data stream, until it is sure."""
    shim.watch(wrapped, every=3600, stream=True)
    account = label_of(wrapped)
    until = time.monotonic() + CONNECTS_S
    while shim.guard.book.why_unsure(account, symbol) is not None:
        if time.monotonic() > until:
            raise SystemExit("the user data stream is not sure")
        time.sleep(0.1)


def move_stops(wrapped, client, names, seconds, rate):
    """Place a stop so many times a second; one that goes out is taken away again by the bot's own client."""
    began = time.monotonic()
    for number in range(int(seconds * rate)):
        time.sleep(max(began + number / rate - time.monotonic(), 0))
        # Another trigger each time: the same order asked again would get a look of its own.
        order = stop(names[number % len(names)], 51_000 + number % 5_000, quantity=0.01, reduceOnly="true")
        with exit_shim.attributed(LEGACY), contextlib.suppress(BinanceAPIException):
            answer = wrapped.futures_create_order(**order)
            if answer is not None and answer.get("algoId", 0) > 0:
                client.futures_cancel_algo_order(algoId=answer["algoId"])


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--rate", type=float, default=8.0, help="moves a second, of all symbols together")
    options.add_argument("--symbols", type=int, default=10)
    options.add_argument("--denied", choices=["raise", "return_none", "simulate"], default="raise")
    chosen = options.parse_args()
    logging.getLogger("exit_shim").setLevel(logging.CRITICAL)
    found = [
        run(
            seconds=chosen.seconds,
            rate=chosen.rate,
            symbols=chosen.symbols,
            denied=chosen.denied,
            stream=stream,
        )
        for stream in (False, True)
    ]
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        print("with the user data stream" if one.pop("stream") else "without the user data stream")
        for name, value in one.items():
            print(f"{value:10g}  {name}")


if __name__ == "__main__":
    main()
