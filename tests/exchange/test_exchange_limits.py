"""Request weight, order counts and bans, and what an API key may do."""

import hashlib
import hmac
import json

import pytest

from exit_shim.exchange.http.auth import ApiKey
from exit_shim.exchange.http.request import RawRequest
from exit_shim.testing import LocalExchange

START = 1_790_000_040_000
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.010"}


class Side:
    """An exchange without a socket whose clock stands where a test puts it."""

    def __init__(self, **options):
        self.now = START
        self.exchange = LocalExchange(clock=lambda: self.now, **options)

    def ask(self, method, path, *, key="local-key", secret="local-secret", address="127.0.0.1", **params):
        query = "&".join(f"{name}={value}" for name, value in {**params, "timestamp": self.now}.items())
        signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        headers = {"x-mbx-apikey": key}
        request = RawRequest(method, f"/fapi/{path}", f"{query}&signature={signature}", "", headers, address)
        return self.exchange.answer(request)

    def order(self, method="POST", **more):
        return self.ask(method, "v1/order", **{**ORDER, "price": "50000", **more})


@pytest.fixture
def side():
    return Side()


def test_weight_over_the_limit_is_refused_until_the_minute_ends(side):
    """2400 a minute pass; then -1003 with HTTP 429, text and headers, and the next minute is free again."""
    for _ in range(80):
        assert side.ask("GET", "v1/positionSide/dual").status == 200
    refused = side.ask("GET", "v1/ping")
    assert (refused.status, refused.code) == (429, -1003)
    assert json.loads(refused.body)["msg"] == (
        "Too many requests; current limit is 2400 requests per minute. "
        "Please use the websocket for live updates to avoid polling the API."
    )
    assert refused.headers["X-MBX-USED-WEIGHT-1M"] == "2401"
    side.now += int(refused.headers["Retry-After"]) * 1000
    assert side.ask("GET", "v1/ping").status == 200


def test_who_goes_on_is_banned_and_longer_the_next_time(side):
    """After 20 ignored 429s HTTP 418 names the end of the ban: two minutes, then four."""
    for minutes in (2, 4):
        for _ in range(81):
            side.ask("GET", "v1/positionSide/dual")
        statuses = [side.ask("GET", "v1/ping").status for _ in range(19)]
        assert set(statuses) == {429}
        until = side.now + minutes * 60_000
        banned = side.ask("GET", "v1/ping")
        assert (banned.status, banned.code) == (418, -1003)
        assert json.loads(banned.body)["msg"] == (
            f"Way too many requests; IP(127.0.0.1) banned until {until}. "
            "Please use the websocket for live updates to avoid bans."
        )
        side.now = until - 1
        assert side.order().status == 418
        side.now = until + 60_000
        assert side.ask("GET", "v1/ping").status == 200
        side.now += 60_000


def test_orders_over_the_limit_of_ten_seconds_are_refused(side):
    """The 301st order within ten seconds is -1015 with HTTP 429; conditional ones count as well."""
    headers = [side.order().headers for _ in range(299)][-1]
    assert (headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1M"]) == ("299", "299")
    stop = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "59000", "quantity": "0.010"}
    assert side.ask("POST", "v1/algoOrder", symbol="BTCUSDT", side="SELL", **stop).status == 200
    refused = side.order()
    assert (refused.status, refused.code) == (429, -1015)
    text = "Too many new orders; current limit is 300 orders per TEN_SECONDS."
    assert json.loads(refused.body)["msg"] == text
    assert side.order("DELETE", origClientOrderId="x").code == -2011
    side.now += 10_000
    assert side.order().status == 200


def test_orders_over_the_limit_of_a_minute_are_refused(side):
    """1200 a minute, spread over its tens of seconds."""
    for _ in range(4):
        assert [side.order().status for _ in range(300)][-1] == 200
        side.now += 10_000
    refused = side.order()
    assert (refused.status, json.loads(refused.body)["msg"]) == (
        429, "Too many new orders; current limit is 1200 orders per MINUTE.",
    )  # fmt: skip


def test_a_batch_weighs_five_on_ten_seconds(side):
    """Sixty batches are the limit of ten seconds, and one each of the minute's."""
    for _ in range(60):
        answer = side.ask("POST", "v1/batchOrders", batchOrders="[{}]")
        assert answer.status == 200
    assert (answer.headers["X-MBX-ORDER-COUNT-10S"], answer.headers["X-MBX-ORDER-COUNT-1M"]) == ("300", "60")
    assert side.order().code == -1015


def test_limits_can_be_switched_off():
    """Everything is still counted and reported, and nothing refused."""
    side = Side(rate_limits=False)
    assert [side.order().status for _ in range(310)][-1] == 200
    assert side.order().headers["X-MBX-ORDER-COUNT-10S"] == "311"


def test_only_the_newest_requests_are_remembered():
    """The log is bounded."""
    side = Side(remembered_requests=3)
    for number in range(5):
        side.order(quantity=f"0.01{number}")
    assert [record.params["quantity"] for record in side.exchange.requests] == ["0.012", "0.013", "0.014"]


KEYS = {
    "reader": ApiKey(secret="s", can_trade=False),
    "trader": ApiKey(secret="s", can_read=False),
    "homebody": ApiKey(secret="s", addresses=frozenset({"10.0.0.1"})),
}
REJECTED = "Invalid API-key, IP, or permissions for action."


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        ("reader", "GET", "v3/balance", 200),
        ("reader", "POST", "v1/order", 401),
        ("reader", "DELETE", "v1/order", 401),
        ("reader", "POST", "v1/listenKey", 200),
        ("trader", "GET", "v3/balance", 401),
        ("trader", "POST", "v1/order", 200),
    ],
)
def test_a_key_does_what_it_may(key, method, path, status):
    """Reading and trading are permissions of their own; without one it is -2015 with HTTP 401."""
    side = Side(credentials=KEYS)
    answer = side.ask(method, path, key=key, secret="s", **ORDER, price="50000")
    assert answer.status == status
    if status == 401:
        assert json.loads(answer.body) == {"code": -2015, "msg": REJECTED}
        assert side.exchange.requests[0].executed is False


def test_a_key_bound_to_an_address_works_from_there_only():
    """From elsewhere it is -2015, and the text names the address."""
    side = Side()
    side.exchange.register("homebody", KEYS["homebody"])
    refused = side.ask("GET", "v3/balance", key="homebody", secret="s", address="10.0.0.2")
    assert json.loads(refused.body)["msg"] == REJECTED[:-1] + ", request ip: 10.0.0.2"
    assert side.ask("GET", "v3/balance", key="homebody", secret="s", address="10.0.0.1").status == 200


@pytest.mark.parametrize(("limit", "weight"), [("", 10), ("5", 2), ("100", 5), ("1000", 20), ("x", 10)])
def test_depth_weighs_by_its_limit(side, limit, weight):
    """What is asked for decides the weight of depth and klines."""
    assert side.ask("GET", "v1/depth", symbol="BTCUSDT", limit=limit).headers["X-MBX-USED-WEIGHT-1M"] == str(
        weight
    )
