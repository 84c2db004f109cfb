"""How fast the local exchange is: `python benchmarks/exchange.py [--json] [--orders N] [--rounds N]`.

Throughput in-process on one core; over loopback HTTP from one client that only writes and reads, with the
server's CPU for an order beside that of a plain aiohttp handler; and memory while a million orders pass.
Figures are of one machine; the ratios and the flatness are what to look at.
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
import socket
import statistics
import sys
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from exit_shim.exchange.engine.algo import AlgoRef, NewAlgo
from exit_shim.exchange.engine.orders import NewOrder, OrderRef
from exit_shim.testing import Exchange, LocalExchange

START = 1_790_000_000_000
QUANTITY = Decimal("0.010")
CALLS = 5_000
REQUESTS = 2_000
CONNECTIONS = 8
#: Price changes that one connection hears of, and how many are on their way at once.
CHANGES = 20_000
ON_THE_WAY = 1_000
STREAMS = "btcusdt@bookTicker/btcusdt@depth@100ms"
TARGETS = {
    "placements a second, in-process": 20_000,
    "orders a second of the server's CPU, HTTP": 1_500,
    "events a second, one stream connection": 1_000,
}


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


def answer_for_cpu(pipe, port):
    """Say where this server listens, and how much CPU it has used each time somebody asks."""
    pipe.send(port)
    while pipe.recv():
        pipe.send(time.process_time())


def serve_exchange(pipe):
    with LocalExchange(rate_limits=False, wallet=1_000_000) as exchange:
        answer_for_cpu(pipe, exchange.port)


def serve_plain(pipe):
    """An aiohttp application that reads a body and sends one as long as an order's."""
    body = json.dumps({"orderId": 33878894218, "text": "x" * 400}).encode()

    async def answer(request):
        await request.read()
        return web.Response(body=body, content_type="application/json")

    async def serve():
        app = web.Application()
        app.router.add_post("/fapi/v1/order", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await asyncio.to_thread(answer_for_cpu, pipe, runner.addresses[0][1])
        await runner.cleanup()

    asyncio.run(serve())


def over_http(rounds):
    """Orders a second that each server answers, and its CPU in ms for one, the median of rounds in turns.

    One client process sends signed orders on a few kept-alive connections.
    """
    context = multiprocessing.get_context("spawn")
    pipes, ports, servers = {}, {}, []
    for name, serve in (("exchange", serve_exchange), ("plain", serve_plain)):
        pipes[name], other_end = context.Pipe()
        servers.append(context.Process(target=serve, args=(other_end,)))
        servers[-1].start()
        ports[name] = pipes[name].recv()
    rates, used = {name: [] for name in pipes}, {name: [] for name in pipes}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            before, began = pipe.recv(), time.perf_counter()
            asyncio.run(send_all(ports[name]))
            rates[name].append(REQUESTS / (time.perf_counter() - began))
            pipe.send(True)
            used[name].append((pipe.recv() - before) * 1000 / REQUESTS)
    for pipe in pipes.values():
        pipe.send(False)
    for server in servers:
        server.join()
    milliseconds = {name: statistics.median(values) for name, values in used.items()}
    return statistics.median(rates["exchange"]), milliseconds


def hear(port, heard):
    """Read a stream connection in a process of its own, and count its book tickers."""
    with socket.create_connection(("127.0.0.1", port)) as pipe:
        pipe.sendall(
            f"GET /public/stream?streams={STREAMS} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        mark, rest = b'"e":"bookTicker"', b""
        while data := pipe.recv(1 << 16):
            found = rest + data
            heard.value += found.count(mark)
            # What may be the beginning of a mark is looked at again with what follows.
            rest = found[-len(mark) + 1 :]


def over_streams():
    """Events a second that one connection gets, and memory in MB at each tenth of them."""
    context = multiprocessing.get_context("spawn")
    heard = context.Value("q", 0)
    with LocalExchange() as exchange:
        listener = context.Process(target=hear, args=(exchange.port, heard), daemon=True)
        listener.start()
        wait_until(lambda: heard.value)
        steps = []
        began = time.perf_counter()
        for number in range(1, CHANGES + 1):
            exchange.set_mark("BTCUSDT", 60_000 + number % 7)
            if number % ON_THE_WAY == 0:
                wait_until(lambda wanted=number: heard.value > wanted)
            if number % (CHANGES // 10) == 0:
                gc.collect()
                steps.append(resident())
        lasted = time.perf_counter() - began
    listener.join()
    return CHANGES / lasted, steps


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the listener hears nothing more")
        time.sleep(0.001)


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
    used = figures["HTTP, ms of the server's CPU for one"]
    ratio = used["exchange"] / used["plain"]
    print(f"CPU of the server for an order: {used['exchange']:.2f} ms, {ratio:.1f} x a plain aiohttp answer")
    print(f"{'events of one stream connection':<42} {figures['streams, events a second']:>12,.0f} /s")
    heard = figures["streams, MB at each tenth"]
    print(f"memory over {CHANGES:,} events: {', '.join(f'{step:.0f}' for step in heard)} MB")
    steps = figures["memory, MB at each tenth"]
    print(f"memory over {figures['orders']:,} orders: {', '.join(f'{step:.0f}' for step in steps)} MB")
    for name, (measured, wanted) in figures["targets"].items():
        print(f"{'ok  ' if measured >= wanted else 'MISS'} {name}: {measured:,.0f} of {wanted:,}")
    print(f"{'ok  ' if figures['streams flat'] else 'MISS'} memory of streams likewise")
    print(f"{'ok  ' if figures['flat'] else 'MISS'} memory of the last tenth at most 1.05 of the middle")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--orders", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    calls = in_process(chosen.rounds)
    http, used = over_http(chosen.rounds)
    streams, heard = over_streams()
    steps = memory(chosen.orders)
    placements = min(calls["MARKET order that fills"], calls["stop, and its cancel"])
    measured = dict(zip(TARGETS, (placements, 1000 / used["exchange"], streams), strict=True))
    figures = {
        "in-process, calls a second": calls,
        "HTTP, orders a second": http,
        "HTTP, ms of the server's CPU for one": used,
        "streams, events a second": streams,
        "streams, MB at each tenth": heard,
        "streams flat": heard[-1] <= 1.05 * heard[len(heard) // 2],
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
