"""The rules before the Algo Service: stops are orders on /order, for bots on an old client."""

from decimal import Decimal

import pytest

from exit_shim.exchange.engine.exchange_rules import find_rules
from exit_shim.exchange.http.request import RawRequest
from exit_shim.testing import Exchange, LocalExchange

STOP = {"type": "STOP_MARKET", "stopPrice": "59000"}


@pytest.fixture
def old(make_api):
    """An account under the rules of 2025-12-08, long 0.010 BTC at 60000."""
    api = make_api(rules="2025-12-08")
    api.order("BUY", "0.010")
    return api


def stop(api, quantity=None, **more):
    return api.order("SELL", quantity, **{**STOP, **more})


def test_a_stop_is_an_order(old):
    """It has an orderId, its own type, and is in openOrders and allOrders."""
    placed = stop(old, quantity="0.010", reduceOnly="true", newClientOrderId="mine")
    assert (placed["type"], placed["origType"], placed["stopPrice"]) == (
        "STOP_MARKET", "STOP_MARKET", "59000.00",
    )  # fmt: skip
    assert (placed["status"], placed["clientOrderId"]) == ("NEW", "mine")
    (resting,) = old.get("openOrders")
    assert resting["orderId"] == placed["orderId"]
    assert old.get("allOrders", symbol="BTCUSDT")[-1]["orderId"] == placed["orderId"]
    assert old.get("openOrder", symbol="BTCUSDT", origClientOrderId="mine") == resting


def test_a_stop_stays_the_same_order_when_it_triggers(old):
    """Same orderId and client id; type MARKET, origType STOP_MARKET, and one row in allOrders."""
    placed = stop(old, closePosition="true")
    assert (placed["closePosition"], placed["origQty"]) == (True, "0.000")
    old.engine.set_mark("BTCUSDT", "59000")
    found = old.get("order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (found["status"], found["type"], found["origType"]) == ("FILLED", "MARKET", "STOP_MARKET")
    assert (found["stopPrice"], found["avgPrice"]) == ("59000.00", "59000.00000")
    rows = old.get("allOrders", symbol="BTCUSDT")
    assert [row["orderId"] for row in rows].count(placed["orderId"]) == 1
    assert old.engine.position("BTCUSDT").amount == 0


def test_answers_still_have_an_average_price(old):
    """AvgPrice and cumQuote are in the answer to placing and cancelling until 2026-06-30."""
    placed = old.order("SELL", "0.010")
    assert (placed["avgPrice"], placed["cumQuote"]) == ("60000.00000", "600.00000")
    resting = old.limit("BUY", "0.010", "59000")
    assert old.delete("order", symbol="BTCUSDT", orderId=resting["orderId"])["avgPrice"] == "0.00000"


def test_a_stop_is_cancelled_like_an_order(old, refused):
    """DELETE order answers with it, a second time is -2011, and allOpenOrders takes the others."""
    first = stop(old, quantity="0.010")
    answer = old.delete("order", symbol="BTCUSDT", orderId=first["orderId"])
    assert (answer["status"], answer["type"]) == ("CANCELED", "STOP_MARKET")
    with refused(-2011):
        old.delete("order", symbol="BTCUSDT", orderId=first["orderId"])
    with refused(-2011):
        old.delete("order", symbol="ETHUSDT", orderId=stop(old, quantity="0.010")["orderId"])
    old.delete("allOpenOrders", symbol="BTCUSDT")
    assert old.get("openOrders") == []
    with refused(-2013):
        old.get("openOrder", symbol="BTCUSDT", orderId=first["orderId"])


def test_a_trailing_stop_takes_its_old_name(old):
    """ActivationPrice is read, and the answer has activatePrice and priceRate."""
    trail = {"type": "TRAILING_STOP_MARKET", "stopPrice": None}
    placed = stop(old, "0.010", **trail, callbackRate="1", activationPrice="62000")
    assert (placed["activatePrice"], placed["priceRate"]) == ("62000.00", "1.0")
    old.engine.walk("BTCUSDT", ["62000", "61380"])
    assert old.engine.position("BTCUSDT").amount == 0


def test_the_new_names_are_not_known(old, refused):
    """TriggerPrice means nothing on /order; the missing parameter is stopprice."""
    text = "Mandatory parameter 'stopprice' was not sent, was empty/null, or malformed."
    with refused(-1102, text):
        stop(old, stopPrice=None, triggerPrice="59000", quantity="0.010")


def test_closing_while_flat_had_another_code(make_api, refused):
    """-4129, unless an opposite order is open."""
    api = make_api(rules="2025-12-08")
    text = (
        "Time in Force (TIF) GTE can only be used with open positions or open orders. "
        "Please ensure that open orders or positions are available."
    )
    with refused(-4129, text):
        stop(api, closePosition="true")
    api.limit("BUY", "0.010", "59500")
    assert stop(api, closePosition="true")["status"] == "NEW"


def test_ten_stops_a_symbol(old, refused):
    """The eleventh is -4045, on each symbol for itself; exchangeInfo names the limit."""
    for _ in range(10):
        stop(old, quantity="0.010")
    with refused(-4045):
        stop(old, quantity="0.010")
    stop(old, symbol="ETHUSDT", stopPrice="2900", quantity="0.010")
    filters = old.get("exchangeInfo")["symbols"][0]["filters"]
    assert {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10} in filters


def test_client_ids_are_shared(old, refused):
    """A stop and an order may not be open under the same id."""
    stop(old, quantity="0.010", newClientOrderId="mine")
    with refused(-4116):
        old.limit("BUY", "0.010", "59000", newClientOrderId="mine")
    old.limit("BUY", "0.010", "59000", newClientOrderId="yours")
    with refused(-4116):
        stop(old, quantity="0.010", newClientOrderId="yours")


def test_stops_may_be_in_a_batch(old):
    """The element is an order, not -4120."""
    order = '{"symbol":"BTCUSDT","side":"SELL","type":"STOP_MARKET","stopPrice":"59000","quantity":"0.010"}'
    (answer,) = old.post("batchOrders", batchOrders=f"[{order}]")
    assert answer["status"] == "NEW"


def test_there_is_no_algo_service_yet():
    """Its paths are -5000."""
    exchange = LocalExchange(rules="2025-12-08")
    answer = exchange.answer(RawRequest("GET", "/fapi/v1/openAlgoOrders", "", "", {}))
    assert (answer.status, answer.code) == (404, -5000)


@pytest.mark.parametrize(
    ("day", "algo_service", "average", "callback"),
    [
        ("2025-12-08", False, True, 10),
        ("2025-12-09", True, True, 10),
        ("2026-06-30", True, False, 10),
        ("2026-10-23", True, False, 20),
        (None, True, False, 20),
    ],
)
def test_each_day_has_its_rules(day, algo_service, average, callback):
    """The dates are those of the change log."""
    rules = find_rules(day)
    assert (rules.algo_service, rules.average_price_in_answers, rules.highest_callback) == (
        algo_service, average, Decimal(callback),
    )  # fmt: skip


def test_a_day_must_be_one():
    """Anything else is a ValueError."""
    with pytest.raises(ValueError, match="last week"):
        Exchange(rules="last week")
