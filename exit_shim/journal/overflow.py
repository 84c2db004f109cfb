"""Where events wait while the spool takes nothing: bounded, the oldest go first, and what goes is counted."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING: Final = 10_000
"""Events held in memory; beyond it the oldest are dropped and counted."""

AT_ONCE: Final = 2_000
"""Events that are given away in one piece, in a millisecond or two; busy threads add hundreds meanwhile."""

PATIENCE_S: Final = 1.0
"""The longest that one thread waits for another that is giving lines away; no order waits for it."""


class Overflow:
    """Lines in their order; thread-safe, and never in a signal handler's way."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._counting = threading.RLock()
        self._giving = threading.Lock()
        self._giver: int | None = None
        self._given = 0
        self.dropped = 0
        self.untold = 0

    def __len__(self) -> int:
        return len(self._lines) + self._given

    def keep(self, line: bytes) -> None:
        """Add a line; where there are too many the oldest is lost. Waits for nobody's files."""
        if len(self._lines) >= MAX_WAITING:
            with contextlib.suppress(IndexError):
                self._lines.popleft()
                self.lose(1)
        self._lines.append(line)

    def lose(self, lines: int) -> None:
        """Count lines that are nowhere any more."""
        with self._counting:
            self.dropped += lines
            self.untold += lines

    def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Give the lines away, oldest first, for as long as they are taken; whether all were.

        A line counts until it is taken, so that none that comes meanwhile gets in front of it.
        """
        while len(self):
            if not self._hand_over_some(take, PATIENCE_S):
                return False
        return True

    def help_out(self, take: Callable[[bytes], bool]) -> bool:
        """Give some lines away, and wait for nobody who is at it; whether none is left."""
        return self._hand_over_some(take, 0) and not len(self)

    def _hand_over_some(self, take: Callable[[bytes], bool], patience: float) -> bool:
        me = threading.get_ident()
        if self._giver == me or not self._giving.acquire(timeout=patience):
            return False
        self._giver, taken = me, False
        lines: list[bytes] = []
        try:
            self._given = min(AT_ONCE, len(self._lines))
            with contextlib.suppress(IndexError):
                while len(lines) < self._given:
                    lines.append(self._lines.popleft())
            taken = take(b"".join(lines))
        finally:
            if not taken:
                self._lines.extendleft(reversed(lines))
            self._given, self._giver = 0, None
            self._giving.release()
        return taken

    def told(self, lines: int) -> None:
        """The record itself says by now that so many were dropped."""
        with self._counting:
            self.untold -= lines
