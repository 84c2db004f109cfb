"""How fast the local exchange is: `python benchmarks/exchange.py [--json] [--orders N] [--rounds N]`.

Throughput in-process on one core, over loopback HTTP from one client that only writes and reads, and memory
while a million orders pass. Figures are of one machine; the ratios and the flatness are what to look at.
"""

import argparse
import asyncio
import gc
import hashlib
import hmac
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

from exit_shim.exchange.engine.algo import AlgoRef, NewAlgo
from exit_shim.exchange.engine.orders import NewOrder, OrderRef
from exit_shim.testing import Exchange, LocalExchange

START = 1_790_000_000_000
QUANTITY = Decimal("0.010")
CALLS = 5_000
REQUESTS = 2_000
CONNECTIONS = 8
TARGETS = {"placements a second, in-process": 20_000, "orders a second, HTTP": 1_000}


def market_orders(engine, number):
    side = "BUY" if number % 2 else "SELL"
    engine.place_order(
        NewOrder(symbol="BTCUSDT", side=side, type="MARKET", client_id=f"m{number}", quantity=QUANTITY)
    )


def resting_orders(engine, number):
    order = engine.place_order(
        NewOrder(
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            client_id=f"l{number}",
            quantity=QUANTITY,
            price=Decimal(59000),
        )
    )
    engine.cancel_order("BTCUSDT", OrderRef(order_id=order.order_id))


def stops(engine, number):
    algo = engine.place_algo(
        NewAlgo(
            symbol="BTCUSDT",
            side="SELL",
            type="STOP_MARKET",
            client_id=f"s{number}",
            quantity=QUANTITY,
            trigger_price=Decimal(59000),
        )
    )
    engine.cancel_algo(AlgoRef(algo_id=algo.algo_id))


def prices(engine, number):
    engine.set_mark("BTCUSDT", 60000 + number % 7)


CASES = {
    "MARKET order that fills": market_orders,
    "LIMIT order that rests, and its cancel": resting_orders,
    "stop, and its cancel": stops,
    "price step": prices,
}


def in_process(rounds):
    """Calls a second of each case, the median over rounds that take turns."""
    found = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, act in CASES.items():
            engine = Exchange()
            began = time.perf_counter()
            for number in range(CALLS):
                act(engine, number)
            found[name].append(CALLS / (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in found.items()}


def signed_order(number):
    params = {
        "symbol": "BTCUSDT",
        "side": "BUY" if number % 2 else "SELL",
        "type": "MARKET",
        "quantity": "0.010",
        "newClientOrderId": f"h{os.getpid()}-{number}",
        "recvWindow": 60000,
        "timestamp": int(time.time() * 1000),
    }
    query = urlencode(params)
    signature = hmac.new(b"local-secret", query.encode(), hashlib.sha256).hexdigest()
    body = f"{query}&signature={signature}".encode()
    head = (
        "POST /fapi/v1/order HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: local-key\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send(port, first):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(first, first + REQUESTS // CONNECTIONS):
        writer.write(signed_order(number))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(head.decode())
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


async def send_all(port):
    share = REQUESTS // CONNECTIONS
    await asyncio.gather(*(send(port, number * share) for number in range(CONNECTIONS)))


def serve(queue, done):
    with LocalExchange(rate_limits=False, wallet=1_000_000) as exchange:
        queue.put(exchange.port)
        done.wait()


def over_http(rounds):
    """Signed orders a second that one client process gets answered on a few kept-alive connections."""
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Event()
    server = context.Process(target=serve, args=(queue, done))
    server.start()
    port = queue.get()
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        asyncio.run(send_all(port))
        found.append(REQUESTS / (time.perf_counter() - began))
    done.set()
    server.join()
    return statistics.median(found)


def memory(orders):
    """Resident memory in MB at each tenth of so many orders, a second of the exchange's time apart."""
    now = START
    engine = Exchange(clock=lambda: now, wallet=10**9)
    found = []
    for number in range(orders):
        now += 1000
        (market_orders if number % 2 else resting_orders)(engine, number // 2)
        if (number + 1) % (orders // 10) == 0:
            gc.collect()
            found.append(resident())
    return found


def resident():
    if sys.platform == "linux":
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def table(figures):
    for name, value in figures["in-process, calls a second"].items():
        print(f"{name:<42} {value:>12,.0f} /s")
    print(f"{'orders over loopback HTTP':<42} {figures['HTTP, orders a second']:>12,.0f} /s")
    steps = figures["memory, MB at each tenth"]
    print(f"memory over {figures['orders']:,} orders: {', '.join(f'{step:.0f}' for step in steps)} MB")
    for name, (measured, wanted) in figures["targets"].items():
        print(f"{'ok  ' if measured >= wanted else 'MISS'} {name}: {measured:,.0f} of {wanted:,}")
    print(f"{'ok  ' if figures['flat'] else 'MISS'} memory of the last tenth at most 1.05 of the middle")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--orders", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    calls = in_process(chosen.rounds)
    http = over_http(chosen.rounds)
    steps = memory(chosen.orders)
    measured = dict(
        zip(
            TARGETS, (min(calls["MARKET order that fills"], calls["stop, and its cancel"]), http), strict=True
        )
    )
    figures = {
        "in-process, calls a second": calls,
        "HTTP, orders a second": http,
        "orders": chosen.orders,
        "memory, MB at each tenth": steps,
        "targets": {name: (measured[name], wanted) for name, wanted in TARGETS.items()},
        "flat": steps[-1] <= 1.05 * steps[len(steps) // 2],
    }
    if chosen.json:
        print(json.dumps(figures))
    else:
        table(figures)


if __name__ == "__main__":
    main()
