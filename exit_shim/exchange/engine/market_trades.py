"""The trades of a symbol as clients ask for them: those on the tape, and before it those of the past.

Every trade is an aggregate trade of its own: both kinds have the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator

from .candles import DAY, MINUTE
from .history import FIRST_DAY
from .state import State
from .tape import KEPT, LAST_ID_BEFORE, MarketTrade


def list_newest(state: State, symbol: str, limit: int) -> list[MarketTrade]:
    """Return the newest `limit` trades, oldest first."""
    rows = state.tape.list_newest(symbol, limit)
    minute = _last_minute(state)
    # If the tape has dropped trades, there is a gap between it and the past.
    joins = not rows or rows[0].trade_id == LAST_ID_BEFORE + 1
    while joins and len(rows) < limit and minute >= FIRST_DAY * DAY:
        rows = state.history.trades_of(state.symbols[symbol], minute) + rows
        minute -= MINUTE
    return rows[-limit:]


def find_newest(state: State, symbol: str) -> MarketTrade | None:
    """Return the newest trade, None for a symbol that nobody has traded."""
    rows = state.tape.list_newest(symbol, 1)
    return rows[0] if rows else state.history.last_trade(state.symbols[symbol])


def list_from(state: State, symbol: str, trade_id: int, limit: int) -> list[MarketTrade]:
    """Return `limit` trades from an id on, oldest first."""
    rows: list[MarketTrade] = []
    if trade_id <= LAST_ID_BEFORE and _last_minute(state) >= FIRST_DAY * DAY:
        contract = state.symbols[symbol]
        rows = _gather(state, symbol, state.history.find_minute(contract, trade_id), trade_id, limit)
    rows += [trade for trade in state.tape.list_newest(symbol, KEPT) if trade.trade_id >= trade_id]
    return rows[:limit]


def list_between(state: State, symbol: str, start: int, end: int, limit: int) -> list[MarketTrade]:
    """Return the first `limit` trades from `start` to `end` (ms, both included), oldest first."""
    rows: list[MarketTrade] = []
    for trade in _iterate_past(state, symbol, start // MINUTE * MINUTE):
        if trade.time > end or len(rows) >= limit:
            break
        if trade.time >= start:
            rows.append(trade)
    rows += [trade for trade in state.tape.list_newest(symbol, KEPT) if start <= trade.time <= end]
    return rows[:limit]


def _gather(state: State, symbol: str, minute: int, trade_id: int, limit: int) -> list[MarketTrade]:
    rows: list[MarketTrade] = []
    for trade in _iterate_past(state, symbol, minute):
        if len(rows) >= limit:
            break
        if trade.trade_id >= trade_id:
            rows.append(trade)
    return rows


def _iterate_past(state: State, symbol: str, minute: int) -> Iterator[MarketTrade]:
    """Yield the trades of the past from a minute on."""
    minute = max(minute, FIRST_DAY * DAY)
    while minute <= _last_minute(state):
        yield from state.history.trades_of(state.symbols[symbol], minute)
        minute += MINUTE


def _last_minute(state: State) -> int:
    """Return the minute in which the exchange began, the last of the past."""
    return (state.history.start - 1) // MINUTE * MINUTE
