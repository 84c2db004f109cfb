"""Leverage tiers: those of September 2026, and the margin that follows from them."""

import itertools
from decimal import Decimal

import pytest

from exit_shim.exchange import make_symbol
from exit_shim.testing import ALL_SYMBOLS, Exchange

AT_20 = {
    "ETHUSDT": 65_000_000, "SOLUSDT": 8_000_000, "DOGEUSDT": 4_000_000, "BNBUSDT": 3_000_000,
    "XRPUSDT": 2_000_000, "ADAUSDT": 2_000_000, "AVAXUSDT": 1_600_000, "LINKUSDT": 1_600_000,
    "DOTUSDT": 800_000,
}  # fmt: skip
#: As the endpoint showed it: leverage, cap, rate and cum.
OF_DOGE = [
    (75, 80_000, 0.0065, 0), (50, 150_000, 0.01, 280), (40, 750_000, 0.0125, 655),
    (25, 2_000_000, 0.02, 6_280), (20, 4_000_000, 0.025, 16_280), (10, 20_000_000, 0.05, 116_280),
    (5, 40_000_000, 0.1, 1_116_280),
    (4, 50_000_000, 0.125, 2_116_280), (2, 100_000_000, 0.25, 8_366_280), (1, 200_000_000, 0.5, 33_366_280),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cap"), AT_20.items())
def test_a_position_at_20x_is_as_large_as_on_production(name, cap):
    """The caps of the facts."""
    assert Exchange().state.symbols[name].max_notional(20) == cap


@pytest.mark.parametrize(("name", "leverage"), [("BTCUSDT", 150), ("ETHUSDT", 150), ("XRPUSDT", 100)])
def test_the_highest_leverage_is_that_of_production(name, leverage):
    """The leverages of the facts."""
    assert Exchange().state.symbols[name].max_leverage == leverage


def test_brackets_are_shown_as_on_production(client):
    """LeverageBracket of one symbol is an array of one, with the maintenance rates and cums that are real."""
    (shown,) = client.futures_leverage_bracket(symbol="DOGEUSDT")
    assert shown["symbol"] == "DOGEUSDT"
    fields = ("initialLeverage", "notionalCap", "maintMarginRatio", "cum")
    assert [tuple(row[field] for field in fields) for row in shown["brackets"]] == OF_DOGE
    assert [row["bracket"] for row in shown["brackets"]] == list(range(1, len(OF_DOGE) + 1))


def test_without_a_symbol_every_bracket_comes(client, exchange):
    """One element for each symbol that trades, in their order."""
    assert [row["symbol"] for row in client.futures_leverage_bracket()] == list(exchange.engine.state.symbols)


def test_maintenance_grows_without_a_leap():
    """At each end of a bracket both sides ask the same; rates rise and leverages fall to 1."""
    for symbol in ALL_SYMBOLS:
        check_brackets(symbol.brackets)


def check_brackets(brackets):
    assert (brackets[0].floor, brackets[0].deduction) == (0, 0)
    for below, above in itertools.pairwise(brackets):
        assert above.floor == below.cap < above.cap
        assert above.leverage < below.leverage
        assert above.rate > below.rate
        assert below.cap * below.rate - below.deduction == above.floor * above.rate - above.deduction
    assert brackets[-1].leverage == 1


def test_a_position_keeps_what_its_bracket_demands(make_api):
    """The maintenance margin of a position in the second bracket has its rate less its cum."""
    api = make_api(wallet=1_000_000)
    api.post("leverage", symbol="DOGEUSDT", leverage=40)
    api.order("BUY", "1000000", symbol="DOGEUSDT")
    (row,) = api.get("positionRisk", version=3)
    assert Decimal(row["maintMargin"]) == 100_000 * Decimal("0.01") - 280


def test_what_is_made_up_has_the_tiers_of_most(refused, make_api):
    """A made-up symbol is as tightly limited as the many small ones, and so is its leverage."""
    api = make_api(any_symbol=True)
    highest = make_symbol("FOOUSDT").max_leverage
    assert 10 <= highest <= 75
    assert api.post("leverage", symbol="FOOUSDT", leverage=highest)["leverage"] == highest
    with refused(-4028):
        api.post("leverage", symbol="FOOUSDT", leverage=highest + 1)
