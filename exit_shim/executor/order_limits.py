"""How many orders may still be placed, by the exchange's own count; stops keep a reserve."""

import time
from collections.abc import Callable
from typing import Any, Final

from exit_shim.executor.order_ids import HARD, HARD_QUANTITY
from exit_shim.executor.steps import Amend, Place, Step
from exit_shim.resolving.weight import seconds_in
from exit_shim.runtime.reentrancy import ReentrantState

LIMITS: Final = (("X-MBX-ORDER-COUNT-10S", 10, 300), ("X-MBX-ORDER-COUNT-1M", 60, 1_200))
"""The header of each limit, its window in seconds, and how many orders an account may place in it."""

RESERVE: Final = 0.2
"""The part of each limit that only hard stops may use."""


class OrderLimits(ReentrantState):
    """Count the orders of an account; thread-safe.

    Args:
        wall: Seconds since the epoch; the exchange counts by the windows of its clock.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._wall = wall
        self._counts: dict[str, tuple[int, int]] = {}

    def heed(self, answer: Any) -> None:
        """Learn from an answer's headers how many orders were placed."""
        with self._lock:
            for header, window, _ in LIMITS:
                count = int(seconds_in(answer, header))
                if count:
                    self._counts[header] = int(self._wall() // window), count

    def may_send(self, step: Step) -> bool:
        """Return whether a step may be sent: hard stops always, others while they leave the reserve."""
        if not isinstance(step, Place | Amend) or step.leg in {HARD, HARD_QUANTITY}:
            return True
        with self._lock:
            return all(self._used(header, window) < limit * (1 - RESERVE) for header, window, limit in LIMITS)

    def _used(self, header: str, window: int) -> int:
        seen, count = self._counts.get(header, (0, 0))
        return count if seen == int(self._wall() // window) else 0
