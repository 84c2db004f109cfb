"""What the exchange will do by itself at a later time, in the order in which it comes due."""

from __future__ import annotations

import heapq

import msgspec

PLACE_CHILD = "place_child"
CONFIRM_TRIGGER = "confirm_trigger"
FINISH_ALGO = "finish_algo"
CANCEL_ORDER = "cancel_order"
CANCEL_ALGO = "cancel_algo"
#: The steps between the reach of a trigger and FINISHED.
OF_TRIGGERS = frozenset({PLACE_CHILD, CONFIRM_TRIGGER, FINISH_ALGO})


def soonest(*times: int | None) -> int | None:
    """Return the first of several times, None when none is given."""
    # A loop: this runs in every operation.
    first: int | None = None
    for time in times:
        if time is not None and (first is None or time < first):
            first = time
    return first


class Step(msgspec.Struct, frozen=True, order=True):
    """One thing to do: when (ms), in which place among those of one time, what, and to which order."""

    at: int
    number: int
    kind: str
    order_id: int


class Schedule:
    """The steps to come, soonest first.

    Args:
        steps: those of a saved exchange.
    """

    def __init__(self, steps: list[Step] | None = None) -> None:
        self._steps = list(steps or ())
        heapq.heapify(self._steps)
        self._made = max((step.number for step in self._steps), default=0)

    def add(self, at: int, kind: str, order_id: int) -> None:
        """Add a step for an order at a time in milliseconds."""
        self._made += 1
        heapq.heappush(self._steps, Step(at, self._made, kind, order_id))

    @property
    def next_due(self) -> int | None:
        """Return when the soonest step is due, in milliseconds; None without any."""
        return self._steps[0].at if self._steps else None

    def next_due_of(self, kinds: frozenset[str]) -> int | None:
        """Return when the soonest step of some kinds is due; None without any."""
        if not self._steps:
            return None
        return min([step.at for step in self._steps if step.kind in kinds], default=None)

    def take_due(self, now: int) -> Step | None:
        """Remove and return the soonest step that is due at `now` (ms), None without any."""
        if self._steps and self._steps[0].at <= now:
            return heapq.heappop(self._steps)
        return None

    def list_steps(self) -> list[Step]:
        """Return every step to come, soonest first."""
        return sorted(self._steps)
