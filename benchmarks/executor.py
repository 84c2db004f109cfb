"""What the exit executor takes and costs: `python benchmarks/executor.py [--fills N] [--rest S] [--json]`.

- From the event of a fill to an accepted hard stop, with a sync and an async client, beside a bot that polls
  every 5 s as the common frameworks do. The exchange adds 20 ms to each request; a round trip is what one
  request of the same client takes alone, in the same run.
- Requests and request weight at rest, with 50 positions.
- CPU time of one pass over 50 positions with nothing to do, without its requests, beside one signed request.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import msgspec
from binance import AsyncClient
from binance.client import Client
from looks import count_weight

import exit_shim
from exit_shim.exchange.engine.symbols import DEFAULT_SYMBOLS
from exit_shim.executor import (
    Breakeven,
    ExitExecutor,
    ExitPlan,
    HardStop,
    PartialTake,
    Trail,
    at_fraction,
    at_r,
)
from exit_shim.executor.streams import NewsListener
from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

ROUND_TRIP_S = 0.020
POLL_S = 5.0
POSITIONS = 50
SYMBOL = "BTCUSDT"
PATIENCE_S = 30.0


def stop_only(position):
    """Return a plan that has nothing but a hard stop."""
    legs = (HardStop(at_fraction("0.02")),)
    return ExitPlan(symbol=position.symbol, position_side=position.side, legs=legs)


def full_plan(position):
    """Return a plan with a hard stop, a take, breakeven after it, and a trail."""
    take, trail = PartialTake(Decimal("0.5"), at_r("1.5")), Trail(Decimal("0.008"))
    legs = (HardStop(at_fraction("0.02")), take, Breakeven("first_take"), trail)
    return ExitPlan(symbol=position.symbol, position_side=position.side, legs=legs)


class Router:
    """Gives each position one plan, as a router that keeps its plans does."""

    def __init__(self, make):
        self._make = make
        self._plans = {}

    def __call__(self, position):
        if position.symbol not in self._plans:
            self._plans[position.symbol] = self._make(position)
        return self._plans[position.symbol]


FAR_EXCHANGE = f"""
import sys
from exit_shim.testing import LocalExchange, faults
with LocalExchange() as exchange:
    exchange.register({LOCAL_KEY!r}, {LOCAL_SECRET!r})
    exchange.faults.inject(faults.delayed({ROUND_TRIP_S}), times=None)
    print(exchange.url, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def far_exchange():
    """A local exchange in a process of its own, a round trip away; a client of it, and a shim."""
    command = [sys.executable, "-c", FAR_EXCHANGE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        with contextlib.ExitStack() as closing:
            closing.callback(process.stdin.close)
            closing.enter_context(redirect_clients(url, lambda _key, _secret: None))
            yield from client_and_shim(closing)


def client_and_shim(closing):
    """Yield a client and a shim with a journal, until they are closed."""
    client = Client(LOCAL_KEY, LOCAL_SECRET)
    closing.callback(close_client, client)
    folder = closing.enter_context(tempfile.TemporaryDirectory())
    shim = exit_shim.ExitShim(journal=Path(folder) / "journal.db", sinks=[])
    closing.callback(shim.close)
    yield client, shim


@contextlib.contextmanager
def local_exchange(**options):
    """A local exchange that clients are pointed at, a client, and a shim with a journal."""
    with contextlib.ExitStack() as closing:
        exchange = closing.enter_context(LocalExchange(remembered_requests=1_000_000, **options))
        closing.enter_context(redirect_clients(exchange.url, exchange.register))
        for client, shim in client_and_shim(closing):
            yield exchange, client, shim


def until(true):
    """Wait until something is so."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError("the executor did not come to rest")
        time.sleep(0.002)


def open_long(client, symbol=SYMBOL):
    """Open a position."""
    client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity=0.01)


def close_long(client):
    """Close it."""
    client.futures_create_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01, reduceOnly="true")


# From a fill to its stop


class Stopwatch:
    """Notes when a fill is heard of, and when the pass ends whose stop was accepted."""

    def __init__(self):
        self.heard = None
        self.took = []
        self.round_trips = []
        self.is_flat = True

    @contextlib.contextmanager
    def listening(self):
        """Note the first event of each fill."""
        hear = NewsListener.hear

        def noting(listener, event):
            if event.get("e") == "ACCOUNT_UPDATE" and self.is_flat and self.heard is None:
                self.heard = time.perf_counter()
            return hear(listener, event)

        NewsListener.hear = noting
        try:
            yield
        finally:
            NewsListener.hear = hear

    def on_pass(self, protections):
        """Note the end of the pass that placed the stop; the plan has nothing else to place."""
        for each in protections:
            if self.heard is not None and any(type(step).__name__ == "Place" for step in each.steps):
                self.took.append(time.perf_counter() - self.heard)
                self.heard, self.is_flat = None, False
            self.is_flat = each.state == "FLAT" or (self.is_flat and each.state == "SWEEPING")


def measure_stream(fills, *, is_async):
    """Measure from the event of each fill to its accepted stop."""
    watch = Stopwatch()
    with far_exchange() as (client, shim), watch.listening():
        if is_async:
            asyncio.run(stream_async(client, shim, watch, fills))
        else:
            executor = ExitExecutor(client, Router(stop_only), shim=shim, on_pass=watch.on_pass)
            executor.start()
            until(lambda: has_begun(executor))
            trade(client, watch, fills)
            executor.stop()
    return in_round_trips(watch.took, statistics.median(watch.round_trips))


async def stream_async(client, shim, watch, fills):
    """Do the same with an async client; the fills are another client's."""
    own = await AsyncClient.create(LOCAL_KEY, LOCAL_SECRET)
    executor = ExitExecutor(own, Router(stop_only), shim=shim, on_pass=watch.on_pass)
    executor.start()
    await asyncio.to_thread(until, lambda: has_begun(executor))
    await asyncio.to_thread(trade, client, watch, fills)
    await executor.stop()
    await own.close_connection()


def has_begun(executor):
    """Return whether the stream is heard and the account was looked at since."""
    return executor.is_listening and (executor.agenda.wait_s() or 0) > POLL_S


def trade(client, watch, fills):
    """Open and close a position again and again, each time once the executor is at rest."""
    for number in range(1, fills + 1):
        began = time.perf_counter()
        client.futures_position_information(symbol=SYMBOL)
        watch.round_trips.append(time.perf_counter() - began)
        open_long(client)
        until(lambda number=number: len(watch.took) == number)
        time.sleep(0.3)
        close_long(client)
        until(lambda: watch.is_flat)
        watch.heard = None
        time.sleep(0.3)


def measure_polling(fills):
    """Return the seconds from each fill to the accepted stop of a bot that polls."""
    took = []
    with far_exchange() as (client, _):
        for number in range(fills):
            open_long(client)
            filled = time.perf_counter()
            # A fill may come at any moment of the pause; these are spread evenly.
            time.sleep(POLL_S * (number + 0.5) / fills)
            poll(client)
            took.append(time.perf_counter() - filled)
            client.futures_cancel_all_open_orders(symbol=SYMBOL, conditional=True)
            close_long(client)
    return took


def poll(client):
    """Place the stop that is missing, as a bot's loop does."""
    (position,) = client.futures_position_information(symbol=SYMBOL)
    if not client.futures_get_open_orders(symbol=SYMBOL, conditional=True):
        trigger = round(float(position["entryPrice"]) * 0.98, 1)
        stop = {"side": "SELL", "type": "STOP_MARKET", "stopPrice": trigger, "closePosition": "true"}
        client.futures_create_order(symbol=SYMBOL, **stop)


# At rest


def fifty():
    """Fifty contracts."""
    return [msgspec.structs.replace(DEFAULT_SYMBOLS[0], base=f"S{number}") for number in range(POSITIONS)]


def measure_rest(seconds):
    """Return the requests and weight of so many seconds with fifty positions in place."""
    traded = fifty()
    with local_exchange(symbols=traded) as (exchange, client, shim):
        executor = ExitExecutor(client, Router(full_plan), shim=shim)
        for symbol in traded:
            open_long(client, symbol.name)
        executor.start()
        until(lambda: executor.is_listening and is_at_rest(executor))
        time.sleep(2)
        spent, before = count_weight(exchange), len(exchange.requests)
        time.sleep(seconds)
        sent = exchange.requests[before:]
        figures = {
            "seconds": seconds,
            "requests": len(sent),
            "changing requests": sum(one.method != "GET" and "rder" in one.path for one in sent),
            "weight": sum(spent),
        }
        executor.stop()
    return figures


def is_at_rest(executor):
    """Return whether every position is as planned."""
    latest = executor.protections.values()
    return len(latest) == POSITIONS and all(each.state == "PROTECTED" and not each.steps for each in latest)


def measure_cpu(rounds):
    """Return the CPU milliseconds of one pass with nothing to do, and of one signed request."""
    traded = fifty()
    with local_exchange(symbols=traded) as (_, client, shim):
        executor = ExitExecutor(client, Router(full_plan), shim=shim, stream=False)
        for symbol in traded:
            open_long(client, symbol.name)
        while not is_at_rest(executor):
            executor.protect()
        answers = {
            "orders": client.futures_get_open_orders(),
            "algos": client.futures_get_open_algo_orders(),
            "positions": client.futures_position_information(),
        }
        passes, requests = [], []
        for _ in range(rounds):
            # As the client's library would: each answer is a new one.
            fresh = json.loads(json.dumps(answers))
            began = time.thread_time()
            hold(executor, fresh)
            passes.append(time.thread_time() - began)
            began = time.thread_time()
            client.futures_position_information(symbol=traded[0].name)
            requests.append(time.thread_time() - began)
    return {
        "pass over 50 positions, ms": round(statistics.median(passes) * 1000, 2),
        "signed request, ms": round(statistics.median(requests) * 1000, 2),
    }


def hold(executor, answers):
    """Do a pass over answers at hand."""
    conversation = executor._keeper.protect()  # noqa: SLF001 - the pass alone, without requests
    asked = conversation.send(None)
    with contextlib.suppress(StopIteration):
        while True:
            asked = conversation.send([answers[request.name] for request in asked])


def in_round_trips(seconds, round_trip=ROUND_TRIP_S):
    """Return median and 99th percentile, in round trips and in ms."""
    took = sorted(seconds)
    median, p99 = statistics.median(took), took[min(len(took) - 1, int(len(took) * 0.99))]
    return {
        "median": round(median / round_trip, 2),
        "p99": round(p99 / round_trip, 2),
        "median ms": round(median * 1000),
        "p99 ms": round(p99 * 1000),
        "round trip ms": round(round_trip * 1000, 1),
        "fills": len(took),
    }


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fills", type=int, default=100)
    parser.add_argument("--polled", type=int, default=20)
    parser.add_argument("--rest", type=float, default=120)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    figures = {
        "fill to hard stop, sync, round trips": measure_stream(asked.fills, is_async=False),
        "fill to hard stop, async, round trips": measure_stream(asked.fills, is_async=True),
        "fill to stop, polling every 5 s, round trips": in_round_trips(measure_polling(asked.polled)),
        "at rest, 50 positions": measure_rest(asked.rest),
        "cpu": measure_cpu(60),
    }
    if asked.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name}: {', '.join(f'{key} {each}' for key, each in value.items())}")


if __name__ == "__main__":
    main()
