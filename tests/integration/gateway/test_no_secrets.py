"""No secrets: what is planted in keys, headers, options and error texts is found nowhere afterwards."""

import asyncio
import contextlib
import json
import logging
import subprocess
import sys

import pytest
import structlog
from odd_server import OddServer, answer, async_client_on, hang, reset, sync_client

import exit_shim
from exit_shim.clients.python_binance import PYTHON_BINANCE
from exit_shim.domain.events import Outcome
from exit_shim.journal import read_records
from exit_shim.runtime.scrubbing import MAX_READ, scrub, secrets_of, text_of

KEY = "PlAnTeD+Key/4711=="
SECRET = "pLaNtEd&Secret%2F0815"
HEADER = "planted-HEADER-value-42"
PROXY_PASSWORD = "planted-Proxy-Pa55"
PLANTED = (KEY, SECRET, HEADER, PROXY_PASSWORD)

CLOSE = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 1, "reduceOnly": True}
ORDER = {**CLOSE, "headers": {"X-Session": HEADER, "Authorization": f"Bearer {HEADER}"}}
ECHO = (
    f"X-MBX-APIKEY: {KEY} apiKey={KEY} secret {SECRET} key {KEY!r} session {HEADER} "
    f"http://user:{PROXY_PASSWORD}@proxy/ &signature=0123456789abcdefsignature"
)

BEHAVIOURS = {
    "accepted": answer(200, {"orderId": 1}),
    "refused": answer(400, {"code": -2015, "msg": ECHO}),
    "in doubt": answer(503, {"msg": "Unknown error, please check. " + ECHO}),
    "page": answer(502, f"<html>{ECHO}</html>", "text/html"),
    "odd status 200": answer(200, f"<html>{ECHO}</html>", "application/json"),
    "reset": reset,
    "timeout": hang,
}


@pytest.fixture
def planted(monkeypatch):
    """The environment that a bot reads its key from holds it too."""
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    monkeypatch.setenv("BINANCE_API_SECRET", SECRET)


@pytest.fixture
def traces(tmp_path, caplog, capfd):
    """Everything that the shim has left: journal bytes, log records, streams, summary, CLI output."""
    caplog.set_level(logging.DEBUG, "exit_shim")

    def gather(*commands):
        shim = exit_shim.shim.default_shim()
        assert shim.journal.flush()
        found = {
            file.name: file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()
        }
        assert {"journal.db", "journal.db-wal", "journal.db-shm"} <= found.keys()
        found["log"] = "".join(
            f"{record.getMessage()}{vars(record)}" for record in caplog.records if record.name == "exit_shim"
        )
        found["streams"] = "".join(capfd.readouterr())
        found["summary"] = repr(shim.summary())
        found["objects"] = repr((shim, shim.gateway, shim.journal, exit_shim.get_exit_order_metrics()))
        found["records"] = "".join(
            json.dumps(record.flat()) + "\n" for record in read_records(shim.journal.path)
        )
        for command in commands:
            done = subprocess.run(
                [sys.executable, "-m", "exit_shim", *command.split()],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            found[command] = done.stdout + done.stderr
        return found

    return gather


def assert_clean(found):
    """None of what was planted is in any of it, whole or as a piece."""
    for place, text in found.items():
        for secret in (*PLANTED, "0123456789abcdefsignature"):
            pieces = (secret, secret[:10], secret[-10:], json.dumps(secret)[1:-1], secret.replace("/", "%2F"))
            assert [piece for piece in pieces if piece in text] == [], place


def test_nothing_planted_in_a_sync_client_is_left_anywhere(planted, traces):
    """Whatever the exchange answers, echoing all that it was sent, no trace holds a secret."""
    for behave in BEHAVIOURS.values():
        with OddServer(behave) as server, sync_client(server.url) as client:
            bare = exit_shim.unwrap(client)
            bare.API_KEY, bare.API_SECRET = KEY, SECRET
            bare.session.headers["X-MBX-APIKEY"] = KEY
            bare._requests_params = {"timeout": 1}
            with contextlib.suppress(Exception):
                client.futures_create_order(**ORDER)
            assert server.requests
            assert KEY in server.requests[0]
            assert HEADER in server.requests[0]
    found = traces("records --json", "records", "summary --json", "summary")
    assert found["records --json"].count("\n") == len(BEHAVIOURS)
    assert_clean(found)


async def test_nothing_planted_in_an_async_client_is_left_anywhere(planted, traces):
    """The same through AsyncClient, with a proxy's password besides."""
    for behave in BEHAVIOURS.values():
        with OddServer(behave) as server:
            async with async_client_on(server.url) as client:
                bare = exit_shim.unwrap(client)
                bare.API_KEY, bare.API_SECRET = KEY, SECRET
                bare.session.headers["X-MBX-APIKEY"] = KEY
                bare.https_proxy = server.url.replace("http://", f"http://user:{PROXY_PASSWORD}@")
                bare._requests_params = {"timeout": 1}
                await asyncio.gather(client.futures_create_order(**ORDER), return_exceptions=True)
            assert server.requests
    assert_clean(await asyncio.to_thread(traces, "records --json"))


def test_a_refused_proxy_does_not_tell_its_password(traces):
    """An error that quotes the proxy's address is recorded without the user and password in it."""

    class Fake:
        def futures_create_order(self, **params):
            raise ConnectionError(f"cannot connect to proxy http://user:{PROXY_PASSWORD}@10.0.0.1:3128")

    with pytest.raises(ConnectionError):
        exit_shim.wrap(Fake()).futures_create_order(**CLOSE)
    found = traces()
    assert "http://***@10.0.0.1:3128" in found["records"]
    assert_clean(found)


@pytest.mark.parametrize("configured", [False, True])
def test_an_internal_error_does_not_tell_secrets(traces, monkeypatch, capfd, configured):
    """A sink whose error quotes a password is logged without it."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    if configured:
        structlog.configure(processors=[structlog.processors.JSONRenderer()])

    class Sink:
        def on(self, recorded):
            raise OSError(f"postgresql://bot:{PROXY_PASSWORD}@db/x password={PROXY_PASSWORD} refused")

    shim = exit_shim.shim.default_shim()
    monkeypatch.setattr(shim.recorder, "_deferred", {Outcome: (Sink(),)})

    class Fake:
        def futures_create_order(self, **params):
            return {}

    exit_shim.wrap(Fake()).futures_create_order(**CLOSE)
    found = traces()
    assert "password=*** refused" in found["log"] + found["streams"]
    assert_clean(found)


def test_only_listed_fields_are_recorded(recorded):
    """A field that is not on the list of order fields is sent and not recorded, whatever it holds."""
    seen = []

    class Fake:
        def futures_create_order(self, **params):
            seen.append(params)
            return {"orderId": 1, "token": HEADER}

    exit_shim.wrap(Fake()).futures_create_order(**CLOSE, apiKey=KEY, note=SECRET, signature=HEADER)
    assert seen[0]["note"] == SECRET
    (record,) = recorded()
    assert_clean({"record": repr(record)})


def test_the_accounts_label_is_no_key(recorded):
    """The account is told by eight hex digits of a digest: the same for the same key, another for another."""

    class Fake:
        def __init__(self, key):
            self.API_KEY = key

        def futures_create_order(self, **params):
            return {}

    for key in (KEY, KEY, SECRET):
        exit_shim.wrap(Fake(key)).futures_create_order(**CLOSE)
    labels = [record.intent.account for record in recorded()]
    assert labels[0] == labels[1] != labels[2]
    assert all(label.startswith("key-") and len(label) == 12 for label in labels)


def test_our_own_exception_tells_no_more_than_its_reason():
    """ExitOrderDenied holds its message and codes, and no response or request with headers in it."""
    denied = PYTHON_BINANCE.denial("denied: another owns this exit", ("OWNERSHIP_CONFLICT module=m",), -2010)
    assert (denied.response, denied.request) == (None, None)
    assert "headers" not in str(vars(denied))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("url: /fapi?symbol=X&signature=abc1 (Caused by", "url: /fapi?symbol=X&signature=*** (Caused by"),
        ("{'X-MBX-APIKEY': 'abc123'}", "{'X-MBX-APIKEY': '***'}"),
        ("?back=%2Forder%3Fsignature%3Dabc1 X", "?back=%2Forder%3Fsignature%3D*** X"),
        ('body "{\\"signature\\": \\"abc1\\"}"', 'body "{\\"signature\\": \\"***"}"'),
        ('{"listenKey": "abc123", "a": 1}', '{"listenKey": "***", "a": 1}'),
        ("Authorization: Bearer abc123456", "Authorization: Bearer ***"),
        ("{'Set-Cookie': 'session=abc1; Path=/', 'A': '1'}", "{'Set-Cookie': '***', 'A': '1'}"),
        (
            "Invalid API-key, IP, or permissions for action.",
            "Invalid API-key, IP, or permissions for action.",
        ),
        ("Order would immediately trigger.", "Order would immediately trigger."),
        ("Signature for this request is not valid.", "Signature for this request is not valid."),
        ("redis://:hunter22@host/0", "redis://***@host/0"),
        ("x" * 400, "x" * 300),
    ],
)
def test_what_is_scrubbed_and_what_is_left(said, kept):
    """Credentials go by the names that they stand under; Binance's own texts stay as they are."""
    assert scrub(said) == kept


def test_scrubbing_is_quick_whatever_it_is_given():
    """A page of megabytes is looked at no further than its beginning, and no pattern runs wild."""
    for hostile in (
        "signature=" * 400_000,
        "signature" + " " * 4_000_000,
        "://" * 1_000_000,
        "basic " * 500_000,
    ):
        assert len(scrub(hostile)) <= 300


def test_the_secrets_of_a_call():
    """Found: the client's key and secret, and headers of the client and of the call; not plain ones."""

    class Client:
        def __init__(self):
            self.API_KEY, self.API_SECRET = "key\n", None
            self._requests_params = {"headers": {"X-A": "aaaa", "Accept": "application/json"}}

    params = {"headers": {"X-B": b"bbbb"}, "requests_params": {"headers": {"X-C": "cccc", "X-D": "1"}}}
    assert set(secrets_of(Client(), params)) == {"key\n", "key", "key\\n", "aaaa", "bbbb", "cccc"}
    assert secrets_of(object(), {"headers": "odd", "requests_params": 5}) == ()


def test_any_value_has_a_text():
    """The text of a value never raises, and UTF-8 can carry it."""

    class Hostile:
        def __str__(self):
            raise LookupError

    assert [text_of(value) for value in (1, "\ud800", Hostile())] == ["1", "\\ud800", "<Hostile>"]
    assert len(text_of("x" * 50_000)) == MAX_READ


@pytest.mark.parametrize(
    "swapped",
    [
        {"symbol": KEY},
        {"newClientOrderId": SECRET},
        {"newClientOrderId": f"{'x' * 50}{KEY}"},
        {"workingType": SECRET, "price": KEY},
    ],
)
def test_a_key_in_an_orders_field_is_not_kept(traces, swapped):
    """Where variables are swapped the exchange gets what the bot gave, and no trace of ours holds it."""

    def echo(connection, request):
        answer(200, {"orderId": 1, "clientOrderId": swapped.get("newClientOrderId", "x")})(
            connection, request
        )

    with OddServer(echo) as server, sync_client(server.url) as client:
        bare = exit_shim.unwrap(client)
        bare.API_KEY, bare.API_SECRET = KEY, SECRET
        with exit_shim.attributed("monitor", explanation=f"with {KEY}"):
            client.futures_create_order(**{**CLOSE, **swapped})
            client.futures_place_batch_order(batchOrders=[{**CLOSE, "reduceOnly": "true", **swapped}])
            client.futures_cancel_order(symbol=KEY, origClientOrderId=SECRET)
        assert len(server.requests) == 3
    found = traces("records --json", "records")
    assert found["records --json"].count("***") >= 3
    assert_clean(found)


def test_an_adapters_own_key_is_known(traces):
    """An adapter's credentials are those in its attributes, and those of the client that it holds."""

    class Inner:
        def __init__(self):
            self.secret = SECRET

    class Adapter:
        def __init__(self):
            self.key, self.http = KEY, Inner()

        def place(self, **fields):
            raise ConnectionError(f"no way to send {fields} with {self.key} and {self.http.secret}")

    adapter = exit_shim.wrap(Adapter(), doors=[exit_shim.Door("place")])
    for swapped in ({"symbol": KEY}, {"newClientOrderId": SECRET}):
        with pytest.raises(ConnectionError):
            adapter.place(**{**CLOSE, **swapped})
    assert_clean(traces())


def test_what_cannot_be_watched_is_told_without_its_repr():
    """An adapter's `repr` may show its key; the error of `watch` has its class's name."""

    class Adapter:
        def __repr__(self):
            return f"Adapter({KEY!r}, {SECRET!r})"

        def futures_position_information(self):
            return []

    with pytest.raises(ValueError, match="a Adapter, every=0") as refused:
        exit_shim.watch(Adapter(), every=0)
    assert_clean({"error": str(refused.value)})


class Headers(dict):
    """A mapping whose text shows all that is in it, as those of the HTTP libraries do."""


@pytest.mark.parametrize(
    "arguments",
    [
        (400, -2021, "Order would immediately trigger.", {"Set-Cookie": HEADER}),
        ("no", Headers({"X-Session": HEADER.encode()})),
        ("no", [{"request": {"headers": [("X-Session", HEADER)]}}]),
        ("no", (b"X-Session", HEADER.encode())),
        ("no", ValueError("inner", {"cookie": HEADER})),
    ],
)
def test_headers_in_the_arguments_of_an_exception_are_not_kept(traces, arguments):
    """Python's text of an exception shows all its arguments; values of their dicts are hidden, words stay."""

    class AdapterError(Exception):
        pass

    class Fake:
        def futures_create_order(self, **params):
            raise AdapterError(*arguments)

    with pytest.raises(AdapterError):
        exit_shim.wrap(Fake()).futures_create_order(**CLOSE)
    found = traces()
    assert str(next(one for one in arguments if isinstance(one, str))) in found["records"]
    assert_clean(found)
