"""A book of levels: walking it, partial fills, self-trade prevention, and prices that follow."""

from decimal import Decimal

import pytest

BIDS = [("59990", "0.010"), ("59980", "0.020"), ("59970", "1")]
ASKS = [("60010", "0.010"), ("60020", "0.020"), ("60030", "1")]


@pytest.fixture
def deep(api):
    """BTCUSDT with three levels a side."""
    api.engine.set_book("BTCUSDT", BIDS, ASKS)
    return api


def fills(api):
    return [(row["price"], row["qty"], row["maker"]) for row in api.get("userTrades", symbol="BTCUSDT")]


def status_of(api, placed):
    found = api.get("order", symbol="BTCUSDT", orderId=placed["orderId"])
    return found["status"], found["executedQty"]


def test_a_market_order_walks_the_levels(deep):
    """It takes each level whole before the next, and its average price is theirs."""
    placed = deep.order("BUY", "0.040")
    assert fills(deep) == [
        ("60010.00", "0.010", False), ("60020.00", "0.020", False), ("60030.00", "0.010", False),
    ]  # fmt: skip
    found = deep.get("order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (found["status"], found["avgPrice"], found["cumQuote"]) == (
        "FILLED", "60020.00000", "2400.80000",
    )  # fmt: skip


def test_what_is_taken_is_gone(deep):
    """Levels are used up, best prices follow them, and the last price is that of the last trade."""
    deep.order("BUY", "0.020")
    quote = deep.engine.quote("BTCUSDT")
    assert (quote.bid, quote.ask, quote.last) == (59990, 60020, 60020)
    deep.order("BUY", "0.020")
    assert fills(deep)[-2:] == [("60020.00", "0.010", False), ("60030.00", "0.010", False)]


def test_a_market_order_that_finds_too_little_expires_with_what_it_got(deep):
    """The rest of a MARKET order does not wait."""
    placed = deep.order("BUY", "1.500")
    assert (placed["status"], placed["executedQty"]) == ("EXPIRED", "1.030")
    nothing = deep.order("BUY", "0.010")
    assert (nothing["status"], nothing["executedQty"]) == ("EXPIRED", "0.000")


def test_a_limit_order_takes_what_it_reaches_and_waits_with_the_rest(deep):
    """PARTIALLY_FILLED: taker up to its price, then maker when somebody comes."""
    placed = deep.limit("BUY", "0.050", "60020")
    assert (placed["status"], placed["executedQty"]) == ("PARTIALLY_FILLED", "0.030")
    assert [row["orderId"] for row in deep.get("openOrders")] == [placed["orderId"]]
    deep.engine.trade("BTCUSDT", "60020", "0.005")
    assert status_of(deep, placed) == ("PARTIALLY_FILLED", "0.035")
    deep.engine.set_book("BTCUSDT", BIDS, [("60015", "1")])
    assert status_of(deep, placed) == ("FILLED", "0.050")
    assert fills(deep)[-2:] == [("60020.00", "0.005", True), ("60020.00", "0.015", True)]


def test_immediate_or_cancel_keeps_what_it_got(deep):
    """IOC takes what there is and the rest expires."""
    placed = deep.limit("BUY", "0.050", "60020", timeInForce="IOC")
    assert (placed["status"], placed["executedQty"]) == ("EXPIRED", "0.030")


def test_fill_or_kill_needs_the_whole(deep, refused):
    """FOK fills over several levels, or is refused with -5021 and takes nothing."""
    with refused(-5021):
        deep.limit("BUY", "0.040", "60020", timeInForce="FOK")
    assert deep.limit("BUY", "0.030", "60020", timeInForce="FOK")["status"] == "FILLED"


def test_a_partly_filled_order_gives_the_rest_back(deep):
    """Cancelling leaves the fills, and amending to no more than was filled cancels."""
    placed = deep.limit("BUY", "0.050", "60020")
    change = {"symbol": "BTCUSDT", "side": "BUY", "orderId": placed["orderId"]}
    assert deep.put("order", **change, quantity="0.030", price="60000")["status"] == "CANCELED"
    again = deep.limit("SELL", "0.050", "59980")
    assert deep.delete("order", symbol="BTCUSDT", orderId=again["orderId"])["executedQty"] == "0.030"


def test_resting_orders_share_what_comes_by_price_then_age(api):
    """A trade of others fills the best price first, then the oldest, and stops when it is used up."""
    low = api.limit("BUY", "0.010", "59000")
    first = api.limit("BUY", "0.010", "59500")
    second = api.limit("BUY", "0.010", "59500")
    api.engine.trade("BTCUSDT", "59000", "0.015")
    assert [status_of(api, placed) for placed in (first, second, low)] == [
        ("FILLED", "0.010"), ("PARTIALLY_FILLED", "0.005"), ("NEW", "0.000"),
    ]  # fmt: skip
    assert api.engine.quote("BTCUSDT").last == 59000


def test_a_new_book_trades_with_what_rests_as_far_as_it_goes(api):
    """Its crossing levels are taken by the resting orders, at the orders' own prices."""
    placed = api.limit("SELL", "0.030", "60500")
    api.engine.set_book("BTCUSDT", [("60510", "0.010"), ("60500", "0.005"), ("60490", "1")], [])
    assert status_of(api, placed) == ("PARTIALLY_FILLED", "0.015")
    assert fills(api) == [("60500.00", "0.010", True), ("60500.00", "0.005", True)]
    assert api.engine.quote("BTCUSDT").bid == 60490


def test_sweeping_the_book_fires_the_stop_it_reaches(deep):
    """The last price follows an own trade, and a stop that it reaches fires into the same book."""
    deep.order("BUY", "0.010")
    stop = deep.algo("SELL", triggerPrice="59980", quantity="0.010", reduceOnly="true")
    deep.order("SELL", "0.015")
    assert fills(deep)[1:3] == [("59990.00", "0.010", False), ("59980.00", "0.005", False)]
    assert deep.algo_status(stop) == "REJECTED"
    assert deep.engine.position("BTCUSDT").amount == Decimal("-0.005")


def test_setting_a_price_ends_the_book(deep):
    """After set_mark the symbol trades without end again; the mark price alone changes nothing."""
    deep.engine.set_prices("BTCUSDT", mark="60001")
    assert deep.order("BUY", "0.010")["status"] == "FILLED"
    deep.engine.set_mark("BTCUSDT", "60000")
    assert deep.order("BUY", "2.000")["status"] == "FILLED"
    assert fills(deep)[-1] == ("60000.00", "2.000", False)
    deep.engine.set_book("BTCUSDT", BIDS, ASKS)
    deep.engine.set_prices("BTCUSDT", bid="59995")
    assert deep.order("SELL", "2.000")["status"] == "FILLED"
    assert fills(deep)[-1] == ("59995.00", "2.000", False)


@pytest.mark.parametrize(
    ("bids", "asks", "words"),
    [
        ([("60000", "1")], [("60000", "1")], "must be below the best ask"),
        ([("60000", "0")], [], "expected a number above zero"),
        ([("-1", "1")], [], "expected a number above zero"),
    ],
)
def test_a_book_must_be_one(api, bids, asks, words):
    """Crossed books and levels of nothing are a ValueError, and the prices stay."""
    with pytest.raises(ValueError, match=words):
        api.engine.set_book("BTCUSDT", bids, asks)
    assert api.order("BUY", "0.010")["status"] == "FILLED"


def test_price_match_counts_the_levels(api, refused):
    """QUEUE_5 and OPPONENT_5 are fifth levels; a book that is not that deep is -5041."""
    five = [(60010 + 10 * place, "0.010") for place in range(5)]
    api.engine.set_book("BTCUSDT", [(59990 - 10 * place, "0.010") for place in range(5)], five)
    order = {"price": None, "timeInForce": "GTC"}
    assert api.limit("BUY", "0.010", priceMatch="QUEUE_5", **order)["price"] == "59950.00"
    assert api.limit("SELL", "0.010", priceMatch="QUEUE", **order)["price"] == "60010.00"
    taken = api.limit("BUY", "0.010", priceMatch="OPPONENT_5", **order)
    assert (taken["price"], taken["status"]) == ("60050.00", "FILLED")
    with refused(-5041, "No depth matches this BBO order"):
        api.limit("BUY", "0.010", priceMatch="QUEUE_10", **order)


@pytest.mark.parametrize(
    ("mode", "taker", "maker"),
    [
        ("EXPIRE_MAKER", "FILLED", "EXPIRED_IN_MATCH"),
        ("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
        ("NONE", "FILLED", "FILLED"),
    ],
)
def test_self_trade_prevention(api, mode, taker, maker):
    """An own order between the best prices meets the own taker first, and the mode says who goes."""
    api.engine.set_prices("BTCUSDT", bid="59900", ask="60100")
    resting = api.limit("SELL", "0.010", "60050")
    placed = api.order("BUY", "0.010", selfTradePreventionMode=mode)
    assert (placed["status"], status_of(api, resting)[0]) == (taker, maker)
    found = {"EXPIRE_MAKER": "0.010", "NONE": "0"}.get(mode, "0")
    assert api.engine.position("BTCUSDT").amount == Decimal(found)


def test_an_own_order_at_the_price_of_others_waits_behind_them(api):
    """What others offer at the same price is taken first, so there is nothing to prevent."""
    api.engine.set_prices("BTCUSDT", bid="59900", ask="60100")
    resting = api.limit("SELL", "0.010", "60100")
    assert api.order("BUY", "0.010")["status"] == "FILLED"
    assert status_of(api, resting)[0] == "NEW"


@pytest.mark.parametrize("closing", ["BUY", "SELL"])
def test_trading_with_oneself_goes_no_further_than_the_position(api, closing):
    """Without prevention, an order that may only reduce takes no more from an own one than it may."""
    api.order("SELL" if closing == "BUY" else "BUY", "0.010")
    api.engine.set_prices("BTCUSDT", bid="59900", ask="60100")
    other = "SELL" if closing == "BUY" else "BUY"
    api.limit(other, "0.050", "60000")
    placed = api.order(closing, "0.030", reduceOnly="true", selfTradePreventionMode="NONE")
    assert placed["executedQty"] == "0.010"


def test_post_only_does_not_take_from_oneself(api, refused):
    """A GTX order that would meet an own order is -5022 like any that would take."""
    api.engine.set_prices("BTCUSDT", bid="59900", ask="60100")
    api.limit("SELL", "0.010", "60050")
    with refused(-5022):
        api.limit("BUY", "0.010", "60060", timeInForce="GTX")


def test_a_walk_takes_every_step(api):
    """A path of prices is taken step by step: a trailing stop sees the top between start and end."""
    api.order("BUY", "0.010")
    placed = api.algo("SELL", "TRAILING_STOP_MARKET", quantity="0.010", callbackRate="1")
    api.engine.walk("BTCUSDT", [61000, "62000", {"last": "61380", "bid": "61370"}])
    assert api.algo_status(placed) == "FINISHED"
    assert fills(api)[-1] == ("61370.00", "0.010", False)


def test_the_commission_of_a_partial_fill_is_paid_per_fill(deep):
    """Each level is a trade of its own with its own commission, exact to eight decimals."""
    deep.order("BUY", "0.030")
    paid = Decimal("0.0005") * (Decimal("0.010") * 60010 + Decimal("0.020") * 60020)
    assert deep.engine.wallet == 10_000 - paid
