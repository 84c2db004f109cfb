"""Every socket and WebSocket method that python-binance has: fed or answered, or refused with a reason."""

import inspect
import re

import pytest
from binance import AsyncClient, BinanceSocketManager, ThreadedWebsocketManager
from binance.enums import FuturesType
from binance.exceptions import BinanceAPIException
from market_prints import print_trade

from exit_shim.exchange.ws.methods import FUTURES_METHODS, REFUSED_METHODS, SPOT_METHODS
from exit_shim.testing import FakeClient

SYMBOL = {"symbol": "BTCUSDT"}
OPTION = {"symbol": "BTC-270625-90000-C"}
COIN = {"symbol": "BTCUSD_PERP", "futures_type": FuturesType.COIN_M}
PAIR = {"symbol": "BTCUSD", "futures_type": FuturesType.COIN_M}

FED = {
    # Spot
    "depth_socket": [SYMBOL, {**SYMBOL, "depth": "5"}, {**SYMBOL, "depth": "20", "interval": 100}],
    "kline_socket": [SYMBOL, {**SYMBOL, "interval": "1M"}],
    "miniticker_socket": [{}, {"update_time": 3000}],
    "trade_socket": [SYMBOL],
    "aggtrade_socket": [SYMBOL],
    "symbol_miniticker_socket": [SYMBOL],
    "symbol_ticker_socket": [SYMBOL],
    "ticker_socket": [{}],
    "symbol_book_ticker_socket": [SYMBOL],
    "book_ticker_socket": [{}],
    "multiplex_socket": [{"streams": ["btcusdt@kline_1h", "ethusdt@ticker"]}],
    # USDⓈ-M and COIN-M
    "kline_futures_socket": [SYMBOL, {**SYMBOL, "interval": "1w"}],
    "aggtrade_futures_socket": [SYMBOL],
    "futures_ticker_socket": [{}],
    "futures_coin_ticker_socket": [{}],
    "index_price_socket": [{"symbol": "BTCUSD"}, {"symbol": "BTCUSD", "fast": False}],
    "symbol_mark_price_socket": [SYMBOL, {**SYMBOL, "fast": False}, COIN, PAIR],
    "all_mark_price_socket": [{}, {"fast": False}],
    "symbol_ticker_futures_socket": [SYMBOL, COIN],
    "individual_symbol_ticker_futures_socket": [SYMBOL, COIN],
    "all_ticker_futures_socket": [{}, {"channel": "!ticker@arr"}, {"channel": "!miniTicker@arr"}],
    "futures_multiplex_socket": [
        {"streams": ["btcusdt@kline_1m", "!ticker@arr"]},
        {"streams": ["btcusdt@depth"], "category": "public"},
        {"streams": ["btcusd_perp@kline_1m"], "futures_type": FuturesType.COIN_M},
    ],
    "futures_depth_socket": [SYMBOL, {**SYMBOL, "depth": "20"}, COIN],
    "futures_rpi_depth_socket": [SYMBOL],
}
REFUSED = {
    "options_ticker_socket": OPTION,
    "options_ticker_by_expiration_socket": {"symbol": "BTC", "expiration_date": "270625"},
    "options_recent_trades_socket": OPTION,
    "options_kline_socket": OPTION,
    "options_depth_socket": OPTION,
    "options_book_ticker_socket": OPTION,
    "options_new_symbol_socket": {},
    "options_open_interest_socket": {"symbol": "BTCUSDT", "expiration_date": "270625"},
    "options_mark_price_socket": {"symbol": "BTC"},
    "options_index_price_socket": {},
    "options_multiplex_socket": {"streams": ["BTC-270625-90000-C@optionTicker"]},
}
#: User data: silent until something happens to the account.
USER = {
    *("futures_user_socket", "futures_socket"),
    *("coin_futures_user_socket", "coin_futures_socket", "portfolio_margin_socket"),
}
#: User data of accounts that are not here, or to which nothing happens.
NOTED = {
    "user_socket": {},
    "margin_socket": {},
    "isolated_margin_socket": SYMBOL,
}


def test_every_socket_is_counted():
    """A socket method that a newer python-binance adds fails here until somebody has looked at it."""
    sockets = {name for name in dir(BinanceSocketManager) if re.fullmatch(r"[a-z].*_socket", name)}
    assert sockets == {*FED, *REFUSED, *USER, *NOTED}
    started = {
        name.removeprefix("start_") for name in dir(ThreadedWebsocketManager) if name.startswith("start_")
    }
    assert {name for name in started if name.endswith("_socket")} <= sockets


@pytest.mark.parametrize(
    ("name", "arguments"), [(name, each) for name, calls in FED.items() for each in calls]
)
async def test_a_socket_is_fed(streams, name, arguments):
    """Each socket hears data: at once, or with the next trade."""
    socket = await streams.open(getattr(streams.manager, name)(**arguments))
    if "trade" in name:
        print_trade(streams.exchange, "0.010")
    (event,) = await streams.hear(socket, 1)
    row = event.get("data", event) if isinstance(event, dict) else event
    assert row
    assert "error" not in row
    assert streams.exchange.unanswered == []


@pytest.mark.parametrize(("name", "arguments"), REFUSED.items())
async def test_a_socket_of_options_is_refused(streams, name, arguments):
    """A stream without a source says so as its first message."""
    socket = await streams.open(getattr(streams.manager, name)(**arguments))
    (event,) = await streams.hear(socket, 1)
    assert event["error"]["code"] == -1020
    assert event["error"]["msg"].endswith(": there are no options here")
    assert [each.reason for each in streams.exchange.unanswered] == ["there are no options here"]


@pytest.mark.parametrize(("name", "arguments"), NOTED.items())
async def test_user_data_that_is_not_here_is_noted(streams, name, arguments):
    """Other user sockets raise, or stay silent as on Binance, and the reason is noted."""
    try:
        await getattr(streams.manager, name)(**arguments).connect()
    except BinanceAPIException as refused:
        assert refused.code == -1020  # noqa: PT017 - raised for those of margin
    assert streams.exchange.unanswered


def methods_of(prefix, request):
    """The WebSocket methods that python-binance's functions of a prefix send."""
    sent = {}
    for name, function in vars(AsyncClient).items():
        if name.startswith(prefix) and inspect.isfunction(function):
            sent[name] = set(re.findall(rf'{request}\(\s*"([^"]+)"', inspect.getsource(function)))
    return sent


def test_every_futures_method_is_counted():
    """All ws_futures_ methods of python-binance are answered, and nothing of theirs is refused."""
    sent = methods_of("ws_futures_", "_ws_futures_api_request")
    assert len(sent) == 15
    assert all(sent.values())
    assert set().union(*sent.values()) <= set(FUTURES_METHODS)


def test_every_spot_method_is_counted():
    """All ws_ methods of python-binance go to an endpoint of REST, which answers or refuses."""
    sent = {
        name: methods
        for name, methods in methods_of("ws_", "_ws_api_request").items()
        if not name.startswith("ws_futures_")
    }
    assert len([name for name, methods in sent.items() if methods]) > 35
    assert set().union(*sent.values()) <= set(SPOT_METHODS)


SPOT_CALLS = sorted(
    name
    for name, methods in methods_of("ws_", "_ws_api_request").items()
    if methods and not name.startswith("ws_futures_")
)
#: Enough for any spot method.
GENEROUS = {**SYMBOL, "interval": "1m", "side": "BUY", "quantity": "0.01", "orderId": 1, "fromId": 1}


async def test_every_spot_method_is_answered_or_refused(streams):
    """Each ws_ method of python-binance has a result, or -1020 with a reason."""
    refusals = {}
    for name in SPOT_CALLS:
        kind = {} if "ticker" in name else {"type": "MARKET"}
        try:
            assert isinstance(await getattr(streams.client, name)(**GENEROUS, **kind), dict | list), name
        except BinanceAPIException as refused:
            refusals[name] = (refused.code, refused.message)
    assert {code for code, _ in refusals.values()} == {-1020}
    assert all(message != "This operation is not supported." for _, message in refusals.values())
    assert {name for name in SPOT_CALLS if "create" in name} <= set(refusals)
    assert "ws_get_klines" not in refusals
    assert len(streams.exchange.unanswered) >= len(refusals)


async def test_spot_prices_over_the_websocket_api(streams):
    """Candles, the book and prices of spot are those of REST."""
    client = streams.client
    candles = {**SYMBOL, "interval": "1h", "limit": 3}
    assert await client.ws_get_klines(**candles) == await client.get_klines(**candles)
    assert await client.ws_get_symbol_ticker(**SYMBOL) == await client.get_symbol_ticker(**SYMBOL)
    assert (await client.ws_get_order_book(**SYMBOL))["bids"]


@pytest.mark.parametrize("path", ["/ws-fapi/v1", "/ws-api/v3"])
@pytest.mark.parametrize("method", REFUSED_METHODS)
async def test_a_session_is_refused_with_a_reason(streams, connect, path, method):
    """Sessions need a kind of key that is not here: -1020 says so, and it is noted."""
    client = await connect(path)
    await client.send_json({"id": 1, "method": method, "params": {}})
    answer = await client.receive_json(timeout=60)
    assert (answer["status"], answer["error"]["code"]) == (400, -1020)
    assert answer["error"]["msg"] == f"This operation is not supported. {REFUSED_METHODS[method]}"
    (noted,) = streams.exchange.unanswered
    assert (noted.kind, noted.name, noted.reason) == ("method", method, REFUSED_METHODS[method])


async def test_a_made_up_method_is_noted(streams, connect):
    """A method that Binance has not either is -1020 without a reason, and noted."""
    client = await connect("/ws-fapi/v1")
    await client.send_json({"id": 1, "method": "order.steal"})
    answer = await client.receive_json(timeout=60)
    assert answer["error"] == {"code": -1020, "msg": "This operation is not supported."}
    assert [(each.kind, each.name) for each in streams.exchange.unanswered] == [("method", "order.steal")]


async def test_the_spot_user_stream_is_there_and_silent(streams):
    """user_socket subscribes over the WebSocket API with key and signature, and waits."""
    socket = streams.manager.user_socket()
    await socket.connect()
    assert socket._path == "user_subscription:0"
    assert await streams.client.ws_ping() == {}
    await socket.__aexit__(None, None, None)


@pytest.mark.parametrize("name", sorted(USER))
async def test_a_user_socket_hears_its_account(streams, name):
    """Each futures user socket of python-binance hears what happens to the account of its market."""
    socket = await streams.open(getattr(streams.manager, name)())
    engine = streams.exchange.coin if "coin" in name else streams.exchange.engine
    symbol = "BTCUSD_PERP" if "coin" in name else "BTCUSDT"
    with streams.exchange.lock:
        engine.set_leverage(symbol, 7)
    (event,) = await streams.hear(socket, 1)
    assert (event["e"], event["ac"]) == ("ACCOUNT_CONFIG_UPDATE", {"s": symbol, "l": 7})


def test_a_fake_client_has_both_websocket_apis():
    """Without a socket, the methods of spot and of futures are answered alike, and refusals are noted."""
    client = FakeClient()
    assert client.ws_get_klines(symbol="BTCUSDT", interval="1m") == client.get_klines(
        symbol="BTCUSDT", interval="1m"
    )
    assert client.ws_futures_get_all_tickers(symbol="BTCUSDT")["symbol"] == "BTCUSDT"
    with pytest.raises(BinanceAPIException) as caught:
        client._ws_api_request_sync("session.logon", False, {})
    assert caught.value.code == -1020
    assert [each.name for each in client.exchange.unanswered] == ["session.logon"]
