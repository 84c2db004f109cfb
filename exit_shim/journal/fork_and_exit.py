"""What becomes of journals when the process forks or ends."""

import atexit
import os
import sqlite3
import sys
import threading
import weakref
from typing import Final, Protocol

FORK_S: Final = 1.0
"""The longest that a fork waits for a thread of ours to leave SQLite."""


class ForkedJournal(Protocol):
    """A journal, as the process that forks or ends sees it."""

    def let_go_for_fork(self, held: list[threading.Lock]) -> None:
        """Before a fork: close the file, and keep it closed by a lock that is added to `held`."""

    def abandon(self) -> None:
        """In the child: leave what is the parent's, and begin anew."""

    def end(self) -> None:
        """Write down that the process ends."""

    def close(self) -> None:
        """Write what waits, and let go of the file."""


def is_running(pid: int) -> bool:
    """Whether a process of this number may be there; Windows cannot be asked by a signal, and says yes."""
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
    """Let no thread of ours be inside SQLite while the process is copied: its mutexes would stay shut."""
    for journal in list(journals):
        journal.let_go_for_fork(_held)
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
    """Have journals closed where a child of `multiprocessing` ends: it skips `atexit`."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and os.getpid() not in _children:
        _children.add(os.getpid())
        util.Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    for journal in list(journals):
        journal.end()
        journal.close()


def _close_for_good() -> None:
    """From here on no thread of ours is sure to run: outcomes are written where they are concluded."""
    exiting.set()
    _close_all()


atexit.register(_close_for_good)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
