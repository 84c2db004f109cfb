"""Control of a running exchange over its own HTTP interface."""

import http.client
import json
from urllib.parse import urlencode

import pytest

from exit_shim.testing import faults


def control(exchange, method, action, *, headers=None, body=None, **params):
    """Send a control request; return status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=60)
    connection.request(method, f"/exchange/{action}?{urlencode(params)}", body, headers or {})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def limit(client, price, **more):
    given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    return client.futures_create_order(**{**given, "price": price, **more})


def test_prices_are_set_together_or_one_by_one(exchange):
    """`price` sets all four but those that are sent beside it; without it the others stay."""
    _, all_of_them = control(exchange, "POST", "price", symbol="BTCUSDT", price=59_000, mark=59_010)
    assert (all_of_them["mark"], all_of_them["last"]) == ("59010", "59000.00")
    _, one = control(exchange, "POST", "price", symbol="BTCUSDT", last=58_000)
    assert one == {**all_of_them, "last": "58000"}


def test_what_a_price_reaches_trades(exchange, client):
    """A price that is set from outside fires stops as any other."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=59_000, closePosition=True
    )
    control(exchange, "POST", "price", symbol="BTCUSDT", price=59_000)
    assert exchange.positions() == []


def test_a_resting_order_is_filled_in_parts(exchange, client):
    """A fill takes a quantity at the order's own price, then the rest; prices stay."""
    order = limit(client, 50_000, newClientOrderId="mine")
    before = exchange.engine.quote("BTCUSDT")
    _, part = control(exchange, "POST", "fill", symbol="BTCUSDT", orderId=order["orderId"], quantity="0.004")
    assert (part["status"], part["executedQty"], part["avgPrice"]) == (
        "PARTIALLY_FILLED",
        "0.004",
        "50000.00000",
    )
    _, rest = control(exchange, "POST", "fill", symbol="BTCUSDT", origClientOrderId="mine")
    assert (rest["status"], rest["executedQty"]) == ("FILLED", "0.010")
    assert exchange.engine.quote("BTCUSDT") == before
    status, answer = control(exchange, "POST", "fill", symbol="BTCUSDT", origClientOrderId="mine")
    assert (status, answer["code"]) == (400, -2013)


def test_time_is_added(exchange, client):
    """`advance` lets time pass, and the client's requests are as good as ever."""
    before = exchange.engine.now()
    _, answer = control(exchange, "POST", "advance", milliseconds=3_600_000)
    assert answer["now"] >= before + 3_600_000
    assert client.futures_position_information() == []


def test_the_state_has_positions_and_both_kinds_of_orders(exchange, client):
    """Positions and orders come as the exchange's own endpoints have them, of one symbol or of all."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=59_000, closePosition=True
    )
    limit(client, 2_000, symbol="ETHUSDT")
    _, state = control(exchange, "GET", "state", symbol="BTCUSDT")
    assert state["positions"] == client.futures_position_information(symbol="BTCUSDT")
    assert state["algoOrders"] == client.futures_get_open_orders(symbol="BTCUSDT", conditional=True)
    assert state["orders"] == []
    _, everything = control(exchange, "GET", "state")
    assert everything["orders"] == client.futures_get_open_orders()
    assert everything["prices"].keys() == exchange.engine.state.symbols.keys()


def test_faults_limits_and_the_log_of_requests_leave_it_alone(exchange):
    """A fault that hits every request misses it, and no record of a client's request is made."""
    exchange.faults.inject(faults.reset_unread(), times=None)
    assert control(exchange, "GET", "state")[0] == 200
    assert exchange.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=["host", "suffix", "origin", "no-origin"],
)
def test_a_page_of_another_site_may_not_control_it(exchange, headers):
    """A foreign Host (DNS rebinding) or Origin (a form of a page) is refused, and nothing changes."""
    before = exchange.engine.quote("BTCUSDT")
    status, answer = control(exchange, "POST", "price", headers=headers, symbol="BTCUSDT", price=1)
    assert status == 403
    assert "only programs on this machine" in answer["msg"]
    assert exchange.engine.quote("BTCUSDT") == before


def test_a_body_does_as_well_as_a_query(exchange):
    """What `curl -d` sends is read."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = control(exchange, "POST", "price", headers=form, body="symbol=BTCUSDT&price=61000")
    assert (status, answer["last"]) == (200, "61000.00")


@pytest.mark.parametrize(
    ("method", "action", "params", "status", "said"),
    [
        ("POST", "price", {"symbol": "BTCUSDT"}, 400, "no price was sent"),
        ("POST", "price", {"symbol": "BTCUSDT", "price": 0}, 400, "is invalid; expected a number above zero"),
        ("POST", "price", {"symbol": "BTCUSDT", "price": "much"}, 400, "'price' was not sent"),
        ("POST", "price", {"symbol": "NONE", "price": 1}, 400, "Invalid symbol."),
        ("POST", "fill", {"symbol": "BTCUSDT", "orderId": 1}, 400, "Order does not exist."),
        ("POST", "advance", {"milliseconds": -1}, 400, "'milliseconds' was not sent"),
        ("GET", "price", {}, 404, "expected one of GET /exchange/state"),
        ("POST", "nothing", {}, 404, "unknown control request"),
    ],
)
def test_a_wrong_request_is_told_why(exchange, method, action, params, status, said):
    """Each mistake is answered with what was expected, and changes nothing."""
    before = exchange.engine.quote("BTCUSDT")
    answered, answer = control(exchange, method, action, **params)
    assert (answered, said in answer["msg"]) == (status, True), answer
    assert exchange.engine.quote("BTCUSDT") == before
