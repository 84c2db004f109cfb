"""Events in memory while the spool cannot be written: bounded; the oldest are dropped and counted."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING: Final = 10_000
"""The most events held in memory; beyond it the oldest are dropped."""

AT_ONCE: Final = 2_000
"""Events handed over in one piece: a millisecond or two, in which busy threads add hundreds."""

PATIENCE_S: Final = 1.0
"""The longest that a flush waits for another thread that hands lines over; an append does not wait."""


class Overflow:
    """A bounded queue of lines; thread-safe, and safe in signal handlers."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self._counting = threading.RLock()
        self._handing_over = threading.Lock()
        self.handed_over = 0
        self.dropped = 0
        self.unrecorded = 0

    def __len__(self) -> int:
        return len(self.lines) + self.handed_over

    def keep(self, line: bytes) -> None:
        """Add a line; drop the oldest where there are too many."""
        if len(self.lines) >= MAX_WAITING:
            with contextlib.suppress(IndexError):
                self.lines.popleft()
                self.lose(1)
        self.lines.append(line)

    def lose(self, lines: int) -> None:
        """Count lines as dropped."""
        with self._counting:
            self.dropped += lines
            self.unrecorded += lines

    def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Hand all lines to `take`, oldest first, until it fails; return whether all were taken."""
        while len(self):
            if not self._hand_over_piece(take, PATIENCE_S):
                return False
        return True

    def hand_over_some(self, take: Callable[[bytes], bool]) -> bool:
        """Hand over some lines, without waiting for another thread; return whether none is left."""
        return self._hand_over_piece(take, 0) and not len(self)

    def _hand_over_piece(self, take: Callable[[bytes], bool], patience: float) -> bool:
        # In a signal handler that interrupts this very function, the lock is not had in time either.
        if not self._handing_over.acquire(timeout=patience):
            return False
        taken = False
        lines: list[bytes] = []
        try:
            # These count until they are taken, so that no later line overtakes them.
            self.handed_over = min(AT_ONCE, len(self.lines))
            with contextlib.suppress(IndexError):
                while len(lines) < self.handed_over:
                    lines.append(self.lines.popleft())
            taken = take(b"".join(lines))
        finally:
            if not taken:
                self.lines.extendleft(reversed(lines))
            self.handed_over = 0
            self._handing_over.release()
        return taken

    def mark_recorded(self, lines: int) -> None:
        """Note that the journal itself says by now that these lines were dropped."""
        with self._counting:
            self.unrecorded -= lines
