"""What a running executor finds wrong with key, clock and limits, and says so before the first order."""

from types import SimpleNamespace

import pytest
from abilities import needs_algo
from running_executor import SYMBOL, legs, open_long, plan_for, until

from exit_shim.exchange.http.auth import ApiKey
from exit_shim.testing import faults
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

pytestmark = needs_algo


def test_a_sound_key_and_clock_have_no_problems(client, make):
    """Nor does the check place anything."""
    run = make(client, stream=False)
    assert run.executor.check() == ()
    assert run.executor.problems == ()


def test_a_key_that_may_not_trade_is_told_of_at_start(exchange, client, make, caplog):
    """Before there is any order to place; the position's report says it too."""
    open_long(client)
    exchange.register(LOCAL_KEY, ApiKey(secret=LOCAL_SECRET, can_trade=False))
    run = make(client, every_s=1, stream=False)
    run.executor.start()
    until(lambda: run.passes)
    (problem,) = run.executor.problems
    assert problem == (
        'the API key may not trade (-2015), so no stop can be placed: switch on "Enable Futures" for it'
    )
    assert problem in caplog.text
    assert not run.passes[0][0].is_sound
    exchange.register(LOCAL_KEY, LOCAL_SECRET)
    until(lambda: run.executor.problems == ())


def test_a_key_that_may_not_read_is_told_of(exchange, client, make):
    """The positions are not known, so an empty answer has its reason."""
    open_long(client)
    exchange.register(LOCAL_KEY, ApiKey(secret=LOCAL_SECRET, can_read=False))
    run = make(client, stream=False)
    assert run.executor.protect() == []
    assert run.executor.problems == (
        "positions could not be read: Invalid API-key, IP, or permissions for action.",
    )
    assert run.executor.check()[0].startswith("the API key may not read positions (-2015): check the key")
    assert run.executor.ensure_protection(SYMBOL, plan_for(position("LONG"))).state == "UNKNOWN"


def position(side):
    """What a plan is made from."""
    return SimpleNamespace(symbol=SYMBOL, side=side)


@pytest.mark.parametrize(("offset", "said"), [(5_000, "ahead of"), (-30_000, "behind")])
def test_a_clock_that_is_off_is_told_of(client, make, offset, said):
    """With how far, and which way."""
    run = make(client, stream=False)
    client.timestamp_offset += offset
    (problem,) = run.executor.check()
    assert f"{said} the exchange's: set it, or requests are refused" in problem


def test_stops_keep_a_reserve_of_the_order_limits(exchange, client, make):
    """Near the limit of the exchange a hard stop is placed, and takes and trails wait."""
    run = make(client, stream=False)
    open_long(client)
    busy = SimpleNamespace(headers={"X-MBX-ORDER-COUNT-10S": "290"})
    run.executor._limits._wall = lambda: 5.0
    run.executor._limits.heed(busy)
    run.executor._limits.heed = lambda _: None
    (protection,) = run.executor.protect()
    assert legs(exchange) == ["hs"]
    assert protection.next_step == "tr: the best price is 60000"
    run.executor._limits._wall = lambda: 15.0
    for _ in range(3):
        run.executor.protect()
    assert legs(exchange) == ["hs", "t1", "tr"]


def test_the_exchanges_own_count_is_heeded(client, make):
    """From the headers of the answers to the executor's orders."""
    run = make(client, stream=False)
    open_long(client)
    run.executor.protect()
    assert {count for _, count in run.executor._limits._counts.values()} >= {3}


def test_a_limited_address_is_left_alone(exchange, client, make, caplog):
    """Asking on would have it banned; the passes go on once the exchange's time is over."""
    open_long(client)
    run = make(client, every_s=1, stream=False)
    exchange.faults.inject(faults.too_many_requests(), times=20)
    run.executor.start()
    until(lambda: run.executor._used.quiet_s() > 0)
    exchange.faults.clear()

    def is_protected_once_the_time_is_over():
        # An answer that was under way may have begun another time.
        run.executor._used._quiet_until = 0.0
        run.executor.agenda.put_off(None, 0.0)
        return legs(exchange) == ["hs", "t1", "tr"]

    until(is_protected_once_the_time_is_over)
    run.executor._used.be_quiet(3600)
    run.executor.agenda.want(None)
    until(lambda: (run.executor.agenda.wait_s() or 0) > 60)
    assert "the exchange limits requests; the next pass is in" in caplog.text


def test_without_a_journal_it_is_said_that_nothing_is_remembered(client, make, caplog):
    """And that nobody would notice a second executor."""
    run = make(client, journal=False, stream=False)
    run.executor.start()
    until(lambda: run.passes)
    assert "there is no journal: the next start remembers nothing" in caplog.text
