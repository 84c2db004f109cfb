"""Each way an order can be wrong, with the code and the text it is answered with."""

from decimal import Decimal

import msgspec
import pytest

from exit_shim.testing import DEFAULT_SYMBOLS

LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "price": "59000"}


def missing(name):
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


ILLEGAL = (
    "Illegal characters found in parameter 'newClientOrderId'; "
    r"legal range is '^[\.A-Z\:/a-z0-9_-]{1,36}$'."
)
ORDERS = {
    "no symbol": ({"symbol": None}, -1102, missing("symbol")),
    "unknown symbol": ({"symbol": "NOPEUSDT"}, -1121, "Invalid symbol."),
    "no side": ({"side": ""}, -1102, missing("side")),
    "bad side": ({"side": "HOLD"}, -1117, "Invalid side."),
    "no type": ({"type": None}, -1102, missing("type")),
    "bad type": ({"type": "MAGIC"}, -1116, "Invalid orderType."),
    "no quantity": ({"quantity": None}, -1102, missing("quantity")),
    "quantity in scientific notation": ({"quantity": "1e-05"}, -1102, missing("quantity")),
    "quantity not a number": ({"quantity": "NaN"}, -1102, missing("quantity")),
    "quantity negative": ({"quantity": "-1"}, -4003, "Quantity less than zero."),
    "quantity zero": ({"quantity": "0"}, -4003, "Quantity less than zero."),
    "quantity too precise": (
        {"quantity": "0.0101"}, -1111, "Precision is over the maximum defined for this asset.",
    ),
    "quantity too large": ({"quantity": "121"}, -4005, "Quantity greater than max quantity."),
    "timeInForce on a market order": (
        {"timeInForce": "GTC"}, -1106, "Parameter 'timeinforce' sent when not required.",
    ),
    "closePosition on a market order": (
        {"closePosition": "true", "quantity": None},
        -4136,
        "Target strategy invalid for orderType MARKET,closePosition true",
    ),
    "bad reduceOnly": ({"reduceOnly": "maybe"}, -4062, "Invalid or improper reduceOnly value."),
    "bad positionSide": ({"positionSide": "UP"}, -4060, "Invalid position side."),
    "hedge positionSide one-way": (
        {"positionSide": "LONG"}, -4061, "Order's position side does not match user's setting.",
    ),
    "bad newOrderRespType": ({"newOrderRespType": "FULL"}, -1136, "Invalid newOrderRespType."),
    "client id too long": (
        {"newClientOrderId": "x" * 37}, -4015, "Client order id length should not be more than 36 chars",
    ),
    "client id with a blank": (
        {"newClientOrderId": "a b"},
        -1100,
        ILLEGAL,
    ),
    "too small a value": (
        {"quantity": "0.001"},
        -4164,
        "Order's notional must be no smaller than 100.0 (unless you choose reduce only)",
    ),
    "more than the margin": ({"quantity": "100"}, -2019, "Margin is insufficient."),
    "limit without timeInForce": ({**LIMIT, "timeInForce": None}, -1102, missing("timeinforce")),
    "limit with a bad timeInForce": ({**LIMIT, "timeInForce": "GTW"}, -1115, "Invalid timeInForce."),
    "limit without price": ({**LIMIT, "price": None}, -1102, missing("price")),
    "price zero": ({**LIMIT, "price": "0"}, -4001, "Price less than 0."),
    "price too high": ({**LIMIT, "price": "5000000"}, -4002, "Price greater than max price."),
    "price too low": ({**LIMIT, "price": "1"}, -4013, "Price less than min price."),
    "price off the tick": ({**LIMIT, "price": "59000.05"}, -4014, "Price not increased by tick size."),
    "price too precise": (
        {**LIMIT, "price": "59000.001"}, -1111, "Precision is over the maximum defined for this asset.",
    ),
    "buying far above the mark": (
        {**LIMIT, "price": "70000"}, -4016, "Price is higher than mark price multiplier cap.",
    ),
    "selling far below the mark": (
        {**LIMIT, "price": "50000", "side": "SELL"},
        -4024,
        "Price is lower than mark price multiplier floor.",
    ),
    "price and priceMatch": (
        {**LIMIT, "priceMatch": "QUEUE"}, -1128, "Combination of optional parameters invalid.",
    ),
    "priceMatch that was withdrawn": (
        {**LIMIT, "price": None, "priceMatch": "OPPONENT_10"},
        -5037,
        "Invalid price match",
    ),
    "good till no date": ({**LIMIT, "timeInForce": "GTD"}, -1102, missing("goodtilldate")),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code", "message"), ORDERS.values(), ids=ORDERS)
def test_a_wrong_order_is_refused_with_its_code_and_changes_nothing(api, refused, change, code, message):
    """Every broken rule has its own code and text, and leaves wallet, orders and position as they were."""
    with refused(code, message):
        api.order(**{"side": "BUY", "quantity": "0.010", **change})
    assert api.engine.all_orders() == []
    assert (api.engine.wallet, api.engine.position("BTCUSDT").amount) == (10_000, 0)


@pytest.mark.parametrize(
    "kind", ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
)
def test_conditional_types_belong_to_the_algo_service(api, refused, kind):
    """The order endpoint refuses every conditional type with -4120, since 2025-12-09."""
    text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
    with refused(-4120, text):
        api.order("SELL", "0.010", type=kind, stopPrice="59000")


def test_a_quantity_off_the_step_is_refused(make_api, refused):
    """Where the step is coarser than the precision, a quantity between two steps is -4023."""
    coarse = msgspec.structs.replace(DEFAULT_SYMBOLS[0], step=Decimal("0.005"))
    api = make_api(symbols=[coarse])
    with refused(-4023, "Qty not increased by step size."):
        api.order("BUY", "0.012")
    with refused(-4004, "Quantity less than min quantity."):
        api.order("BUY", "0.004")


def test_an_order_past_what_its_leverage_permits_is_refused(make_api, refused):
    """At 125x the largest position is 300,000 USDT; beyond is -2027 however large the wallet."""
    api = make_api(wallet=10_000_000)
    api.post("leverage", symbol="BTCUSDT", leverage=125)
    with refused(-2027, "Exceeded the maximum allowable position at current leverage."):
        api.order("BUY", "6")


@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_order_must_be_named(api, refused, method):
    """Asking for or cancelling an order needs one of its two ids."""
    text = "Param 'origclientorderid' or 'orderid' must be sent, but both were empty/null!"
    with refused(-1102, text):
        getattr(api, method)("order", symbol="BTCUSDT")


def test_the_trades_window_is_by_time_or_by_id(api, refused):
    """FromId together with startTime is -1128."""
    with refused(-1128):
        api.get("userTrades", symbol="BTCUSDT", fromId=1, startTime=1)
