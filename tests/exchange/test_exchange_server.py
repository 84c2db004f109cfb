"""The local exchange as a server: life, keys, records, threads, and whatever bytes arrive."""

import hashlib
import hmac
import http.client
import json
import socket
import threading
import time

import pytest
from binance import Client
from binance.exceptions import BinanceAPIException

from exit_shim.testing import Exchange, LocalExchange, StaticMarket, WalkingMarket


def send(exchange, method, path, body=None, key="local-key"):
    """Send one request and return its status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port)
    headers = {"X-MBX-APIKEY": key} if key else {}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def signed(query, secret="local-secret"):
    return f"{query}&signature={hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"


def now():
    return int(time.time() * 1000)


def test_it_can_be_started_again_after_a_stop():
    """Stopping frees it; starting again gives a fresh port on the same engine."""
    exchange = LocalExchange()
    assert exchange.start() is exchange
    with pytest.raises(RuntimeError, match="already runs"):
        exchange.start()
    exchange.stop()
    exchange.stop()
    with pytest.raises(RuntimeError, match="does not run"):
        _ = exchange.url
    with exchange:
        assert send(exchange, "GET", "/fapi/v1/ping") == (200, {})


def test_a_taken_port_is_an_error_where_it_was_started():
    """start() raises OSError in the calling thread when the port is taken."""
    with LocalExchange() as first:
        second = LocalExchange(port=first.port)
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            second.start()


def test_it_listens_on_loopback_only(exchange):
    """The URL is 127.0.0.1 and the port it was given by the system."""
    assert exchange.url == f"http://127.0.0.1:{exchange.port}"


@pytest.mark.parametrize(("key", "code"), [("", -2014), ("unknown", -2015)])
def test_a_key_is_needed_where_the_account_is(exchange, key, code):
    """No key is -2014, an unregistered one -2015, both HTTP 401; market data needs none."""
    status, answer = send(exchange, "GET", signed(f"/fapi/v3/balance?timestamp={now()}"), key=key)
    assert (status, answer["code"]) == (401, code)
    assert send(exchange, "GET", "/fapi/v1/time", key=key)[0] == 200


def test_a_registered_key_is_the_same_account(exchange):
    """A key pair registered later sees and moves the one account."""
    exchange.register("second", "its-secret")
    query = signed(f"timestamp={now()}", "its-secret")
    status, rows = send(exchange, "GET", f"/fapi/v3/balance?{query}", key="second")
    assert (status, rows[0]["balance"]) == (200, "10000.00000000")


def test_a_wrong_signature_is_refused(exchange):
    """The HMAC must be that of the parameters under the key's own secret."""
    wrong = signed(f"timestamp={now()}", "another-secret")
    status, answer = send(exchange, "GET", f"/fapi/v3/balance?{wrong}")
    assert (status, answer) == (400, {"code": -1022, "msg": "Signature for this request is not valid."})


def test_the_signature_covers_query_and_body_together(exchange):
    """Parameters may be split between both; what is signed is one after the other, without an ampersand."""
    query, body = "symbol=BTCUSDT&side=BUY", f"type=MARKET&quantity=0.01&timestamp={now()}"
    signature = hmac.new(b"local-secret", (query + body).encode(), hashlib.sha256).hexdigest()
    status, answer = send(exchange, "POST", f"/fapi/v1/order?{query}", f"{body}&signature={signature}")
    assert (status, answer["side"]) == (200, "BUY")


def test_the_query_wins_over_the_body(exchange):
    """A parameter that is in both counts as it is in the query."""
    query, body = "side=BUY", f"side=SELL&symbol=BTCUSDT&type=MARKET&quantity=0.01&timestamp={now()}"
    signature = hmac.new(b"local-secret", (query + body).encode(), hashlib.sha256).hexdigest()
    answer = send(exchange, "POST", f"/fapi/v1/order?{query}", f"{body}&signature={signature}")[1]
    assert answer["side"] == "BUY"


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (-5500, "Timestamp for this request is outside of the recvWindow."),
        (5000, "Timestamp for this request was 1000ms ahead of the server's time."),
    ],
)
def test_a_timestamp_must_be_near(exchange, shift, message):
    """Older than recvWindow (5000 by default) or a second ahead is -1021."""
    query = signed(f"timestamp={now() + shift}")
    assert send(exchange, "GET", f"/fapi/v3/balance?{query}") == (400, {"code": -1021, "msg": message})


def test_a_longer_window_accepts_an_older_timestamp(exchange):
    """RecvWindow may go up to 60000 milliseconds."""
    assert (
        send(exchange, "GET", "/fapi/v3/balance?" + signed(f"recvWindow=9000&timestamp={now() - 6000}"))[0]
        == 200
    )
    wrong = signed(f"recvWindow=60001&timestamp={now()}")
    assert send(exchange, "GET", f"/fapi/v3/balance?{wrong}")[1]["code"] == -1130


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/fapi/v1/algoOrders"), ("PATCH", "/fapi/v1/order"), ("PUT", "/fapi/v1/algoOrder")],
)
def test_what_there_is_not_is_named(exchange, method, path):
    """A wrong path or method is -5000 and names both; there is no PUT algoOrder."""
    status, answer = send(exchange, method, path)
    assert (status, answer) == (404, {"code": -5000, "msg": f"Path {path}, Method {method} is invalid"})


def test_every_request_is_on_record(exchange, client):
    """Refused ones too, in order, with their decoded parameters and what they were answered."""
    client.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01, newClientOrderId="a:b"
    )
    with pytest.raises(BinanceAPIException):
        client.futures_cancel_order(symbol="BTCUSDT", orderId=1)
    client.futures_create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    found = [
        (record.method, record.path, record.http_status, record.error_code) for record in exchange.requests
    ]
    assert found == [
        ("GET", "/api/v3/ping", 200, None),
        ("POST", "/fapi/v1/order", 200, None),
        ("DELETE", "/fapi/v1/order", 400, -2011),
        ("POST", "/fapi/v1/order/test", 200, None),
    ]
    assert [record.method for record in exchange.order_requests] == ["POST", "DELETE"]
    record = exchange.order_requests[0]
    assert record.params["newClientOrderId"] == "a:b"
    with pytest.raises(TypeError):
        record.params["symbol"] = "ETHUSDT"
    with pytest.raises(AttributeError):
        record.path = "/"


def test_a_test_can_act_between_two_requests(exchange):
    """While a thread holds the lock no request is served."""
    answers = []
    asking = threading.Thread(target=lambda: answers.append(send(exchange, "GET", "/fapi/v1/ping")))
    with exchange.lock:
        asking.start()
        exchange.set_mark("BTCUSDT", 50_000)
        assert answers == []
    asking.join()
    assert answers == [(200, {})]


def test_many_threads_share_one_account(exchange):
    """Orders of several clients at once all arrive, and the position is their sum."""

    def trade():
        client = type("C", (Client,), {"API_URL": f"{exchange.url}/api"})(
            "local-key", "local-secret", ping=False
        )
        client.FUTURES_URL = f"{exchange.url}/fapi"
        for _ in range(10):
            client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.002")
        client.close_connection()
        client.loop.close()

    threads = [threading.Thread(target=trade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exchange.positions()[0]["positionAmt"] == "0.080"
    assert len(exchange.order_requests) == 40


def test_a_walking_market_walks_the_same_way_for_the_same_seed():
    """The path depends on the seed and the questions, not on when or about what else was asked."""

    def path(seed, *, also_eth):
        exchange = Exchange(market=WalkingMarket(seed=seed))
        found = []
        for _ in range(50):
            found.append(exchange.ask_price("BTCUSDT").last)
            if also_eth:
                exchange.ask_price("ETHUSDT")
        return found

    assert path(1, also_eth=False) == path(1, also_eth=True)
    assert path(1, also_eth=False) != path(2, also_eth=False)
    assert len(set(path(1, also_eth=False))) > 40


def test_a_step_of_the_market_fires_what_it_reaches():
    """A stop fires in a walking market when somebody asks for the price, and only then."""
    exchange = Exchange(market=WalkingMarket(seed=3, prices={"BTCUSDT": 60_000}))
    quote = exchange.quote("BTCUSDT")
    assert exchange.quote("BTCUSDT") == quote
    assert all(
        exchange.ask_price("BTCUSDT").last % exchange.state.symbols["BTCUSDT"].tick == 0 for _ in range(20)
    )


@pytest.mark.parametrize("price", [0, -1, "NaN", "Infinity"])
def test_a_price_must_be_one(exchange, price):
    """Setting a mark price that is none is a ValueError, and nothing moves."""
    with pytest.raises(ValueError, match="expected a number above zero"):
        exchange.set_mark("BTCUSDT", price)
    assert exchange.engine.quote("BTCUSDT").mark == 60_000


RAW = {
    "no HTTP": b"\x00\xff\x13garbage\r\n\r\n",
    "a bad request line": b"GET\r\n\r\n",
    "a path that is no UTF-8": b"GET /fapi/v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a broken percent sign": b"GET /fapi/v1/order?symbol=%zz%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a body that is no UTF-8": (
        b"POST /fapi/v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00="
    ),
    "a length that is no number": b"POST /fapi/v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    "a key that is no ASCII": (
        b"GET /fapi/v3/balance HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: \xc3\xa9\r\n\r\n"
    ),
    "a method of its own": b"BREW /fapi/v1/order HTTP/1.1\r\nHost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("sent", RAW.values(), ids=RAW)
def test_odd_bytes_get_an_answer_and_hurt_nobody(exchange, sent):
    """Whatever arrives, there is a 4xx without a traceback, and the next request is served."""
    with socket.create_connection(("127.0.0.1", exchange.port), timeout=60) as connection:
        connection.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer and (more := connection.recv(65536)):
            answer += more
    assert answer.startswith(b"HTTP/1."), answer
    assert answer.split()[1].startswith(b"4")
    assert b"Traceback" not in answer
    assert send(exchange, "GET", "/fapi/v1/ping") == (200, {})


class BrokenMarket(StaticMarket):
    """A market with a bug."""

    def asked(self, symbol, price):
        raise ZeroDivisionError


def test_a_bug_of_the_exchange_is_an_answer_and_an_internal_error(caplog):
    """An unexpected error is -1000 with HTTP 500, is kept in `internal_errors`, and the server goes on."""
    with LocalExchange(market=BrokenMarket()) as exchange:
        status, answer = send(exchange, "GET", "/fapi/v1/premiumIndex?symbol=BTCUSDT")
        assert (status, answer["code"]) == (500, -1000)
        assert [type(error) for error in exchange.internal_errors] == [ZeroDivisionError]
        assert send(exchange, "GET", "/fapi/v1/ping") == (200, {})
    assert "premiumIndex" in caplog.text
