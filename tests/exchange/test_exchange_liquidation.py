"""Liquidation by maintenance tiers, and the warning before it."""

import itertools
from decimal import Decimal

import pytest

from exit_shim.exchange.engine.events import MarketEvent
from exit_shim.exchange.engine.views.stream import user_event
from exit_shim.testing import Exchange

TICK = Decimal("0.1")


def row(api, symbol="BTCUSDT", side="BOTH"):
    rows = api.get("positionRisk", 3, symbol=symbol)
    return next((each for each in rows if each["positionSide"] == side), None)


def amount(api, side="BOTH"):
    return api.engine.position("BTCUSDT", side).amount


def set_mark_alone(api, price):
    api.engine.set_prices("BTCUSDT", mark=price)


def listen(api):
    """Collect what the user data stream says from now on."""
    told = []
    symbols = api.engine.state.symbols

    def tell(event):
        if isinstance(event, MarketEvent):
            return
        told.append(user_event(event, symbols))

    api.engine.feed.listeners.append(tell)
    return told


def isolated(api):
    api.post("marginType", symbol="BTCUSDT", marginType="ISOLATED")


@pytest.mark.parametrize(("size", "wallet"), [("1.000", 5_000), ("8.000", 60_000), ("60.000", 300_000)])
@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("margin", ["cross", "isolated"])
def test_a_position_is_liquidated_at_its_liquidation_price(make_api, margin, side, size, wallet):
    """One step before the price that positionRisk shows it stands, at the price it is gone; in any tier."""
    api = make_api(wallet=wallet)
    if margin == "isolated":
        isolated(api)
    api.order(side, size)
    price, step = Decimal(row(api)["liquidationPrice"]), TICK if side == "BUY" else -TICK
    set_mark_alone(api, price + step)
    assert amount(api) == Decimal(size) * (1 if side == "BUY" else -1)
    set_mark_alone(api, price - step)
    assert amount(api) == 0


def test_a_larger_position_must_keep_more():
    """The rate grows with the size, and the margin of a position has no leap between two tiers."""
    brackets = Exchange().state.symbols["BTCUSDT"].brackets
    assert [bracket.rate for bracket in brackets] == sorted(bracket.rate for bracket in brackets)
    assert brackets[0].rate < brackets[-1].rate
    for below, above in itertools.pairwise(brackets):
        kept = [tier.rate * below.cap - tier.deduction for tier in (below, above)]
        assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("symbol", "cap"),
    [
        ("ETHUSDT", 65_000_000), ("SOLUSDT", 8_000_000), ("DOGEUSDT", 4_000_000), ("BNBUSDT", 3_000_000),
        ("XRPUSDT", 2_000_000), ("ADAUSDT", 2_000_000), ("AVAXUSDT", 1_600_000), ("LINKUSDT", 1_600_000),
        ("DOTUSDT", 800_000),
    ],
)  # fmt: skip
def test_each_contract_has_its_own_brackets(api, symbol, cap):
    """The largest position at 20x is that of September 2026."""
    assert api.post("leverage", symbol=symbol, leverage=20)["maxNotionalValue"] == str(cap)


@pytest.mark.parametrize(("symbol", "leverage"), [("BTCUSDT", 150), ("ETHUSDT", 150), ("XRPUSDT", 100)])
def test_the_highest_leverage_is_that_of_today(api, refused, symbol, leverage):
    """One more is refused."""
    assert api.post("leverage", symbol=symbol, leverage=leverage)["leverage"] == leverage
    with refused(-4028):
        api.post("leverage", symbol=symbol, leverage=leverage + 1)


def test_a_liquidation_is_told_as_such(make_api):
    """Open orders expire with `er` 5; then NEW, ACCOUNT_UPDATE and CALCULATED of an `autoclose-` order."""
    api = make_api(wallet=4_000)
    api.order("BUY", "1.000")
    api.limit("SELL", "0.500", 66_000, reduceOnly="true")
    api.algo("SELL", triggerPrice=50_000, closePosition="true")
    told = listen(api)
    api.engine.set_prices("BTCUSDT", mark=56_000)
    told = [event for event in told if event["e"] != "MARGIN_CALL"]
    assert [(event["e"], event["o"]["x"] if "x" in event.get("o", {}) else None) for event in told[:4]] == [
        ("ORDER_TRADE_UPDATE", "EXPIRED"),
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ACCOUNT_UPDATE", None),
        ("ORDER_TRADE_UPDATE", "CALCULATED"),
    ]
    expired, new, _, filled, algo = (event.get("o") for event in told[:5])
    assert expired["er"] == "5"
    assert algo["X"] == "EXPIRED"
    assert filled["c"] == new["c"]
    assert new["c"].startswith("autoclose-")
    assert [(each["o"], each["ot"], each["f"], each["X"]) for each in (new, filled)] == [
        ("LIQUIDATION", "LIQUIDATION", "IOC", "NEW"),
        ("LIQUIDATION", "LIQUIDATION", "IOC", "FILLED"),
    ]
    assert "TRADE_LITE" not in [event["e"] for event in told]
    last = api.get("allOrders", symbol="BTCUSDT")[-1]
    assert (last["clientOrderId"], last["type"], last["status"]) == (new["c"], "LIMIT", "FILLED")


def test_what_is_left_goes_into_the_fee(make_api):
    """The liquidation takes up to one per cent of the notional value, and never more than there is."""
    api = make_api(wallet=4_000)
    api.order("BUY", "1.000")
    api.engine.set_prices("BTCUSDT", mark=56_200)
    assert amount(api) == 0
    (last,) = api.get("userTrades", symbol="BTCUSDT")[-1:]
    assert Decimal(last["commission"]) == Decimal(4_000) - 30 - 3_800
    assert api.engine.wallet == 0


def test_the_insurance_fund_pays_what_a_gap_takes_beyond_the_margin(make_api):
    """A price far beyond the liquidation price leaves a wallet of zero, told as INSURANCE_CLEAR."""
    api = make_api(wallet=4_000)
    api.order("BUY", "1.000")
    told = listen(api)
    api.engine.set_mark("BTCUSDT", 40_000)
    assert (amount(api), api.engine.wallet) == (0, 0)
    assert told[-1]["a"]["m"] == "INSURANCE_CLEAR"
    assert told[-1]["a"]["B"][0]["wb"] == "0"


def test_an_isolated_position_loses_its_own_margin_only(api):
    """However far the price runs, what it did not hold stays in the wallet."""
    isolated(api)
    api.order("BUY", "0.100")
    held = Decimal(row(api)["isolatedWallet"])
    before = api.engine.wallet
    api.engine.set_mark("BTCUSDT", 30_000)
    assert (amount(api), before - api.engine.wallet) == (0, held)


def test_cross_positions_go_one_after_the_other(make_api):
    """The largest loss goes first; its fee takes what is left, and the other cannot be carried any more."""
    api = make_api(wallet=8_000)
    api.order("BUY", "10.000", symbol="ETHUSDT")
    api.order("BUY", "1.000")
    told = listen(api)
    api.engine.set_mark("BTCUSDT", 52_300)
    orders = [event["o"] for event in told if event["e"] == "ORDER_TRADE_UPDATE"]
    assert [order["s"] for order in orders if order["x"] == "CALCULATED"] == ["BTCUSDT", "ETHUSDT"]
    assert (api.get("positionRisk", 3), api.engine.wallet) == ([], 0)


def test_a_cross_position_that_profits_stays(make_api):
    """What the loss leaves over for the others is looked at after each."""
    api = make_api(wallet=8_000)
    api.order("BUY", "10.000", symbol="ETHUSDT")
    api.order("BUY", "1.000")
    api.engine.set_mark("ETHUSDT", 3_200)
    api.engine.set_mark("BTCUSDT", 50_200)
    assert amount(api) == 0
    assert api.engine.position("ETHUSDT").amount == 10


def test_both_sides_of_a_hedge_share_one_price(make_api):
    """LONG and SHORT of a symbol are liquidated at the same mark price, and both rows show it."""
    api = make_api(wallet=10_000, hedge_mode=True)
    api.order("BUY", "2.000", positionSide="LONG")
    api.order("SELL", "0.500", positionSide="SHORT")
    prices = {Decimal(row(api, side=side)["liquidationPrice"]) for side in ("LONG", "SHORT")}
    (price,) = prices
    set_mark_alone(api, price + TICK)
    assert amount(api, "LONG") == 2
    set_mark_alone(api, price - TICK)
    assert amount(api, "LONG") == 0


def test_legs_of_equal_size_are_never_liquidated(make_api):
    """What one loses the other gains; a price at which nothing trades is shown as none."""
    api = make_api(hedge_mode=True)
    api.order("BUY", "0.100", positionSide="LONG")
    api.order("SELL", "0.100", positionSide="SHORT")
    assert {row(api, side=side)["liquidationPrice"] for side in ("LONG", "SHORT")} == {"0.00000000"}


def test_the_price_counts_the_other_positions(make_api):
    """A loss elsewhere brings the liquidation price nearer."""
    api = make_api(wallet=6_000)
    api.order("BUY", "1.000")
    before = Decimal(row(api)["liquidationPrice"])
    api.order("BUY", "10.000", symbol="ETHUSDT")
    api.engine.set_mark("ETHUSDT", 2_900)
    price = Decimal(row(api)["liquidationPrice"])
    assert price > before
    set_mark_alone(api, price - TICK)
    assert amount(api) == 0


def test_a_stop_in_front_of_it_prevents_it(make_api):
    """A stop that fires before the liquidation price closes with an ordinary fill."""
    api = make_api(wallet=4_000)
    api.order("BUY", "1.000")
    placed = api.algo("SELL", triggerPrice=57_000, closePosition="true")
    api.engine.set_mark("BTCUSDT", 57_000)
    assert api.algo_status(placed) == "FINISHED"
    assert api.engine.wallet > 900


def test_a_gap_beyond_both_liquidates_before_the_stop_comes(make_api):
    """The stop is TRIGGERING while the position is taken, and finds nothing to close."""
    api = make_api(wallet=4_000)
    api.order("BUY", "1.000")
    placed = api.algo("SELL", triggerPrice=57_000, closePosition="true")
    api.engine.set_mark("BTCUSDT", 50_000)
    assert api.algo_status(placed) == "REJECTED"
    assert api.engine.all_orders("BTCUSDT")[-1].liquidates


@pytest.mark.parametrize("margin", ["cross", "isolated"])
def test_the_user_is_warned_once(make_api, margin):
    """MARGIN_CALL comes when 80 % of the margin must be kept, and again only after a recovery."""
    api = make_api(wallet=4_000)
    if margin == "isolated":
        isolated(api)
    api.order("BUY", "1.000")
    price = Decimal(row(api)["liquidationPrice"])
    told = listen(api)
    for mark in (price + 100, price + 40, price + 30, price + 500, price + 40):
        set_mark_alone(api, mark)
    assert [event["e"] for event in told] == ["MARGIN_CALL", "MARGIN_CALL"]
    assert ("cw" in told[0]) == (margin == "cross")
    (called,) = told[0]["p"]
    assert (called["s"], called["ps"], called["pa"], Decimal(called["mp"])) == (
        "BTCUSDT",
        "BOTH",
        "1",
        price + 40,
    )
    assert called["mt"] == ("CROSSED" if margin == "cross" else "ISOLATED")
    assert Decimal(called["mm"]) == Decimal(row(api)["maintMargin"])


def test_a_warning_is_not_repeated_after_a_restart(make_api):
    """A saved exchange does not warn the same account twice."""
    api = make_api(wallet=4_000)
    api.order("BUY", "1.000")
    set_mark_alone(api, Decimal(row(api)["liquidationPrice"]) + 40)
    restored = Exchange.parse(api.engine.dump(), clock=api.clock)
    told = []
    restored.feed.listeners.append(told.append)
    restored.run_due()
    assert told == []
