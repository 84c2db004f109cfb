"""Provide locks that cannot block a signal handler or the child of a fork."""

import contextlib
import threading
from collections import deque
from typing import Final, Generic, TypeVar

from exit_shim.runtime.process_hooks import ProcessAware

T = TypeVar("T")

AT_ONCE: Final = 64
"""How many updates may be queued before they are applied unasked."""


class ReentrantState(ProcessAware):
    """Keep state behind a lock that a signal handler may take and a child of a fork gets anew."""

    def __init__(self) -> None:
        self.renew()
        super().__init__()

    def renew(self) -> None:
        """Make a lock that nobody holds."""
        # Re-entrant: a signal handler may place an order while the same thread is inside the lock.
        self._lock = threading.RLock()

    def renew_after_fork(self) -> None:
        """Begin as in a new process."""
        # A lock that another thread of the parent held would never be opened in the child.
        self.renew()


class DeferredAggregate(ReentrantState, Generic[T]):
    """Queue updates of an aggregate, and apply them on read.

    An order pays for one append; many updates applied together cost a fraction of as many single ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taken: deque[T] = deque()

    def renew(self) -> None:
        """Make a lock that nobody holds; no update is being applied."""
        super().renew()
        self._is_folding = False

    def take(self, new: T) -> None:
        """Queue an update."""
        self._taken.append(new)
        if len(self._taken) >= AT_ONCE:
            with self._lock:
                self._fold_all()

    def _fold_all(self) -> None:
        """Apply the queued updates in their order; call it with the lock held, before anything is read."""
        # A signal handler may come here while the thread that it interrupted applies updates. That one goes
        # on with everything in the queue afterwards; two at once would undo each other's work.
        if self._is_folding:
            return
        self._is_folding = True
        try:
            with contextlib.suppress(IndexError):
                while True:
                    self._fold(self._taken.popleft())
        finally:
            self._is_folding = False

    def _fold(self, new: T) -> None:
        raise NotImplementedError
