"""Conditional orders of the Algo Service."""

from decimal import Decimal

import pytest

from exit_shim.exchange.engine.events import OrderEvent
from exit_shim.exchange.engine.views.stream import user_event

CLOSE_STOP = {"triggerPrice": "59000", "closePosition": "true"}


@pytest.fixture
def long_api(api):
    """An account that is long 0.010 BTC at 60000."""
    api.order("BUY", "0.010")
    return api


def only(rows):
    (row,) = rows
    return row


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "quiet", "reached"),
    [
        ("STOP_MARKET", "SELL", "59000", "59000.1", "59000"),
        ("STOP_MARKET", "BUY", "61000", "60999.9", "61000"),
        ("TAKE_PROFIT_MARKET", "SELL", "61000", "60999.9", "61000"),
        ("TAKE_PROFIT_MARKET", "BUY", "59000", "59000.1", "59000"),
    ],
)
def test_a_trigger_fires_at_its_price_and_not_before(api, kind, side, trigger, quiet, reached):
    """Stops fire when the price runs away, take-profits when it comes, both at the very trigger price."""
    placed = api.algo(side, kind, triggerPrice=trigger, quantity="0.010")
    api.engine.set_mark("BTCUSDT", quiet)
    assert api.algo_status(placed) == "NEW"
    api.engine.set_mark("BTCUSDT", reached)
    assert api.algo_status(placed) == "FINISHED"
    assert api.engine.position("BTCUSDT").amount == Decimal("0.010" if side == "BUY" else "-0.010")


def test_the_working_type_says_which_price_is_watched(api):
    """MARK_PRICE watches the mark price, CONTRACT_PRICE the last trade."""
    by_mark = api.algo("SELL", triggerPrice="59000", quantity="0.010", workingType="MARK_PRICE")
    by_last = api.algo("SELL", triggerPrice="59000", quantity="0.010")
    api.engine.set_prices("BTCUSDT", mark="58000")
    assert (api.algo_status(by_mark), api.algo_status(by_last)) == ("FINISHED", "NEW")
    api.engine.set_prices("BTCUSDT", last="58000")
    assert api.algo_status(by_last) == "FINISHED"


def test_a_protected_order_waits_while_mark_and_last_disagree(api):
    """With priceProtect nothing fires while mark and last are further apart than triggerProtect."""
    placed = api.algo("SELL", triggerPrice="51000", quantity="0.010", priceProtect="true")
    api.engine.set_prices("BTCUSDT", last="50000")
    assert api.algo_status(placed) == "NEW"
    api.engine.set_prices("BTCUSDT", mark="51000")
    assert api.algo_status(placed) == "FINISHED"


def test_what_fires_becomes_an_ordinary_order_under_the_same_client_id(long_api):
    """The child has a new orderId, the clientAlgoId as clientOrderId, and MARKET as type and origType."""
    placed = long_api.algo("SELL", **CLOSE_STOP, clientAlgoId="my-stop")
    assert [row["clientOrderId"] for row in long_api.get("allOrders")] != ["my-stop"]
    long_api.engine.set_mark("BTCUSDT", "58000")
    child = long_api.get("order", symbol="BTCUSDT", origClientOrderId="my-stop")
    assert (child["type"], child["origType"], child["status"]) == ("MARKET", "MARKET", "FILLED")
    assert Decimal(child["stopPrice"]) == 0
    row = only(long_api.get("allAlgoOrders", symbol="BTCUSDT"))
    assert (row["actualOrderId"], row["actualQty"], row["actualType"]) == (
        str(child["orderId"]),
        "0.01",
        "MARKET",
    )
    assert row["triggerTime"] == long_api.clock.now
    assert placed["algoId"] == row["algoId"]


def test_before_its_trigger_it_is_in_no_ordinary_list(long_api, refused):
    """A waiting conditional order is absent from order, openOrders, allOrders and DELETE order."""
    placed = long_api.algo("SELL", **CLOSE_STOP)
    assert long_api.get("openOrders") == []
    assert len(long_api.get("allOrders", symbol="BTCUSDT")) == 1
    with refused(-2013):
        long_api.get("order", symbol="BTCUSDT", orderId=placed["algoId"])
    with refused(-2011):
        long_api.delete("order", symbol="BTCUSDT", orderId=placed["algoId"])
    long_api.delete("allOpenOrders", symbol="BTCUSDT")
    assert len(long_api.get("openAlgoOrders")) == 1


def test_a_stop_limit_is_triggered_while_its_child_rests_and_finished_after(long_api):
    """TRIGGERED lasts as long as the LIMIT child is open; FINISHED covers its cancellation as well."""
    placed = long_api.algo("SELL", "STOP", triggerPrice="59000", price="59500", quantity="0.010")
    long_api.engine.set_mark("BTCUSDT", "58900")
    assert long_api.algo_status(placed) == "TRIGGERED"
    child = only(long_api.get("openOrders"))
    assert (child["type"], child["price"]) == ("LIMIT", "59500.00")
    assert long_api.get("openAlgoOrders") == []
    long_api.delete("order", symbol="BTCUSDT", orderId=child["orderId"])
    row = only(long_api.get("allAlgoOrders", symbol="BTCUSDT"))
    assert (row["algoStatus"], row["actualQty"]) == ("FINISHED", "0")


def test_close_position_takes_the_whole_position_there_is_then(long_api):
    """The quantity is what the position has when the stop fires, not what it had at placement."""
    long_api.algo("SELL", **CLOSE_STOP)
    long_api.order("BUY", "0.020")
    long_api.engine.set_mark("BTCUSDT", "59000")
    assert long_api.engine.position("BTCUSDT").amount == 0
    assert long_api.get("userTrades", symbol="BTCUSDT")[-1]["qty"] == "0.030"


def test_close_position_orders_expire_when_the_position_closes(long_api):
    """Stop and take-profit with closePosition end as EXPIRED once the position is gone."""
    stop = long_api.algo("SELL", **CLOSE_STOP)
    profit = long_api.algo("SELL", "TAKE_PROFIT_MARKET", triggerPrice="62000", closePosition="true")
    plain = long_api.algo("SELL", triggerPrice="59000", quantity="0.010", reduceOnly="true")
    long_api.order("SELL", "0.010", reduceOnly="true")
    assert [long_api.algo_status(placed) for placed in (stop, profit, plain)] == ["EXPIRED", "EXPIRED", "NEW"]


def test_one_of_two_that_fire_together_closes_and_the_other_expires(long_api):
    """Two closing orders reached by one price do not turn the position."""
    close = long_api.algo("SELL", **CLOSE_STOP)
    reduce = long_api.algo("SELL", triggerPrice="59000", quantity="0.010", reduceOnly="true")
    long_api.engine.set_mark("BTCUSDT", "58000")
    assert (long_api.algo_status(close), long_api.algo_status(reduce)) == ("FINISHED", "REJECTED")
    assert long_api.engine.position("BTCUSDT").amount == 0


def test_a_second_close_position_order_of_a_kind_is_refused(long_api, refused):
    """One stop and one take-profit per direction; the next of either kind is -4130 until it is cancelled."""
    first = long_api.algo("SELL", **CLOSE_STOP)
    text = "An open stop or take profit order with GTE and closePosition in the direction is existing."
    with refused(-4130, text):
        long_api.algo("SELL", triggerPrice="58000", closePosition="true")
    long_api.algo("SELL", "TAKE_PROFIT_MARKET", triggerPrice="62000", closePosition="true")
    long_api.delete("algoOrder", algoId=first["algoId"])
    long_api.algo("SELL", triggerPrice="58000", closePosition="true")


def test_close_position_needs_a_position(api, refused):
    """While flat, closePosition is -4509; a reduceOnly quantity is accepted."""
    text = (
        "Time in Force (TIF) GTE can only be used with open positions. "
        "Please ensure that positions are available."
    )
    with refused(-4509, text):
        api.algo("SELL", **CLOSE_STOP)
    assert api.algo("SELL", triggerPrice="59000", quantity="0.010", reduceOnly="true")["algoStatus"] == "NEW"


def test_margin_is_checked_only_at_the_trigger(api):
    """An order the account cannot carry is accepted, and REJECTED when it fires."""
    placed = api.algo("BUY", triggerPrice="61000", quantity="100")
    assert placed["algoStatus"] == "NEW"
    api.engine.set_mark("BTCUSDT", "61000")
    assert api.algo_status(placed) == "REJECTED"
    assert api.get("allOrders", symbol="BTCUSDT") == []


def test_a_reduce_only_stop_without_a_position_is_rejected_at_the_trigger(api):
    """Its reason is the one that ALGO_UPDATE carries."""
    placed = api.algo("SELL", triggerPrice="59000", quantity="0.010", reduceOnly="true")
    api.engine.set_mark("BTCUSDT", "59000")
    assert api.algo_status(placed) == "REJECTED"
    assert only(api.engine.all_algos("BTCUSDT")).reject_reason == "Reduce Only reject"


def test_a_trailing_stop_follows_the_price_and_fires_on_the_way_back(long_api):
    """Without an activation price it trails from placement: 1% under the highest price seen."""
    placed = long_api.algo("SELL", "TRAILING_STOP_MARKET", quantity="0.010", callbackRate="1")
    assert only(long_api.get("openAlgoOrders"))["isActivated"] is True
    for price in ("61000", "62000", "61381"):
        long_api.engine.set_mark("BTCUSDT", price)
    assert long_api.algo_status(placed) == "NEW"
    long_api.engine.set_mark("BTCUSDT", "61380")
    assert long_api.algo_status(placed) == "FINISHED"
    assert long_api.get("userTrades", symbol="BTCUSDT")[-1]["price"] == "61380.00"


def test_a_trailing_stop_sleeps_until_its_activation_price(long_api):
    """Before activation no fall fires it; after, the highest price since activation counts."""
    trail = {"quantity": "0.010", "callbackRate": "1", "activatePrice": "62000"}
    placed = long_api.algo("SELL", "TRAILING_STOP_MARKET", **trail)
    long_api.engine.set_mark("BTCUSDT", "50000")
    assert only(long_api.get("openAlgoOrders"))["isActivated"] is False
    long_api.engine.set_mark("BTCUSDT", "62000")
    assert only(long_api.get("openAlgoOrders"))["isActivated"] is True
    long_api.engine.set_mark("BTCUSDT", "61380")
    assert long_api.algo_status(placed) == "FINISHED"


def test_a_buying_trailing_stop_mirrors_a_selling_one(api):
    """It trails the lowest price and fires on the way up."""
    placed = api.algo("BUY", "TRAILING_STOP_MARKET", quantity="0.010", callbackRate="2")
    for price in ("50000", "50999"):
        api.engine.set_mark("BTCUSDT", price)
    assert api.algo_status(placed) == "NEW"
    api.engine.set_mark("BTCUSDT", "51000")
    assert api.algo_status(placed) == "FINISHED"


def test_the_old_name_of_the_activation_price_is_ignored(long_api):
    """ActivationPrice is not read: the trailing stop starts at once, at the last price."""
    trail = {"quantity": "0.010", "callbackRate": "1", "activationPrice": "65000"}
    placed = long_api.algo("SELL", "TRAILING_STOP_MARKET", **trail)
    assert placed["activatePrice"] == "60000.00"


def test_cancelling_is_done_once_and_answers_with_a_string_code(long_api, refused):
    """DELETE algoOrder answers code "200"; a second one, or one after the trigger, is -2011."""
    placed = long_api.algo("SELL", **CLOSE_STOP, clientAlgoId="mine")
    answer = long_api.delete("algoOrder", clientAlgoId="mine")
    assert answer == {"algoId": placed["algoId"], "clientAlgoId": "mine", "code": "200", "msg": "success"}
    with refused(-2011, "Unknown order sent."):
        long_api.delete("algoOrder", algoId=placed["algoId"])
    assert long_api.algo_status(placed) == "CANCELED"


def test_cancelling_all_of_a_symbol_answers_with_a_number(long_api):
    """DELETE algoOpenOrders answers code 200 and leaves other symbols alone."""
    long_api.algo("SELL", **CLOSE_STOP)
    long_api.algo("SELL", triggerPrice="2900", quantity="0.010", symbol="ETHUSDT")
    assert long_api.delete("algoOpenOrders", symbol="BTCUSDT") == {
        "code": 200, "msg": "The operation of cancel all open order is done.",
    }  # fmt: skip
    assert [row["symbol"] for row in long_api.get("openAlgoOrders")] == ["ETHUSDT"]


def test_at_most_200_wait_over_all_symbols(api, refused):
    """The 201st conditional order is -4045, whatever its symbol."""
    for index in range(200):
        symbol = ("BTCUSDT", "ETHUSDT")[index % 2]
        api.algo("SELL", triggerPrice=("59000", "2900")[index % 2], quantity="0.010", symbol=symbol)
    with refused(-4045, "Reach max stop order limit."):
        api.algo("SELL", triggerPrice="140", quantity="1", symbol="SOLUSDT")


def test_a_client_id_is_taken_only_while_it_waits(api, refused):
    """The same clientAlgoId again is -4116 while the first waits, and fine after."""
    order = {"triggerPrice": "59000", "quantity": "0.010", "clientAlgoId": "mine"}
    api.algo("SELL", **order)
    with refused(-4116, "ClientOrderId is duplicated."):
        api.algo("SELL", **order)
    api.delete("algoOpenOrders", symbol="BTCUSDT")
    api.algo("SELL", **order)


def missing(name):
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


TRAILING = {"kind": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "1"}
IMMEDIATE = "Order would immediately trigger."
WRONG = {
    "no algoType": ({"algoType": None}, -1102, missing("algotype")),
    "another algoType": ({"algoType": "VP"}, -1130, "Data sent for parameter 'algotype' is not valid."),
    "no trigger": ({"triggerPrice": None}, -1102, missing("triggerprice")),
    "old trigger name": ({"triggerPrice": None, "stopPrice": "59000"}, -1102, missing("triggerprice")),
    "an ordinary type": ({"kind": "MARKET"}, -1116, "Invalid orderType."),
    "a type in lower case": ({"kind": "stop_market"}, -1116, "Invalid orderType."),
    "unknown symbol": ({"symbol": "NOPEUSDT"}, -1121, "Invalid symbol."),
    "no quantity": ({"quantity": None}, -1102, missing("quantity")),
    "trigger off the tick": ({"triggerPrice": "59000.05"}, -4014, "Price not increased by tick size."),
    "trigger already met": ({"triggerPrice": "60000"}, -2021, "Order would immediately trigger."),
    "quantity with closePosition": (
        {"closePosition": "true"}, -4137, "Quantity must be zero with closePosition equals true",
    ),
    "reduceOnly with closePosition": (
        {"closePosition": "true", "quantity": None, "reduceOnly": "true"},
        -1106,
        "Parameter 'reduceonly' sent when not required.",
    ),
    "reduceOnly false with closePosition": (
        {"closePosition": "true", "quantity": None, "reduceOnly": "false"},
        -4138,
        "Reduce only must be true with closePosition equals true",
    ),
    "closePosition on a stop limit": (
        {"kind": "STOP", "closePosition": "true", "quantity": None, "price": "59000"},
        -4136,
        "Target strategy invalid for orderType STOP,closePosition true",
    ),
    "stop limit without price": ({"kind": "STOP"}, -1102, missing("price")),
    "trailing without callback": ({**TRAILING, "callbackRate": None}, -1102, missing("callbackrate")),
    "callback too small": ({**TRAILING, "callbackRate": "0.05"}, -2007, "Invalid callBack rate."),
    "callback too large": ({**TRAILING, "callbackRate": "20.1"}, -2007, "Invalid callBack rate."),
    "trailing with a trigger": ({**TRAILING, "triggerPrice": "59000"}, -2021, IMMEDIATE),
    "activation already passed": ({**TRAILING, "activatePrice": "59000"}, -2021, IMMEDIATE),
    "bad workingType": (
        {"workingType": "INDEX"}, -4031, "Invalid parameter working type: INDEX",
    ),
    "position side of hedge mode": (
        {"positionSide": "LONG"}, -4061, "Order's position side does not match user's setting.",
    ),
    "too small a value": (
        {"quantity": "0.001"},
        -4164,
        "Order's notional must be no smaller than 100.0 (unless you choose reduce only)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_conditional_order_is_refused_and_not_kept(long_api, refused, change, code, message):
    """Every broken rule has its own code and text, and nothing waits afterwards."""
    with refused(code, message):
        long_api.algo(**{"side": "SELL", "triggerPrice": "59000", "quantity": "0.010", **change})
    assert long_api.get("openAlgoOrders") == []


@pytest.mark.parametrize(("method", "code"), [("get", -2013), ("delete", -2011)])
def test_an_unknown_conditional_order(api, refused, method, code):
    """Asking for one that never was is -2013, cancelling it -2011; both need one of the ids."""
    with refused(code):
        getattr(api, method)("algoOrder", algoId=1)
    with refused(-1102, "Param 'algoid' or 'clientalgoid' must be sent, but both were empty/null!"):
        getattr(api, method)("algoOrder", orderId=1)


@pytest.mark.parametrize("rules", [None, "2025-12-08"])
def test_the_order_of_a_fired_stop_names_it(make_api, rules):
    """Each ORDER_TRADE_UPDATE of a child has its algoId in `si`; under old rules both have one id."""
    api = make_api(rules=rules)
    api.order("BUY", "0.01")
    if rules is None:
        placed = api.algo("SELL", "STOP", quantity="0.01", price="59500", triggerPrice="59000")
    else:
        api.order("SELL", "0.01", type="STOP", price="59500", stopPrice="59000")
    told = []
    api.engine.feed.listeners.append(told.append)
    api.engine.set_mark("BTCUSDT", 58_900)
    api.engine.set_mark("BTCUSDT", 59_600)
    symbols = api.engine.state.symbols
    updates = [user_event(event, symbols)["o"] for event in told if isinstance(event, OrderEvent)]
    assert [update["x"] for update in updates] == ["NEW", "TRADE"]
    link = {"si": placed["algoId"], "ss": -1, "st": "ALGO_CONDITION"} if rules is None else {"si": 0, "ss": 0}
    for update in updates:
        assert {name: update[name] for name in ("si", "ss", "st") if name in update} == link
