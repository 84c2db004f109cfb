"""The time after which closed orders are forgotten, so that memory stays bounded.

Orders cancelled or expired without a fill are gone 3 days after they were made, all others 90 days after
(Query Order documentation). Beyond a limit, those that are due next are forgotten early.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

DAY = 24 * 60 * 60 * 1000
UNFILLED = 3 * DAY
LONGEST = 90 * DAY
#: Closed orders, conditional orders and trades that are kept of each by default.
KEPT = 100_000


class Aging:
    """Closed orders of one kind, ordered by the time at which the exchange forgets them.

    Args:
        forget: called with the id of each order to forget.
        kept: how many are kept at most.
    """

    def __init__(self, forget: Callable[[int], None], kept: int = KEPT) -> None:
        self._forget = forget
        self._kept = kept
        self._closed: list[tuple[int, int]] = []

    def close(self, made: int, key: int, *, filled: bool) -> None:
        """Remember one that has closed; `made` is when it was made, in milliseconds."""
        heapq.heappush(self._closed, (made + (LONGEST if filled else UNFILLED), key))

    def run(self, now: int) -> None:
        """Forget what is due at `now` (ms), and what exceeds the limit."""
        while self._closed and (self._closed[0][0] < now or len(self._closed) > self._kept):
            self._forget(heapq.heappop(self._closed)[1])
