"""Candles of any interval from those of a minute."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

from .candles import MINUTE, Candle
from .market import Quote
from .state import State

HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: A week begins on a Monday; 1970 began on a Thursday.
MONDAY = 4 * DAY
LENGTHS = {
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": 7 * DAY,
    "1M": 0,
}


def start_of(interval: str, time: int) -> int:
    """Return when the interval around `time` (ms) began."""
    if interval == "1M":
        day = datetime.fromtimestamp(time / 1000, timezone.utc)
        first = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return int(first.timestamp()) * 1000
    shift = MONDAY if interval == "1w" else 0
    return (time - shift) // LENGTHS[interval] * LENGTHS[interval] + shift


def end_of(interval: str, start: int) -> int:
    """Return when the interval that began at `start` ends, which is when the next begins."""
    if interval == "1M":
        return start_of(interval, start + 31 * DAY)
    return start + LENGTHS[interval]


def candles(state: State, symbol: str, interval: str, window: tuple[int, int], limit: int) -> list[Candle]:
    """Return `limit` candles of a window, oldest first; where nothing moved they are flat.

    They are the first of a window that has a beginning, otherwise the newest.
    """
    first, last = window[0], min(window[1], state.now)
    starts: list[int] = []
    if first > last:
        return []
    if first:
        start = start_of(interval, first)
        if start < first:
            start = end_of(interval, start)
        while len(starts) < limit and start <= last:
            starts.append(start)
            start = end_of(interval, start)
        return _filled(state, symbol, interval, starts)
    start = start_of(interval, last)
    while len(starts) < limit and start >= 0:
        starts.append(start)
        start = start_of(interval, start - 1)
    return _filled(state, symbol, interval, starts[::-1])


def day(state: State, symbol: str) -> Candle:
    """Return what the last 24 hours did."""
    minutes = state.candles.list_between(symbol, state.now - DAY, state.now + 1)
    before = state.candles.find_close_before(symbol, state.now - DAY)
    opening = before or (minutes[0].open if minutes else state.quotes[symbol].last)
    whole = Candle(state.now - DAY, opening, opening, opening, opening)
    for minute in minutes:
        whole.merge(minute)
    return whole


def _filled(state: State, symbol: str, interval: str, starts: list[int]) -> list[Candle]:
    if not starts:
        return []
    minutes = state.candles.list_between(symbol, starts[0], end_of(interval, starts[-1]))
    close = state.candles.find_close_before(symbol, starts[0]) or _first_price(state.quotes[symbol], minutes)
    filled, position = [], 0
    for start in starts:
        whole, end = Candle(start, close, close, close, close), end_of(interval, start)
        while position < len(minutes) and minutes[position].start < end:
            whole.merge(minutes[position])
            position += 1
        close = whole.close
        filled.append(whole)
    return filled


def _first_price(quote: Quote, minutes: list[Candle]) -> Decimal:
    return minutes[0].open if minutes else quote.last
