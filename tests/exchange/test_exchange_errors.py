"""Every error code that a futures bot can meet, each reached by its own condition.

Shapes of single parameters are in test_exchange_refusals.py and test_exchange_algo.py, faults (-1001, -1006,
-1007, -1008 and HTTP 503) in test_exchange_faults.py, limits and keys in test_exchange_limits.py.
"""

from decimal import Decimal

import pytest

from exit_shim.exchange.engine import errors

STOP = {"triggerPrice": "59000", "quantity": "0.010"}
GATE_AND_PARAMETERS = {
    # Reached by a request's head or by one malformed parameter; tested where these are.
    -1000, -1003, -1015, -1020, -1021, -1022, -1100, -1102, -1106, -1111, -1115, -1116, -1117, -1121, -1130,
    -1136, -2014, -2015, -4001, -4002, -4003, -4004, -4005, -4013, -4014, -4015, -4016, -4023, -4024, -4060,
    -4061, -4062, -4120, -4136, -4137, -4138, -4164, -5000, -5028,
}  # fmt: skip


def long(api):
    api.order("BUY", "0.010")


def rest(api, side="BUY", price="59000", **more):
    return api.limit(side, "0.010", price, **more)


def no_listen_key(api):
    api.put("listenKey")


def duplicate(api):
    rest(api, newClientOrderId="a")
    rest(api, newClientOrderId="a")


def stop_type_cap(api):
    for _ in range(201):
        api.algo("SELL", **STOP)


def order_cap(api):
    for _ in range(201):
        api.limit("BUY", "0.002", "52000")


def poor(api):
    api.engine.state.account.wallet = Decimal(0)
    long(api)


def too_large(api):
    api.engine.state.account.wallet = Decimal(10**7)
    api.post("leverage", symbol="BTCUSDT", leverage=125)
    api.order("BUY", "6")


def lower_leverage(api):
    api.order("BUY", "1")
    api.post("leverage", symbol="BTCUSDT", leverage=1)


def lower_leverage_isolated(api):
    api.post("marginType", symbol="BTCUSDT", marginType="ISOLATED")
    long(api)
    api.post("leverage", symbol="BTCUSDT", leverage=5)


def add_margin(api, amount="1", kind=1):
    api.post("positionMargin", symbol="BTCUSDT", amount=amount, type=kind)


def isolated(api):
    api.post("marginType", symbol="BTCUSDT", marginType="ISOLATED")


def margin_flat(api):
    isolated(api)
    add_margin(api)


def margin_too_much(api):
    isolated(api)
    long(api)
    add_margin(api, "100000")


def margin_out_too_much(api):
    isolated(api)
    long(api)
    add_margin(api, "1", 2)


def margin_type_with_order(api):
    rest(api)
    isolated(api)


def margin_type_with_position(api):
    long(api)
    isolated(api)


def dual(api, value="true"):
    api.post("positionSide/dual", dualSidePosition=value)


def dual_with_order(api):
    rest(api)
    dual(api)


def dual_with_position(api):
    long(api)
    dual(api)


def multi(api, value="true"):
    api.post("multiAssetsMargin", multiAssetsMargin=value)


def multi_with_isolated(api):
    isolated(api)
    multi(api)


def isolated_in_multi(api):
    multi(api)
    isolated(api)


def multi_with_order(api):
    rest(api)
    multi(api)


def restricted(word):
    def reach(api):
        api.engine.restrict(word)
        long(api)

    return reach


def status(word):
    def reach(api):
        api.engine.set_status("BTCUSDT", word)
        long(api)

    return reach


def amend_while_halted(api):
    placed = rest(api)
    api.engine.set_status("BTCUSDT", "SETTLING")
    amend(api, placed)


def amend(api, placed, price="58000", **more):
    change = {"symbol": "BTCUSDT", "side": "BUY", "orderId": placed["orderId"], "quantity": "0.010"}
    api.put("order", **change, price=price, **more)


def amend_too_often(api):
    placed = rest(api)
    api.engine.open_orders()[0].edits = 10_000
    amend(api, placed)


def cancelled_while_triggering(api):
    api.engine.state.trigger_delay = 50, 50
    placed = api.algo("SELL", **STOP)
    api.engine.set_mark("BTCUSDT", "59000")
    assert api.algo_status(placed) == "TRIGGERING"
    api.delete("algoOrder", algoId=placed["algoId"])


def would_flip(api):
    long(api)
    rest(api, "SELL", "61000")
    rest(api, "SELL", "62000", reduceOnly="true")


def thin_book(api):
    api.engine.set_book("BTCUSDT", [], [("70000", "1")])
    long(api)


def second_close(api):
    long(api)
    api.algo("SELL", triggerPrice="59000", closePosition="true")
    api.algo("SELL", triggerPrice="58000", closePosition="true")


def batch_cancel(api, count):
    api.delete("batchOrders", symbol="BTCUSDT", orderIdList=str(list(range(1, count + 1))))


def gtd(api, due):
    rest(api, timeInForce="GTD", goodTillDate=due)


def shallow(api):
    api.engine.set_book("BTCUSDT", [("59990", "1")], [])
    rest(api, price=None, priceMatch="QUEUE_5")


TRAIL = {"kind": "TRAILING_STOP_MARKET", "quantity": "0.010"}
BTC = {"symbol": "BTCUSDT"}
REACHED = {
    errors.START_AFTER_END: lambda api: api.get("allOrders", **BTC, startTime=2, endTime=1),
    errors.BAD_INTERVAL: lambda api: api.get("klines", **BTC, interval="7m"),
    errors.INVALID_LISTEN_KEY: no_listen_key,
    errors.BAD_COMBINATION: lambda api: api.get("userTrades", **BTC, fromId=1, startTime=1),
    errors.INVALID_CALLBACK_RATE: lambda api: api.algo("SELL", **TRAIL, callbackRate="21"),
    errors.UNKNOWN_ORDER: lambda api: api.delete("order", **BTC, orderId=1),
    errors.NO_SUCH_ORDER: lambda api: api.get("order", **BTC, orderId=1),
    errors.BALANCE_INSUFFICIENT: poor,
    errors.MARGIN_INSUFFICIENT: lambda api: api.order("BUY", "100"),
    errors.WOULD_TRIGGER: lambda api: api.algo("SELL", triggerPrice="60000", quantity="0.010"),
    errors.REDUCE_ONLY_REJECTED: lambda api: api.order("SELL", "0.010", reduceOnly="true"),
    errors.MAX_OPEN_ORDERS: order_cap,
    errors.MAX_POSITION: too_large,
    errors.LEVERAGE_TOO_SMALL: lower_leverage,
    errors.STOP_PRICE_NEGATIVE: lambda api: api.algo("SELL", triggerPrice="-1", quantity="0.010"),
    errors.STOP_PRICE_TOO_HIGH: lambda api: api.algo("BUY", triggerPrice="9999999", quantity="0.010"),
    errors.INVALID_DEPTH_LIMIT: (lambda api: api.get("depth", **BTC, limit=7), "7"),
    errors.INVALID_LEVERAGE: (lambda api: api.post("leverage", **BTC, leverage=151), "151"),
    errors.INVALID_WORKING_TYPE: (lambda api: api.algo("SELL", **STOP, workingType="INDEX"), "INDEX"),
    errors.TOO_MANY_CANCELS: lambda api: batch_cancel(api, 11),
    errors.MAX_STOP_ORDERS: stop_type_cap,
    errors.SAME_MARGIN_TYPE: lambda api: api.post("marginType", **BTC, marginType="CROSSED"),
    errors.MARGIN_TYPE_HAS_ORDERS: margin_type_with_order,
    errors.MARGIN_TYPE_HAS_POSITION: margin_type_with_position,
    errors.MARGIN_OF_CROSS_POSITION: add_margin,
    errors.CROSS_BALANCE_INSUFFICIENT: margin_too_much,
    errors.ISOLATED_BALANCE_INSUFFICIENT: margin_out_too_much,
    errors.MARGIN_WITHOUT_POSITION: margin_flat,
    errors.AMOUNT_NOT_POSITIVE: lambda api: add_margin(api, "0"),
    errors.SAME_POSITION_SIDE_MODE: lambda api: dual(api, "false"),
    errors.POSITION_SIDE_HAS_ORDERS: dual_with_order,
    errors.POSITION_SIDE_HAS_POSITION: dual_with_position,
    errors.INVALID_BATCH_SIZE: lambda api: api.post("batchOrders", batchOrders="[]"),
    errors.ONLY_REDUCE_PERMITTED: restricted("reduce_only"),
    errors.NO_ORDER_PERMITTED: restricted("no_orders"),
    errors.DUPLICATE_CLIENT_ID: duplicate,
    errors.STOP_IS_TRIGGERING: cancelled_while_triggering,
    errors.REDUCE_ONLY_FAILED: would_flip,
    errors.CLOSE_POSITION_EXISTS: second_close,
    errors.MARKET_REJECTED: thin_book,
    errors.INVALID_ACTIVATION_PRICE: lambda api: api.algo(
        "BUY", **TRAIL, callbackRate="1", activatePrice="0"
    ),
    errors.NOT_FOR_OPENING: status("SETTLING"),
    errors.SYMBOL_CLOSED: status("CLOSE"),
    errors.LOWER_LEVERAGE_ISOLATED: lower_leverage_isolated,
    errors.LONGEST_INTERVAL: (lambda api: api.get("allOrders", **BTC, startTime=1, endTime=10**9), "7"),
    errors.MULTI_ASSETS_WITH_ISOLATED: multi_with_isolated,
    errors.ISOLATED_WITH_MULTI_ASSETS: isolated_in_multi,
    errors.MULTI_ASSETS_WITH_ORDERS: multi_with_order,
    errors.SAME_ASSETS_MODE: lambda api: multi(api, "false"),
    errors.COOLING_OFF: restricted("cooling_off"),
    errors.QUANTITATIVE_RULES: restricted("quantitative_rules"),
    errors.LARGE_POSITION: restricted("large_position"),
    errors.NO_POSITION_FOR_GTE: lambda api: api.algo("SELL", triggerPrice="59000", closePosition="true"),
    errors.FILL_OR_KILL_REJECTED: lambda api: rest(api, timeInForce="FOK"),
    errors.POST_ONLY_REJECTED: lambda api: rest(api, price="61000", timeInForce="GTX"),
    errors.NOT_TRADING_TO_MODIFY: amend_while_halted,
    errors.TOO_MANY_EDITS: amend_too_often,
    errors.NOTHING_TO_MODIFY: lambda api: amend(api, rest(api), "59000"),
    errors.NOT_REDUCE_ONLY: lambda api: amend(api, rest(api), reduceOnly="true"),
    errors.INVALID_PRICE_MATCH: lambda api: rest(api, price=None, priceMatch="OPPONENT_10"),
    errors.PRICE_MATCH_TYPE: lambda api: api.order("BUY", "0.010", priceMatch="QUEUE"),
    errors.INVALID_SELF_TRADE_PREVENTION: lambda api: api.order("BUY", "1", selfTradePreventionMode="ALL"),
    errors.BAD_GOOD_TILL_DATE: lambda api: gtd(api, api.clock.now + 600_000),
    errors.NO_DEPTH_FOR_PRICE_MATCH: shallow,
}


@pytest.mark.parametrize("refusal", REACHED, ids=lambda refusal: str(refusal.code))
def test_a_condition_is_answered_with_its_code(api, refused, refusal):
    """Reaching the condition gives the code, its exact text, and HTTP 400."""
    reach = REACHED[refusal]
    reach, values = (reach[0], reach[1:]) if isinstance(reach, tuple) else (reach, ())
    with refused(refusal.code, refusal.text % values if values else refusal.text) as caught:
        reach(api)
    assert caught.value.http_status == 400


def test_every_code_is_reached_somewhere():
    """No code is defined without a way to reach it."""
    defined = {value.code for value in vars(errors).values() if isinstance(value, errors.Refusal)}
    # In test_exchange_rules, test_exchange_rest_market and test_exchange_sapi.
    elsewhere = {-4129, -1127, -5013}
    assert defined == {refusal.code for refusal in REACHED} | GATE_AND_PARAMETERS | elsewhere


def test_a_date_too_far_away_is_refused(api, refused):
    """A GTD order may not live past the year 9999, and may live until just before."""
    with refused(-5040):
        gtd(api, 253_402_300_799_000)
    gtd(api, 253_402_300_798_000)


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("reduce_only", -4087),
        ("cooling_off", -4192),
        ("quantitative_rules", -4400),
        ("large_position", -4401),
    ],
)
def test_a_restricted_account_may_close(api, refused, word, code):
    """A restriction of opening lets reduceOnly orders and closing stops through, and ends when lifted."""
    long(api)
    api.engine.restrict(word)
    api.algo("SELL", triggerPrice="59000", closePosition="true")
    with refused(code):
        api.algo("BUY", triggerPrice="61000", quantity="0.010")
    api.order("SELL", "0.010", reduceOnly="true")
    api.engine.restrict()
    long(api)


def test_words_of_the_exchange_must_be_known(api):
    """Restrictions and statuses that there are not are a ValueError that lists those there are."""
    with pytest.raises(ValueError, match="cooling_off"):
        api.engine.restrict("grumpy")
    with pytest.raises(ValueError, match="SETTLING"):
        api.engine.set_status("BTCUSDT", "OPEN")


def test_a_halted_symbol_still_closes(api):
    """Between TRADING and CLOSE, what reduces goes through."""
    long(api)
    api.engine.set_status("BTCUSDT", "SETTLING")
    assert api.order("SELL", "0.010", reduceOnly="true")["status"] == "FILLED"
    info = api.get("exchangeInfo")["symbols"]
    assert {row["symbol"]: row["status"] for row in info}["BTCUSDT"] == "SETTLING"


def test_a_delayed_trigger_is_seen_triggering(api):
    """With a delay the order is TRIGGERING and in no list of open ones, then becomes what it becomes."""
    api.engine.state.trigger_delay = 50, 50
    long(api)
    placed = api.algo("SELL", triggerPrice="59000", closePosition="true")
    api.engine.set_mark("BTCUSDT", "59000")
    api.engine.set_mark("BTCUSDT", "60000")
    assert (api.algo_status(placed), api.get("openAlgoOrders")) == ("TRIGGERING", [])
    api.clock.advance(50)
    assert api.algo_status(placed) == "TRIGGERING"
    assert api.engine.position("BTCUSDT").amount == 0
    api.clock.advance(22)
    assert api.algo_status(placed) == "FINISHED"
    assert api.engine.position("BTCUSDT").amount == 0
