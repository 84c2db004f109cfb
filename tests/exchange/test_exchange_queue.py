"""The queue before a resting order, where the exchange has one."""

from decimal import Decimal

import pytest

from exit_shim.exchange.engine.shown_depth import quantity_at
from exit_shim.testing import Exchange


@pytest.fixture
def queued(make_api):
    return make_api(queue=True, spread=1)


def status(api, placed):
    return api.get("order", symbol="BTCUSDT", orderId=placed["orderId"])["status"]


def ahead(api, side="BUY", price="59999.90"):
    return quantity_at(api.engine.state, "BTCUSDT", side, Decimal(price))


def test_others_are_filled_first(queued):
    """An order at the best bid fills once others have traded what depth showed there, and in parts."""
    before_it = ahead(queued)
    assert before_it > 0
    placed = queued.limit("BUY", "0.010", "59999.90")
    queued.engine.trade("BTCUSDT", "59999.90", before_it)
    assert status(queued, placed) == "NEW"
    queued.engine.trade("BTCUSDT", "59999.90", "0.004")
    assert status(queued, placed) == "PARTIALLY_FILLED"
    queued.engine.trade("BTCUSDT", "59999.90", "5")
    assert status(queued, placed) == "FILLED"


def test_a_price_that_only_touches_does_not_fill(queued, make_api):
    """With a queue a touch of the price is not enough, a price beyond it is; without one a touch fills."""
    placed = queued.limit("BUY", "0.010", "59990.00")
    queued.engine.set_prices("BTCUSDT", bid="59989.90", ask="59990.00")
    assert status(queued, placed) == "NEW"
    queued.engine.set_prices("BTCUSDT", bid="59989.80", ask="59989.90")
    assert status(queued, placed) == "FILLED"
    plain = make_api(spread=1)
    placed = plain.limit("BUY", "0.010", "59990.00")
    plain.engine.set_prices("BTCUSDT", bid="59989.90", ask="59990.00")
    assert status(plain, placed) == "FILLED"


def test_a_price_that_depth_does_not_show_has_no_queue(queued):
    """Inside the spread nobody is before an order: the first trade there is its own."""
    placed = queued.limit("BUY", "0.010", "60000.00")
    queued.engine.trade("BTCUSDT", "60000.00", "0.010")
    assert status(queued, placed) == "FILLED"


def test_a_queue_is_saved_and_forgotten(queued):
    """A saved exchange knows what is before each order; a closed order leaves nothing behind."""
    placed = queued.limit("SELL", "0.010", "60000.10")
    copy = Exchange.parse(queued.engine.dump(), clock=queued.clock)
    assert copy.state.ahead == {placed["orderId"]: ahead(queued, "SELL", "60000.10")}
    assert copy.state.queue
    queued.delete("order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert queued.engine.state.ahead == {}
