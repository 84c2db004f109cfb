"""Funding at its hours: rates, payments and their events."""

import itertools
from decimal import Decimal

import pytest

from exit_shim.exchange.engine.events import AccountEvent
from exit_shim.exchange.engine.funding import INTERVAL, list_rates
from exit_shim.exchange.engine.views.stream import account_update
from exit_shim.testing import Exchange, WalkingMarket

HOUR = 60 * 60 * 1000


@pytest.fixture
def funded(make_api):
    """An account with a long of 0.1 BTC, where funding is booked."""
    api = make_api(funding=True)
    api.order("BUY", "0.100")
    return api


def to_next_funding(api):
    api.clock.now = api.get("premiumIndex", symbol="BTCUSDT")["nextFundingTime"]


def fees(api):
    return api.get("income", incomeType="FUNDING_FEE")


def test_a_long_pays_the_rate_that_was_shown(funded):
    """At the hour the wallet changes by position times mark price times the rate of premiumIndex."""
    shown = funded.get("premiumIndex", symbol="BTCUSDT")
    before = funded.engine.wallet
    to_next_funding(funded)
    (row,) = fees(funded)
    assert Decimal(row["income"]) == -Decimal("0.100") * 60_000 * Decimal(shown["lastFundingRate"])
    assert funded.engine.wallet - before == Decimal(row["income"])
    assert (row["time"], row["symbol"]) == (shown["nextFundingTime"], "BTCUSDT")


def test_a_short_receives_what_a_long_pays(make_api):
    """The other side has the other sign."""
    received = []
    for side in ("BUY", "SELL"):
        api = make_api(funding=True)
        api.order(side, "0.100")
        to_next_funding(api)
        received.append(Decimal(fees(api)[0]["income"]))
    assert received[0] == -received[1] != 0


def test_each_funding_has_its_own_time(funded):
    """After a jump of two days six have been booked, at their hours, with the rates of the history."""
    began = funded.clock.now
    funded.clock.now += 48 * HOUR
    rows = fees(funded)
    rates = list_rates(funded.engine.state, "BTCUSDT", (began, funded.clock.now), 100)
    assert [row["time"] for row in rows] == [rate.time for rate in rates]
    assert [Decimal(row["income"]) for row in rows] == [-6000 * rate.rate for rate in rates]
    assert {row["time"] % INTERVAL for row in rows} == {0}
    assert len(rows) == 6


def test_a_flat_account_pays_nothing(make_api):
    """Without a position nothing is booked."""
    api = make_api(funding=True)
    api.clock.now += 48 * HOUR
    assert fees(api) == []
    assert api.engine.wallet == 10_000


def test_only_living_markets_have_funding_by_default(api):
    """A test that lets hours pass keeps its wallet, unless it asks for funding."""
    api.order("BUY", "0.100")
    before = api.engine.wallet
    api.clock.now += 48 * HOUR
    api.engine.run_due()
    assert api.engine.wallet == before
    assert Exchange(market=WalkingMarket()).state.funding
    assert not Exchange(market=WalkingMarket(), funding=False).state.funding


def test_funding_is_told(funded):
    """ACCOUNT_UPDATE has reason FUNDING_FEE, the symbol and the new wallet, and no cross position."""
    heard = []
    funded.engine.feed.listeners.append(heard.append)
    to_next_funding(funded)
    funded.engine.run_due()
    (event,) = [event for event in heard if isinstance(event, AccountEvent)]
    told = account_update(event)["a"]
    assert (told["m"], told["S"], told["P"]) == ("FUNDING_FEE", "BTCUSDT", [])
    assert Decimal(told["B"][0]["wb"]) == funded.engine.wallet


def test_an_isolated_position_pays_from_its_own_wallet(make_api):
    """The isolated wallet changes with the account's, and the event has the position."""
    api = make_api(funding=True)
    api.post("marginType", symbol="BTCUSDT", marginType="ISOLATED")
    api.order("BUY", "0.100")
    before = api.engine.position("BTCUSDT").isolated
    to_next_funding(api)
    (row,) = fees(api)
    assert api.engine.position("BTCUSDT").isolated - before == Decimal(row["income"])


def test_rates_vary_little_and_go_back_years(api):
    """Rates are small and differ; the newest come without a start, the first ones from a start on."""
    state = api.engine.state
    api.engine.run_due()
    rates = list_rates(state, "BTCUSDT", (0, api.clock.now), 1000)
    assert len(rates) == 1000
    assert max(abs(rate.rate) for rate in rates) < Decimal("0.001")
    assert len({rate.rate for rate in rates}) > 100
    assert [later.time - rate.time for rate, later in itertools.pairwise(rates)] == [INTERVAL] * 999
    assert list_rates(state, "BTCUSDT", (rates[5].time, api.clock.now), 3) == rates[5:8]
    assert rates[-1].mark > 0


def test_the_mark_of_a_rate_is_the_close_before_it(make_api):
    """Each rate shows the close of the minute before its time, before and since the exchange began."""
    api = make_api()
    api.engine.run_due()
    api.clock.now = api.get("premiumIndex", symbol="BTCUSDT")["nextFundingTime"] - HOUR // 2
    api.engine.set_mark("BTCUSDT", 61_000)
    api.clock.now += HOUR
    api.engine.set_mark("BTCUSDT", 62_000)
    rates = api.get("fundingRate", symbol="BTCUSDT", limit=4)
    for rate in rates:
        end = rate["fundingTime"] - 1
        (minute,) = api.get("klines", symbol="BTCUSDT", interval="1m", limit=1, endTime=end)
        assert float(rate["markPrice"]) == float(minute[4])
    assert rates[-1]["markPrice"] == "61000.00000000"
