"""Wallet, margin and the account's settings."""

from decimal import Decimal

import pytest


def number(row, name):
    return Decimal(row[name])


def balance(api):
    (row,) = api.get("balance", 3)
    return row


def test_a_round_trip_costs_exactly_profit_and_two_commissions(api):
    """Long 0.1 BTC from 60000 to 61000: +100 of profit, 0.05% of both sides in commission."""
    api.order("BUY", "0.100")
    api.engine.set_mark("BTCUSDT", "61000")
    api.order("SELL", "0.100", reduceOnly="true")
    assert api.engine.wallet == 10_000 + 100 - Decimal("0.0005") * (6000 + 6100)
    assert number(balance(api), "availableBalance") == api.engine.wallet


def test_unrealised_profit_counts_before_it_is_realised(api):
    """CrossUnPnl moves with the mark price, the wallet does not."""
    api.order("BUY", "0.100")
    api.engine.set_mark("BTCUSDT", "59000")
    row = balance(api)
    assert number(row, "crossUnPnl") == -100
    assert number(row, "balance") == 10_000 - 3
    assert number(row, "availableBalance") == 10_000 - 3 - 100 - Decimal(5900) / 20


def test_leverage_decides_how_much_margin_a_position_binds(api):
    """At 10x a position of 6000 binds 600."""
    answer = api.post("leverage", symbol="BTCUSDT", leverage=10)
    assert answer == {"leverage": 10, "maxNotionalValue": "230000000", "symbol": "BTCUSDT"}
    api.order("BUY", "0.100")
    (row,) = api.get("positionRisk", 3)
    assert number(row, "positionInitialMargin") == 600
    (config,) = api.get("symbolConfig", symbol="BTCUSDT")
    assert (config["leverage"], config["marginType"]) == (10, "CROSSED")


@pytest.mark.parametrize("leverage", [0, 151])
def test_leverage_outside_its_range_is_refused(api, refused, leverage):
    """BTCUSDT goes from 1 to 125."""
    with refused(-4028, f"Leverage {leverage} is not valid"):
        api.post("leverage", symbol="BTCUSDT", leverage=leverage)


def test_leverage_cannot_fall_under_what_the_position_needs(api, refused):
    """A position that the wallet could not carry at the lower leverage keeps the higher (-2028)."""
    api.order("BUY", "1")
    with refused(-2028):
        api.post("leverage", symbol="BTCUSDT", leverage=1)


def test_open_orders_bind_margin_and_give_it_back(api):
    """A resting order of 5900 at 20x binds 295; orders that only reduce bind nothing."""
    before = number(balance(api), "availableBalance")
    placed = api.limit("BUY", "0.100", "59000")
    assert number(balance(api), "availableBalance") == before - 295
    api.delete("order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert number(balance(api), "availableBalance") == before


def test_an_order_that_closes_needs_no_margin(api):
    """With everything bound by a long, selling it still works, and so does turning it."""
    api.order("BUY", "3.300")
    assert number(balance(api), "availableBalance") < 100
    api.order("SELL", "6.000")
    assert api.engine.position("BTCUSDT").amount == Decimal("-2.700")


def test_opening_beyond_the_margin_is_refused(api, refused):
    """What is left decides, and open orders count."""
    api.limit("BUY", "3.300", "59000")
    with refused(-2019, "Margin is insufficient."):
        api.order("BUY", "0.100")


def test_margin_type_changes_only_while_nothing_is_open(api, refused):
    """-4046 for the same type, -4047 with open orders, -4048 with a position."""
    change = {"symbol": "BTCUSDT", "marginType": "ISOLATED"}
    with refused(-4046, "No need to change margin type."):
        api.post("marginType", symbol="BTCUSDT", marginType="CROSSED")
    api.limit("BUY", "0.010", "59000")
    with refused(-4047):
        api.post("marginType", **change)
    api.delete("allOpenOrders", symbol="BTCUSDT")
    api.order("BUY", "0.010")
    with refused(-4048):
        api.post("marginType", **change)
    api.order("SELL", "0.010")
    assert api.post("marginType", **change) == {"code": 200, "msg": "success"}
    (row,) = api.get("positionRisk", 2, symbol="BTCUSDT")
    assert row["marginType"] == "isolated"


def test_position_mode_changes_only_while_nothing_is_open(api, refused):
    """-4059 for the same mode, -4067 with open or conditional orders, -4068 with a position."""
    with refused(-4059, "No need to change position side."):
        api.post("positionSide/dual", dualSidePosition="false")
    api.algo("SELL", triggerPrice="59000", quantity="0.010")
    with refused(-4067, "Position side cannot be changed if there exists open orders."):
        api.post("positionSide/dual", dualSidePosition="true")
    api.delete("algoOpenOrders", symbol="BTCUSDT")
    api.order("BUY", "0.010")
    with refused(-4068, "Position side cannot be changed if there exists position."):
        api.post("positionSide/dual", dualSidePosition="true")
    api.order("SELL", "0.010")
    assert api.post("positionSide/dual", dualSidePosition="True") == {"code": 200, "msg": "success"}
    assert api.get("positionSide/dual") == {"dualSidePosition": True}


def test_position_risk_lists_what_is_traded_and_the_old_version_everything(api):
    """v3 has only symbols with a position or an open order; v2 has every symbol."""
    assert api.get("positionRisk", 3) == []
    api.order("BUY", "0.010")
    api.limit("BUY", "0.010", "2700", symbol="ETHUSDT")
    assert [row["symbol"] for row in api.get("positionRisk", 3)] == ["BTCUSDT", "ETHUSDT"]
    assert len(api.get("positionRisk", 2)) == len(api.engine.state.symbols)
    assert len(api.get("account", 3)["positions"]) == 2


def test_the_totals_of_the_account_add_up(api):
    """Wallet plus unrealised profit is the margin balance, and initial margin is its two parts."""
    api.order("BUY", "0.100")
    api.limit("SELL", "1.000", "3100", symbol="ETHUSDT")
    api.engine.set_mark("BTCUSDT", "60500")
    found = api.get("account", 2)
    assert number(found, "totalMarginBalance") == number(found, "totalWalletBalance") + 50
    parts = number(found, "totalPositionInitialMargin") + number(found, "totalOpenOrderInitialMargin")
    assert number(found, "totalInitialMargin") == parts == Decimal("302.5") + 155
    assert number(found, "availableBalance") == number(found, "totalMarginBalance") - parts
    assert number(found["assets"][0], "walletBalance") == number(found, "totalWalletBalance")


def test_break_even_covers_the_opening_commission(api):
    """A long at 1.1359 breaks even at 1.13646795, as on production (ACCOUNT_UPDATE of 2026-09-19)."""
    api.order("BUY", "4.9", symbol="DOTUSDT")
    (row,) = api.get("positionRisk", 3)
    assert (row["positionAmt"], row["entryPrice"], row["breakEvenPrice"]) == ("4.9", "1.1359", "1.13646795")


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_the_liquidation_price_is_where_the_wallet_is_used_up(api, side):
    """At that mark price, wallet plus unrealised profit is just the maintenance margin."""
    api.order(side, "3.000")
    (row,) = api.get("positionRisk", 3)
    api.engine.set_prices("BTCUSDT", mark=row["liquidationPrice"])
    found = api.get("account", 3)
    left = number(found, "totalMarginBalance") - number(found, "totalMaintMargin")
    assert abs(left) < Decimal("0.000001")
