"""The streams through websockets, websocket-client and the threads of python-binance."""

import json
import queue
import socket
import threading

import pytest
import websocket
import websockets
from market_prints import print_trade
from websockets.sync.client import connect as connect_sync

from exit_shim.exchange.ws import hub
from exit_shim.testing import LocalExchange, WalkingMarket

NAMES = "btcusdt@kline_1m/btcusdt@aggTrade"


@pytest.fixture
def address(exchange):
    return exchange.url.replace("http", "ws")


async def test_websockets_hears_combined_streams(exchange, address):
    """An asynchronous client gets candles and trades on one connection, and a pong for its ping."""
    async with websockets.connect(f"{address}/market/stream?streams={NAMES}") as client:
        print_trade(exchange, "0.010")
        heard = {json.loads(await client.recv())["stream"] for _ in range(2)}
        assert heard == set(NAMES.split("/"))
        await (await client.ping())


def test_websockets_in_a_thread_names_a_host(exchange):
    """The Host header of a client decides on the market, whatever it is connected to."""
    with (
        socket.create_connection(("127.0.0.1", exchange.port)) as pipe,
        connect_sync("ws://stream.binance.com:9443/ws/btcusdt@ticker", sock=pipe) as client,
    ):
        assert len(json.loads(client.recv(timeout=60))) == 23


def test_websocket_client_runs_forever(exchange, address):
    """The usual WebSocketApp with on_message hears candles until it is closed."""
    heard = queue.Queue()

    def hear(app, message):
        event = json.loads(message)
        heard.put(event)
        # Closed from another thread, the client would notice after ten seconds.
        if event["k"]["c"] == "61000.00":
            app.close()

    app = websocket.WebSocketApp(
        f"{address}/market/ws/btcusdt@kline_1m",
        on_open=lambda _: heard.put({"e": "open"}),
        on_message=hear,
    )
    thread = threading.Thread(target=app.run_forever)
    thread.start()
    assert [heard.get(timeout=60)["e"] for _ in range(2)] == ["open", "kline"]
    exchange.set_mark("BTCUSDT", 61_000)
    assert heard.get(timeout=60)["k"]["c"] == "61000.00"
    thread.join(60)
    assert not thread.is_alive()


def test_the_threaded_manager_hears_candles(exchange, threaded):
    """start_kline_futures_socket and start_kline_socket deliver futures and spot candles to callbacks."""
    futures, spot = queue.Queue(), queue.Queue()
    threaded.start_kline_futures_socket(futures.put, "BTCUSDT")
    threaded.start_kline_socket(spot.put, "BTCUSDT")
    assert futures.get(timeout=60)["k"]["c"] == "60000.00"
    assert spot.get(timeout=60)["k"]["c"] == "60000.00000000"
    exchange.set_mark("BTCUSDT", 61_000)
    assert futures.get(timeout=60)["k"]["c"] == "61000.00"


def test_a_market_that_walks_moves_candles(monkeypatch):
    """A bot that only listens to candles sees a walking market move."""
    monkeypatch.setattr(hub, "TICK", 0.01)
    with LocalExchange(market=WalkingMarket(seed=3)) as exchange:
        address = exchange.url.replace("http", "ws")
        with connect_sync(f"{address}/market/ws/btcusdt@kline_1m") as client:
            closes = {json.loads(client.recv(timeout=60))["k"]["c"] for _ in range(4)}
        assert len(closes) > 1
        assert exchange.internal_errors == []
