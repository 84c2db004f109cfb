"""Timers: countdowns, good-till dates and scheduled steps that are due."""

from __future__ import annotations

from collections.abc import Callable

from .cancels import cancel_all, take_away, take_away_algo
from .fills import change_status
from .schedule import CANCEL_ALGO, CANCEL_ORDER, CONFIRM_TRIGGER, FINISH_ALGO, PLACE_CHILD, soonest
from .state import State
from .triggers import confirm_trigger, finish, place_triggered

_DO: dict[str, Callable[[State, int], None]] = {
    PLACE_CHILD: place_triggered,
    CONFIRM_TRIGGER: confirm_trigger,
    FINISH_ALGO: finish,
    CANCEL_ORDER: take_away,
    CANCEL_ALGO: take_away_algo,
}


def next_due(state: State) -> int | None:
    """Return when the next timer is due, in milliseconds; None when none runs."""
    due = soonest(state.next_date, state.schedule.next_due)
    return soonest(due, *state.countdowns.values()) if state.countdowns else due


def run_due(state: State) -> None:
    """Do what is due now: countdowns, good-till dates, scheduled steps."""
    now = state.now
    for symbol in [symbol for symbol, due in state.countdowns.items() if due <= now]:
        del state.countdowns[symbol]
        cancel_all(state, symbol)
    if state.next_date is not None and state.next_date <= now:
        _expire_dated(state)
    while (step := state.schedule.take_due(now)) is not None:
        _DO[step.kind](state, step.order_id)


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
