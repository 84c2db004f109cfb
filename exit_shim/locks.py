"""A lock that can stop nobody for good: not a signal handler, not the child of a fork."""

import os
import threading
import weakref


class Locked:
    """Has a lock for its counts.

    Re-entrant, because a signal handler may place orders amid the same thread's own; and a fresh one in a
    child after `fork`, where a lock that another thread held would never be opened again.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _owners.add(self)


_owners: weakref.WeakSet[Locked] = weakref.WeakSet()


def _renew() -> None:
    for owner in list(_owners):
        owner._lock = threading.RLock()  # noqa: SLF001 - the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
