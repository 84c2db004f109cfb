"""How much of a position its stops protect, and what a pass reports. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

from exit_shim.guard.exchange_snapshot import TRAILING, OpenOrder, guarded

if TYPE_CHECKING:
    from exit_shim.executor.steps import Step

State = Literal[
    "PROTECTED", "MOVING", "UNPROTECTED", "CLOSING", "FLAT", "SWEEPING", "UNKNOWN", "NO_PLAN", "HANDS_OFF"
]
"""PROTECTED: as planned. MOVING: covered, and something is left to do. UNPROTECTED: stops do not cover the
position. UNKNOWN: the exchange could not be read. HANDS_OFF: paused, or another executor is at work."""


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass found and did for one position.

    Attributes:
        account: The account's label.
        symbol: The symbol.
        position_side: As the exchange has it: BOTH, LONG or SHORT.
        state: How it is now.
        size: The size of the position.
        guarded: How much of it stops close.
        bare_since: Since when it lacks cover, in ms since the epoch; None while it is covered.
        steps: What was done, in order; of a dry run, what would be.
        next_step: What is waited for, or comes next; None where nothing is left to do.
        plan_id: The plan in force.
        revision: Its revision.
        problem: What is wrong, and what to do; None where nothing is.
    """

    account: str | None
    symbol: str
    position_side: str
    state: State
    size: Decimal = Decimal(0)
    guarded: Decimal = Decimal(0)
    bare_since: int | None = None
    steps: "tuple[Step, ...]" = ()
    next_step: str | None = None
    plan_id: str | None = None
    revision: int | None = None
    problem: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nobody has to do anything: it is flat, or covered as planned."""
        return self.state in {"PROTECTED", "MOVING", "FLAT", "SWEEPING"} and self.problem is None


def is_covered(stops: Sequence[OpenOrder], size: Decimal) -> bool:
    """Return whether stops close the whole position, in whatever order they fire."""
    return size > 0 and best_guarded(stops, size) >= size


def best_guarded(stops: Sequence[OpenOrder], size: Decimal) -> Decimal:
    """Return how much of a position stops close, at most its size."""
    if any(stop.close_position for stop in stops):
        return size
    # In hedge mode a stop on more than is left is refused as it fires, and when a trailing one fires is not
    # known: it may be the first.
    trailing = [stop for stop in stops if stop.type == TRAILING]
    first = sum((stop.quantity or Decimal(0) for stop in trailing), Decimal(0))
    rest = [stop for stop in stops if stop.type != TRAILING]
    behind = min(size, first) + guarded(rest, max(Decimal(0), size - first))
    return min(size, guarded(list(stops), size), behind)


def guarded_at(level: Decimal, stops: Sequence[OpenOrder], size: Decimal) -> Decimal:
    """Return how much of a position the stops close that fire no later than one at a level.

    Where a trailing stop fires is not known: its row has no trigger price.
    """
    return best_guarded([stop for stop in stops if _fires_by(stop, level)], size)


def _fires_by(stop: OpenOrder, level: Decimal) -> bool:
    if stop.trigger is None or stop.type == TRAILING:
        return False
    return stop.trigger >= level if stop.side == "SELL" else stop.trigger <= level
