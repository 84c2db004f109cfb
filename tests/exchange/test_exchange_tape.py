"""The tape: every change of price is a trade, and klines, figures, depth and prices agree with it."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exit_shim.exchange.engine.events import MarketTradeEvent
from exit_shim.exchange.engine.market_trades import list_between, list_newest
from exit_shim.exchange.engine.orders import NewOrder
from exit_shim.exchange.ws.addresses import StreamMarket
from exit_shim.exchange.ws.payloads import candle_event
from exit_shim.exchange.ws.stream_names import Stream
from exit_shim.testing import Exchange, WalkingMarket

MINUTE = 60_000


def tape(api, symbol="BTCUSDT"):
    return api.engine.state.tape.list_newest(symbol, 1000)


def test_a_change_of_price_is_a_trade_of_others(api):
    """A rise is bought, a fall is sold, and a price that stays is no trade; each is an event."""
    heard = []
    api.engine.feed.listeners.append(heard.append)
    for price in ("60100", "60100", "60050"):
        api.engine.set_mark("BTCUSDT", price)
    assert [(trade.price, trade.buyer_is_maker) for trade in tape(api)] == [(60100, False), (60050, True)]
    assert [event.trade for event in heard if isinstance(event, MarketTradeEvent)] == tape(api)
    assert min(trade.quantity for trade in tape(api)) > 0


def test_own_fills_are_on_the_tape(api):
    """An order that takes is the taker's side, one that rests the other's."""
    api.order("BUY", "0.010")
    api.limit("BUY", "0.020", "59000")
    api.engine.trade("BTCUSDT", "59000", "0.050")
    rows = [(trade.price, trade.quantity, trade.buyer_is_maker) for trade in tape(api)]
    assert rows == [
        (60000, Decimal("0.010"), False), (59000, Decimal("0.020"), True), (59000, Decimal("0.030"), True),
    ]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(st.sampled_from(["ask", "buy", "wait"]), min_size=1, max_size=60))
def test_the_minutes_are_the_tape(steps):
    """Volume, what takers bought and the number of trades of live minutes are those on the tape."""
    now = 1_790_000_040_000  # a minute begins
    engine = Exchange(clock=lambda: now, market=WalkingMarket(seed=1), speed=0)
    engine.run_due()
    for number, step in enumerate(steps):
        if step == "wait":
            now += 20_000
        elif step == "ask":
            engine.ask_price("BTCUSDT")
        else:
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": Decimal("0.002")}
            engine.place_order(NewOrder(client_id=f"b{number}", **order))
    state = engine.state
    for minute in state.candles.rows.get("BTCUSDT", []):
        trades = list_between(state, "BTCUSDT", minute.start, minute.start + MINUTE - 1, 1000)
        assert len(trades) == minute.trades
        assert sum(trade.quantity for trade in trades) == minute.volume
        assert sum(trade.quantity for trade in trades if not trade.buyer_is_maker) == minute.taker_volume
        assert all(minute.low <= trade.price <= minute.high for trade in trades)


def test_the_newest_figures_agree(api):
    """Last price, newest candle and newest trade are one price, with its quantity and id."""
    api.engine.set_mark("BTCUSDT", "60123.4")
    day = api.get("ticker/24hr", symbol="BTCUSDT")
    newest = list_newest(api.engine.state, "BTCUSDT", 1)[0]
    minute = api.get("klines", symbol="BTCUSDT", interval="1m", limit=1)[0]
    assert day["lastPrice"] == minute[4] == api.get("ticker/price", symbol="BTCUSDT")["price"] == "60123.40"
    assert (newest.price, newest.trade_id) == (Decimal("60123.4"), day["lastId"])
    assert Decimal(day["lastQty"]) == newest.quantity


def test_an_own_fill_leaves_the_last_price(make_api):
    """The close of a minute that begins with an own fill is the last price, also with a spread."""
    api = make_api(spread=1)
    api.engine.run_due()
    api.clock.now += 2 * MINUTE
    api.order("BUY", "0.010")
    opened, high, _, close = api.get("klines", symbol="BTCUSDT", interval="1m", limit=1)[0][1:5]
    assert (opened, high, close) == ("60000.00", "60000.10", "60000.00")
    assert api.get("ticker/24hr", symbol="BTCUSDT")["lastPrice"] == close
    assert api.get("ticker/price", symbol="BTCUSDT")["price"] == close


def test_a_closed_candle_names_its_own_trades(api):
    """The ids of a candle's event are those of its trades, also once the next candle has some."""
    api.engine.run_due()
    start = api.clock.now = (api.clock.now // MINUTE + 2) * MINUTE
    for _ in range(3):
        api.order("BUY", "0.010")
        api.order("BUY", "0.010")
        api.clock.now += MINUTE
    stream = Stream("btcusdt@kline_1m", StreamMarket.USD_M, "kline", "BTCUSDT", "1m")
    ids = [candle_event(api.engine.state, stream, start + place * MINUTE)["k"] for place in range(3)]
    first = tape(api)[0].trade_id
    assert [(row["f"] - first, row["L"] - first, row["n"]) for row in ids] == [
        (0, 1, 2),
        (2, 3, 2),
        (4, 5, 2),
    ]


def test_a_trade_with_oneself_is_one_trade(api):
    """Without self-trade prevention both orders fill, and the market sees the one trade that it is."""
    api.engine.set_prices("BTCUSDT", bid="59900", ask="60100")
    api.limit("SELL", "0.010", "60050")
    api.order("BUY", "0.010", selfTradePreventionMode="NONE")
    assert len(api.get("userTrades", symbol="BTCUSDT")) == 2
    (row,) = tape(api)
    assert (row.price, row.quantity, row.buyer_is_maker) == (60050, Decimal("0.010"), False)
    assert api.get("klines", symbol="BTCUSDT", interval="1m", limit=1)[0][8] >= 1


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_depth_thins_out_and_agrees_with_the_best_prices(make_api, symbol):
    """Levels vary, are on the tick and step, and begin with bookTicker's; they stay while the price stays."""
    api = make_api(spread=1)
    found = api.get("depth", symbol=symbol, limit=100)
    best = api.get("ticker/bookTicker", symbol=symbol)
    assert found["bids"][0] == [best["bidPrice"], best["bidQty"]]
    assert found["asks"][0] == [best["askPrice"], best["askQty"]]
    contract = api.engine.state.symbols[symbol]
    for side, away in (("bids", -1), ("asks", 1)):
        prices = [Decimal(price) for price, _ in found[side]]
        sizes = [Decimal(size) for _, size in found[side]]
        assert prices == sorted(prices, reverse=away < 0)
        assert len(set(prices)) == 100
        assert len(set(sizes)) > 50
        assert all(price % contract.tick == 0 for price in prices)
        assert all(size % contract.step == 0 and size > 0 for size in sizes)
        assert 1_000 < sum(price * size for price, size in zip(prices, sizes, strict=True)) / 100 < 10**8
    assert api.get("depth", symbol=symbol, limit=20)["bids"] == found["bids"][:20]
    api.engine.set_mark(symbol, contract.start * 2)
    assert api.get("depth", symbol=symbol, limit=5)["bids"] != found["bids"][:5]
