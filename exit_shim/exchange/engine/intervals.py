"""Candles of any interval from those of a minute."""

from __future__ import annotations

from datetime import datetime, timezone

from .candles import DAY, HOUR, MINUTE, Candle
from .history import make_candle
from .history_split import Row, merge
from .state import State
from .symbols import ONBOARDED, Symbol

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

    They are the first of a window that has a beginning, otherwise the newest. None is older than the day on
    which the symbols began to be traded, or the exchange when that is earlier.
    """
    onboarded = min(ONBOARDED, state.history.start)
    first, last = window[0], min(window[1], state.now)
    earliest = start_of(interval, onboarded)
    starts: list[int] = []
    if first > last:
        return []
    if first:
        start = start_of(interval, max(first, onboarded))
        if earliest < start < first:
            start = end_of(interval, start)
        while len(starts) < limit and start <= last:
            starts.append(start)
            start = end_of(interval, start)
        return _list_candles(state, symbol, interval, starts)
    start = start_of(interval, last)
    while len(starts) < limit and start >= earliest:
        starts.append(start)
        start = start_of(interval, start - 1)
    return _list_candles(state, symbol, interval, starts[::-1])


def day(state: State, symbol: str) -> Candle:
    """Return what the last 24 hours did."""
    return merge_since(state, symbol, state.now - DAY)


def merge_since(state: State, symbol: str, start: int) -> Candle:
    """Return everything from `start` (ms) until now as one candle."""
    contract = state.symbols[symbol]
    past = state.history.merge_between(contract, start, state.now + 1)
    if past is None:
        close = state.candles.find_close_before(symbol, start) or state.quotes.opening(symbol)
        whole = Candle(start, close, close, close, close)
    else:
        whole = make_candle(contract, start, past)
    for minute in state.candles.list_between(symbol, start, state.now + 1):
        whole.merge(minute)
    return whole


def _list_candles(state: State, symbol: str, interval: str, starts: list[int]) -> list[Candle]:
    if not starts:
        return []
    contract, end = state.symbols[symbol], end_of(interval, starts[-1])
    past = _list_past(state, contract, interval, starts)
    minutes = state.candles.list_between(symbol, starts[0], end)
    close = state.candles.find_close_before(symbol, starts[0]) or state.quotes.opening(symbol)
    listed, position = [], 0
    for start in starts:
        whole = past.get(start) or Candle(start, close, close, close, close)
        end = end_of(interval, start)
        while position < len(minutes) and minutes[position].start < end:
            whole.merge(minutes[position])
            position += 1
        close = whole.close
        listed.append(whole)
    return listed


def _list_past(state: State, symbol: Symbol, interval: str, starts: list[int]) -> dict[int, Candle]:
    """Return the candles of the time before the exchange began, by their start."""
    length = LENGTHS[interval]
    unit = MINUTE if 0 < length < HOUR else HOUR if 0 < length < DAY else DAY
    rows = state.history.iterate(symbol, unit, starts[0], end_of(interval, starts[-1]))
    if length == unit:
        return {start: make_candle(symbol, start, row) for start, row in rows}
    grouped: dict[int, list[Row]] = {}
    for start, row in rows:
        grouped.setdefault(start_of(interval, start), []).append(row)
    return {start: make_candle(symbol, start, merge(parts)) for start, parts in grouped.items()}
