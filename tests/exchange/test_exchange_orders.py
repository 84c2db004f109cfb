"""Orders of the matching engine."""

from decimal import Decimal

import pytest


def test_a_market_order_is_acknowledged_as_new_although_it_has_filled(api):
    """The default answer (ACK) to a MARKET order says NEW and nothing executed; a query tells the fill."""
    answer = api.order("BUY", "0.010", newOrderRespType=None)
    assert (answer["status"], answer["executedQty"]) == ("NEW", "0.000")
    found = api.get("order", symbol="BTCUSDT", orderId=answer["orderId"])
    assert (found["status"], found["avgPrice"], found["cumQuote"]) == ("FILLED", "60000.00000", "600.00000")


def test_a_market_order_asked_for_its_result_answers_filled_without_a_price(api):
    """RESULT shows the fill, but neither avgPrice nor cumQuote since 2026-06-30."""
    answer = api.order("BUY", "0.010")
    assert (answer["status"], answer["executedQty"], answer["timeInForce"]) == ("FILLED", "0.010", "GTC")
    assert not {"avgPrice", "cumQuote", "time"} & set(answer)


def test_a_limit_order_rests_until_the_price_comes(api):
    """A LIMIT away from the book rests, and fills at its own price as maker when the book arrives."""
    placed = api.limit("BUY", "0.010", "59000")
    assert [order["orderId"] for order in api.get("openOrders")] == [placed["orderId"]]
    api.engine.set_mark("BTCUSDT", "58900")
    assert api.get("openOrders") == []
    (fill,) = api.get("userTrades", symbol="BTCUSDT")
    assert (fill["price"], fill["maker"], fill["commission"]) == ("59000.00", True, "0.11800000")


def test_a_crossing_limit_order_takes_the_book_price(api):
    """A BUY above the ask fills at the ask as taker."""
    api.engine.set_prices("BTCUSDT", bid="59990", ask="60010")
    assert api.limit("BUY", "0.010", "60500")["status"] == "FILLED"
    (fill,) = api.get("userTrades", symbol="BTCUSDT")
    assert (fill["price"], fill["maker"]) == ("60010.00", False)


def test_resting_orders_fill_best_price_first_then_oldest(api):
    """When the book jumps over several orders, price decides the sequence and then age."""
    for price, name in (("59000", "low"), ("59500", "high"), ("59500", "high-later")):
        api.limit("BUY", "0.010", price, newClientOrderId=name)
    api.engine.set_mark("BTCUSDT", "58000")
    names = {order["orderId"]: order["clientOrderId"] for order in api.get("allOrders", symbol="BTCUSDT")}
    filled = [names[fill["orderId"]] for fill in api.get("userTrades", symbol="BTCUSDT")]
    assert filled == ["high", "high-later", "low"]


def test_immediate_or_cancel_expires_when_it_cannot_trade(api):
    """An IOC away from the book is recorded as EXPIRED."""
    assert api.limit("BUY", "0.010", "59000", timeInForce="IOC")["status"] == "EXPIRED"
    assert api.get("openOrders") == []


@pytest.mark.parametrize(
    ("time_in_force", "price", "code"), [("FOK", "59000", -5021), ("GTX", "61000", -5022)]
)
def test_fill_or_kill_and_post_only_are_refused_and_not_recorded(api, refused, time_in_force, price, code):
    """A FOK that cannot fill and a GTX that would take leave no order behind."""
    with refused(code):
        api.limit("BUY", "0.010", price, timeInForce=time_in_force)
    assert api.get("allOrders", symbol="BTCUSDT") == []


def test_good_till_date_expires_at_its_second(api):
    """A GTD order expires when its date has come, cut to the second."""
    due = api.clock.now + 700_500
    placed = api.limit("BUY", "0.010", "59000", timeInForce="GTD", goodTillDate=due)
    assert placed["goodTillDate"] == due // 1000 * 1000
    api.clock.advance(700_000)
    assert api.get("order", symbol="BTCUSDT", orderId=placed["orderId"])["status"] == "EXPIRED"


def test_an_expired_order_does_not_trade_when_the_price_comes_later(api):
    """Time comes first: a price that moves after the date finds no order."""
    api.limit("BUY", "0.010", "59000", timeInForce="GTD", goodTillDate=api.clock.now + 700_000)
    api.clock.advance(700_000)
    api.engine.set_mark("BTCUSDT", "58000")
    assert api.engine.position("BTCUSDT").amount == 0


def test_cancelling_answers_with_the_order_and_twice_is_unknown(api, refused):
    """DELETE gives the cancelled order; a second one is -2011, a query still finds it."""
    placed = api.limit("BUY", "0.010", "59000", newClientOrderId="mine")
    cancelled = api.delete("order", symbol="BTCUSDT", origClientOrderId="mine")
    assert (cancelled["orderId"], cancelled["status"]) == (placed["orderId"], "CANCELED")
    with refused(-2011, "Unknown order sent."):
        api.delete("order", symbol="BTCUSDT", origClientOrderId="mine")
    assert api.get("order", symbol="BTCUSDT", orderId=placed["orderId"])["status"] == "CANCELED"
    with refused(-2013, "Order does not exist."):
        api.get("openOrder", symbol="BTCUSDT", orderId=placed["orderId"])


def test_orders_belong_to_their_symbol(api, refused):
    """An order asked for under another symbol does not exist."""
    placed = api.limit("BUY", "0.010", "59000")
    with refused(-2013):
        api.get("order", symbol="ETHUSDT", orderId=placed["orderId"])
    with refused(-2011):
        api.delete("order", symbol="ETHUSDT", orderId=placed["orderId"])


def test_a_client_id_is_taken_only_while_its_order_is_open(api, refused):
    """The same id again is -4116 while the first rests, and fine after."""
    api.limit("BUY", "0.010", "59000", newClientOrderId="mine")
    with refused(-4116, "ClientOrderId is duplicated."):
        api.limit("BUY", "0.010", "58000", newClientOrderId="mine")
    api.delete("allOpenOrders", symbol="BTCUSDT")
    again = api.limit("BUY", "0.010", "58000", newClientOrderId="mine")
    assert api.get("order", symbol="BTCUSDT", origClientOrderId="mine")["orderId"] == again["orderId"]


def test_amending_moves_a_resting_order(api, refused):
    """PUT changes price and quantity and answers with the pair and the modifyId."""
    placed = api.limit("BUY", "0.010", "59000")
    change = {"symbol": "BTCUSDT", "side": "BUY", "orderId": placed["orderId"]}
    answer = api.put("order", **change, quantity="0.020", price="58000", modifyId=7)
    assert (answer["price"], answer["origQty"], answer["pair"], answer["modifyId"]) == (
        "58000.00", "0.020", "BTCUSDT", 7,
    )  # fmt: skip
    with refused(-5027, "No need to modify the order."):
        api.put("order", **change, quantity="0.020", price="58000")
    with refused(-5047, "The original order is not a reduce-only order"):
        api.put("order", **change, quantity="0.030", price="58000", reduceOnly="true")


def test_amending_across_the_book_trades(api):
    """An order amended to a price that crosses fills there and then."""
    placed = api.limit("BUY", "0.010", "59000")
    api.put("order", symbol="BTCUSDT", side="BUY", orderId=placed["orderId"], quantity="0.010", price="60000")
    assert api.engine.position("BTCUSDT").amount == Decimal("0.010")


def test_amending_a_post_only_order_across_the_book_cancels_it(api):
    """A GTX order that would take after the change is cancelled."""
    placed = api.limit("BUY", "0.010", "59000", timeInForce="GTX")
    change = {"symbol": "BTCUSDT", "side": "BUY", "orderId": placed["orderId"], "quantity": "0.010"}
    assert api.put("order", **change, price="60000")["status"] == "CANCELED"


def test_reduce_only_is_capped_to_the_position(api):
    """A reduceOnly order larger than the position closes it and goes no further."""
    api.order("BUY", "0.010")
    answer = api.order("SELL", "0.500", reduceOnly="true")
    assert (answer["status"], answer["executedQty"]) == ("FILLED", "0.010")
    assert api.engine.position("BTCUSDT").amount == 0


@pytest.mark.parametrize("held", [None, "SELL"])
def test_reduce_only_without_a_position_to_reduce_is_rejected(api, refused, held):
    """Flat, or with a position on the order's own side, reduceOnly is -2022."""
    if held:
        api.order(held, "0.010")
    with refused(-2022, "ReduceOnly Order is rejected."):
        api.order("SELL", "0.010", reduceOnly="true")


def test_resting_reduce_only_orders_expire_with_the_position(api):
    """A resting reduceOnly order does not outlive the position it was to reduce."""
    api.order("BUY", "0.010")
    resting = api.limit("SELL", "0.010", "61000", reduceOnly="true")
    api.order("SELL", "0.010")
    assert api.get("order", symbol="BTCUSDT", orderId=resting["orderId"])["status"] == "EXPIRED"


def test_an_order_through_zero_turns_the_position(api):
    """Selling three when long one leaves a short of two at the selling price."""
    api.order("BUY", "0.010")
    api.engine.set_mark("BTCUSDT", "61000")
    api.order("SELL", "0.030")
    position = api.engine.position("BTCUSDT")
    assert (position.amount, position.entry) == (Decimal("-0.020"), 61000)


def test_price_match_takes_its_price_from_the_book(api):
    """QUEUE rests at the own side of the book, OPPONENT takes the other."""
    api.engine.set_prices("BTCUSDT", bid="59990", ask="60010")
    assert api.limit("BUY", "0.010", None, priceMatch="QUEUE")["price"] == "59990.00"
    assert api.limit("BUY", "0.010", None, priceMatch="OPPONENT")["status"] == "FILLED"


def test_the_test_endpoint_judges_and_forgets(api, refused):
    """order/test refuses what order refuses and places nothing."""
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    assert api.post("order/test", **order, quantity="0.010")["status"] == "NEW"
    with refused(-2019):
        api.post("order/test", **order, quantity="100")
    assert api.get("allOrders", symbol="BTCUSDT") == []
    assert api.engine.position("BTCUSDT").amount == 0


def test_a_countdown_cancels_unless_it_is_renewed(api):
    """CountdownCancelAll cancels the symbol's orders when it runs out, and 0 stops it."""
    api.limit("BUY", "0.010", "59000")
    assert api.post("countdownCancelAll", symbol="BTCUSDT", countdownTime=1000) == {
        "symbol": "BTCUSDT", "countdownTime": "1000",
    }  # fmt: skip
    api.post("countdownCancelAll", symbol="BTCUSDT", countdownTime=0)
    api.clock.advance(2000)
    assert len(api.get("openOrders")) == 1
    api.post("countdownCancelAll", symbol="BTCUSDT", countdownTime=1000)
    api.clock.advance(1000)
    assert api.get("openOrders") == []


def test_all_orders_gives_the_newest_and_user_trades_the_oldest(api):
    """With a limit, allOrders keeps the last rows and userTrades the first."""
    ids = [api.order("BUY", "0.010")["orderId"] for _ in range(3)]
    assert [row["orderId"] for row in api.get("allOrders", symbol="BTCUSDT", limit=2)] == ids[1:]
    assert [row["orderId"] for row in api.get("userTrades", symbol="BTCUSDT", limit=2)] == ids[:2]
    assert [row["orderId"] for row in api.get("allOrders", symbol="BTCUSDT", orderId=ids[1])] == ids[1:]


def test_the_cap_of_open_orders_is_per_symbol(api, refused):
    """The 201st resting order of a symbol is -2025; another symbol still has room."""
    for _ in range(200):
        api.limit("BUY", "0.002", "52000")
    with refused(-2025, "Reach max open order limit."):
        api.limit("BUY", "0.002", "52000")
    assert api.limit("BUY", "0.010", "2700", symbol="ETHUSDT")["status"] == "NEW"
