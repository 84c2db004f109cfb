"""What the exchange forgets, and when."""

import pytest

DAY = 24 * 60 * 60 * 1000


def ids(api):
    return [row["orderId"] for row in api.get("allOrders", symbol="BTCUSDT", orderId=1)]


def test_orders_without_a_fill_are_gone_after_three_days(api, refused):
    """A cancelled order is found for three days after it was made; a filled one stays."""
    cancelled = api.limit("BUY", "0.010", "59000")
    api.delete("order", symbol="BTCUSDT", orderId=cancelled["orderId"])
    filled = api.order("BUY", "0.010")
    api.clock.advance(3 * DAY)
    assert len(api.get("allOrders", symbol="BTCUSDT", orderId=1)) == 2
    api.clock.advance(1)
    with refused(-2013):
        api.get("order", symbol="BTCUSDT", orderId=cancelled["orderId"])
    assert [row["orderId"] for row in api.get("allOrders", symbol="BTCUSDT", orderId=1)] == [
        filled["orderId"]
    ]


def test_a_client_id_used_again_is_the_later_order(api):
    """When the first order of an id is forgotten, the second is still found by it."""
    api.limit("BUY", "0.010", "59000", newClientOrderId="mine")
    api.delete("allOpenOrders", symbol="BTCUSDT")
    api.clock.advance(2 * DAY)
    second = api.limit("BUY", "0.010", "59000", newClientOrderId="mine")
    api.clock.advance(2 * DAY)
    assert ids(api) == [second["orderId"]]
    assert api.get("order", symbol="BTCUSDT", origClientOrderId="mine")["orderId"] == second["orderId"]


def test_everything_closed_is_gone_after_ninety_days(api, refused):
    """Fills and their trades too; what is open stays."""
    api.order("BUY", "0.010", newClientOrderId="mine")
    resting = api.limit("BUY", "0.010", "59000")
    api.clock.advance(90 * DAY + 1)
    with refused(-2013):
        api.get("order", symbol="BTCUSDT", origClientOrderId="mine")
    assert api.get("userTrades", symbol="BTCUSDT", fromId=1) == []
    assert [row["orderId"] for row in api.get("allOrders", symbol="BTCUSDT", orderId=1)] == [
        resting["orderId"]
    ]


def test_an_order_without_a_date_lives_a_year(api):
    """GTC means one year."""
    placed = api.limit("BUY", "0.010", "59000")
    api.clock.advance(364 * DAY)
    assert api.get("openOrder", symbol="BTCUSDT", orderId=placed["orderId"])["status"] == "NEW"
    api.clock.advance(DAY)
    assert api.get("openOrders") == []


def test_conditional_orders_age_alike(api, refused):
    """A cancelled one is gone after three days, a finished one after ninety; one that waits stays."""
    order = {"triggerPrice": "59000", "quantity": "0.010"}
    cancelled = api.algo("SELL", **order)
    api.delete("algoOrder", algoId=cancelled["algoId"])
    finished = api.algo("SELL", **order)
    api.engine.set_mark("BTCUSDT", "59000")
    waiting = api.algo("SELL", triggerPrice="50000", quantity="0.010")
    api.clock.advance(3 * DAY + 1)
    rows = api.get("allAlgoOrders", symbol="BTCUSDT", algoId=1)
    assert [row["algoId"] for row in rows] == [finished["algoId"], waiting["algoId"]]
    api.clock.advance(87 * DAY)
    with refused(-2013):
        api.get("algoOrder", algoId=finished["algoId"])
    assert api.algo_status(waiting) == "NEW"


@pytest.mark.parametrize("kept", [0, 3])
def test_only_so_many_closed_ones_are_kept(make_api, kept):
    """Beyond the cap the first to age go first, and their client ids with them."""
    api = make_api(kept=kept)
    resting = api.limit("BUY", "0.010", "59000")
    for number in range(10):
        api.order("BUY", "0.010", newClientOrderId=f"n{number}")
    found = [row["clientOrderId"] for row in api.get("allOrders", symbol="BTCUSDT", orderId=1)]
    assert found == [resting["clientOrderId"], *[f"n{number}" for number in range(10 - kept, 10)]]
    assert len(api.get("userTrades", symbol="BTCUSDT", fromId=1)) == kept


def test_a_finished_algo_outlives_its_child(make_api):
    """When the child is forgotten first, the conditional order is still shown, without it."""
    api = make_api(kept=1)
    api.algo("SELL", triggerPrice="59000", quantity="0.010")
    api.engine.set_mark("BTCUSDT", "59000")
    api.order("BUY", "0.010")
    (row,) = api.get("allAlgoOrders", symbol="BTCUSDT", algoId=1)
    assert (row["algoStatus"], row["actualOrderId"]) == ("FINISHED", "")
