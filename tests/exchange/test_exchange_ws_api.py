"""The WebSocket API through python-binance's ws_futures methods, and with whatever else may arrive there."""

import asyncio
import hashlib
import hmac
import json
from decimal import Decimal
from types import SimpleNamespace

import aiohttp
import msgspec
import pytest
from binance import Client
from binance.exceptions import BinanceAPIException
from hypothesis import example, given
from hypothesis import strategies as st

from exit_shim.exchange.faults import reset_after_execution, timed_out
from exit_shim.exchange.http.auth import ApiKey
from exit_shim.exchange.ws.addresses import read_address
from exit_shim.exchange.ws.api import ApiError, read_request, render_reply
from exit_shim.exchange.ws.commands import run_command
from exit_shim.exchange.ws.connection import StreamConnection
from exit_shim.exchange.ws.methods import FUTURES_METHODS
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

START = 1_790_000_000_000


def signed(secret=LOCAL_SECRET, key=LOCAL_KEY, **params):
    """Sign as the documentation says: every parameter but the signature, sorted by name."""
    params = {"apiKey": key, "timestamp": START, **params}
    base = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return {**params, "signature": hmac.new(secret.encode(), base.encode(), hashlib.sha256).hexdigest()}


@pytest.fixture
async def ask(connect):
    """Send one message to the WebSocket API and return its answer."""
    socket = await connect("/ws-fapi/v1")

    async def send(message):
        await socket.send_str(message if isinstance(message, str) else json.dumps(message))
        return await socket.receive_json(timeout=60)

    return send


async def test_an_order_lives_over_the_websocket_api(streams):
    """Place, modify, ask and cancel: each answer is the one that REST gives."""
    client = streams.client
    placed = await client.ws_futures_create_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="59000"
    )
    number = placed["orderId"]
    changed = await client.ws_futures_edit_order(
        symbol="BTCUSDT", orderId=number, side="BUY", quantity="0.02", price="58000"
    )
    assert (changed["origQty"], changed["price"]) == ("0.020", "58000.00")
    asked = await client.ws_futures_get_order(symbol="BTCUSDT", orderId=number)
    assert asked == await client.futures_get_order(symbol="BTCUSDT", orderId=number)
    cancelled = await client.ws_futures_cancel_order(symbol="BTCUSDT", orderId=number)
    assert (cancelled["orderId"], cancelled["status"]) == (number, "CANCELED")
    assert streams.exchange.open_orders() == []


async def test_a_stop_lives_over_the_websocket_api(streams):
    """Conditional types go to algoOrder.place, and are cancelled by algoOrder.cancel with a string code."""
    client = streams.client
    placed = await client.ws_futures_create_order(
        symbol="BTCUSDT", side="BUY", type="STOP_MARKET", stopPrice="61000", quantity="0.01"
    )
    assert [order["algoId"] for order in streams.exchange.open_algo_orders()] == [placed["algoId"]]
    answer = await client.ws_futures_cancel_order(symbol="BTCUSDT", algoId=placed["algoId"])
    assert answer == {
        "algoId": placed["algoId"], "clientAlgoId": placed["clientAlgoId"], "code": "200", "msg": "success",
    }  # fmt: skip
    terms = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "61000", "clientAlgoId": "a"}
    made = await client.ws_futures_create_algo_order(symbol="BTCUSDT", side="BUY", quantity="0.01", **terms)
    assert (await client.ws_futures_cancel_algo_order(clientAlgoId="a"))["algoId"] == made["algoId"]


async def test_the_account_over_the_websocket_api(streams):
    """Status, balance and position, in both versions, are what REST has."""
    client = streams.client
    await streams.order("BUY", "0.01")
    assert await client.ws_futures_account_status() == await client.futures_account()
    assert await client.ws_futures_v2_account_status() == await client.futures_account(version=3)
    assert await client.ws_futures_account_balance() == await client.futures_account_balance(version=2)
    assert await client.ws_futures_v2_account_balance() == await client.futures_account_balance()
    assert await client.ws_futures_account_position() == await client.futures_position_information(version=2)
    assert await client.ws_futures_v2_account_position() == await client.futures_position_information()


async def test_prices_over_the_websocket_api(streams):
    """Tickers need no key, of one symbol or of all."""
    one = await streams.client.ws_futures_get_all_tickers(symbol="BTCUSDT")
    assert one == {"symbol": "BTCUSDT", "price": "60000.00", "time": START}
    books = await streams.client.ws_futures_get_order_book_ticker()
    assert [row["symbol"] for row in books] == list(streams.exchange.engine.state.symbols)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"side": "SELL", "type": "STOP_MARKET", "stopPrice": "59000", "closePosition": "true"}, -4509),
        ({"side": "SELL", "type": "STOP_MARKET", "stopPrice": "61000", "quantity": "0.01"}, -2021),
        ({"side": "SELL", "type": "MARKET", "quantity": "0.01", "reduceOnly": "true"}, -2022),
        ({"side": "BUY", "type": "MARKET", "quantity": "1000"}, -4005),
    ],
)
async def test_refusals_raise_over_the_websocket_api(streams, order, code):
    """A refusal arrives as BinanceAPIException with its code and status 400, and the next request works."""
    with pytest.raises(BinanceAPIException) as caught:
        await streams.client.ws_futures_create_order(symbol="BTCUSDT", **order)
    assert (caught.value.code, caught.value.status_code) == (code, 400)
    assert (await streams.client.ws_futures_get_all_tickers(symbol="BTCUSDT"))["price"] == "60000.00"


def test_the_sync_client_has_the_websocket_api(exchange):
    """Client.ws_futures_* places and cancels, beside REST on the same client."""
    with redirect_clients(exchange.url, exchange.register):
        client = Client(LOCAL_KEY, LOCAL_SECRET)
        placed = client.ws_futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        asked = client.futures_get_order(symbol="BTCUSDT", orderId=placed["orderId"])
        assert asked["status"] == "FILLED"
        with pytest.raises(BinanceAPIException) as caught:
            client.ws_futures_cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
        assert caught.value.code == -2011
        closing = client.loop.create_task(client.ws_future.close())
        client.loop.run_until_complete(asyncio.sleep(0))
        exchange.stop()
        client.loop.run_until_complete(closing)
        client.close_connection()
        client.loop.close()
        asyncio.set_event_loop(None)


async def test_an_answer_has_id_status_and_limits(ask):
    """The envelope of a success and of an error; counts of orders come with orders only."""
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    answer = await ask({"id": 7, "method": "order.place", "params": signed(**order)})
    assert list(answer) == ["id", "status", "result", "rateLimits"]
    assert (answer["id"], answer["status"], answer["result"]["symbol"]) == (7, 200, "BTCUSDT")
    limits = [
        (row["rateLimitType"], row["interval"], row["intervalNum"], row["limit"])
        for row in answer["rateLimits"]
    ]
    assert limits == [
        ("REQUEST_WEIGHT", "MINUTE", 1, 2400),
        ("ORDERS", "SECOND", 10, 300),
        ("ORDERS", "MINUTE", 1, 1200),
    ]
    assert [row["count"] for row in answer["rateLimits"]][1:] == [1, 1]
    answer = await ask({"id": "x", "method": "order.status", "params": signed(symbol="BTCUSDT", orderId=1)})
    assert (answer["id"], answer["status"]) == ("x", 400)
    assert answer["error"] == {"code": -2013, "msg": "Order does not exist."}
    assert [row["rateLimitType"] for row in answer["rateLimits"]] == ["REQUEST_WEIGHT"]


async def test_limits_can_be_left_out(connect, ask):
    """A false returnRateLimits, of one request or of the connection, leaves `rateLimits` out."""
    quiet = await ask({"id": 1, "method": "ticker.price", "params": {"returnRateLimits": False}})
    assert "rateLimits" not in quiet
    socket = await connect("/ws-fapi/v1?returnRateLimits=false")
    await socket.send_json({"id": 1, "method": "ping"})
    assert await socket.receive_json(timeout=60) == {"id": 1, "status": 200, "result": {}}
    await socket.send_json({"id": 2, "method": "ping", "params": {"returnRateLimits": True}})
    assert "rateLimits" in await socket.receive_json(timeout=60)


@pytest.mark.parametrize(
    ("params", "code", "status"),
    [
        ({"symbol": "BTCUSDT"}, -1103, 400),
        (signed(key="nobody"), -2015, 401),
        (signed(secret="wrong"), -1022, 400),
        (signed(timestamp=START - 6000), -1021, 400),
        (signed(timestamp=START - 6000, recvWindow=7000, symbol="BTCUSDT", orderId=1), -2013, 400),
        ({"apiKey": LOCAL_KEY, "timestamp": START}, -1102, 400),
        ({**signed(symbol="BTCUSDT", side="BUY"), "reduceOnly": True}, -1022, 400),
    ],
)
async def test_key_signature_and_time_are_checked(ask, params, code, status):
    """The same checks as over HTTP, with the statuses of their HTTP answers."""
    answer = await ask({"id": 1, "method": "order.status", "params": params})
    assert (answer["error"]["code"], answer["status"]) == (code, status)


async def test_numbers_are_signed_as_they_are_written(ask):
    """A number in JSON is covered digit by digit: 0.010 is neither 0.01 nor a float."""
    params = signed(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010")
    text = json.dumps({"id": 1, "method": "order.place", "params": params})
    answer = await ask(text.replace('"0.010"', "0.010"))
    assert (answer["status"], answer["result"]["origQty"]) == (200, "0.010")


async def test_a_boolean_is_signed_as_json_writes_it(streams):
    """A signature covers JSON's true; python-binance signs True where it sends true, so flags go as text."""
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    with pytest.raises(BinanceAPIException) as caught:
        await streams.client.ws_futures_create_order(**order, reduceOnly=False)
    assert caught.value.code == -1022
    await streams.client.ws_futures_create_order(**order, reduceOnly="false")


async def test_permissions_hold_over_the_websocket_api(streams, ask):
    """A key that may only read can ask for the balance and cannot place an order."""
    streams.exchange.service.gate.credentials["eyes"] = ApiKey(secret="s", can_trade=False)
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    read = await ask({"id": 1, "method": "account.balance", "params": signed("s", "eyes")})
    trade = await ask({"id": 2, "method": "order.place", "params": signed("s", "eyes", **order)})
    assert (read["status"], trade["status"], trade["error"]["code"]) == (200, 401, -2015)


async def test_a_listen_key_comes_over_the_websocket_api(streams, ask):
    """userDataStream.start, .ping and .stop handle the same key as REST, with the API key alone."""
    params = {"apiKey": LOCAL_KEY}
    started = await ask({"id": 1, "method": "userDataStream.start", "params": params})
    assert started["result"]["listenKey"] == await streams.client.futures_stream_get_listen_key()
    assert (await ask({"id": 2, "method": "userDataStream.ping", "params": params}))["status"] == 200
    assert (await ask({"id": 3, "method": "userDataStream.stop", "params": params}))["result"] == {}
    assert (await ask({"id": 4, "method": "userDataStream.ping", "params": params}))["error"]["code"] == -1125
    answer = await ask({"id": 5, "method": "userDataStream.start"})
    assert answer["error"] == {"code": -1103, "msg": "param apikey not found."}


async def test_requests_are_remembered_and_counted_like_http(streams):
    """An order over the WebSocket API is in the request log, as the endpoint that does the same."""
    await streams.client.ws_futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    record = streams.exchange.order_requests[-1]
    assert (record.method, record.path, record.executed) == ("POST", "/fapi/v1/order", True)
    assert record.params["quantity"] == "0.01"


async def test_faults_hit_the_websocket_api(streams, connect):
    """An answer is replaced, or the connection ends after the order was executed, as over HTTP."""
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    streams.exchange.faults.inject(timed_out(executed=True))
    with pytest.raises(BinanceAPIException) as caught:
        await streams.client.ws_futures_create_order(**order)
    assert (caught.value.code, caught.value.status_code) == (-1007, 408)
    streams.exchange.faults.inject(reset_after_execution())
    socket = await connect("/ws-fapi/v1")
    await socket.send_json({"id": 1, "method": "order.place", "params": signed(**order)})
    ended = {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
    assert (await socket.receive(timeout=60)).type in ended
    assert len(streams.exchange.engine.trades()) == 2


ODD_MESSAGES = {
    "no JSON": ("hello", -1135),
    "a list": ("[]", -1135),
    "no method": ('{"id":1}', -1135),
    "a method that is a number": ('{"id":1,"method":5}', -1135),
    "params that are a list": ('{"id":1,"method":"ping","params":[1]}', -1135),
    "an unknown method": ('{"id":1,"method":"order.steal"}', -1020),
    "nested": ("[" * 20_000, -1135),
    "nested within": ('{"id":1,"method":"ping","params":{"a":' + "[" * 20_000, -1135),
    "half of a surrogate pair": (r'{"id":1,"method":"ping","params":{"a":"\ud800"}}', -1135),
    "a symbol that is an object": ('{"id":1,"method":"ticker.price","params":{"symbol":{"a":1}}}', -1121),
    "a number without end": (
        '{"id":1,"method":"ticker.price","params":{"symbol":' + "9" * 9000 + "}}",
        -1121,
    ),
}


@pytest.mark.parametrize(("message", "code"), ODD_MESSAGES.values(), ids=ODD_MESSAGES)
async def test_an_odd_request_gets_an_error_and_hurts_nobody(ask, message, code):
    """What is no request is answered in the API's own form, and the connection goes on."""
    answer = await ask(message)
    assert (answer["status"], answer["error"]["code"]) == (400, code)
    assert (await ask({"id": None, "method": "ping"}))["result"] == {}


@pytest.mark.parametrize("request_id", ["true", "[1]", '{"a":1}'])
async def test_an_odd_id_is_answered_with_null(ask, request_id):
    """An id is a number, a string or null; anything else comes back as null."""
    answer = await ask(f'{{"id":{request_id},"method":"ping"}}')
    assert (answer["id"], answer["status"]) == (None, 200)


@pytest.mark.parametrize("hedge_mode", [False, True])
async def test_a_life_over_the_websocket_api_ends_exact(make_streams, hedge_mode):
    """Open, protect, amend, trail, trigger, fill in parts, stop out: the stream adds up to the last digit."""
    streams = await make_streams(hedge_mode=hedge_mode)
    exchange, user = streams.exchange, await streams.user()
    side = {"positionSide": "LONG"} if hedge_mode else {}
    closing = side or {"reduceOnly": "true"}

    async def order(side, kind, **more):
        return await streams.client.ws_futures_create_order(symbol="BTCUSDT", side=side, type=kind, **more)

    await order("BUY", "MARKET", quantity="0.1", **side)
    await order("SELL", "STOP_MARKET", stopPrice="59000", closePosition="true", **side)
    await order("SELL", "TAKE_PROFIT_MARKET", stopPrice="61000", quantity="0.03", **closing)
    trail = {"callbackRate": "1", "activatePrice": "61500", "quantity": "0.02"}
    await order("SELL", "TRAILING_STOP_MARKET", **trail, **closing)
    rest = {"timeInForce": "GTC", "price": "63000", "quantity": "0.03"}
    target = await order("SELL", "LIMIT", **rest, **closing)
    await streams.client.ws_futures_edit_order(
        symbol="BTCUSDT", orderId=target["orderId"], side="SELL", quantity="0.03", price="62000"
    )
    exchange.set_mark("BTCUSDT", "61000.1")
    with exchange.lock:
        exchange.engine.trade("BTCUSDT", "62000", "0.013")
    for price in ("62000", "61300.7", "58999.9"):
        exchange.set_mark("BTCUSDT", price)

    told = []
    while not told or (told[-1]["o"]["X"], told[-1]["o"]["o"]) != ("FINISHED", "STOP_MARKET"):
        told += [event for event in await streams.hear(user, 1) if "o" in event]
    trades = [event["o"] for event in told if event["o"].get("x") == "TRADE"]
    assert [(each["o"], each["l"], each["L"], each["rp"], each["n"]) for each in trades] == [
        ("MARKET", "0.1", "60000", "0", "3"),
        ("MARKET", "0.03", "61000.1", "30.003", "0.9150015"),
        ("LIMIT", "0.013", "62000", "26", "0.1612"),
        ("LIMIT", "0.017", "62000", "34", "0.2108"),
        ("MARKET", "0.02", "61300.7", "26.014", "0.613007"),
        ("MARKET", "0.02", "58999.9", "-20.002", "0.589999"),
    ]
    (row,) = await streams.client.ws_futures_account_balance()
    assert row["balance"] == row["availableBalance"] == "10090.52499250"
    assert sum(Decimal(each["rp"]) - Decimal(each["n"]) for each in trades) + 10_000 == Decimal(
        row["balance"]
    )
    assert await streams.client.ws_futures_v2_account_position() == exchange.open_algo_orders() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
REQUEST = st.fixed_dictionaries(
    {"method": st.sampled_from([*FUTURES_METHODS, "SUBSCRIBE", "UNSUBSCRIBE", "SET_PROPERTY", "none"])},
    optional={
        "id": JSON,
        "params": JSON
        | st.dictionaries(st.sampled_from(["apiKey", "symbol", "quantity", "timestamp", "signature"]), JSON),
    },
)


@given(REQUEST.map(json.dumps) | JSON.map(json.dumps) | st.text(max_size=60))
def test_whatever_is_said_has_an_answer(message):
    """Any text on the WebSocket API or on a stream has an answer that is JSON, and breaks nothing."""
    exchange = LocalExchange(clock=lambda: START)
    try:
        request = read_request(message)
        reply = render_reply(request, exchange.answer(request.http))
    except ApiError as refused:
        reply = refused.answer
    assert {"id", "status"} <= set(json.loads(reply))
    outbox = SimpleNamespace(put=json.loads)
    connection = StreamConnection("odd", read_address("/private/ws", ""), outbox, START)
    answer, _ = run_command(connection, message)
    assert {"result", "error"} & set(json.loads(msgspec.json.encode(answer)))
    assert exchange.internal_errors == []


@given(st.text(max_size=40), st.text(max_size=40))
@example("btcusdt@markPrice//x", "listenKey=&events=A")
def test_whatever_the_address_it_is_read(path, query):
    """Any path and query is a stream address or none."""
    for start in ("/", "/ws/", "/private/stream/", "/market/ws/"):
        address = read_address(start + path, query)
        assert address is None or all(address.names)
