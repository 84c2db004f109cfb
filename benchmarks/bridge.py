"""What the bridge costs: `python benchmarks/bridge.py [--calls N] [--json]`.

- Requests and time of each call, through the bridge and plain, in turn in one run against a local exchange.
- The request weight that an hour of a typical bot costs, through the bridge and plain: it looks at its open
  orders every 5 s and moves a stop every minute.
"""

import argparse
import json
import statistics
import time

from binance import Client

import exit_shim
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

SYMBOL = "BTCUSDT"
STOP = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "quantity": 0.01}
LOOKS_AN_HOUR, MOVES_AN_HOUR = 720, 60


def client_of(exchange):
    client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
    client.FUTURES_URL = exchange.url + "/fapi"
    return client


def calls_of(bot, *, is_bridged):
    """Return the calls to time, by name; plain ones as code of today makes them."""
    if is_bridged:
        placed = {}

        def place():
            placed.update(bot.futures_create_order(**STOP))

        return {
            "place": place,
            "find": lambda: bot.futures_get_order(symbol=SYMBOL, orderId=placed["orderId"]),
            "list": lambda: bot.futures_get_open_orders(symbol=SYMBOL),
            "cancel": lambda: bot.futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"]),
        }
    placed = {}
    return {
        "place": lambda: placed.update(bot.futures_create_order(**STOP)),
        "find": lambda: bot.futures_get_algo_order(algoId=placed["algoId"]),
        "list": lambda: bot.futures_get_open_orders(symbol=SYMBOL),
        "cancel": lambda: bot.futures_cancel_algo_order(symbol=SYMBOL, algoId=placed["algoId"]),
    }


def time_calls(rounds):
    """Return the median time and the requests of each call, bridged and plain."""
    with LocalExchange(rate_limits=False) as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        shim = exit_shim.ExitShim(journal=False, bridge=True, sinks=[])
        plain_shim = exit_shim.ExitShim(journal=False, sinks=[])
        bots = {
            "bridged": calls_of(shim.wrap(client_of(exchange)), is_bridged=True),
            "plain": calls_of(plain_shim.wrap(client_of(exchange)), is_bridged=False),
        }
        times, requests = {}, {}
        for _ in range(rounds):
            for way, calls in bots.items():
                for name, call in calls.items():
                    before, started = len(exchange.requests), time.perf_counter()
                    call()
                    times.setdefault((name, way), []).append(time.perf_counter() - started)
                    requests[name, way] = len(exchange.requests) - before
        return {
            f"{name} {way}": {"us": statistics.median(each) * 1e6, "requests": requests[name, way]}
            for (name, way), each in times.items()
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = time_calls(options.calls)
    figures["weight an hour"] = {
        "bridged": LOOKS_AN_HOUR * 2 + MOVES_AN_HOUR,
        "plain": LOOKS_AN_HOUR + MOVES_AN_HOUR,
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(name, *(f"{key}={value:,.0f}" for key, value in figure.items()))


if __name__ == "__main__":
    main()
