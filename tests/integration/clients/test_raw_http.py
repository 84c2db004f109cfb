"""Requests to Binance's order paths that a bot sends itself, by requests, httpx and aiohttp."""

import asyncio
import copy
import functools
import hashlib
import hmac
import importlib
import io
import json
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlencode

import aiohttp
import httpx
import pytest
import requests
import requests_mock
from binance import Client
from odd_server import OddServer, answer, cut_short, hang, reset
from urllib3.util import Retry

import exit_shim
from exit_shim.clients.raw_http import make_httpx_result
from exit_shim.clients.registry import can_be_cloned
from exit_shim.journal import read_records
from exit_shim.testing import LocalExchange, faults
from exit_shim.testing.redirect import redirect_clients

KEY, SECRET = "PlAnTeDkEy" * 6, "pLaNtEdSeCrEt" * 5
ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
ENTRY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
CLOSE = {**ENTRY, "side": "SELL", "quantity": "0.001", "reduceOnly": "true"}
STOP = {
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "triggerPrice": "50000",
    "closePosition": "true",
}
HEADERS = {"X-MBX-APIKEY": KEY}
FORM = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded"}


def signed(fields):
    """The fields as a signed query."""
    query = urlencode({**fields, "timestamp": int(time.time() * 1000)})
    signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={signature}"


def by_requests(url, verb="POST", fields=CLOSE, **options):
    """Send by requests; the status and the body."""
    response = requests.request(verb, f"{url}?{signed(fields)}", headers=HEADERS, timeout=60, **options)
    return response.status_code, response.content


def by_httpx(url, verb="POST", fields=CLOSE):
    """Send by httpx."""
    response = httpx.request(verb, f"{url}?{signed(fields)}", headers=HEADERS)
    return response.status_code, response.content


def by_async_httpx(url, verb="POST", fields=CLOSE):
    """Send by httpx, awaited."""

    async def send():
        async with httpx.AsyncClient(headers=HEADERS) as client:
            response = await client.request(verb, f"{url}?{signed(fields)}")
            return response.status_code, response.content

    return asyncio.run(send())


def by_aiohttp(url, verb="POST", fields=CLOSE, **options):
    """Send by aiohttp, with the key among the session's own headers."""

    async def send():
        async with (
            aiohttp.ClientSession(headers=HEADERS, **options) as session,
            session.request(verb, f"{url}?{signed(fields)}") as response,
        ):
            return response.status, await response.read()

    return asyncio.run(send())


SENDERS = {
    "requests": by_requests,
    "httpx": by_httpx,
    "async httpx": by_async_httpx,
    "aiohttp": by_aiohttp,
}
everywhere = pytest.mark.parametrize("send", SENDERS.values(), ids=SENDERS)


class Seen:
    """What a shim of its own recorded, under an install with raw requests."""

    def __init__(self, path, **options):
        self.shim = exit_shim.ExitShim(journal=path, sinks=[], **options)
        self.path = path

    def __enter__(self):
        self.installation = exit_shim.install(shim=self.shim, raw=True)
        return self

    def __exit__(self, *_):
        self.installation.__exit__(None, None, None)
        self.shim.close()

    def lines(self, *names):
        """The records so far, or these fields of them."""
        self.shim.flush()
        lines = [record.flat() for record in read_records(str(self.path))]
        return [tuple(line[name] for name in names) for line in lines] if names else lines


@pytest.fixture
def exchange():
    """Return a local exchange over HTTP that takes the planted key."""
    with LocalExchange(any_key=True) as running:
        yield running


@pytest.fixture
def seen(tmp_path):
    """Return what is recorded while raw requests are covered."""
    with Seen(tmp_path / "raw.db") as recording:
        yield recording


@everywhere
def test_a_raw_order_is_one_record_with_the_exchanges_answer(exchange, seen, send):
    """The exit is recorded once, by the module that asked; the bot gets the exchange's own bytes."""
    send(exchange.url + ORDER, fields=ENTRY)
    status, body = send(exchange.url + ORDER)
    (line,) = seen.lines()
    assert status == 200
    assert line["order_id"] == json.loads(body)["orderId"]
    assert (line["door"], line["outcome"], line["kind"]) == ("POST /fapi/v1/order", "accepted", "close")
    assert (line["module"], line["quantity"]) == (__name__, "0.001")
    assert line["account"] == f"{exit_shim.clients.accounts.key_label(KEY)}@{exchange.url[7:]}"


@everywhere
def test_a_cancel_finds_its_target_and_a_refusal_is_rejected(exchange, seen, send):
    """A stop, the cancel of it and a refused order have Binance's ids and code."""
    send(exchange.url + ORDER, fields=ENTRY)
    placed = json.loads(send(exchange.url + ALGO, fields=STOP)[1])
    send(exchange.url + ALGO, "DELETE", {"algoId": placed["algoId"]})
    status, _ = send(exchange.url + ORDER, fields={**CLOSE, "quantity": "0.00012345"})
    assert status == 400
    assert seen.lines("operation", "kind", "outcome", "error_code") == [
        ("place", "sl", "accepted", None),
        ("cancel", "sl", "accepted", None),
        ("place", "close", "rejected", -1111),
    ]


BODIES = {
    "form": (lambda url: requests.post(url, data=signed(CLOSE), headers=HEADERS, timeout=60)),
    "dict": (lambda url: requests.post(url, data=CLOSE, headers=HEADERS, timeout=60)),
    "params": (lambda url: requests.post(url, params=CLOSE, headers=HEADERS, timeout=60)),
    "json": (lambda url: requests.post(url, json=CLOSE, headers=HEADERS, timeout=60)),
    "httpx form": (lambda url: httpx.post(url, data=CLOSE, headers=HEADERS)),
    "httpx params": (lambda url: httpx.post(url, params=CLOSE, headers=HEADERS)),
    "httpx json": (lambda url: httpx.post(url, json=CLOSE, headers=HEADERS)),
    "httpx base": (lambda url: httpx.Client(base_url=url[:-5], headers=HEADERS).post("order", data=CLOSE)),
}


@pytest.mark.parametrize("post", BODIES.values(), ids=BODIES)
def test_the_fields_are_read_from_query_and_body(seen, post):
    """Wherever a bot puts the fields, they are read."""
    with OddServer(answer(200, {"orderId": 7})) as server:
        assert post(server.url + ORDER).json() == {"orderId": 7}
    assert seen.lines("symbol", "quantity", "order_id") == [("BTCUSDT", "0.001", 7)]


@pytest.mark.parametrize(
    "body",
    [
        {"params": CLOSE},
        {"params": list(CLOSE.items())},
        {"data": CLOSE},
        {"json": CLOSE},
        {"data": urlencode(CLOSE)},
        {"data": aiohttp.FormData(CLOSE)},
    ],
    ids=["params", "pairs", "data", "json", "text", "form"],
)
def test_the_fields_of_aiohttp_are_read(seen, body):
    """The same for what aiohttp takes, with a base address of the session's."""

    async def send(url):
        async with (
            aiohttp.ClientSession(base_url=url) as session,
            session.post(ORDER, headers=[("x-mbx-apikey", KEY)], **body) as response,
        ):
            return await response.json()

    with OddServer(answer(200, {"orderId": 7})) as server:
        assert asyncio.run(send(server.url)) == {"orderId": 7}
    ((symbol, quantity, account),) = seen.lines("symbol", "quantity", "account")
    assert (symbol, quantity) == ("BTCUSDT", "0.001")
    assert account.startswith(exit_shim.clients.accounts.key_label(KEY))


def test_a_batch_is_read_from_its_json_text(exchange, seen):
    """Each order of a batch is a record, with its own answer."""
    by_requests(exchange.url + ORDER, fields=ENTRY)
    bad = {**CLOSE, "quantity": "0.00012345"}
    by_requests(exchange.url + "/fapi/v1/batchOrders", fields={"batchOrders": json.dumps([CLOSE, bad])})
    assert seen.lines("outcome", "error_code") == [("accepted", None), ("rejected", -1111)]


def test_who_asked_is_known_in_tasks_and_threads(seen):
    """Tasks, gather, a thread's target and a method handed around have evidence of their own."""

    async def gather(url):
        async with httpx.AsyncClient() as client:
            await asyncio.gather(client.post(url, data=CLOSE))
            await asyncio.create_task(client.send(client.build_request("POST", url, data=CLOSE)))
        async with aiohttp.ClientSession() as session:
            sending = session.post(url, data=CLOSE)
            await asyncio.gather(sending)
            await asyncio.create_task(session._request("POST", url, data=CLOSE))

    with OddServer(answer(200, {"orderId": 7})) as server, requests.Session() as session:
        asyncio.run(gather(server.url + ORDER))
        thread = threading.Thread(target=session.post, args=(server.url + ORDER, CLOSE))
        thread.start()
        thread.join()
    lines = seen.lines("module", "evidence", "function")
    assert [line[0] for line in lines] == [__name__] * 5
    assert [line[1] for line in lines] == ["carried", "stack", "stack", "stack", "carried"]
    assert lines[4][2].startswith("test_who_asked")


@everywhere
def test_a_client_librarys_requests_are_not_raw(exchange, seen, send):
    """What python-binance sends by a transport is one record, of its own door."""
    send(exchange.url + ORDER, fields=ENTRY)
    with redirect_clients(exchange.url, exchange.register):
        client = Client(KEY, SECRET)
        client.futures_create_order(**CLOSE)
        client.futures_create_order(**ENTRY)
    assert seen.lines("door") == [("futures_create_order",)]
    counts = seen.shim.summary()
    assert counts["entry_orders"] + counts["entry_coroutines"] == 2
    assert can_be_cloned(client)


ANSWERS = {
    "accepted": (answer(200, {"orderId": 7}), "accepted", None),
    "no json": (answer(200, "<html>"), "unknown", None),
    "503 unknown": (answer(503, {"code": -1000, "msg": "Unknown error"}), "unknown", -1000),
    "408": (answer(408, {"code": -1007, "msg": "Timeout"}), "unknown", -1007),
    "refused": (answer(400, {"code": -2021, "msg": "Order would immediately trigger."}), "rejected", -2021),
    "throttled": (answer(503, {"code": -1008, "msg": "Request throttled by system"}), "rejected", -1008),
    "firewall": (answer(403, "<html>"), "rejected", None),
    "redirected": (answer(302, "<html>"), "unknown", None),
}


@everywhere
@pytest.mark.parametrize(("behave", "outcome", "code"), ANSWERS.values(), ids=ANSWERS)
def test_what_an_answer_proves(seen, send, behave, outcome, code):
    """Status and body are read as through python-binance."""
    with OddServer(behave) as server:
        send(server.url + ORDER)
    assert seen.lines("outcome", "error_code") == [(outcome, code)]


@everywhere
def test_what_a_failure_proves(seen, send):
    """Without a connection nothing was sent; after a reset or half an answer nobody knows."""
    outcomes = []
    for behave in (reset, None):
        server = OddServer(behave)
        if behave is None:
            server.__exit__()
        with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError)):
            send(server.url + ORDER)
        outcomes.append(seen.lines("outcome")[-1][0])
    assert outcomes == ["unknown", "not_sent"]


@everywhere
def test_a_host_that_is_not_found_got_nothing(seen, send, monkeypatch):
    """Without an address there is no connection, so the order was certainly not sent."""

    def find_nothing(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError)):
        send("http://exchange.invalid" + ORDER)
    assert seen.lines("outcome") == [("not_sent",)]


def test_a_timeout_leaves_an_order_in_doubt(seen):
    """An answer that does not come in time proves nothing."""
    with OddServer(hang) as server:
        url = server.url + ORDER
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(url, CLOSE, timeout=0.2)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, data=CLOSE, timeout=0.2)
        with pytest.raises(asyncio.TimeoutError):
            by_aiohttp(url, timeout=aiohttp.ClientTimeout(total=0.2))
    assert seen.lines("outcome") == [("unknown",)] * 3


def test_errors_of_raise_for_status_are_answers(seen):
    """What hooks and sessions raise is read by status, and by the body where it was read."""

    def complain(response, **_):
        assert response.content
        response.raise_for_status()

    def complain_httpx(response):
        response.read()
        response.raise_for_status()

    with OddServer(answer(400, {"code": -2021, "msg": "no"})) as server:
        url = server.url + ORDER
        with pytest.raises(requests.exceptions.HTTPError):
            by_requests(url, hooks={"response": complain})
        client = httpx.Client(event_hooks={"response": [complain_httpx]})
        with client, pytest.raises(httpx.HTTPStatusError):
            client.post(url, data=CLOSE)
        with pytest.raises(aiohttp.ClientResponseError):
            by_aiohttp(url, raise_for_status=True)
    assert seen.lines("outcome", "error_code") == [("rejected", -2021)] * 2 + [("rejected", None)]


def test_a_session_that_repeats_posts_proves_nothing_by_its_last_attempt(seen):
    """With a retry for every verb the refusal of the second attempt is no proof about the first."""
    answers = iter([answer(503, {"msg": "?"}), answer(400, {"code": -2021, "msg": "no"})])

    def one_after_the_other(connection, request):
        next(answers)(connection, request)

    with OddServer(one_after_the_other) as server, requests.Session() as session:
        retry = Retry(total=2, allowed_methods=None, status_forcelist=[503], backoff_factor=0)
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        assert session.post(server.url + ORDER, CLOSE).status_code == 400
        assert len(server.requests) == 2
    assert seen.lines("outcome", "error_code") == [("unknown", -2021)]


def test_a_redirected_order_is_one_record(seen):
    """An order that requests sends again where the exchange redirects it is the same order."""
    with OddServer(answer(200, {"orderId": 7})) as target:

        def redirect(connection, _):
            head = f"HTTP/1.1 307 X\r\nLocation: {target.url}{ORDER}\r\nContent-Length: 0\r\n"
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode())

        with OddServer(redirect) as server:
            requests.post(server.url + ORDER, CLOSE, timeout=60)
    assert len(target.requests) == 1
    assert seen.lines("outcome", "order_id") == [("accepted", 7)]


def redirect(status, url):
    """Behaviour: a redirect to another address."""

    def behave(connection, _request):
        head = f"HTTP/1.1 {status} X\r\nLocation: {url}\r\nContent-Length: 0\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())

    return behave


def by_redirected_httpx(url):
    """Send by httpx, which follows redirects only on request."""
    return httpx.post(f"{url}?{signed(CLOSE)}", headers=HEADERS, follow_redirects=True)


FOLLOWERS = {"requests": by_requests, "httpx": by_redirected_httpx, "aiohttp": by_aiohttp}


@pytest.mark.parametrize("send", FOLLOWERS.values(), ids=FOLLOWERS)
def test_what_comes_after_a_redirect_does_not_tell_of_the_order(seen, send):
    """A refusal of the request to which a redirect led, or a host that is gone, leaves the order in doubt."""
    with (
        OddServer(answer(400, {"code": -1102, "msg": "no"})) as target,
        OddServer(redirect(302, target.url + ORDER)) as server,
    ):
        send(server.url + ORDER)
    with OddServer(redirect(302, target.url + ORDER)) as server, pytest.raises(Exception):  # noqa: B017, PT011
        send(server.url + ORDER)
    assert seen.lines("outcome", "error_code") == [("unknown", -1102), ("unknown", None)]


def test_a_method_that_was_copied_deeply_sends_as_its_copy(exchange, seen):
    """`copy.deepcopy` of a session's method, or of what holds one, gives a method that is still covered."""
    with requests.Session() as session:
        post = copy.deepcopy({"post": session.post})["post"]
        assert post.__self__ is not session
        post(f"{exchange.url + ORDER}?{signed(CLOSE)}", headers=HEADERS, timeout=60)
    assert seen.lines("door") == [("POST /fapi/v1/order",)]


def test_a_static_method_in_the_place_of_a_sessions_stays(tmp_path, monkeypatch):
    """A test that has put a static method over a transport's own gets just that."""
    monkeypatch.setattr(requests.Session, "send", staticmethod(lambda *_, **__: "sent"))
    monkeypatch.setattr(requests.Session, "post", staticmethod(lambda *_, **__: "posted"))
    with Seen(tmp_path / "static.db"), requests.Session() as session:
        assert (session.send(None), session.post("https://fapi.binance.com")) == ("sent", "posted")


def test_a_session_whose_address_cannot_be_read_sends(exchange, seen):
    """A property of a bot's own class of sessions may raise: the request goes out."""

    class Session(requests.Session):
        @property
        def base_url(self):
            raise LookupError("no address yet")

    with Session() as session:
        session.post(f"{exchange.url + ORDER}?{signed(CLOSE)}", headers=HEADERS, timeout=60)
    assert seen.lines("door") == [("POST /fapi/v1/order",)]


def test_a_body_that_the_bot_has_not_read_stays_unread(seen):
    """With `stream` nothing is read for the bot, and only the status is known."""
    with OddServer(answer(200, {"orderId": 7})) as server:
        response = requests.post(server.url + ORDER, CLOSE, stream=True, timeout=60)
        assert response._content is False
        assert response.json() == {"orderId": 7}
        with httpx.stream("POST", server.url + ORDER, data=CLOSE) as streamed:
            assert not streamed.is_stream_consumed
            assert json.loads(streamed.read()) == {"orderId": 7}
    assert seen.lines("outcome") == [("unknown",)] * 2


def test_aiohttps_body_is_still_there_for_the_bot(seen):
    """A bot may stream, read or ignore the body; a late one is in time, and a stuck one delays a second."""
    body = {"orderId": 7, "text": "x" * 5000}

    def late(connection, request):
        class Slow:
            def sendall(self, data):
                head, _, rest = data.partition(b"\r\n\r\n")
                connection.sendall(head + b"\r\n\r\n")
                time.sleep(0.2)
                connection.sendall(rest)

        answer(200, body)(Slow(), request)

    async def read(url):
        async with aiohttp.ClientSession() as session:
            async with session.post(url, data=CLOSE) as response:
                chunks = [chunk async for chunk in response.content.iter_chunked(100)]
            async with session.post(url, data=CLOSE) as response:
                texts = await response.text(), await response.read(), await response.json()
            return b"".join(chunks), texts

    with OddServer(late) as server:
        streamed, (text, whole, parsed) = asyncio.run(read(server.url + ORDER))
    assert streamed == whole == text.encode() == json.dumps(body).encode()
    assert parsed == body
    assert seen.lines("outcome", "order_id") == [("accepted", 7)] * 2


def test_a_body_of_aiohttp_that_breaks_off_fails_where_the_bot_reads_it(seen):
    """The bot gets the response, and the error of its body without frames of ours."""

    async def read(url):
        async with aiohttp.ClientSession() as session, session.post(url, data=CLOSE) as response:
            with pytest.raises(aiohttp.ClientPayloadError) as error:
                await response.read()
            return response.status, {str(entry.path).split("/")[-1] for entry in error.traceback}

    with OddServer(cut_short) as server:
        status, files = asyncio.run(read(server.url + ORDER))
    assert status == 200
    assert "raw_http.py" not in files
    assert seen.lines("outcome") == [("unknown",)]


def test_a_cancelled_request_of_aiohttp_is_in_doubt_and_closed(seen):
    """Cancelled while the body is waited for, the connection is given back."""

    def head_only(connection, request):
        cut_short(connection, request)
        hang(connection, request)

    async def cancel(url):
        async with aiohttp.ClientSession() as session:
            task = asyncio.ensure_future(session._request("POST", url, data=CLOSE))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return len(session.connector._acquired)

    with OddServer(head_only) as server:
        assert asyncio.run(cancel(server.url + ORDER)) == 0
    assert seen.lines("outcome") == [("unknown",)]


def test_no_secret_is_left(exchange, tmp_path, caplog):
    """Key, secret and signature are in no file, log line or recorded text, in failures either."""
    with Seen(tmp_path / "raw.db") as seen:
        for send in SENDERS.values():
            send(exchange.url + ORDER, fields={**CLOSE, "newClientOrderId": KEY[:36]})
            send(exchange.url + ORDER, fields={**CLOSE, "newClientOrderId": KEY})
            with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError)):
                send("http://127.0.0.1:1" + ORDER)
        assert len(seen.lines()) == 12
    left = caplog.text + "".join(
        file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()
    )
    signatures = [request.params["signature"] for request in exchange.requests]
    assert len(signatures) == 8
    assert [secret for secret in (KEY, KEY[:36], SECRET, *signatures) if secret in left] == []


def methods():
    """The methods that may be patched, by identity: what stands for a function equals it."""
    kinds = (requests.Session, httpx.Client, httpx.AsyncClient, aiohttp.ClientSession)
    names = ("send", "_request", "request", "post", "put", "delete", "get")
    return {(kind, name): id(vars(kind)[name]) for kind in kinds for name in names if name in vars(kind)}


def test_uninstall_restores_every_class():
    """Afterwards each class has its very own functions, and without `raw` it never lost them."""
    before = methods()
    with exit_shim.install(raw=True):
        patched = {
            (kind.__name__, name) for kind, name in before if methods()[kind, name] != before[kind, name]
        }
    assert {"Session", "Client", "AsyncClient", "ClientSession"} == {kind for kind, _ in patched}
    assert {name for _, name in patched} == {"send", "_request", "request", "post", "put", "delete"}
    assert methods() == before
    with exit_shim.install(raw=False):
        assert methods() == before


@pytest.fixture
def mocker():
    """Return a mocking library's answer to an order."""
    mocking = requests_mock.Mocker()
    mocking.post("http://exchange.example/fapi/v1/order", json={"orderId": 7})
    return mocking


def post_to_mock():
    """Send an order that the mocking library answers."""
    response = requests.post("http://exchange.example" + ORDER, CLOSE, timeout=60)
    assert response.json() == {"orderId": 7}


def test_a_mocking_library_under_the_doors(tmp_path, mocker):
    """An order is one record, and the classes are whole afterwards."""
    before = methods()
    with mocker, Seen(tmp_path / "raw.db") as seen:
        post_to_mock()
        assert seen.lines("outcome", "order_id") == [("accepted", 7)]
    assert methods() == before


def test_a_mocking_library_over_the_doors(tmp_path, mocker):
    """It answers in their place, and the classes are whole afterwards."""
    before = methods()
    with Seen(tmp_path / "raw.db"), mocker:
        post_to_mock()
    assert methods() == before


def test_a_mocking_library_that_puts_a_door_back(tmp_path, mocker):
    """A door that comes back after the uninstall is the plain method, and the next install takes it over."""
    original = vars(requests.Session)["send"]
    with Seen(tmp_path / "first.db"):
        mocker.start()
    mocker.stop()
    try:
        with OddServer(answer(200, {"orderId": 7})) as server:
            by_requests(server.url + ORDER)
            assert not (tmp_path / "first.db").exists() or not list(read_records(str(tmp_path / "first.db")))
            with Seen(tmp_path / "second.db") as seen:
                by_requests(server.url + ORDER)
                assert seen.lines("outcome") == [("accepted",)]
        assert vars(requests.Session)["send"] is original
    finally:
        requests.Session.send = original


def test_what_is_imported_later_is_covered(tmp_path):
    """The environment asks for it, and exit_shim.auto installs when the transport is imported."""
    bot = """
import exit_shim.auto, sys
assert "requests" not in sys.modules
import requests
fields = {"symbol": "BTCUSDT", "side": "SELL", "closePosition": "true"}
requests.Session().post(sys.argv[1], fields, timeout=60)
"""
    with OddServer(answer(200, {"orderId": 7})) as server:
        environment = {"EXIT_SHIM_RAW": "1", "EXIT_SHIM_JOURNAL": str(tmp_path / "raw.db")}
        command = [sys.executable, "-c", bot, server.url + ORDER]
        subprocess.run(command, env=environment, check=True)
    assert [record.flat()["order_id"] for record in read_records(str(tmp_path / "raw.db"))] == [7]


@pytest.mark.parametrize(("options", "records"), [(["--raw"], 1), ([], 0)])
def test_a_bot_that_is_run_is_covered_if_asked_for(tmp_path, options, records):
    """`exit-shim run --raw` records the requests of an unmodified bot; without the option they pass."""
    bot = tmp_path / "bot.py"
    bot.write_text(
        "import httpx, sys\n"
        "print(httpx.post(sys.argv[1], data={'symbol': 'BTCUSDT', 'closePosition': 'true'}))\n"
    )
    with OddServer(answer(200, {"orderId": 7})) as server:
        command = [sys.executable, "-m", "exit_shim", "run", *options, str(bot), server.url + ORDER]
        environment = {"EXIT_SHIM_JOURNAL": str(tmp_path / "raw.db")}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "<Response [200 X]>" in done.stdout
    assert len(list(read_records(str(tmp_path / "raw.db")))) == records


def test_installs_that_differ_in_raw_are_two():
    """The same request twice is one install; with and without raw requests are two, and both end."""
    before = methods()
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    with exit_shim.install(shim=shim):
        with exit_shim.install(shim=shim, raw=True), exit_shim.install(shim=shim, raw=True):
            assert methods() != before
        assert methods() == before


def test_other_requests_take_the_transports_own_path(exchange, seen):
    """A request on no order path is not recorded, and costs a handful of calls of ours."""
    calls = []

    def count(frame, event, _):
        if event == "call" and "/exit_shim/clients/" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_name)

    with requests.Session() as session:
        session.get(exchange.url + "/fapi/v1/ping", timeout=60)
        sys.setprofile(count)
        try:
            session.get(exchange.url + "/fapi/v1/ping", timeout=60)
        finally:
            sys.setprofile(None)
    assert seen.lines() == []
    assert len(calls) <= 10, calls


def with_aiohttp(url, **options):
    """Send by aiohttp with these options; the status."""

    async def send():
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, **{"headers": HEADERS, **options}) as response,
        ):
            return response.status

    return asyncio.run(send())


@pytest.fixture
def in_position(exchange):
    """Return the address of the order path, with something to close."""
    by_requests(exchange.url + ORDER, fields=ENTRY)
    return exchange.url + ORDER


@pytest.mark.parametrize(
    "make", [lambda: iter(HEADERS.items()), lambda: ((name, value) for name, value in HEADERS.items())]
)
def test_headers_that_can_be_read_once_reach_the_exchange(in_position, seen, make):
    """What aiohttp alone may read is left to it; the account is not known then."""
    assert with_aiohttp(f"{in_position}?{signed(CLOSE)}", headers=make()) == 200
    assert seen.lines("outcome", "account") == [("accepted", None)]


def test_a_method_that_a_bot_has_bound_to_options_sends(in_position, tmp_path, monkeypatch):
    """`functools.partialmethod` over aiohttp's method stands beneath the door."""
    bound = functools.partialmethod(aiohttp.ClientSession._request, allow_redirects=False)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", bound)
    with Seen(tmp_path / "raw.db") as seen:
        assert with_aiohttp(f"{in_position}?{signed(CLOSE)}") == 200
        assert seen.lines("kind", "outcome") == [("close", "accepted")]


BODIES = {
    "requests file": lambda url, body: requests.post(url, data=io.BytesIO(body), headers=FORM, timeout=60),
    "httpx file": lambda url, body: httpx.post(url, content=io.BytesIO(body), headers=FORM),
    "aiohttp file": lambda url, body: with_aiohttp(url, data=io.BytesIO(body), headers=FORM),
    "aiohttp view": lambda url, body: with_aiohttp(url, data=memoryview(body), headers=FORM),
    "aiohttp payload": lambda url, body: with_aiohttp(url, data=aiohttp.BytesPayload(body), headers=FORM),
}


@pytest.mark.parametrize("send", BODIES.values(), ids=BODIES)
def test_a_body_in_memory_is_read_and_stays(in_position, seen, send):
    """The exit in a file object, a view or a payload of memory is recorded, and reaches the exchange."""
    send(in_position, signed(CLOSE).encode())
    assert seen.lines("kind", "quantity", "outcome") == [("close", "0.001", "accepted")]


def test_a_field_in_query_and_body_is_the_querys(in_position, seen):
    """Binance takes the query's; so does the record."""
    body = {"quantity": "0.002", "symbol": "ETHUSDT"}
    answer = requests.post(f"{in_position}?{signed(CLOSE)}", data=body, headers=HEADERS, timeout=60)
    assert answer.json()["origQty"] == "0.001"
    assert seen.lines("symbol", "quantity", "outcome") == [("BTCUSDT", "0.001", "accepted")]


def test_a_simulated_answer_of_httpx_has_a_duration():
    """What stands for an answer has `elapsed`, as an answer has."""
    call = SimpleNamespace(args=(httpx.Request("POST", "http://127.0.0.1"),))
    assert make_httpx_result({"orderId": 1}, call).elapsed == timedelta(0)


def test_a_cancel_that_urllib3_repeats_is_in_doubt(exchange, in_position, seen):
    """In the error of `raise_for_status` as in the answer, the second attempt proves nothing of the first."""
    limit = {**CLOSE, "type": "LIMIT", "price": "90000", "timeInForce": "GTC", "quantity": "0.010"}
    order_id = requests.post(f"{in_position}?{signed(limit)}", headers=HEADERS, timeout=60).json()["orderId"]
    exchange.faults.inject(faults.reset_after_execution(), method="DELETE")
    cancel = signed({"symbol": "BTCUSDT", "orderId": order_id})
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=Retry(3)))
        session.hooks["response"].append(lambda response, **_: response.raise_for_status())
        with pytest.raises(requests.HTTPError) as failed:
            session.delete(f"{in_position}?{cancel}", headers=HEADERS)
        failed.value.response.close()  # its body was not read yet
    assert seen.lines("operation", "outcome", "error_code")[1:] == [("cancel", "unknown", None)]


def test_an_sdk_without_doors_is_raw_http(in_position, seen):
    """Binance's other SDKs send through the same package, and are recorded as raw requests."""
    common = pytest.importorskip("binance_common.utils")
    configuration = importlib.import_module("binance_common.configuration").ConfigurationRestAPI(
        api_key=KEY, api_secret=SECRET, base_path=in_position.removesuffix(ORDER)
    )
    with requests.Session() as session:
        common.send_request(session, configuration, "POST", ORDER, CLOSE, is_signed=True, signer=None)
    assert seen.lines("kind", "outcome") == [("close", "accepted")]
