"""The book around the last price, and what crossing it costs."""

from decimal import Decimal

import pytest

from exit_shim.testing import Exchange, LocalExchange


@pytest.fixture
def spread_api(make_api):
    """An exchange with the spread that it has by default."""
    return make_api(spread=1)


def prices(api):
    ticker = api.get("ticker/bookTicker", symbol="BTCUSDT")
    mark = api.get("premiumIndex", symbol="BTCUSDT")["markPrice"]
    return [Decimal(price) for price in (ticker["bidPrice"], mark, ticker["askPrice"])]


def test_a_fresh_exchange_has_a_spread():
    """Best bid and ask are a tick away from the last price, and the mark price is in the middle."""
    quote = Exchange().quote("BTCUSDT")
    assert (quote.bid, quote.last, quote.ask) == (Decimal("59999.9"), 60_000, Decimal("60000.1"))
    assert quote.mark == (quote.bid + quote.ask) / 2
    assert LocalExchange().engine.quote("BTCUSDT") == quote


def test_a_price_that_is_set_has_the_spread_around_it(spread_api):
    """The book follows the mark price, at the symbol's ticks."""
    spread_api.engine.set_mark("BTCUSDT", 61_000)
    assert prices(spread_api) == [Decimal("60999.9"), 61_000, Decimal("61000.1")]


def test_a_market_order_fills_at_the_far_side(spread_api):
    """A round trip without a move of the price costs two ticks, beside its commission."""
    assert spread_api.order("BUY", "0.010")["status"] == "FILLED"
    spread_api.order("SELL", "0.010", reduceOnly="true")
    bought, sold = spread_api.get("userTrades", symbol="BTCUSDT")
    assert (bought["price"], sold["price"]) == ("60000.10", "59999.90")
    assert sold["realizedPnl"] == "-0.00200000"


def test_a_limit_order_waits_for_the_book(spread_api):
    """A price that is just reached fills nothing: the book must come to the order."""
    spread_api.order("BUY", "0.010")
    take = spread_api.limit("SELL", "0.010", 61_000, reduceOnly="true")
    for mark, status in ((61_000, "NEW"), ("61000.1", "FILLED")):
        spread_api.engine.set_mark("BTCUSDT", mark)
        found = spread_api.get("order", symbol="BTCUSDT", orderId=take["orderId"])
        assert found["status"] == status


def test_a_stop_fills_behind_its_trigger(spread_api):
    """It fires on the last price and sells at the bid."""
    spread_api.order("BUY", "0.010")
    spread_api.algo("SELL", triggerPrice=59_000, closePosition="true")
    spread_api.engine.set_mark("BTCUSDT", 59_000)
    assert spread_api.get("userTrades", symbol="BTCUSDT")[-1]["price"] == "58999.90"


@pytest.mark.parametrize(("spread", "bid"), [(0, "60000"), (5, "59999.5")])
def test_the_spread_is_a_number_of_ticks(make_api, spread, bid):
    """None, or more than one; a restart keeps it."""
    api = make_api(spread=spread)
    assert prices(api)[0] == Decimal(bid)
    restored = Exchange.parse(api.engine.dump(), clock=api.clock)
    restored.set_mark("BTCUSDT", 60_000)
    assert restored.quote("BTCUSDT").bid == Decimal(bid)


def test_a_price_near_zero_leaves_room_for_a_bid(spread_api):
    """No price of the book is zero or below."""
    spread_api.engine.set_mark("BTCUSDT", "0.01")
    assert spread_api.engine.quote("BTCUSDT").bid > 0
