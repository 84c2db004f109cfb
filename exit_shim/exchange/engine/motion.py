"""The steps that a living market takes with time, for the symbols in use."""

from __future__ import annotations

from . import prices
from .candles import MINUTE
from .state import State

SECOND = 1000
#: How often the market of a symbol steps at most for one look at the clock; longer jumps take larger strides.
MOST_STEPS = 600
#: The same for all symbols together.
MOST_STEPS_OF_ALL = 6000


def plan(state: State, time: int) -> None:
    """Plan the steps up to `time` (ms); the very first is due after the usual wait."""
    motion = state.motion
    if not motion.speed:
        return
    motion.wait = max(1, int(SECOND / motion.speed))
    if motion.next_due is None or motion.next_due > time + motion.wait:
        motion.next_due = time + motion.wait
    elif motion.next_due <= time:
        steps = min(MOST_STEPS, max(1, MOST_STEPS_OF_ALL // max(1, len(_list_used(state)))))
        motion.stride = max(1, -(-(time - motion.next_due) // (motion.wait * steps)))


def run_due(state: State) -> None:
    """Take the steps that are due, for symbols in use whose price nobody asked for since."""
    motion, now = state.motion, state.now
    if motion.next_due is None or motion.next_due > now:
        return
    passed = motion.wait * motion.stride
    for symbol in _list_used(state):
        if now - motion.moved.get(symbol, 0) >= motion.wait:
            motion.moved[symbol] = now
            prices.step(state, symbol, motion.stride)
    motion.next_due += passed


def _list_used(state: State) -> list[str]:
    """Return the symbols that are watched, have an order or position, or were asked for of late."""
    motion = state.motion
    recent = {symbol for symbol, asked in motion.asked.items() if state.now - asked <= MINUTE}
    for symbol in motion.asked.keys() - recent:
        del motion.asked[symbol]
    used = recent | state.watched
    used |= {position.symbol for position in state.open_positions()}
    used |= {order.symbol for order in state.orders.open()}
    used |= {algo.symbol for algo in state.algos.open(None)}
    return sorted(used & state.symbols.keys())
