"""Events in memory while the spool cannot be written: bounded; the oldest are dropped and counted."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING: Final = 10_000
"""The most events held in memory, besides those being handed over; beyond it the oldest are dropped."""

AT_ONCE: Final = 2_000
"""Events handed over in one piece: a millisecond or two, in which busy threads add hundreds."""

PATIENCE_S: Final = 1.0
"""The longest that a flush waits for another thread that hands lines over; an append does not wait."""


class Overflow:
    """A bounded queue of lines; thread-safe, and safe in signal handlers."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self._piece: list[bytes] = []
        self._counting = threading.RLock()
        self._handing_over = threading.Lock()
        self.is_handing_over = False
        self.dropped = 0
        self.unrecorded = 0

    def __len__(self) -> int:
        return len(self.lines) + len(self._piece)

    def is_empty(self) -> bool:
        """Return whether no line waits or is being handed over."""
        return not (self.lines or self.is_handing_over)

    def keep(self, line: bytes) -> None:
        """Add a line; drop the oldest where there are too many."""
        # Without those being handed over: these are likely taken, and nothing need be lost then.
        if len(self.lines) >= MAX_WAITING:
            self._drop_oldest()
        self.lines.append(line)

    def _drop_oldest(self) -> None:
        with contextlib.suppress(IndexError):
            self.lines.popleft()
            self.lose(1)

    def lose(self, lines: int) -> None:
        """Count lines as dropped."""
        with self._counting:
            self.dropped += lines
            self.unrecorded += lines

    def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Hand all lines to `take`, oldest first, until it fails; return whether all were taken."""
        while not self.is_empty():
            if not self._hand_over_piece(take, PATIENCE_S):
                return False
        return True

    def hand_over_some(self, take: Callable[[bytes], bool]) -> bool:
        """Hand over some lines, without waiting for another thread; return whether none is left."""
        return self._hand_over_piece(take, 0) and self.is_empty()

    def _hand_over_piece(self, take: Callable[[bytes], bool], patience: float) -> bool:
        # In a signal handler that interrupts this very function, the lock is not had in time either.
        if not self._handing_over.acquire(timeout=patience):
            return False
        taken = False
        try:
            # Before `lines` may become empty, so that no later line overtakes these.
            self.is_handing_over = True
            with contextlib.suppress(IndexError):
                while len(self._piece) < AT_ONCE:
                    self._piece.append(self.lines.popleft())
            taken = take(b"".join(self._piece))
        finally:
            self._end_piece(taken=taken)
            self._handing_over.release()
        return taken

    def _end_piece(self, *, taken: bool) -> None:
        piece, self._piece = self._piece, []
        if not taken:
            self.lines.extendleft(reversed(piece))
            # Others have added lines meanwhile.
            for _ in range(len(self.lines) - MAX_WAITING):
                self._drop_oldest()
        self.is_handing_over = False

    def mark_recorded(self, lines: int) -> None:
        """Note that the journal itself says by now that these lines were dropped."""
        with self._counting:
            self.unrecorded -= lines
