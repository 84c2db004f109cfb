"""The past of a symbol: a year and more of candles and trades that agree with each other."""

import itertools
import math
from decimal import Decimal
from statistics import pstdev

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from exit_shim.exchange.engine.candles import DAY, HOUR, MINUTE
from exit_shim.exchange.engine.intervals import LENGTHS, candles, day, start_of
from exit_shim.exchange.engine.market_trades import list_between, list_from, list_newest
from exit_shim.exchange.engine.symbols import DEFAULT_SYMBOLS, ONBOARDED
from exit_shim.testing import Exchange, StaticMarket

START = 1_790_000_000_000
NAMES = [symbol.name for symbol in (*DEFAULT_SYMBOLS[:4], DEFAULT_SYMBOLS[-1])]


def make_state(start=START, **options):
    engine = Exchange(clock=lambda: start, **options)
    engine.run_due()
    return engine.state


def ask(state, interval, start=0, end=START, limit=1500, symbol="BTCUSDT"):
    return candles(state, symbol, interval, (start, end), limit)


def merged(rows):
    whole = rows[0]
    for row in rows[1:]:
        whole.merge(row)
    return whole


def check_candle(row, symbol):
    """A candle is one that trades on the tick can make."""
    assert row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high
    assert all(price % symbol.tick == 0 for price in (row.open, row.high, row.low, row.close))
    assert row.volume % symbol.step == 0
    assert row.low * row.volume <= row.quote_volume <= row.high * row.volume
    assert 0 <= row.taker_volume <= row.volume
    assert 0 <= row.taker_quote_volume <= row.quote_volume
    assert row.trades * symbol.step <= row.volume


@settings(max_examples=examples(25), deadline=None)
@given(
    seed=st.integers(0, 10**6),
    start=st.integers(ONBOARDED + 3 * DAY, START),
    symbol=st.sampled_from(DEFAULT_SYMBOLS),
    price=st.integers(200, 10**6),
    ago=st.integers(0, 200),
    interval=st.sampled_from(["15m", "1h", "4h", "1d", "3d"]),
)
def test_every_interval_agrees_with_the_minutes(seed, start, symbol, price, ago, interval):
    """A candle of any interval is that of its minutes, to the last digit, at any price, seed and start."""
    opening = (symbol.tick * price).normalize()
    state = make_state(start, seed=seed, symbols=[symbol], market=StaticMarket({symbol.name: opening}))
    begin = start_of(interval, max(start - ago * LENGTHS[interval], ONBOARDED + 2 * DAY))
    (whole,) = ask(state, interval, begin, start, 1, symbol.name)
    minutes = ask(state, "1m", begin, start, LENGTHS[interval] // MINUTE, symbol.name)
    for row in (whole, *minutes):
        check_candle(row, symbol)
        assert row.low >= min(symbol.min_price, state.quotes[symbol.name].last)
    assert [later.open for later in minutes[1:]] == [row.close for row in minutes[:-1]]
    assert merged(minutes) == whole


@pytest.mark.parametrize("interval", ["1w", "1M"])
def test_weeks_and_months_agree_with_their_days(interval):
    """A week and a month are their days."""
    state = make_state()
    (whole,) = ask(state, interval, start_of(interval, START - 90 * DAY), limit=1)
    days = ask(state, "1d", whole.start, start_of(interval, whole.start + 32 * DAY) - 1 if interval == "1M"
               else whole.start + 7 * DAY - 1)  # fmt: skip
    assert merged(days) == whole


@pytest.mark.parametrize("name", NAMES)
def test_the_past_ends_at_the_opening_price(name):
    """The newest candle of each interval closes at the price of the moment."""
    state = make_state()
    for interval in LENGTHS:
        assert ask(state, interval, limit=1, symbol=name)[0].close == state.quotes[name].last


def test_the_past_is_the_same_however_it_is_asked():
    """Order, windows and limits of requests change nothing."""
    forwards, backwards = make_state(), make_state()
    begin = START - 40 * HOUR
    wanted = ask(forwards, "5m", begin, START)
    ask(backwards, "1d", limit=900)
    list_newest(backwards, "BTCUSDT", 10)
    pieces = [
        ask(backwards, "5m", at, at + 5 * MINUTE - 1) for at in range(wanted[-1].start, begin, -5 * MINUTE)
    ]
    assert [row for piece in reversed(pieces) for row in piece] == wanted


def test_seeds_and_symbols_have_pasts_of_their_own():
    """Another seed draws another past, and no two symbols move alike."""
    moves = [
        tuple(row.close / row.open for row in ask(make_state(seed=seed), "1d", limit=5, symbol=name))
        for seed, name in ((1, "BTCUSDT"), (2, "BTCUSDT"), (1, "ETHUSDT"))
    ]
    assert len(set(moves)) == 3
    assert ask(make_state(seed=1), "1m", limit=9) == ask(make_state(seed=1), "1m", limit=9)


def test_from_the_beginning_on():
    """The first candle of every interval is the one in which the symbols began to be traded."""
    state = make_state()
    for interval in LENGTHS:
        assert ask(state, interval, ONBOARDED, limit=1)[0].start == start_of(interval, ONBOARDED)
    assert len(ask(state, "1M", limit=500)) == 85


@pytest.mark.parametrize("name", NAMES)
def test_the_past_is_plausible(name):
    """Prices move by some percent a day, not by much less or more, and volume is that of a market."""
    year = ask(make_state(), "1d", limit=365, symbol=name)
    assert 0.015 < pstdev(math.log(row.close / row.open) for row in year) < 0.08
    turnover = sorted(row.quote_volume for row in year)
    assert 5 * 10**6 < turnover[len(year) // 2] < 10**10
    assert turnover[-1] > 3 * turnover[len(year) // 2]


def relative_strength(closes, length=14):
    steps = [after - before for before, after in itertools.pairwise(closes)]
    for at in range(length, len(steps) + 1):
        rises = sum(step for step in steps[at - length : at] if step > 0)
        falls = -sum(step for step in steps[at - length : at] if step < 0)
        yield 100 * rises / (rises + falls)


def mean(values):
    return sum(values) / len(values)


@pytest.mark.parametrize("interval", ["5m", "1h", "1d"])
def test_indicators_fire(interval):
    """RSI leaves 30 to 70 both ways, averages cross, bands break and volume spikes."""
    rows = ask(make_state(), interval, limit=500)
    closes = [float(row.close) for row in rows]
    strengths = list(relative_strength(closes))
    assert min(strengths) < 30
    assert max(strengths) > 70
    above = [mean(closes[at - 9 : at]) > mean(closes[at - 21 : at]) for at in range(21, len(closes))]
    assert sum(one != other for one, other in itertools.pairwise(above)) > 10
    outside = [
        abs(closes[at] - mean(closes[at - 20 : at])) > 2 * pstdev(closes[at - 20 : at])
        for at in range(20, len(closes))
    ]
    assert 10 < sum(outside) < len(outside) / 2
    volumes = [float(row.volume) for row in rows]
    assert any(volumes[at] > 2 * mean(volumes[at - 20 : at]) for at in range(20, len(volumes)))


def test_the_last_day_is_its_minutes():
    """The 24-hour figures are the minutes of these 24 hours."""
    state = make_state()
    minutes = ask(state, "1m", START - DAY)
    found, wanted = day(state, "BTCUSDT"), merged(minutes)
    assert (found.open, found.high, found.low, found.close) == (
        wanted.open,
        wanted.high,
        wanted.low,
        wanted.close,
    )
    assert (found.volume, found.quote_volume, found.trades) == (
        wanted.volume,
        wanted.quote_volume,
        wanted.trades,
    )


def test_the_present_goes_on_from_the_past(api):
    """Nothing moves in a minute without a change; a jump leaves flat minutes, and the past as it was."""
    before = api.get("klines", symbol="BTCUSDT", interval="1m", limit=500)
    api.clock.advance(30 * DAY)
    rows = api.get("klines", symbol="BTCUSDT", interval="1d", limit=31)
    assert [row[4] for row in rows] == ["60000.00"] * 31
    assert [row[5] for row in rows[1:]] == ["0.000"] * 30
    start = before[0][0]
    again = api.get("klines", symbol="BTCUSDT", interval="1m", limit=500, startTime=start)
    assert again == before
    assert Decimal(api.get("ticker/24hr", symbol="BTCUSDT")["priceChange"]) == 0


def test_a_saved_exchange_has_the_same_past(api):
    """Seed, start and opening prices are saved: a copy has the same candles and trades, much later too."""
    api.engine.set_mark("BTCUSDT", "61000")
    api.order("BUY", "0.010")
    api.clock.advance(3 * HOUR)
    api.engine.run_due()
    copy = Exchange.parse(api.engine.dump(), clock=api.clock)
    copy.run_due()
    for interval in ("1m", "1h", "1d"):
        wanted = ask(api.engine.state, interval, end=api.clock.now, limit=300)
        assert ask(copy.state, interval, end=api.clock.now, limit=300) == wanted
    assert list_newest(copy.state, "BTCUSDT", 100) == list_newest(api.engine.state, "BTCUSDT", 100)


@settings(max_examples=examples(20), deadline=None)
@given(ago=st.integers(0, 2000), symbol=st.sampled_from(NAMES), seed=st.integers(0, 1000))
def test_the_trades_of_a_past_minute_are_its_candle(ago, symbol, seed):
    """Open, high, low, close, volume, what takers bought and the number of trades are those of the candle."""
    state = make_state(seed=seed)
    minute = (START - ago * 37 * MINUTE) // MINUTE * MINUTE
    (row,) = ask(state, "1m", minute, START, 1, symbol)
    trades = list_between(state, symbol, minute, minute + MINUTE - 1, 10_000)
    prices = [trade.price for trade in trades]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (row.open, row.high, row.low, row.close)
    assert sum(trade.quantity for trade in trades) == row.volume
    assert sum(trade.quantity for trade in trades if not trade.buyer_is_maker) == row.taker_volume
    assert len(trades) == row.trades
    assert min(trade.quantity for trade in trades) > 0
    assert sorted(trade.time for trade in trades) == [trade.time for trade in trades]


def test_trade_ids_have_no_gap(api):
    """Ids count through hours, days and into the present, however trades are asked for."""
    api.order("BUY", "0.010")
    api.engine.set_mark("BTCUSDT", "60500")
    state = api.engine.state
    newest = list_newest(state, "BTCUSDT", 20_000)
    ids = [trade.trade_id for trade in newest]
    assert ids == list(range(ids[0], ids[0] + 20_000))
    assert list_from(state, "BTCUSDT", ids[50], 19_000) == newest[50:19_050]
    assert list_from(state, "BTCUSDT", ids[-1], 10) == newest[-1:]
    window = list_between(state, "BTCUSDT", newest[7].time, newest[-1].time, 30_000)
    assert window[-1] == newest[-1]
    assert newest[7] in window
    assert newest[-1].price == 60500
    assert list_from(state, "BTCUSDT", 1, 1)[0].time // DAY == ONBOARDED // DAY
