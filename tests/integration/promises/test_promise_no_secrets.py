"""No secrets: what is planted in keys, secrets and headers is in no trace, whatever the client library."""

import json
import logging
import os
import re

import pytest
from odd_server import OddServer, answer, hang, reset
from promise_worlds import RecordingServer

import exit_shim
from exit_shim.journal import read_records

KEY = "PlAnTeD+Key/4711=="
SECRET = "pLaNtEd&Secret%2F0815"
COOKIE = "planted-COOKIE-value-42"
SIGNATURE = re.compile(r"signature=([0-9a-f]{64})")
ECHO = (  # the exchange never gets the secret
    f"X-MBX-APIKEY: {KEY} apiKey={KEY} key {KEY!r} Cookie: {COOKIE}; &signature=0123456789abcdefsignature"
)

BEHAVIOURS = {
    "accepted": answer(200, {"orderId": 1, "symbol": "BTCUSDT", "status": "NEW"}),
    "refused": answer(400, {"code": -2015, "msg": ECHO}),
    "in doubt": answer(503, {"msg": "Unknown error, please check. " + ECHO}),
    "too many": answer(429, {"code": -1003, "msg": ECHO}),
    "page": answer(502, f"<html>{ECHO}</html>", "text/html"),
    "odd status 200": answer(200, f"<html>{ECHO}</html>", "application/json"),
    "reset": reset,
    "timeout": hang,
}


def with_cookie(behave):
    """The behaviour, with a header that is a credential."""

    def answer_with_cookie(connection, request):
        class Headed:
            def sendall(self, data):
                head, _, rest = data.partition(b"\r\n")
                connection.sendall(head + f"\r\nSet-Cookie: session={COOKIE}\r\n".encode() + rest)

            def __getattr__(self, name):
                return getattr(connection, name)

        behave(Headed(), request)

    return answer_with_cookie


@pytest.fixture
def outputs(caplog, capfd):
    """What captures log records and streams."""
    caplog.set_level(logging.DEBUG, "exit_shim")
    return caplog, capfd


def test_nothing_planted_is_left_anywhere(name, way, new_driver, exchange, tmp_path, outputs):
    """Whatever the exchange answers, echoing all that it was sent, no trace of the shim holds a secret."""
    signatures = set()
    exchange.register(KEY, SECRET)
    with RecordingServer(exchange) as real, OddServer(real.behave) as server:
        driver = new_driver(exchange.url if name == "ccxt_pro" else server.url, KEY, SECRET, timeout=1)
        driver.cover(way, exit_shim)
        for each in BEHAVIOURS.values() if name != "ccxt_pro" else ():
            server.behave = with_cookie(each)
            reply = driver.attempt("market_close")
            if isinstance(reply.error, exit_shim.ExitOrderDenied):
                raise reply.error
        server.behave = real.behave
        driver.attempt("place_stop", 90_000)
        driver.attempt("cancel_all", "conditional")
        signatures |= {found for request in server.requests for found in SIGNATURE.findall(request)}
    assert signatures or name == "ccxt_pro"
    places = traces(tmp_path, *outputs)
    planted = {KEY, SECRET, COOKIE, "0123456789abcdefsignature", *signatures}
    for place, text in places.items():
        for secret in planted:
            pieces = {secret, secret[:12], secret[-12:], json.dumps(secret)[1:-1], secret.replace("/", "%2F")}
            assert [piece for piece in pieces if piece in text] == [], place


def traces(folder, caplog, capfd):
    """Return everything that the shim has left: files, log records, streams, records, what objects show."""
    shim = exit_shim.shim.default_shim()
    assert shim.journal.flush()
    found = {file.name: file.read_bytes().decode("latin-1") for file in folder.rglob("*") if file.is_file()}
    records = list(read_records(os.environ["EXIT_SHIM_JOURNAL"]))
    assert records
    found["records"] = "".join(json.dumps(record.flat()) + "\n" for record in records)
    found["log"] = "".join(
        f"{row.getMessage()}{vars(row)}" for row in caplog.records if row.name == "exit_shim"
    )
    found["streams"] = "".join(capfd.readouterr())
    found["objects"] = repr((shim, shim.gateway, shim.journal, shim.summary()))
    return found
