"""A lock that can stop nobody for good: not a signal handler, not the child of a fork."""

import contextlib
import os
import threading
import weakref
from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

AT_ONCE: Final = 64
"""How much is taken in before it is folded unasked."""


class ReentrantState:
    """Has a lock for its counts.

    Re-entrant, because a signal handler may place orders amid the same thread's own; and a fresh one in a
    child after `fork`, where a lock that another thread held would never be opened again.
    """

    def __init__(self) -> None:
        self.renew()
        _owners.add(self)

    def renew(self) -> None:
        """Have a lock that nobody holds."""
        self._lock = threading.RLock()


class DeferredAggregate(ReentrantState, Generic[T]):
    """Counts, or something like them, of what is taken in now and folded into them when somebody asks.

    An order pays for an append; the rest is done for many at once, which costs a fraction.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taken: deque[T] = deque()

    def renew(self) -> None:
        """Have a lock that nobody holds, and nobody amid a fold: another thread was, in the parent."""
        super().renew()
        self._is_folding = False

    def take(self, new: T) -> None:
        """Take one in."""
        self._taken.append(new)
        if len(self._taken) >= AT_ONCE:
            with self._lock:
                self._fold_all()

    def _fold_all(self) -> None:
        """Fold in what was taken, in its order; with the lock held, before anything is read.

        Where a signal handler comes here amid this, what it has interrupted goes on with all that is there:
        a fold within a fold would undo the outer or be undone by it.
        """
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


_owners: weakref.WeakSet[ReentrantState] = weakref.WeakSet()


def _renew() -> None:
    for owner in list(_owners):
        owner.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
