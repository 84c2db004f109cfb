"""Market streams through python-binance's sockets: pushed when a price changes, each on its route."""

import asyncio
import queue
import time

import pytest

from exit_shim.exchange.ws import hub
from exit_shim.testing import WalkingMarket

START = 1_790_000_000_000


async def hear(client, count):
    return [await client.receive_json(timeout=60) for _ in range(count)]


async def test_the_mark_price_of_a_symbol(streams):
    """symbol_mark_price_socket begins with the price that stands and goes on with each change."""
    socket = await streams.open(streams.manager.symbol_mark_price_socket("BTCUSDT"))
    streams.clock.advance(5)
    streams.exchange.set_mark("BTCUSDT", "61000.5")
    streams.exchange.set_mark("ETHUSDT", 3100)
    streams.exchange.set_mark("BTCUSDT", 62_000)
    told = await streams.hear(socket, 3)
    assert told[1] == {"stream": "btcusdt@markPrice@1s", "data": {
        "e": "markPriceUpdate", "E": START + 5, "s": "BTCUSDT", "p": "61000.50000000",
        "ap": "61000.50000000", "P": "61000.50000000", "i": "61000.50000000", "r": told[0]["data"]["r"],
        "T": told[0]["data"]["T"], "st": 1,
    }}  # fmt: skip
    assert [event["data"]["p"] for event in told] == ["60000.00000000", "61000.50000000", "62000.00000000"]


async def test_all_mark_prices(streams):
    """all_mark_price_socket sends every symbol in one list, however one of them changes."""
    socket = await streams.open(streams.manager.all_mark_price_socket(fast=False))
    streams.exchange.set_mark("ETHUSDT", 3100)
    first, second = await streams.hear(socket, 2)
    assert first["stream"] == "!markPrice@arr"
    assert [row["s"] for row in first["data"]] == list(streams.exchange.engine.state.symbols)
    changed = [
        new["s"] for old, new in zip(first["data"], second["data"], strict=True) if old["p"] != new["p"]
    ]
    assert changed == ["ETHUSDT"]


async def test_the_book_ticker_of_a_symbol(streams):
    """symbol_ticker_futures_socket: best bid and ask, with update ids that grow."""
    socket = await streams.open(streams.manager.symbol_ticker_futures_socket("BTCUSDT"))
    streams.exchange.set_prices("BTCUSDT", bid="59999.9", ask="60000.1")
    first, second = (event["data"] for event in await streams.hear(socket, 2))
    assert second == {
        "e": "bookTicker", "u": second["u"], "s": "BTCUSDT", "ps": "BTCUSDT", "b": "59999.90",
        "B": second["B"], "a": "60000.10", "A": second["A"], "T": START, "E": START, "st": 1,
    }  # fmt: skip
    assert second["u"] > first["u"]


async def test_book_tickers_and_depth_are_one_book(streams, connect):
    """Streams of futures and spot show the best quantities that REST and depth show."""
    futures = await streams.open(streams.manager.symbol_ticker_futures_socket("BTCUSDT"))
    spot = await connect("/spot/stream?streams=btcusdt@bookTicker/btcusdt@ticker")
    (row,) = await streams.hear(futures, 1)
    rows = [row, *await hear(spot, 2)]
    depth = await streams.client.futures_order_book(symbol="BTCUSDT", limit=5)
    best = await streams.client.futures_orderbook_ticker(symbol="BTCUSDT")
    assert [best["bidQty"], best["askQty"]] == [depth["bids"][0][1], depth["asks"][0][1]]
    for each in (row["data"] for row in rows):
        assert [float(each["B"]), float(each["A"])] == [float(best["bidQty"]), float(best["askQty"])]


async def test_streams_go_on_after_a_reset(streams, connect):
    """After a reset streams show the new prices; ids and differences join to those before."""
    client = await connect("/public/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms")
    streams.exchange.set_mark("BTCUSDT", 61_000)
    told = {event["stream"]: event["data"] for event in await hear(client, 4)}
    streams.exchange.advance(3_600_000)
    streams.exchange.reset()
    after = {event["stream"]: event["data"] for event in await hear(client, 2)}
    best, depth = after["btcusdt@bookTicker"], after["btcusdt@depth@100ms"]
    assert (best["b"], best["E"]) == ("60000.00", START)
    assert best["u"] == depth["u"] > told["btcusdt@bookTicker"]["u"]
    assert depth["pu"] == told["btcusdt@depth@100ms"]["u"]
    assert dict(depth["b"])["60000.00"] == best["B"]
    assert ["61000.00", "0.000"] in depth["b"]
    streams.exchange.set_mark("BTCUSDT", 62_000)
    (event,) = await hear(client, 1)
    assert event["data"]["b"] == "62000.00"


async def test_all_book_tickers(streams):
    """all_ticker_futures_socket sends one event a symbol."""
    socket = await streams.open(streams.manager.all_ticker_futures_socket())
    symbols = list(streams.exchange.engine.state.symbols)
    streams.exchange.set_mark("SOLUSDT", 151)
    told = await streams.hear(socket, len(symbols) + 1)
    assert [event["data"]["s"] for event in told] == [*symbols, "SOLUSDT"]


async def test_combined_streams(streams):
    """futures_multiplex_socket tells each event under the name of its stream."""
    names = ["btcusdt@markPrice", "ethusdt@markPrice@1s"]
    socket = await streams.open(streams.manager.futures_multiplex_socket(names))
    streams.exchange.set_mark("ETHUSDT", 3100)
    told = await streams.hear(socket, 3)
    assert [event["stream"] for event in told] == [*names, names[1]]


async def test_a_price_comes_before_what_it_sets_off(streams, connect):
    """Over one exchange, the new price is told before the fills that it causes."""
    key = await streams.client.futures_stream_get_listen_key()
    order = []
    streams.exchange.engine.feed.listeners.append(lambda event: order.append(type(event).__name__))
    await streams.limit("BUY", "0.01", "59000")
    await connect(f"/private/ws/{key}")
    order.clear()
    streams.exchange.set_mark("BTCUSDT", 59_000)
    assert order == [
        "QuoteEvent", "MarketTradeEvent", "TradeEvent", "AccountEvent", "OrderEvent", "MarketTradeEvent",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "heard"),
    [
        ("/market/ws/btcusdt@markPrice", "markPriceUpdate"),
        ("/market/ws/btcusdt@bookTicker", None),
        ("/market/ws/BTCUSDT@markPrice", None),
        ("/market/ws/nosuchusdt@markPrice", None),
        ("/public/ws/btcusdt@bookTicker", "bookTicker"),
        ("/public/ws/btcusdt@markPrice", None),
        ("/private/ws/btcusdt@markPrice", None),
        ("/ws/btcusdt@bookTicker", "bookTicker"),
        ("/ws/btcusdt@markPrice", None),
        ("/ws/%FF%22", None),
        ("/all/ws/btcusdt@bookTicker", "bookTicker"),
        ("/all/ws/btcusdt@markPrice", "markPriceUpdate"),
    ],
)
async def test_a_stream_is_served_on_its_route_only(connect, address, heard):
    """Elsewhere it stays silent; without a route there is what /public has, and /all has what both have."""
    client = await connect(address)
    await client.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    first = await client.receive_json(timeout=60)
    assert first.get("e") == heard


async def test_streams_can_be_changed_while_connected(streams, connect):
    """SUBSCRIBE, LIST_SUBSCRIPTIONS, UNSUBSCRIBE and the property `combined` work on an open connection."""
    client = await connect("/market/ws")
    await client.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 1})
    await client.send_json({"method": "SET_PROPERTY", "params": ["combined", True], "id": 2})
    await client.send_json({"method": "GET_PROPERTY", "params": ["combined"], "id": 3})
    await client.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 4})
    told = await hear(client, 5)
    assert [each.get("e", each.get("result")) for each in told] == [None, "markPriceUpdate", None, True, None]
    streams.exchange.set_mark("BTCUSDT", 61_000)
    assert (await hear(client, 1))[0]["stream"] == "btcusdt@markPrice"
    await client.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 5})
    await hear(client, 1)
    streams.exchange.set_mark("BTCUSDT", 62_000)
    await client.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 6})
    assert await hear(client, 1) == [{"result": [], "id": 6}]


async def test_a_walking_market_walks_for_its_watchers(make_streams, monkeypatch):
    """A bot that only listens sees a walking market move once a second of the exchange's time."""
    monkeypatch.setattr(hub, "TICK", 0.01)
    streams = await make_streams(market=WalkingMarket(seed=3))
    socket = await streams.open(streams.manager.symbol_mark_price_socket("BTCUSDT"))
    prices = [event["data"]["p"] for event in await streams.hear(socket, 1)]
    # The first second begins when the hub has told the engine who watches.
    while len(prices) < 4:
        streams.advance(1000)
        prices += [event["data"]["p"] for event in await streams.hear(socket, 1)]
    assert len(set(prices)) > 1
    assert streams.exchange.engine.quote("ETHUSDT").mark == 3000


async def test_nothing_is_told_once_nobody_listens(streams, connect):
    """With the last connection the exchange stops making events."""
    client = await connect("/market/ws/btcusdt@markPrice")
    assert streams.exchange.engine.feed.active
    await client.close()
    deadline = time.monotonic() + 60
    while streams.exchange.engine.feed.active:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_prices_from_the_threaded_manager(exchange, threaded):
    """start_symbol_mark_price_socket delivers prices to its callback, in its own thread."""
    heard = queue.Queue()
    threaded.start_symbol_mark_price_socket(heard.put, "BTCUSDT")
    assert heard.get(timeout=60)["data"]["p"] == "60000.00000000"
    exchange.set_mark("BTCUSDT", 61_000)
    assert heard.get(timeout=60)["data"]["p"] == "61000.00000000"
