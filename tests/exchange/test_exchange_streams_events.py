"""The events of the market streams of USDⓈ-M, against what REST answers at the same moment."""

import asyncio

import pytest
from market_prints import print_trade

from exit_shim.exchange.ws import message_queue
from exit_shim.testing import ALL_SYMBOLS

START = 1_790_000_000_000
MINUTE = 60_000
#: START lies in this minute.
BEGAN = START // MINUTE * MINUTE


@pytest.fixture
def listen(connect):
    """Connect to an address; return a function that gives the next event."""

    async def at(address, **headers):
        socket = await connect(address, headers)

        async def hear():
            return await socket.receive_json(timeout=60)

        return hear

    return at


async def rest(streams, path, **params):
    """Return REST's answer for BTCUSDT."""
    return await streams.client._request_futures_api("get", path, data={"symbol": "BTCUSDT", **params})


async def hear_trade(hear, trade):
    """The event of a trade, after those of older ones."""
    while True:
        event = await hear()
        if event.get("a", event.get("t")) == trade.trade_id:
            return event


async def test_a_trade_is_pushed_as_it_happens(streams, listen):
    """Streams of trades have an event for each trade, with ids that grow by one."""
    hear, hear_plain = await listen("/market/ws/btcusdt@aggTrade"), await listen("/market/ws/btcusdt@trade")
    first = print_trade(streams.exchange, "0.010", sells=True)
    second = print_trade(streams.exchange, "0.020")
    assert await hear_trade(hear, first) == {
        "e": "aggTrade", "E": START, "s": "BTCUSDT", "a": first.trade_id, "p": "60000.00", "q": "0.010",
        "nq": "0.010", "f": first.trade_id, "l": first.trade_id, "T": START, "m": True, "st": 1,
    }  # fmt: skip
    assert (await hear())["a"] == second.trade_id == first.trade_id + 1
    assert await hear_trade(hear_plain, second) == {
        "e": "trade", "E": START, "T": START, "s": "BTCUSDT", "t": second.trade_id, "p": "60000.00",
        "q": "0.020", "X": "MARKET", "m": False,
    }  # fmt: skip


async def test_a_candle_is_that_of_rest(streams, listen):
    """The live candle comes on subscribing and on each change, with the numbers of GET klines."""
    hear = await listen("/market/ws/btcusdt@kline_1m")
    streams.exchange.set_mark("BTCUSDT", "60100.5")
    live, moved = await hear(), await hear()
    (row,) = await rest(streams, "klines", interval="1m", limit=1)
    assert list(live) == ["e", "E", "s", "k"]
    assert list(live["k"]) == [*"tTsifLochlvnxqVQB"]
    assert [moved["k"][key] for key in "tohlcvTqnVQB"] == row
    assert (live["k"]["x"], moved["k"]["x"], moved["k"]["s"], moved["k"]["i"]) == (
        False, False, "BTCUSDT", "1m",
    )  # fmt: skip


async def test_a_candle_closes_by_the_clock(streams, listen):
    """Each candle is closed once its minute is over, also where nothing has moved."""
    hear = await listen("/market/ws/btcusdt@kline_1m")
    await hear()
    streams.clock.advance(2 * MINUTE)
    closed = [(await hear())["k"] for _ in range(2)]
    assert [(each["t"], each["x"]) for each in closed] == [(BEGAN, True), (BEGAN + MINUTE, True)]
    assert {each["c"] for each in closed} == {"60000.00"}


async def test_a_candle_is_closed_before_the_price_of_the_next(streams, listen):
    """A price of the next minute belongs to the next candle, and is pushed after the end of the last."""
    streams.exchange.set_mark("BTCUSDT", 60_050)
    hear = await listen("/market/ws/btcusdt@kline_1m")
    await hear()
    with streams.exchange.lock:
        streams.clock.advance(MINUTE)
        streams.exchange.set_mark("BTCUSDT", 61_000)
    closed, live = (await hear())["k"], (await hear())["k"]
    assert (closed["t"], closed["x"], closed["c"]) == (BEGAN, True, "60050.00")
    assert (live["t"], live["x"], live["c"]) == (BEGAN + MINUTE, False, "61000.00")


async def test_a_long_jump_of_the_clock_drops_nobody(streams, listen):
    """After a month the newest thousand candles are closed, and the connection lives on."""
    hear = await listen("/market/ws/btcusdt@kline_1m")
    await hear()
    streams.exchange.advance(30 * 24 * 60 * MINUTE - 1)
    closed = [(await hear())["k"] for _ in range(1000)]
    end = streams.exchange.engine.now() // MINUTE * MINUTE
    assert [each["t"] for each in closed] == list(range(end - 1000 * MINUTE, end, MINUTE))


async def test_a_continuous_candle_names_its_pair(streams, listen):
    """kline_futures_socket has the candles of the perpetual contract of a pair."""
    socket = await streams.open(streams.manager.kline_futures_socket("BTCUSDT"))
    (event,) = await streams.hear(socket, 1)
    assert list(event) == ["e", "E", "ps", "ct", "k"]
    assert (event["e"], event["ps"], event["ct"]) == ("continuous_kline", "BTCUSDT", "PERPETUAL")
    assert list(event["k"]) == [*"tTifLochlvnxqVQB"]


async def test_tickers_are_those_of_rest(streams, listen):
    """Both tickers have the numbers of GET ticker/24hr; the lists have each symbol that changed."""
    hear, hear_mini = await listen("/market/ws/btcusdt@ticker"), await listen("/market/ws/btcusdt@miniTicker")
    row = await rest(streams, "ticker/24hr")
    told, mini = await hear(), await hear_mini()
    assert list(told) == ["e", "E", "s", *"pPwcQohlvqOCFLn", "ps", "st"]
    named = {"p": "priceChange", "P": "priceChangePercent", "c": "lastPrice", "o": "openPrice"}
    named |= {"h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "n": "count"}
    assert {key: told[key] for key in named} == {key: row[name] for key, name in named.items()}
    assert mini == {**{key: told[key] for key in (*"Escohlvq", "ps", "st")}, "e": "24hrMiniTicker"}
    hear_all = await listen("/market/ws/!ticker@arr")
    assert [each["s"] for each in await hear_all()] == list(streams.exchange.engine.state.symbols)
    streams.exchange.set_mark("ETHUSDT", 3100)
    streams.exchange.set_mark("SOLUSDT", 151)
    assert [(each["s"], each["c"]) for each in await hear_all()] == [
        ("ETHUSDT", "3100.00"), ("SOLUSDT", "151.0000"),
    ]  # fmt: skip


async def test_hundreds_of_tickers_come_in_parts(make_streams):
    """A list has at most 120 symbols, and those that are left come with the next events."""
    streams = await make_streams(symbols=ALL_SYMBOLS)
    socket = await streams.open(streams.manager.all_ticker_futures_socket("!miniTicker@arr"))
    parts = [[row["s"] for row in event["data"]] for event in await streams.hear(socket, 2)]
    assert [name for part in parts for name in part] == list(streams.exchange.engine.state.symbols)[:240]


def apply_depth(book, event):
    """Bring a book of prices and quantities up to date, as Binance documents it."""
    for side, changed in (("bids", event["b"]), ("asks", event["a"])):
        for price, size in changed:
            book[side][price] = size
            if float(size) == 0:
                del book[side][price]


async def test_depth_joins_to_a_snapshot(streams, listen):
    """A client that follows Binance's recipe keeps the book that GET depth answers."""
    hear = await listen("/public/ws/btcusdt@depth@100ms")
    streams.exchange.set_mark("ETHUSDT", 3100)
    snapshot = await rest(streams, "depth", limit=1000)
    book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    levels = [(59_990, "0.5"), (59_980, 2)], [(60_010, "0.2"), (60_020, 1)]
    streams.exchange.set_book("BTCUSDT", *levels)
    await streams.order("BUY", "0.2")
    streams.exchange.set_book("BTCUSDT", [*levels[0], (59_970, 3)], levels[1])
    events = [await hear()]
    while events[-1]["u"] < streams.exchange.engine.state.ids.update:
        events.append(await hear())
    assert list(events[0]) == ["e", "E", "T", "s", "U", "u", "pu", "b", "a", "ps", "st"]
    newer = [event for event in events if event["u"] >= snapshot["lastUpdateId"]]
    assert newer[0]["U"] <= snapshot["lastUpdateId"] <= newer[0]["u"]
    assert [after["pu"] for after in events[1:]] == [before["u"] for before in events[:-1]]
    for event in newer:
        apply_depth(book, event)
    now = await rest(streams, "depth", limit=1000)
    assert book == {side: dict(now[side]) for side in ("bids", "asks")}


@pytest.mark.parametrize(
    ("address", "zero"),
    [("/public/ws/btcusdt@depth@100ms", "0.000"), ("/spot/ws/btcusdt@depth@100ms", "0.00000000")],
)
async def test_a_level_that_is_gone_has_a_zero_with_decimals(streams, listen, address, zero):
    """python-binance's DepthCache takes a level away only where its zero is written as quantities are."""
    hear = await listen(address)
    await hear()
    streams.exchange.set_mark("BTCUSDT", 61_000)
    event = await hear()
    zeros = {size for _, size in event["b"] + event["a"] if float(size) == 0}
    assert zeros == {zero}


async def test_a_burst_is_sent_in_parts(monkeypatch):
    """A client that holds a hundred messages gets no more than it can take in at once; none is lost."""
    sent, pauses, wait = [], [], asyncio.sleep

    async def pause(seconds, *result):
        if seconds == message_queue.PAUSE:
            pauses.append(len(sent))
        return await wait(0, *result)

    class Socket:
        async def send_str(self, text):
            sent.append(text)

    monkeypatch.setattr(asyncio, "sleep", pause)
    queue = message_queue.MessageQueue(asyncio.get_running_loop(), lambda: None)
    for number in range(110):
        queue.put(str(number))
    delivering = asyncio.ensure_future(queue.deliver(Socket()))
    while len(sent) < 110:
        await wait(0)
    queue.close()
    await delivering
    assert (sent, pauses) == ([str(number) for number in range(110)], [25, 50, 75, 100])


async def test_a_snapshot_just_after_subscribing_joins(streams, listen):
    """Where nothing has changed since, the first event ends at the snapshot's lastUpdateId."""
    hear = await listen("/public/ws/btcusdt@depth")
    snapshot, first = await rest(streams, "depth"), await hear()
    assert first["U"] <= snapshot["lastUpdateId"] <= first["u"]
    streams.exchange.set_mark("BTCUSDT", 61_000)
    assert (await hear())["pu"] == first["u"]


async def test_the_best_levels(streams, listen):
    """futures_depth_socket has the best levels as a whole, as many as its name says."""
    socket = await streams.open(streams.manager.futures_depth_socket("BTCUSDT", depth="5"))
    streams.exchange.set_book("BTCUSDT", [(59_990, "0.5")], [(60_010, "0.2")])
    first, second = (event["data"] for event in await streams.hear(socket, 2))
    assert (len(first["b"]), len(first["a"])) == (5, 5)
    assert (second["b"], second["a"]) == ([["59990.00", "0.500"]], [["60010.00", "0.200"]])


@pytest.mark.parametrize("name", ["btcusdt@forceOrder", "!forceOrder@arr"])
async def test_a_liquidation_is_public(streams, connect, name):
    """A forceOrder has the liquidation with its price and quantity."""
    socket = await connect(f"/market/ws/{name}")
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=125)
    await streams.order("BUY", "2")
    streams.exchange.set_mark("BTCUSDT", 50_000)
    event = await socket.receive_json(timeout=60)
    price = event["o"]["p"]
    assert event == {
        "e": "forceOrder", "E": START,
        "o": {
            "s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "2.000", "p": price, "ap": price,
            "X": "FILLED", "l": "2.000", "z": "2.000", "T": START,
        },
        "ps": "BTCUSDT", "st": 1,
    }  # fmt: skip


async def test_a_contract_that_changes_is_told(streams, listen):
    """!contractInfo is silent until the status of a contract changes."""
    hear = await listen("/market/ws/!contractInfo")
    with streams.exchange.lock:
        streams.exchange.engine.set_status("ETHUSDT", "SETTLING")
    event = await hear()
    assert (event["e"], event["s"], event["cs"], event["st"]) == ("contractInfo", "ETHUSDT", "SETTLING", 1)


async def test_changes_within_a_pause_come_together(streams, listen):
    """A stream sends the first change at once, and one event with the last when its pause is over."""
    hear, hear_all = (
        await listen("/market/ws/btcusdt@miniTicker"),
        await listen("/public/ws/btcusdt@bookTicker"),
    )
    for price in range(60_001, 60_051):
        streams.exchange.set_mark("BTCUSDT", price)
    assert [(await hear())["c"] for _ in range(2)] == ["60000.00", "60050.00"]
    assert [float((await hear_all())["a"]) for _ in range(51)] == list(range(60_000, 60_051))


async def test_a_mark_price_is_repeated_by_the_clock(streams, listen):
    """A mark price that stands still comes again after a second, or three, of the exchange's time."""
    hear, hear_slow = (
        await listen("/market/ws/btcusdt@markPrice@1s"),
        await listen("/market/ws/btcusdt@markPrice"),
    )
    await hear()
    await hear_slow()
    for seconds in (1, 2, 3):
        streams.clock.advance(1000)
        assert (await hear())["E"] == START + seconds * 1000
    assert (await hear_slow())["E"] == START + 3000


async def test_nothing_of_a_stream_comes_after_unsubscribing(streams, connect):
    """UNSUBSCRIBE ends the stream for one connection, and another that watches it goes on."""
    first, second = (
        await connect("/market/ws/btcusdt@markPrice"),
        await connect("/market/ws/btcusdt@markPrice"),
    )
    await first.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 1})
    assert [await first.receive_json(timeout=60) for _ in range(2)][1] == {"result": None, "id": 1}
    assert streams.exchange.engine.state.watched == {"BTCUSDT"}
    streams.exchange.set_mark("BTCUSDT", 61_000)
    assert [(await second.receive_json(timeout=60))["p"][:5] for _ in range(2)] == ["60000", "61000"]
    await second.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 2})
    await first.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
    assert await first.receive_json(timeout=60) == {"result": [], "id": 3}
    assert await second.receive_json(timeout=60) == {"result": None, "id": 2}
    assert streams.exchange.engine.state.watched == set()


@pytest.mark.parametrize(
    ("stream", "watched"),
    [("btcusdt@depth5", {"BTCUSDT"}), ("!bookTicker", None), ("!contractInfo", set())],
)
async def test_the_engine_knows_what_is_watched(streams, connect, stream, watched):
    """A stream of one symbol keeps that symbol moving, one of all symbols all; rare events keep none."""
    client = await connect("/public/ws" if "contract" not in stream else "/market/ws")
    await client.send_json({"method": "SUBSCRIBE", "params": [stream], "id": 1})
    await client.receive_json(timeout=60)
    state = streams.exchange.engine.state
    assert state.watched == (set(state.symbols) if watched is None else watched)
