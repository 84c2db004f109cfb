"""Honest about what it does not know: what each answer, and each silence, of an exchange is recorded as."""

import asyncio
import json
import logging
import os
import signal
import socket
import threading

import aiohttp
import pytest
import requests
import websockets
from abilities import needs_websocket_orders
from binance import AsyncClient
from binance.exceptions import (
    BinanceAPIException,
    BinanceRequestException,
    BinanceWebsocketUnableToConnect,
)
from odd_server import (
    OddServer,
    answer,
    async_client_on,
    cut_short,
    hang,
    hang_up,
    read_request,
    reset,
    sync_client,
)
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

import exit_shim
from exit_shim.clients.answers import read_answer, read_failure

STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": 50_000,
    "closePosition": True,
}
CLOSE = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 1, "reduceOnly": True}
UNKNOWN_503 = "Unknown error, please check your request or try again later."
HTML = "<html><body><h1>503 Service Unavailable</h1></body></html>"


def refused_port():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def only(records):
    """The one line of the record."""
    (record,) = records
    return record.flat()


def place(client, error):
    """Place an order that ends in `error`."""
    with pytest.raises(error):
        client.futures_create_order(**CLOSE)


ANSWERS = {
    "rejected": (answer(400, {"code": -2021, "msg": "Order would immediately trigger."}), "rejected", -2021),
    "bad key": (
        answer(401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions"}),
        "rejected",
        -2015,
    ),
    "banned": (answer(418, {"code": -1003, "msg": "Way too many requests; banned"}), "rejected", -1003),
    "firewall page": (answer(403, "<html>WAF</html>", "text/html"), "rejected", 0),
    "503 unknown, no code": (answer(503, {"timestamp": 1, "msg": UNKNOWN_503}), "unknown", None),
    "503 unknown, -1000": (answer(503, {"code": -1000, "msg": UNKNOWN_503}), "unknown", -1000),
    "503 unknown, -1003": (answer(503, {"code": -1003, "msg": UNKNOWN_503}), "unknown", -1003),
    "503 service unavailable": (answer(503, {"msg": "Service Unavailable."}), "rejected", None),
    "503 -1001": (
        answer(503, {"code": -1001, "msg": "Internal error; unable to process"}),
        "rejected",
        -1001,
    ),
    "503 -1008": (answer(503, {"code": -1008, "msg": "Request throttled by system"}), "rejected", -1008),
    "503 page": (answer(503, HTML, "text/html"), "unknown", 0),
    "502 page": (answer(502, "<html>Bad Gateway</html>", "text/html"), "unknown", 0),
    "504 service unavailable": (answer(504, {"msg": "Service Unavailable."}), "unknown", None),
    "500 without code": (answer(500, {"msg": "Request occur unknown error."}), "unknown", None),
    "408 -1007": (answer(408, {"code": -1007, "msg": "Timeout waiting for response"}), "unknown", -1007),
    "408 page": (answer(408, "timeout", "text/plain"), "unknown", 0),
    "400 -1006": (answer(400, {"code": -1006, "msg": "Execution status unknown."}), "unknown", -1006),
    "code of an odd type": (answer(400, {"code": [1], "msg": {"a": 1}}), "rejected", None),
    "code as text": (answer(503, {"code": "-1008", "msg": None}), "unknown", None),
    "no text in it": (answer(400, {}), "rejected", None),
    "odd characters": (answer(400, '{"code": -1, "msg": "\\ud800 \\u0000"}'), "rejected", -1),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_an_error_answer_proves(recorded, case):
    """Each error answer of the exchange is recorded as what it proves, and raised as without the shim."""
    behave, outcome, code = ANSWERS[case]
    with OddServer(behave) as server, sync_client(server.url) as client:
        with pytest.raises(BinanceAPIException) as bare:
            exit_shim.unwrap(client).futures_create_order(**CLOSE)
        with pytest.raises(BinanceAPIException) as raised:
            client.futures_create_order(**CLOSE)
    assert len(server.requests) == 2
    assert vars(raised.value).keys() == vars(bare.value).keys()
    assert (str(raised.value), raised.value.status_code) == (str(bare.value), bare.value.status_code)
    line = only(recorded())
    assert (line["outcome"], line["error_code"]) == (outcome, code)


async def test_what_an_error_answer_proves_async(recorded):
    """The same for AsyncClient, one order for each answer."""
    for behave, _, _ in ANSWERS.values():
        with OddServer(behave) as server:
            async with async_client_on(server.url) as client:
                with pytest.raises(BinanceAPIException):
                    await client.futures_create_order(**CLOSE)
    lines = [record.flat() for record in recorded()]
    found = {case: (line["outcome"], line["error_code"]) for case, line in zip(ANSWERS, lines, strict=True)}
    assert found == {case: (outcome, code) for case, (_, outcome, code) in ANSWERS.items()}


PATIENCE = 30
"""Seconds within which a server that answers does so, on a busy machine too."""

SILENCES = {
    "list as error body": (answer(400, ["no"]), AttributeError, AttributeError),
    "text with status 200": (
        answer(200, "OK", "application/json"),
        BinanceRequestException,
        BinanceRequestException,
    ),
    "page with status 200": (
        answer(200, HTML, "text/html"),
        BinanceRequestException,
        aiohttp.ContentTypeError,
    ),
    "reset": (reset, requests.ConnectionError, aiohttp.ClientError),
    "hang up": (hang_up, requests.ConnectionError, aiohttp.ServerDisconnectedError),
    "cut short": (cut_short, requests.exceptions.RequestException, aiohttp.ClientPayloadError),
    "timeout": (hang, requests.ReadTimeout, asyncio.TimeoutError),
}


@pytest.mark.parametrize("case", SILENCES)
def test_silence_is_unknown(recorded, case):
    """A request that may have arrived and was not answered in full is unknown, never rejected or not sent."""
    behave, error, _ = SILENCES[case]
    time_limit = 0.3 if case == "timeout" else PATIENCE
    with (
        OddServer(behave) as server,
        sync_client(server.url, requests_params={"timeout": time_limit}) as client,
    ):
        place(client, error)
    assert len(server.requests) == 1
    line = only(recorded())
    assert line["outcome"] == "unknown"
    assert line["client_order_id"] in server.requests[0]


@pytest.mark.parametrize("case", SILENCES)
async def test_silence_is_unknown_async(recorded, case):
    """The same for AsyncClient."""
    behave, _, error = SILENCES[case]
    time_limit = 0.3 if case == "timeout" else PATIENCE
    with OddServer(behave) as server:
        async with async_client_on(server.url, requests_params={"timeout": time_limit}) as client:
            with pytest.raises(error):
                await client.futures_create_order(**CLOSE)
    assert len(server.requests) == 1
    line = only(recorded())
    assert line["outcome"] == "unknown"
    assert line["client_order_id"] in server.requests[0]


async def test_a_refused_connection_is_not_sent(recorded):
    """Where no connection was made nothing left, and the record says so, for both clients."""
    url = refused_port()
    async with async_client_on(url) as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.futures_create_order(**CLOSE)
    await asyncio.to_thread(order_refused, url)
    assert [record.flat()["outcome"] for record in recorded()] == ["not_sent", "not_sent"]


def order_refused(url):
    with sync_client(url) as client, pytest.raises(requests.ConnectionError):
        client.futures_create_order(**CLOSE)


def test_a_session_that_retries_proves_nothing_by_its_last_attempt(recorded):
    """The first attempt was read by the exchange, the second refused: the order may rest there."""

    def answer_and_close_shop(connection, request):
        server.__exit__()
        answer(503, {"msg": UNKNOWN_503})(connection, request)

    with OddServer(answer_and_close_shop) as server, sync_client(server.url) as client:
        retry = Retry(total=2, allowed_methods=None, status_forcelist=[503], backoff_factor=0)
        client.session.mount("http://", HTTPAdapter(max_retries=retry))
        with pytest.raises(requests.ConnectionError):
            client.futures_create_order(**CLOSE)
    assert len(server.requests) == 1
    assert only(recorded())["outcome"] == "unknown"


def test_an_error_after_the_answer_is_not_called_unsent(recorded):
    """A log handler that fails inside the client, after the request was answered, proves nothing."""

    class Failing(logging.Handler):
        def emit(self, record):
            raise LookupError("no log today")

    handler = Failing()
    with OddServer(answer(200, {"orderId": 1})) as server, sync_client(server.url, verbose=True) as client:
        client.logger.addHandler(handler)
        try:
            with pytest.raises(LookupError):
                client.futures_create_order(**CLOSE)
        finally:
            client.logger.removeHandler(handler)
            client.logger.setLevel(logging.NOTSET)
    assert len(server.requests) == 1
    assert only(recorded())["outcome"] == "unknown"


def test_a_header_that_cannot_be_sent(recorded):
    """A key that was read from a file with its newline never leaves: not sent, and not in the record."""
    with OddServer(hang_up) as server, sync_client(server.url) as client:
        client.API_KEY = "planted-key\n"
        client.session.headers["X-MBX-APIKEY"] = "planted-key\n"
        with pytest.raises(requests.exceptions.InvalidHeader):
            client.futures_create_order(**CLOSE)
    assert server.requests == []
    line = only(recorded())
    assert line["outcome"] == "not_sent"
    assert "planted" not in json.dumps(line)


def test_what_the_client_cannot_read_is_not_sent(exchange, client, recorded):
    """`type=None` fails inside the client before anything leaves; it fails so with the shim too."""
    wrapped = exit_shim.wrap(client)
    with pytest.raises(AttributeError, match="upper"):
        wrapped.futures_create_order(**{**STOP, "type": None})
    assert exchange.order_requests == []
    assert only(recorded())["outcome"] == "not_sent"


def test_what_cannot_be_signed_is_not_sent(exchange, client, recorded):
    """Parameters that fail while the client signs them have not left."""

    class Unspeakable:
        def __str__(self):
            raise LookupError("no text")

        __repr__ = __str__

    wrapped = exit_shim.wrap(client)
    with pytest.raises(LookupError):
        wrapped.futures_create_order(**{**CLOSE, "quantity": Unspeakable()})
    assert exchange.order_requests == []
    line = only(recorded())
    assert (line["outcome"], line["quantity"]) == ("not_sent", "<Unspeakable>")


def test_missing_fields_go_to_the_exchange(exchange, client, recorded):
    """An order without a symbol reaches the exchange as it is, and fails there."""
    with pytest.raises(BinanceAPIException) as refused:
        exit_shim.wrap(client).futures_create_order(side="SELL", type="STOP_MARKET", closePosition=True)
    assert refused.value.code == -1102
    assert "symbol" not in exchange.order_requests[0].params
    line = only(recorded())
    assert (line["outcome"], line["symbol"]) == ("rejected", None)


def test_positional_misuse_is_not_sent(exchange, client, recorded):
    """A call that the method does not take raises its own TypeError; the record says that nothing left."""
    with pytest.raises(TypeError) as bare:
        client.futures_create_order("BTCUSDT", closePosition=True)
    with pytest.raises(TypeError) as wrapped:
        exit_shim.wrap(client).futures_create_order("BTCUSDT", closePosition=True)
    assert str(wrapped.value) == str(bare.value)
    assert only(recorded())["outcome"] == "not_sent"


async def test_positional_misuse_of_an_async_client_is_not_sent(exchange, async_client, recorded):
    """The same through AsyncClient: concluded, not left in doubt."""
    with pytest.raises(TypeError, match="positional"):
        await exit_shim.wrap(async_client).futures_create_order("BTCUSDT", closePosition=True)
    assert only(recorded())["outcome"] == "not_sent"


async def test_a_cancelled_send_is_unknown(recorded):
    """Cancelling a task amid the send raises CancelledError in it, and the order may have arrived."""
    arrived = threading.Event()

    def hold(connection, request):
        arrived.set()
        hang(connection, request)

    with OddServer(hold) as server:
        async with async_client_on(server.url) as client:
            task = asyncio.create_task(client.futures_create_order(**CLOSE))
            await asyncio.to_thread(arrived.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
    assert only(recorded())["outcome"] == "unknown"


async def test_a_task_cancelled_before_its_first_step_has_sent_nothing(exchange, async_client, recorded):
    """An order whose task never ran leaves no record: there was no intent."""
    task = asyncio.create_task(exit_shim.wrap(async_client).futures_create_order(**CLOSE))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (exchange.order_requests, recorded()) == ([], [])


def test_ctrl_c_amid_the_send_is_unknown(recorded):
    """KeyboardInterrupt passes to the bot, and the order it interrupted may have arrived."""

    def interrupt(connection, request):
        os.kill(os.getpid(), signal.SIGINT)
        hang(connection, request)

    with OddServer(interrupt) as server, sync_client(server.url) as client:
        place(client, KeyboardInterrupt)
    assert only(recorded())["outcome"] == "unknown"


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_the_very_exception_passes(recorded, error):
    """What the client raises is what the bot gets: the same object, with nothing chained to it."""

    class Fake:
        def futures_create_order(self, **params):
            raise error

    with pytest.raises(type(error)) as raised:
        exit_shim.wrap(Fake()).futures_create_order(**STOP)
    assert raised.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert only(recorded())["outcome"] == "unknown"


async def test_the_very_exception_passes_through_await(recorded):
    """The same for a coroutine."""
    error = ValueError("the bot's own")

    class Fake:
        async def futures_create_order(self, **params):
            raise error

    with pytest.raises(ValueError, match="own") as raised:
        await exit_shim.wrap(Fake()).futures_create_order(**STOP)
    assert raised.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert only(recorded())["outcome"] == "unknown"


async def test_a_future_is_concluded_when_it_is_done(recorded):
    """An adapter that hands out futures gets its futures back; they are concluded by what becomes of them."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]
    given = iter(futures)

    class Adapter:
        def futures_create_order(self, **params):
            return next(given)

    wrapped = exit_shim.wrap(Adapter())
    assert [wrapped.futures_create_order(**STOP) for _ in futures] == futures
    futures[0].set_result({"orderId": 1})
    futures[1].set_exception(ValueError("odd"))
    futures[2].cancel()
    await asyncio.sleep(0)
    assert [record.flat()["outcome"] for record in recorded()] == ["accepted", "unknown", "unknown"]


@pytest.mark.parametrize(
    ("element", "outcome"),
    [
        ({"orderId": 1, "clientOrderId": "x"}, "accepted"),
        ({"code": -2021, "msg": "Order would immediately trigger."}, "rejected"),
        ({"code": -1007, "msg": "Timeout"}, "unknown"),
        ({"code": -1003, "msg": UNKNOWN_503}, "unknown"),
        ({"code": -1, "msg": "\ud800"}, "rejected"),
        ({"orderId": "5", "clientOrderId": 7}, "accepted"),
        ({"code": [1]}, "accepted"),
        (None, "accepted"),
    ],
)
def test_each_answer_within_a_batch(element, outcome):
    """An element of a batch's answer is read by its code and its words."""
    assert read_answer(element).result == outcome


NOTHING_SAID = {
    "empty": "",
    "empty object": {},
    "null": "null",
    "text": '"OK"',
    "list": [],
    "no id": {"msg": "ok"},
}


@pytest.mark.parametrize("case", NOTHING_SAID)
async def test_success_without_an_order_in_it_is_unknown(recorded, case):
    """HTTP 200 with another body than an order's proves nothing of a placed order, over either client."""
    behave = answer(200, NOTHING_SAID[case])
    with OddServer(behave) as server:
        async with async_client_on(server.url) as client:
            await client.futures_create_order(**CLOSE)
        await asyncio.to_thread(order_answered, server.url)
    assert [record.flat()["outcome"] for record in recorded()] == ["unknown", "unknown"]


def order_answered(url):
    with sync_client(url) as client:
        client.futures_create_order(**CLOSE)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({}, "unknown"),
        ({"code": 200, "msg": "The operation of cancel all open order is done."}, "accepted"),
        ({"algoId": 1, "clientAlgoId": "x", "code": "200", "msg": "success"}, "accepted"),
    ],
)
def test_what_the_answer_to_a_cancel_proves(recorded, body, outcome):
    """A cancel is answered without an order, with a code that is a number or a text; never by nothing."""
    with OddServer(answer(200, body)) as server, sync_client(server.url) as client:
        client.futures_cancel_order(symbol="BTCUSDT", orderId=1)
    assert only(recorded())["outcome"] == outcome


@pytest.mark.parametrize(
    ("body", "outcome", "code"),
    [
        ({}, "unknown", None),
        ({"orderId": 1}, "unknown", None),
        ({"code": -4082, "msg": "Invalid number of batch place orders."}, "rejected", -4082),
        ({"code": -1007, "msg": "Timeout"}, "unknown", -1007),
        ([{"orderId": 1}, {}], None, None),
    ],
)
def test_what_a_batch_is_answered(recorded, body, outcome, code):
    """A batch answered by no list is unknown in each of its orders, unless that is an error."""
    with OddServer(answer(200, body)) as server, sync_client(server.url) as client:
        client.futures_place_batch_order(batchOrders=[dict(CLOSE, reduceOnly="true") for _ in range(2)])
    lines = [record.flat() for record in recorded()]
    expected = ["accepted", "unknown"] if outcome is None else [outcome] * 2
    assert [line["outcome"] for line in lines] == expected
    assert {line["error_code"] for line in lines} == {code}
    assert outcome is None or {line["order_id"] for line in lines} == {None}


async def test_a_cancel_that_aiohttp_sent_twice_is_recorded_by_its_last_answer(recorded):
    """A known limit: the resend of a cancel whose connection dropped is seen neither by client nor shim."""
    arrived = []

    def keep_then_drop(connection, request):
        arrived.append(request.split()[0])
        if arrived == ["GET"]:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )
            arrived.append(read_request(connection).split()[0])  # executed, and the connection drops
        else:
            answer(400, {"code": -2011, "msg": "Unknown order sent."})(connection, request)

    with OddServer(keep_then_drop) as server:
        async with async_client_on(server.url) as client:
            await client.futures_ping()
            with pytest.raises(BinanceAPIException):
                await client.futures_cancel_order(symbol="BTCUSDT", orderId=1)
    assert arrived == ["GET", "DELETE", "DELETE"]
    assert only(recorded())["outcome"] == "rejected"


def test_a_stand_in_may_answer_a_batch_as_it_likes(recorded):
    """An adapter's return of another shape is accepted, and no order gets an id that may be another's."""

    class Fake:
        def futures_place_batch_order(self, **params):
            return {"orderId": 1}

    exit_shim.wrap(Fake()).futures_place_batch_order(batchOrders=[CLOSE, CLOSE])
    lines = [record.flat() for record in recorded()]
    assert [(line["outcome"], line["order_id"]) for line in lines] == [("accepted", None)] * 2


def test_a_batch_answered_short(recorded):
    """An order that the answer of its batch does not mention is unknown."""

    class Fake:
        def futures_place_batch_order(self, **params):
            return [{"orderId": 1}]

    exit_shim.wrap(Fake()).futures_place_batch_order(batchOrders=[CLOSE, CLOSE])
    assert [record.flat()["outcome"] for record in recorded()] == ["accepted", "unknown"]


def test_an_error_that_cannot_be_read_is_unknown(recorded, monkeypatch):
    """An exception whose very text raises reaches the bot, and the order it ended is unknown."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)

    class HostileError(Exception):
        def __str__(self):
            raise LookupError("no text")

        @property
        def reason(self):
            raise LookupError("no reason")

    error = HostileError()

    class Fake:
        def futures_create_order(self, **params):
            raise error

    with pytest.raises(HostileError) as raised:
        exit_shim.wrap(Fake()).futures_create_order(**STOP)
    assert raised.value is error
    assert only(recorded())["outcome"] == "unknown"


def test_an_error_of_a_fake_is_unknown():
    """What a bot's own stand-in raises proves nothing about an exchange."""
    with pytest.raises(AttributeError) as raised:
        _ = object().upper
    assert read_failure(raised.value).result == "unknown"


@pytest.mark.parametrize(
    ("behave", "outcome"),
    [("never answers", "unknown"), ("is not there", "not_sent")],
)
@needs_websocket_orders
async def test_what_a_silent_websocket_proves(recorded, behave, outcome):
    """An order sent over WebSocket that got no answer is in doubt; one that found no way was not sent."""
    arrived = []

    async def listen(connection, *_):
        arrived.extend([json.loads(message)["method"] async for message in connection])

    client = AsyncClient("key", "secret")
    async with websockets.serve(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client.ws_future._url = f"ws://127.0.0.1:{port if behave != 'is not there' else 1}/"
        client.ws_future._prefix = ""
        client.ws_future.TIMEOUT = 0.2
        with pytest.raises(BinanceWebsocketUnableToConnect):
            await exit_shim.wrap(client).ws_futures_create_order(**CLOSE)
        await client.close_connection()
        await client.ws_future.__aexit__(None, None, None)
    assert only(recorded())["outcome"] == outcome
    assert arrived == (["order.place"] if outcome == "unknown" else [])


class AdapterError(Exception):
    """An adapter's own, with whatever it was given as attributes."""

    def __init__(self, *arguments, **own):
        super().__init__(*arguments)
        vars(self).update(own)


def http_error(status, body):
    """What `response.raise_for_status()` raises."""
    response = requests.Response()
    response.status_code = status
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.HTTPError(f"{status} Client Error: Bad Request for url: http://x", response=response)


def throw(error):
    raise error


def wrapped(error):
    """An adapter's error that was raised because of another."""
    try:
        try:
            throw(error)
        except Exception as cause:
            raise AdapterError("the order failed") from cause
    except AdapterError as raised:
        return raised


def api_error(status, code, said="Order would immediately trigger."):
    return BinanceAPIException(None, status, json.dumps({"code": code, "msg": said}))


ADAPTERS_ERRORS = {
    "status and code in the text": (
        lambda: AdapterError('HTTP 400: {"code":-2021,"msg":"Order would immediately trigger."}'),
        ("rejected", -2021),
    ),
    "attributes": (lambda: AdapterError("refused", status=400, code=-2019), ("rejected", -2019)),
    "code as text": (
        lambda: AdapterError("refused", http_status=400, error_code="-4131"),
        ("rejected", -4131),
    ),
    "python-binance's text": (lambda: AdapterError("APIError(code=-2021): Order would"), ("rejected", -2021)),
    "ccxt's text": (lambda: AdapterError('binance {"code":-2010,"msg":"rejected"}'), ("rejected", -2010)),
    "an answer": (lambda: http_error(400, {"code": -2021, "msg": "x"}), ("rejected", -2021)),
    "its cause": (lambda: wrapped(api_error(400, -2021)), ("rejected", -2021)),
    "too many, 429": (lambda: AdapterError("slow down", status=429, code=-1003), ("rejected", -1003)),
    "no permission": (lambda: AdapterError("HTTP 401, code -2015"), ("rejected", -2015)),
    "-1006": (lambda: AdapterError("HTTP 400, code -1006"), ("unknown", -1006)),
    "-1007": (lambda: AdapterError("code -1007", status=408), ("unknown", -1007)),
    "-1003 without a status": (lambda: AdapterError("code -1003"), ("unknown", -1003)),
    "503 unknown": (lambda: AdapterError(f"HTTP 503 code -1000 {UNKNOWN_503}"), ("unknown", -1000)),
    "503 of another code": (
        lambda: AdapterError(f"{UNKNOWN_503}", status=503, code=-1003),
        ("unknown", -1003),
    ),
    "503 and a definite code": (lambda: AdapterError("HTTP 503 code -2021"), ("unknown", -2021)),
    "status alone": (lambda: AdapterError("HTTP 400 Bad Request"), ("unknown", None)),
    "two codes": (lambda: AdapterError("code -2021 after code -1007"), ("unknown", None)),
    "a page": (lambda: http_error(403, b"<html>WAF</html>"), ("unknown", None)),
    "a duplicate id": (lambda: AdapterError("HTTP 400, code -4116"), ("unknown", -4116)),
    "after a timeout": (
        lambda: AdapterError("HTTP 400, code -2022"),
        ("unknown", -2022),
    ),
    "its cause is in doubt": (lambda: wrapped(api_error(503, -1000, UNKNOWN_503)), ("unknown", -1000)),
    "a number that is no code": (lambda: AdapterError("the loss -2500 is too large"), ("unknown", None)),
}


@pytest.mark.parametrize("case", ADAPTERS_ERRORS)
def test_what_an_adapters_error_proves(recorded, case):
    """A definite refusal is read from an adapter's own exception; what leaves a doubt stays in doubt."""
    make, expected = ADAPTERS_ERRORS[case]

    class Adapter:
        def place_order(self, **fields):
            if case != "after a timeout":
                raise make()
            try:
                throw(requests.ReadTimeout("read timed out"))
            except requests.ReadTimeout:
                raise make()  # noqa: B904 - as adapters do that try again

    adapter = exit_shim.wrap(Adapter(), doors=[exit_shim.Door("place_order")])
    with pytest.raises((AdapterError, requests.HTTPError)):
        adapter.place_order(**CLOSE)
    line = only(recorded())
    assert (line["outcome"], line["error_code"]) == expected


def test_an_error_from_before_the_call_proves_nothing_of_it(recorded):
    """An order that is placed while an earlier refusal is being handled is not refused by that."""

    class Adapter:
        def place_order(self, **fields):
            raise AdapterError("connection lost")

    adapter = exit_shim.wrap(Adapter(), doors=[exit_shim.Door("place_order")])
    try:
        throw(api_error(400, -2021))
    except BinanceAPIException:
        with pytest.raises(AdapterError):
            adapter.place_order(**CLOSE)
    line = only(recorded())
    assert (line["outcome"], line["error_code"]) == ("unknown", None)


def test_an_error_amid_several_orders_proves_nothing_of_each(recorded):
    """An adapter sends a bracket's orders one by one; the refusal of one does not tell which were sent."""

    class Adapter:
        def bracket(self, *orders):
            raise api_error(400, -2021)

    adapter = exit_shim.wrap(Adapter(), doors=[exit_shim.Door("bracket", parse=lambda *orders: orders)])
    with pytest.raises(BinanceAPIException):
        adapter.bracket(CLOSE, CLOSE)
    assert [record.flat()["outcome"] for record in recorded()] == ["unknown", "unknown"]
