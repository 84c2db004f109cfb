"""Streams of spot and COIN-M, and what is refused or stays silent: each with a reason."""

import pytest
from market_prints import print_trade

from exit_shim.exchange.ws.addresses import StreamMarket, market_of_host
from exit_shim.exchange.ws.stream_names import LEGACY, LEGACY_USER
from exit_shim.exchange.ws.subscriptions import DEAD_KEY, NO_SPOT_ACCOUNT_EVENTS
from exit_shim.testing.redirect import LOCAL_KEY, redirect_address

START = 1_790_000_000_000
SPOT = {"Host": "stream.binance.com:9443"}
COIN = {"Host": "dstream.binance.com"}


async def hear(client, count=1):
    return [await client.receive_json(timeout=60) for _ in range(count)]


@pytest.mark.parametrize(
    ("host", "market"),
    [
        ("stream.binance.com:9443", StreamMarket.SPOT),
        ("stream.binance.us", StreamMarket.SPOT),
        ("data-stream.binance.vision", StreamMarket.SPOT),
        ("stream.testnet.binance.vision", StreamMarket.SPOT),
        ("demo-stream.binance.com", StreamMarket.SPOT),
        ("dstream.binance.com", StreamMarket.COIN_M),
        ("dstream.binancefuture.com", StreamMarket.COIN_M),
        ("fstream.binance.com", StreamMarket.USD_M),
        ("FSTREAM.BINANCE.COM:443", StreamMarket.USD_M),
        ("stream.binancefuture.com", StreamMarket.USD_M),
        ("127.0.0.1:8080", StreamMarket.USD_M),
        ("localhost", StreamMarket.USD_M),
        ("stream", StreamMarket.USD_M),
        ("", StreamMarket.USD_M),
    ],
)
def test_a_host_is_of_one_market(host, market):
    """The host says whose streams are meant; one that is none of Binance's means USDⓈ-M."""
    assert market_of_host(host) is market


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("wss://stream.binance.{}:9443/", "ws://127.0.0.1:1/spot/"),
        ("wss://demo-stream.binance.com/", "ws://127.0.0.1:1/spot/"),
        ("wss://dstream.binance.{}/", "ws://127.0.0.1:1/coin/"),
        ("wss://fstream.binance.{}/", "ws://127.0.0.1:1/"),
        ("wss://fstream.binancefuture.com/", "ws://127.0.0.1:1/"),
        ("wss://ws-api.binance.{}/ws-api/v3", "ws://127.0.0.1:1/ws-api/v3"),
        ("https://api.binance.{}/api", "http://127.0.0.1:1/api"),
    ],
)
def test_a_redirected_client_keeps_its_markets_apart(address, local):
    """Streams of spot and COIN-M get a path of their own on the one local address."""
    assert redirect_address(address, "http://127.0.0.1:1") == local


SPOT_EVENTS = {
    "btcusdt@kline_1m": ["e", "E", "s", "k"],
    "btcusdt@ticker": ["e", "E", "s", *"pPwxcQbBaAohlvqOCFLn"],
    "btcusdt@miniTicker": ["e", "E", "s", *"cohlvq"],
    "btcusdt@bookTicker": ["u", "s", *"bBaA"],
    "btcusdt@depth": ["e", "E", "s", "U", "u", "b", "a"],
    "btcusdt@depth5@100ms": ["lastUpdateId", "bids", "asks"],
    "btcusdt@ticker_1h": ["e", "E", "s", *"pPohlcwvqOCFLn"],
    "btcusdt@avgPrice": ["e", "E", "s", "i", "w", "T"],
    "!ticker@arr": None,
    "!miniTicker@arr@1000ms": None,
    "!ticker_4h@arr": None,
    "!bookTicker": ["u", "s", *"bBaA"],
}


@pytest.mark.parametrize(("stream", "keys"), SPOT_EVENTS.items())
async def test_spot_streams_have_their_own_forms(connect, stream, keys):
    """On a spot host each stream comes at once, in spot's form, without a route."""
    client = await connect(f"/ws/{stream}", SPOT)
    (event,) = await hear(client)
    assert isinstance(event, list) if keys is None else list(event) == keys


async def test_spot_prints_eight_decimals(streams, connect):
    """Prices and quantities of spot have eight decimals, in candles, tickers, books and trades."""
    client = await connect("/spot/stream?streams=btcusdt@kline_1m/btcusdt@bookTicker/btcusdt@aggTrade")
    candle, book = (event["data"] for event in await hear(client, 2))
    trade = print_trade(streams.exchange, "0.020")
    (event,) = await hear(client)
    while event["data"].get("a") != trade.trade_id:
        (event,) = await hear(client)
    assert candle["k"]["c"] == book["b"] == event["data"]["p"] == "60000.00000000"
    assert (event["data"]["q"], event["data"]["M"]) == ("0.02000000", True)
    assert event["stream"] == "btcusdt@aggTrade"


COIN_EVENTS = {
    "btcusd_perp@kline_1m": ["e", "E", "s", "k"],
    "btcusd_perpetual@continuousKline_1m": ["e", "E", "ps", "ct", "k"],
    "btcusd_perp@markPriceKline_1m": ["e", "E", "ps", "k"],
    "btcusd@indexPriceKline_1m": ["e", "E", "ps", "k"],
    "btcusd_perp@markPrice@1s": ["e", "E", "s", *"pPirT", "st"],
    "btcusd@markPrice": None,
    "btcusd@indexPrice@1s": ["e", "E", "i", "p"],
    "btcusd_perp@ticker": ["e", "E", "s", *"pPwcQohlvqOCFLn", "ps", "st"],
    "btcusd_perp@miniTicker": ["e", "E", "s", *"cohlvq", "ps", "st"],
    "btcusd_perp@bookTicker": ["e", "u", "s", "ps", *"bBaA", "T", "E", "st"],
    "btcusd_perp@depth": ["e", "E", "T", "s", "U", "u", "pu", "b", "a", "ps", "st"],
    "btcusd_perp@depth10": ["e", "E", "T", "s", "U", "u", "pu", "b", "a", "ps", "st"],
    "!ticker@arr": None,
    "!miniTicker@arr": None,
}


@pytest.mark.parametrize(("stream", "keys"), COIN_EVENTS.items())
async def test_coin_streams_have_their_own_forms(connect, stream, keys):
    """On a COIN-M host each stream comes at once, with `st` 2 and the pair where COIN-M has them."""
    client = await connect(f"/ws/{stream}", COIN)
    (event,) = await hear(client)
    assert isinstance(event, list) if keys is None else sorted(event) == sorted(keys)
    row = event[0] if keys is None else event
    assert row.get("st", 2) == 2
    assert row.get("ps", "BTCUSD") == "BTCUSD"


async def test_coin_streams_follow_the_coin_exchange(streams, connect):
    """Prices, trades and user data of COIN-M are those of its own exchange."""
    exchange = streams.exchange
    client = await connect("/coin/ws/btcusd_perp@markPrice")
    trades = await connect("/coin/ws/btcusd_perp@aggTrade")
    with exchange.lock:
        key = exchange.coin.listen_keys.open(LOCAL_KEY, exchange.coin.now())
    user = await connect(f"/coin/ws/{key}")
    with exchange.lock:
        exchange.coin.set_mark("BTCUSD_PERP", 61_000)
        exchange.coin.set_leverage("BTCUSD_PERP", 7)
    assert [event["p"] for event in await hear(client, 2)] == ["60000.00000000", "61000.00000000"]
    assert (await hear(user))[0]["ac"] == {"s": "BTCUSD_PERP", "l": 7}
    trade = print_trade(exchange, "3", symbol="BTCUSD_PERP", coin=True)
    (event,) = await hear(trades)
    while event["a"] != trade.trade_id:
        (event,) = await hear(trades)
    assert (event["q"], event["st"]) == ("3", 2)


REFUSED = {
    "defiusdt@compositeIndex": "there are no composite index symbols here",
    "!assetIndex@arr": "Multi-Assets mode has no effect here, so assets have no index",
    "btcusdt@assetIndex": "Multi-Assets mode has no effect here, so assets have no index",
    "tradingSession": "only coins are traded here, at all hours: there are no sessions",
    "btc-270625-90000-c@optionTicker": "there are no options here",
    "btcusdt_current_quarter@continuousKline_1m": "only perpetual contracts are here",
    "btcusdt_270625@aggTrade": "only perpetual contracts are here",
}


@pytest.mark.parametrize(("stream", "reason"), REFUSED.items())
async def test_a_stream_that_is_not_here_is_refused(streams, connect, stream, reason):
    """By address or by SUBSCRIBE, a stream that only Binance has is an error with a reason, and noted."""
    client = await connect(f"/market/stream?streams={stream}/btcusdt@markPrice")
    refused = {"code": -1020, "msg": f"This operation is not supported. {stream}: {reason}"}
    error, price = await hear(client, 2)
    assert error == {"error": refused, "id": None}
    assert price["stream"] == "btcusdt@markPrice"
    await client.send_json({"method": "SUBSCRIBE", "params": ["ethusdt@markPrice", stream], "id": 7})
    error, price = await hear(client, 2)
    assert (error, price["stream"]) == ({"error": refused, "id": 7}, "ethusdt@markPrice")
    await client.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
    assert await hear(client) == [{"result": ["btcusdt@markPrice", "ethusdt@markPrice"], "id": 8}]
    (noted,) = streams.exchange.unanswered
    assert (noted.kind, noted.name, noted.reason, noted.count) == ("stream", stream, reason, 2)


SILENT = {
    "/ws/btcusdt@kline_1m": ("btcusdt@kline_1m", LEGACY),
    "/stream?streams=btcusdt@aggTrade": ("btcusdt@aggTrade", LEGACY),
    "/market/ws/btcusdt@bookTicker": ("btcusdt@bookTicker", "it is at /public, not at /market"),
    "/private/ws/btcusdt@kline_1m": ("btcusdt@kline_1m", "it is at /market, not at /private"),
    "/market/ws/BTCUSDT@kline_1m": ("BTCUSDT@kline_1m", "names of streams have lower case symbols"),
    "/market/ws/nosuch@kline_1m": ("nosuch@kline_1m", "there is no symbol NOSUCH"),
    "/market/ws/btcusdt@continuousKline_1m": (
        "btcusdt@continuousKline_1m",
        "its names have a pair and a contract, such as btcusdt_perpetual",
    ),
    "/market/ws/btcusdt@kline_7m": ("btcusdt@kline_7m", "Binance has no such stream of USDⓈ-M"),
    "/market/ws/btcusdt@avgPrice": ("btcusdt@avgPrice", "Binance has no such stream of USDⓈ-M"),
    "/spot/ws/btcusdt@markPrice": ("btcusdt@markPrice", "Binance has no such stream of spot"),
    "/private/ws/deadkey": ("user data", DEAD_KEY),
    "/private/ws/deadkey@ORDER_TRADE_UPDATE": ("user data", DEAD_KEY),
    "/spot/ws/anykey": ("user data", NO_SPOT_ACCOUNT_EVENTS),
}


@pytest.mark.parametrize(("address", "noted"), SILENT.items())
async def test_what_binance_leaves_silent_is_noted(streams, connect, address, noted):
    """A wrong route, a misspelt name and a dead key stay silent as on Binance; the exchange knows why."""
    client = await connect(address)
    streams.exchange.set_mark("BTCUSDT", 61_000)
    await client.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    assert (await hear(client))[0]["id"] == 1
    (unanswered,) = streams.exchange.unanswered
    assert (unanswered.kind, unanswered.name, unanswered.reason) == ("stream", *noted)


async def test_user_data_at_an_old_address_is_noted_without_its_key(streams, connect):
    """A live listen key at a legacy address stays silent, and is in no report."""
    key = await streams.client.futures_stream_get_listen_key()
    await connect(f"/ws/{key}")
    (unanswered,) = streams.exchange.unanswered
    assert (unanswered.name, unanswered.reason) == ("user data", LEGACY_USER)


@pytest.mark.parametrize("route", ["public", "market", "all"])
async def test_trades_are_at_either_route(streams, connect, route):
    """`trade`, which no documentation has, is heard at /public and at /market; a number leaves no note."""
    client = await connect(f"/{route}/ws/0")
    await client.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
    assert (await hear(client))[0] == {"result": None, "id": 1}
    await streams.order("BUY", "0.01")
    assert (await hear(client))[0]["e"] == "trade"
    assert streams.exchange.unanswered == []


async def test_user_data_on_its_route_is_not_noted(streams):
    """A user socket of python-binance leaves no note."""
    await streams.user()
    assert streams.exchange.unanswered == []


async def test_portfolio_margin_has_user_data_at_its_own_address(streams, connect):
    """Events of USDⓈ-M are pushed at /pm/ws to a live listen key."""
    client = await connect(f"/pm/ws/{await streams.client.futures_stream_get_listen_key()}")
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=7)
    assert (await hear(client))[0]["ac"] == {"s": "BTCUSDT", "l": 7}
    assert streams.exchange.unanswered == []


async def test_subscribing_to_what_does_not_exist_is_acknowledged(streams, connect):
    """SUBSCRIBE to a made-up stream answers null, as Binance does, and is noted."""
    client = await connect("/market/ws")
    await client.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@nosuch"], "id": 1})
    assert await hear(client) == [{"result": None, "id": 1}]
    assert [each.name for each in streams.exchange.unanswered] == ["btcusdt@nosuch"]
