"""Raw bytes over a socket: an answer of the exchange's form or a closed connection, and nothing else."""

import http.client
import json
import logging
import re
import socket

import pytest
from effort import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exit_shim.testing import LocalExchange

METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"PATCH", b"get", b"\xff"]
PATHS = [
    b"/fapi/v1/order", b"/fapi/v1/algoOrder", b"/fapi/v1/batchOrders", b"/fapi/v3/balance",
    b"/fapi/v1/depth?limit=\xd9\xa3", b"/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=99999", b"*",
    b"/fapi/v1/ticker/24hr?symbol=BTCUSDT", b"/private/ws", b"/ws-fapi/v1", b"/stream?streams=a@b", b"//",
    b"/fapi/v1/order?symbol=%00%ff&timestamp=9999999999999999999", b"http://127.0.0.1/fapi/v1/ping", b"",
    b"/fapi/v1/klines?symbol=BTCUSDT&interval=1M&startTime=999999999999999999&endTime=999999999999999999",
    b"/fapi/v1/allOrders?startTime=999999999999999999",
]  # fmt: skip
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"HTP/1.1", b"", b"HTTP/1.1 x"]
HEADERS = [
    b"Host: x", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"X-MBX-APIKEY: local-key",
    b"X-MBX-APIKEY: \xff\xfe", b"Content-Encoding: gzip", b"Content-Encoding: br", b"Expect: 100-continue",
    b"Connection: close", b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Type: text/html; charset=nonsense", b"no colon", b": no name", b"X: " + b"y" * 9000,
    b"\x00: \x00", b"Expect: the unexpected", b"Host: y", b"Content-Type: application/json",
]  # fmt: skip
BODIES = [
    b"", b"a=b&" * 3, b"\xff\xfe\x00", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"\x1f\x8b\x08\x00garbage",
    b"batchOrders=%5B%7B%7D%5D", b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"{" * 3000,
]  # fmt: skip
#: With these a request reaches the exchange itself.
GOOD_HEADERS = [HEADERS[1], HEADERS[4], HEADERS[6], *HEADERS[8:11], HEADERS[13], HEADERS[16]]
REQUESTS = st.builds(
    lambda method, path, version, headers, body: b"\r\n".join(
        [b" ".join([method, path, version]), *headers, b"", body]
    ),
    st.sampled_from(METHODS),
    st.sampled_from(PATHS),
    st.sampled_from([b"HTTP/1.1"] * 6 + VERSIONS),
    st.lists(st.sampled_from(GOOD_HEADERS), max_size=3, unique=True).map(lambda rest: [b"Host: x", *rest])
    | st.lists(st.sampled_from(HEADERS), max_size=5),
    st.sampled_from(BODIES) | st.binary(max_size=40),
)
SENT = REQUESTS | st.binary(max_size=120) | st.lists(REQUESTS, min_size=2, max_size=3).map(b"".join)


@pytest.fixture(scope="module")
def target():
    with LocalExchange(rate_limits=False) as running:
        yield running


def talk(exchange, sent):
    """Send bytes, end the sending side, and return everything that comes back.

    Up to Python 3.11 the server may hang up at that end, so nothing coming back proves nothing.
    """
    with socket.create_connection(("127.0.0.1", exchange.port), timeout=60) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return b""
        found = b""
        try:
            while more := connection.recv(65536):
                found += more
        except ConnectionError:
            pass
        return found


def is_alive(exchange):
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=60)
    connection.request("GET", "/fapi/v1/ping")
    answer = connection.getresponse().read()
    connection.close()
    return answer == b"{}"


def remembered(exchange):
    return {**json.loads(exchange.engine.dump()), "now": 0}


def check(exchange, sent):
    before = remembered(exchange)
    answer = talk(exchange, sent)
    assert b"Traceback" not in answer
    assert exchange.internal_errors == []
    assert remembered(exchange) == before
    for status, body in answers(answer):
        assert status < 500, answer
        if status >= 400 and body and not body.startswith(b"HTTP/"):  # HEAD has a length and no body
            assert set(json.loads(body)) >= {"code", "msg"}, answer
    return answer


def answers(data):
    """Status and body of each answer that has a length of its own."""
    heads = re.finditer(rb"HTTP/\d\.\d (\d{3})[^\r]*\r\n(.*?)\r\n\r\n", data, re.DOTALL)
    for head in heads:
        length = re.search(rb"(?i)content-length: (\d+)", head[2])
        is_json = re.search(rb"(?i)content-type: application/json", head[2])
        body = data[head.end() : head.end() + int(length[1])] if length else b""
        assert is_json or int(head[1]) < 200, data
        yield int(head[1]), body if is_json else b""


@settings(
    max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sent=SENT)
@example(sent=b"POST /fapi/v1/order HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello")
@example(sent=b"GET /fapi/v1/klines?symbol=BTCUSDT&interval=1M&startTime=999999999999999999 HTTP/1.0\r\n\r\n")
@example(sent=b"CONNECT /fapi/v1/order HTTP/1.0\r\n\r\n")
@example(sent=b"POST /fapi/v1/order HTTP/1.0\r\nContent-Length: 5\r\n\r\nhel")
@example(sent=b"HEAD /fapi/v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
def test_any_bytes(target, caplog, sent):
    """Whatever arrives, no traceback leaves, nothing changes, nothing is logged as an error."""
    with caplog.at_level(logging.ERROR):
        check(target, sent)
    assert caplog.records == []
    assert is_alive(target)


def test_a_client_that_waits_for_100_is_told_to_go_on():
    """With `Expect: 100-continue` the body is asked for, and then read."""
    body = b"symbol=BTCUSDT&price=61000"
    head = b"POST /exchange/price HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with LocalExchange() as exchange, socket.create_connection(("127.0.0.1", exchange.port), 5) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert exchange.engine.quote("BTCUSDT").mark == 61_000
