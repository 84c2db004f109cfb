"""How the watch looks at an account: when, how often, and at what weight."""

import time
from types import SimpleNamespace

import pytest

import exit_shim.alerts.account
from exit_shim.alerts.account import AccountSight
from exit_shim.clients.accounts import label_of
from exit_shim.feeds.exchange_log import ExchangeLog
from exit_shim.reports.lives import PositionName


@pytest.fixture
def clock(monkeypatch):
    """The clock that a sight counts by; a test moves it."""
    moved = SimpleNamespace(now=1000.0)
    fake = SimpleNamespace(monotonic=lambda: moved.now, time_ns=time.time_ns)
    monkeypatch.setattr(exit_shim.alerts.account, "time", fake)
    return moved


@pytest.fixture
def events():
    return []


@pytest.fixture
def sight(client, events):
    return AccountSight(client, label_of(client), ExchangeLog(events.append), "watch", 30.0)


def test_a_look_that_failed_is_done_again_soon(sight, exchange, clock):
    """A network that is away for two seconds delays the next look by a second, not by its interval."""
    with exchange.refusing_connections():
        assert not sight.look_if_due()
    assert sight.problem is not None
    clock.now += 0.9
    assert not sight.look_if_due()
    clock.now += 0.2
    assert sight.look_if_due()
    clock.now += 29
    assert not sight.look_if_due()


def test_many_positions_are_asked_about_by_one_look(sight, exchange):
    """Twelve symbols cost a look at the whole account, three requests; fewer cost three each."""
    names = [PositionName(sight.account, f"COIN{number}USDT", "BOTH") for number in range(12)]
    before = len(exchange.requests)
    assert set(sight.see(names)) == set(names)
    assert len(exchange.requests) - before == 3
    pair = [PositionName(sight.account, symbol, "BOTH") for symbol in ("BTCUSDT", "ETHUSDT")]
    assert set(sight.see(pair)) == set(pair)
    assert len(exchange.requests) - before == 9


def test_what_was_asked_about_is_recorded_though_it_did_not_change(sight, client, events):
    """A position that the record leaves open is asked about for the record, so the answer goes there."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    assert sight.look_if_due()
    sight.see([PositionName(sight.account, "BTCUSDT", "BOTH")])
    first, again = events
    assert (first.guarded, again.guarded, again.asked > first.asked) == ("0", "0", True)
