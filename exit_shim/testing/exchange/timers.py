"""What happens because time has passed."""

from __future__ import annotations

from .cancelling import cancel_all
from .filling import change_status
from .state import State


def run_due(state: State) -> None:
    """Do what has come due since the last request: countdowns and good-till dates."""
    now = state.now
    for symbol in [symbol for symbol, due in state.countdowns.items() if due <= now]:
        del state.countdowns[symbol]
        cancel_all(state, symbol)
    for order in [order for order in state.orders.open() if 0 < order.good_till_date <= now]:
        change_status(state, order, "EXPIRED")


def set_countdown(state: State, symbol: str, duration: int) -> None:
    """Cancel the open orders of a symbol in `duration` milliseconds unless told again; 0 stops it."""
    state.symbol(symbol)
    state.countdowns.pop(symbol, None)
    if duration:
        state.countdowns[symbol] = state.now + duration
