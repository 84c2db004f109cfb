"""Where events wait while the spool takes nothing: bounded, the oldest go first, and what goes is counted."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING: Final = 10_000
"""Events held in memory; beyond it the oldest are dropped and counted."""


class Memory:
    """Lines in their order; thread-safe, and never in a signal handler's way."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._lock = threading.RLock()
        self.dropped = 0
        self.untold = 0

    def __len__(self) -> int:
        return len(self._lines)

    def keep(self, line: bytes) -> None:
        """Add a line; where there are too many the oldest is lost."""
        if len(self._lines) >= MAX_WAITING:
            with self._lock, contextlib.suppress(IndexError):
                self._lines.popleft()
                self.dropped += 1
                self.untold += 1
        self._lines.append(line)

    def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Give the lines away, oldest first, for as long as they are taken; whether all were.

        A line leaves only once it is taken, so that none that comes meanwhile gets in front of it.
        """
        while self._lines:
            with self._lock:
                if self._lines and not take(self._lines[0]):
                    return False
                with contextlib.suppress(IndexError):
                    self._lines.popleft()
        return True

    def told(self) -> int:
        """How many were dropped since this was last asked."""
        with self._lock:
            untold, self.untold = self.untold, 0
        return untold
