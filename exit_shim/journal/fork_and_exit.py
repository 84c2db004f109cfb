"""Close and reopen journals around a fork, and close them when the process ends."""

import atexit
import os
import sqlite3
import sys
import threading
import weakref
from typing import Final, Protocol

FORK_S: Final = 1.0
"""The longest that a fork waits for a thread to leave SQLite."""


class ForkedJournal(Protocol):
    """What forks and exits need of a journal."""

    def close_for_fork(self, held: list[threading.Lock]) -> None:
        """Close the database until after the fork; add the lock that keeps it closed to `held`."""

    def abandon(self) -> None:
        """Begin a new run in the child of a fork."""

    def end(self) -> None:
        """Append the end of the run."""

    def close(self) -> None:
        """Copy what waits and close the files."""


def is_running(pid: int) -> bool:
    """Return whether a process of this number may be running; on Windows always True."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


journals: weakref.WeakSet[ForkedJournal] = weakref.WeakSet()
inherited: list[sqlite3.Connection] = []
checkpointing = threading.Lock()
exiting = threading.Event()
_held: list[threading.Lock] = []
_children: set[int] = set()


def _before_fork() -> None:
    # A thread inside SQLite during the fork would leave its mutexes locked in the child.
    for journal in list(journals):
        journal.close_for_fork(_held)
    if checkpointing.acquire(timeout=FORK_S):
        _held.append(checkpointing)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()
    for journal in list(journals):
        journal.abandon()


def close_at_exit_of_a_child() -> None:
    """Close journals when a child of `multiprocessing` ends, which skips `atexit`."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and os.getpid() not in _children:
        _children.add(os.getpid())
        util.Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    for journal in list(journals):
        journal.end()
        journal.close()


def _close_at_exit() -> None:
    # From here on threads may not run: events are written on the thread that appends them.
    exiting.set()
    _close_all()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
