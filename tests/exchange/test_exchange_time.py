"""Time of the exchange that passes when a test says so."""

import pytest

from conftest import START
from exit_shim.testing import Exchange, FakeClient, LocalExchange

MINUTE = 60_000
HOUR = 60 * MINUTE


def test_time_that_is_added_stays(api):
    """`advance` adds to the clock, which goes on by itself."""
    api.engine.advance(5_000)
    api.clock.advance(10)
    assert api.engine.now() == START + 5_010
    assert api.get("time")["serverTime"] == START + 5_010


def test_time_does_not_go_back(api):
    """A negative number is refused."""
    with pytest.raises(ValueError, match="milliseconds=-1 is invalid"):
        api.engine.advance(-1)


def test_what_comes_due_happens_in_order_and_at_its_own_time(make_api):
    """Two triggers and a countdown that one step passes happen one by one, stamped with their own times."""
    api = make_api(trigger_delay=200)
    api.order("BUY", "0.02")
    api.algo("SELL", triggerPrice=59_000, quantity="0.01")
    api.algo("SELL", triggerPrice=58_000, quantity="0.01")
    api.limit("BUY", "0.01", 50_000)
    api.post("countdownCancelAll", symbol="BTCUSDT", countdownTime=MINUTE)
    api.engine.set_mark("BTCUSDT", 59_000)
    api.engine.advance(50)
    api.engine.set_mark("BTCUSDT", 58_000)
    seen = []
    api.engine.feed.listeners.append(lambda event: seen.append((event.time - START, event)))
    api.engine.advance(HOUR)
    assert [time for time, _ in seen] == sorted(time for time, _ in seen)
    orders = [(time, event.execution) for time, event in seen if hasattr(event, "execution")]
    assert [row for row in orders if row[1] == "TRADE"] == [(200, "TRADE"), (250, "TRADE")]
    assert orders[-1] == (MINUTE, "CANCELED")
    assert api.engine.now() == START + 50 + HOUR


def test_a_listen_key_expires_at_its_own_time(api):
    """A day that is added ends the stream after its 60 minutes, between whatever else comes due."""
    api.post("listenKey")
    seen = []
    api.engine.feed.listeners.append(lambda event: seen.append(event.time - START))
    api.engine.advance(24 * HOUR)
    assert seen == [HOUR]


def test_clients_need_not_follow():
    """Requests that are signed with the time before, between or after are as good as ever."""
    exchange = LocalExchange()
    client = FakeClient(exchange=exchange)
    for step in (HOUR, 2 * HOUR):
        exchange.advance(step)
        client.futures_account_balance()
        client.timestamp_offset = step // 2
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        client.timestamp_offset = exchange.engine.ahead
        client.futures_account_balance()
    assert exchange.internal_errors == []


@pytest.mark.parametrize("offset", [-11_000, HOUR + 2_000])
def test_a_clock_that_is_off_is_off_all_the_same(refused, offset):
    """A client behind what has passed by itself, or ahead of all that was added, gets -1021."""
    exchange = LocalExchange()
    client = FakeClient(exchange=exchange)
    exchange.advance(HOUR)
    client.timestamp_offset = offset
    with refused(-1021):
        client.futures_account_balance()


def test_a_saved_exchange_keeps_the_time_that_was_added(api):
    """It goes on where it was."""
    api.engine.advance(HOUR)
    assert Exchange.parse(api.engine.dump(), clock=api.clock).now() == START + HOUR
