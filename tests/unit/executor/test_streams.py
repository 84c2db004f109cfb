"""What the executor does with what it hears: events of the user data stream, and mark prices."""

from decimal import Decimal
from types import SimpleNamespace

import pytest

from exit_shim.executor.agenda import Agenda
from exit_shim.executor.streams import MarkPriceListener, NewsListener, Wake


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self):
        return self.now


def hearing(make, **more):
    """A listener that is not connected, its agenda and the clock of both."""
    clock = Clock()
    agenda = Agenda(clock=clock)
    clone = SimpleNamespace(host="nowhere")
    return make(agenda, clone=clone, address=None, on_trouble=print, **more), agenda, clock


def news():
    """One of the user data stream."""
    return hearing(NewsListener)


def marks(may_wake=lambda: True):
    """One of the mark prices, which waits for 61000 or more on BTCUSDT."""
    clock = Clock()
    agenda = Agenda(clock=clock)
    clone = SimpleNamespace(host="nowhere")
    listener = MarkPriceListener(
        agenda, clone=clone, address=None, on_trouble=print, may_wake=may_wake, clock=clock
    )
    listener.wakes = {"BTCUSDT": (Wake(1, Decimal(61_000)),)}
    return listener, agenda, clock


def order(status, symbol="BTCUSDT", **more):
    """An ORDER_TRADE_UPDATE."""
    body = {"s": symbol, "S": "SELL", "o": "LIMIT", "q": "1", "X": status, "i": 9, "R": True, "ps": "BOTH"}
    return {"e": "ORDER_TRADE_UPDATE", "o": {**body, **more}}


def test_a_changed_position_calls_for_a_pass_at_once():
    """Each of its symbols."""
    listener, agenda, _ = news()
    rows = [{"s": symbol, "ps": "BOTH", "pa": "1"} for symbol in ("BTCUSDT", "ETHUSDT")]
    assert listener.hear({"e": "ACCOUNT_UPDATE", "a": {"P": rows}})
    assert sorted(agenda.take_due()) == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("status", ["CANCELED", "FILLED", "EXPIRED"])
def test_an_order_that_ended_calls_for_a_pass_at_once(status):
    """A stop may be missing."""
    listener, agenda, _ = news()
    assert listener.hear(order(status))
    assert agenda.take_due() == ["BTCUSDT"]


def test_an_exit_that_rests_is_seen_a_moment_later():
    """Several that are placed together are one pass."""
    listener, agenda, clock = news()
    listener.hear(order("NEW"))
    listener.hear(order("NEW", i=10))
    assert agenda.take_due() == []
    clock.now += 0.2
    assert agenda.take_due() == ["BTCUSDT"]


def test_an_entry_that_rests_calls_for_nothing():
    """There is nothing to protect yet."""
    listener, agenda, _ = news()
    assert listener.hear(order("NEW", R=False, S="BUY"))
    assert agenda.wait_s() is None


def test_a_gap_ends_the_connection():
    """The next one begins with a look at the account."""
    listener, agenda, _ = news()
    assert not listener.hear({"e": "listenKeyExpired"})
    listener.connected()
    assert (listener.is_connected, agenda.take_due()) == (True, [None])
    listener.lost()
    assert (listener.is_connected, agenda.take_due()) == (False, [None])


def tick(listener, price, symbol="BTCUSDT"):
    """One message of the stream."""
    return listener.hear({"stream": "!markPrice@arr@1s", "data": [{"s": symbol, "p": price}]})


def test_a_price_calls_for_a_pass_where_it_reaches_what_is_waited_for():
    """Not before it, and not on other symbols; again only a second later."""
    listener, agenda, clock = marks()
    assert tick(listener, "60999")
    assert tick(listener, "99999", "ETHUSDT")
    assert agenda.wait_s() is None
    tick(listener, "61000")
    assert agenda.take_due() == ["BTCUSDT"]
    clock.now += 0.4
    tick(listener, "61001")
    assert (agenda.take_due(), round(agenda.wait_s(), 3)) == ([], 0.6)


def test_a_short_position_waits_for_lower_prices():
    """Its favour is downwards."""
    assert Wake(-1, Decimal(59_000)).is_reached(Decimal(58_999))
    assert not Wake(-1, Decimal(59_000)).is_reached(Decimal(59_001))


def test_without_request_weight_no_price_calls_for_a_pass():
    """Stops come first."""
    listener, agenda, _ = marks(may_wake=lambda: False)
    tick(listener, "61000")
    assert agenda.wait_s() is None


def test_a_stale_price_is_not_used():
    """After three seconds of silence there is none; nor one of a symbol that nobody waits for."""
    listener, _, clock = marks()
    tick(listener, "60500")
    tick(listener, "3000", "ETHUSDT")
    assert (listener.price_of("BTCUSDT"), listener.price_of("ETHUSDT")) == (Decimal(60_500), None)
    clock.now += 3.1
    assert listener.price_of("BTCUSDT") is None


def test_odd_messages_are_skipped():
    """And an error of the library ends the connection."""
    listener, agenda, _ = marks()
    for odd in ({}, {"data": 5}, {"data": [None, {"s": "BTCUSDT"}, {"s": "BTCUSDT", "p": "much"}]}):
        assert listener.hear(odd)
    assert not listener.hear({"e": "error", "type": "BinanceWebsocketClosed"})
    assert agenda.wait_s() is None
