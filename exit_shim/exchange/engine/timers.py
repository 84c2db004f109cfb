"""Timers: countdowns, good-till dates and triggered orders that are due."""

from __future__ import annotations

from .cancels import cancel_all
from .fills import change_status
from .state import State
from .triggers import place_triggered


def next_due(state: State) -> int | None:
    """Return when the next timer is due, in milliseconds; None when none runs."""
    dues = [*state.countdowns.values(), *(at for at, _ in state.triggering)]
    if state.next_date is not None:
        dues.append(state.next_date)
    return min(dues, default=None)


def run_due(state: State) -> None:
    """Do what is due now: countdowns, good-till dates, triggered orders."""
    now = state.now
    for symbol in [symbol for symbol, due in state.countdowns.items() if due <= now]:
        del state.countdowns[symbol]
        cancel_all(state, symbol)
    if state.next_date is not None and state.next_date <= now:
        _expire_dated(state)
    place_triggered(state)


def _expire_dated(state: State) -> None:
    state.next_date = None
    for order in list(state.orders.open()):
        due = order.due
        if due <= state.now:
            change_status(state, order, "EXPIRED")
        else:
            state.note_date(due)


def set_countdown(state: State, symbol: str, duration: int) -> None:
    """Cancel the open orders of a symbol in `duration` milliseconds unless it is set again; 0 stops it."""
    state.symbol(symbol)
    state.countdowns.pop(symbol, None)
    if duration:
        state.countdowns[symbol] = state.now + duration
