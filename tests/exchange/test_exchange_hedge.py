"""Hedge mode: two positions a symbol, and no reduceOnly."""

from decimal import Decimal

import pytest

LONG, SHORT = {"positionSide": "LONG"}, {"positionSide": "SHORT"}


def test_long_and_short_stand_side_by_side(hedge_api):
    """Buying LONG and selling SHORT opens two positions that do not touch."""
    hedge_api.order("BUY", "0.010", **LONG)
    hedge_api.order("SELL", "0.020", **SHORT)
    rows = hedge_api.get("positionRisk", 3)
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [
        ("LONG", "0.010"),
        ("SHORT", "-0.020"),
    ]
    sides = [row["positionSide"] for row in hedge_api.get("positionRisk", 2, symbol="BTCUSDT")]
    assert sides == ["LONG", "SHORT"]


@pytest.mark.parametrize("given", [{}, {"positionSide": "BOTH"}])
def test_the_position_side_must_be_sent(hedge_api, refused, given):
    """Without LONG or SHORT both kinds of order are -4061."""
    with refused(-4061, "Order's position side does not match user's setting."):
        hedge_api.order("BUY", "0.010", **given)
    with refused(-4061):
        hedge_api.algo("BUY", triggerPrice="61000", quantity="0.010", **given)


@pytest.mark.parametrize("value", ["true", "false"])
def test_reduce_only_is_not_required(hedge_api, refused, value):
    """Any reduceOnly, even false, is -1106 with the name in lower case."""
    with refused(-1106, "Parameter 'reduceonly' sent when not required."):
        hedge_api.order("SELL", "0.010", reduceOnly=value, **LONG)
    with refused(-1106, "Parameter 'reduceonly' sent when not required."):
        hedge_api.algo("SELL", triggerPrice="59000", quantity="0.010", reduceOnly=value, **LONG)


def test_closing_more_than_there_is_is_rejected(hedge_api, refused):
    """The closing side never opens: without enough position it is -2022."""
    with refused(-2022):
        hedge_api.order("SELL", "0.010", **LONG)
    hedge_api.order("BUY", "0.010", **LONG)
    with refused(-2022):
        hedge_api.order("SELL", "0.020", **LONG)
    hedge_api.order("SELL", "0.010", **LONG)
    assert hedge_api.engine.position("BTCUSDT", "LONG").amount == 0


def test_close_position_stops_of_both_sides(hedge_api, refused):
    """SELL+LONG and BUY+SHORT close; the other two pairs are refused; each side has its own -4130."""
    hedge_api.order("BUY", "0.010", **LONG)
    hedge_api.order("SELL", "0.010", **SHORT)
    below = {"triggerPrice": "59000", "closePosition": "true"}
    above = {"triggerPrice": "61000", "closePosition": "true"}
    hedge_api.algo("SELL", **below, **LONG)
    short_stop = hedge_api.algo("BUY", **above, **SHORT)
    with refused(-4061):
        hedge_api.algo("BUY", **above, **LONG)
    with refused(-4130):
        hedge_api.algo("SELL", **below, **LONG)
    hedge_api.engine.set_mark("BTCUSDT", "59000")
    amounts = [hedge_api.engine.position("BTCUSDT", side).amount for side in ("LONG", "SHORT")]
    assert amounts == [0, Decimal("-0.010")]
    assert hedge_api.algo_status(short_stop) == "NEW"


def test_closing_one_side_leaves_the_orders_of_the_other(hedge_api):
    """Orders expire with the position of their own side only."""
    hedge_api.order("BUY", "0.010", **LONG)
    hedge_api.order("SELL", "0.010", **SHORT)
    profit = hedge_api.limit("BUY", "0.010", "58000", **SHORT)
    hedge_api.order("SELL", "0.010", **LONG)
    assert [row["orderId"] for row in hedge_api.get("openOrders")] == [profit["orderId"]]


def test_the_account_ends_exact_in_hedge_mode(hedge_api):
    """Long won 100, short lost 50, and every fill paid 0.05%."""
    hedge_api.order("BUY", "0.100", **LONG)
    hedge_api.order("SELL", "0.050", **SHORT)
    hedge_api.engine.set_mark("BTCUSDT", "61000")
    hedge_api.order("SELL", "0.100", **LONG)
    hedge_api.order("BUY", "0.050", **SHORT)
    paid = Decimal("0.0005") * (6000 + 3000 + 6100 + 3050)
    assert hedge_api.engine.wallet == 10_000 + 100 - 50 - paid
