"""Isolated margin: a position's own wallet, what is left of the other, and moving margin between them."""

from decimal import Decimal

import pytest


@pytest.fixture
def isolated(api):
    """Ten times leverage, isolated, long 0.1 BTC from 60000: a margin of 600."""
    api.post("leverage", symbol="BTCUSDT", leverage=10)
    api.post("marginType", symbol="BTCUSDT", marginType="ISOLATED")
    api.order("BUY", "0.100")
    return api


def row(api):
    (found,) = api.get("positionRisk", 3)
    return found


def balance(api):
    (found,) = api.get("balance", 3)
    return {name: Decimal(found[name]) for name in ("balance", "crossWalletBalance", "availableBalance")}


def test_opening_moves_the_margin_into_a_wallet_of_its_own(isolated):
    """Wallet balance keeps it, the cross wallet and what is available do not."""
    assert (row(isolated)["isolatedWallet"], row(isolated)["isolatedMargin"]) == ("600.00000000",) * 2
    assert balance(isolated) == {"balance": 9997, "crossWalletBalance": 9397, "availableBalance": 9397}


def test_profit_and_loss_stay_with_the_position(isolated):
    """An unrealised loss lowers the isolated margin and not what is available."""
    isolated.engine.set_mark("BTCUSDT", "59000")
    assert row(isolated)["isolatedMargin"] == "500.00000000"
    assert balance(isolated)["availableBalance"] == 9397
    assert Decimal(isolated.get("account", 2)["totalCrossUnPnl"]) == 0


def test_closing_in_parts_releases_it_in_parts(isolated):
    """Half closed releases half; all closed leaves nothing behind, to the last digit."""
    isolated.order("SELL", "0.050", reduceOnly="true")
    assert row(isolated)["isolatedWallet"] == "300.00000000"
    isolated.order("SELL", "0.050", reduceOnly="true")
    final = 10_000 - Decimal("0.0005") * (6000 + 3000 + 3000)
    assert set(balance(isolated).values()) == {final}


def test_turning_a_position_puts_up_margin_for_the_other_side(isolated):
    """Long 0.1 sold by 0.15: the wallet of the new short is that of 0.05."""
    isolated.order("SELL", "0.150")
    assert row(isolated)["isolatedWallet"] == "300.00000000"


def test_margin_can_be_added_and_taken_out(isolated):
    """POST positionMargin answers with amount and type, and the history has both moves."""
    change = {"symbol": "BTCUSDT", "amount": "100"}
    assert isolated.post("positionMargin", **change, type=1) == {
        "amount": 100.0, "code": 200, "msg": "Successfully modify position margin.", "type": 1,
    }  # fmt: skip
    assert row(isolated)["isolatedWallet"] == "700.00000000"
    isolated.post("positionMargin", **change, type=2)
    assert row(isolated)["isolatedWallet"] == "600.00000000"
    found = isolated.get("positionMargin/history", symbol="BTCUSDT")
    assert [(entry["type"], entry["amount"], entry["positionSide"]) for entry in found] == [
        (1, "100.00000000", "BOTH"), (2, "100.00000000", "BOTH"),
    ]  # fmt: skip


def test_the_liquidation_price_rests_on_the_own_wallet(isolated):
    """At that price the isolated margin is just the maintenance margin."""
    price = Decimal(row(isolated)["liquidationPrice"])
    left = 600 + (price - 60000) * Decimal("0.1")
    assert abs(left - price * Decimal("0.1") * Decimal("0.004")) < Decimal("0.000001")


def test_an_opening_order_needs_what_the_cross_wallet_has(isolated, refused):
    """What a position holds cannot open another."""
    with refused(-2019):
        isolated.order("BUY", "66.000", symbol="ETHUSDT")
    isolated.order("BUY", "60.000", symbol="ETHUSDT")
