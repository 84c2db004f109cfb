"""What forks need of the journals of a process."""

import os
import sqlite3
import sys
import threading
import time
from typing import Final

from exit_shim.runtime.process_hooks import ProcessAware, Releasable

FORK_S: Final = 1.0
"""The longest that a thread waits for another one to leave SQLite."""


class Checkpoints(ProcessAware):
    """Hold `checkpointing` during a fork."""

    def hold_for_fork(self, held: list[Releasable], until: float) -> None:
        """Wait for a checkpoint to end: SQLite's mutexes would stay locked in the child."""
        if checkpointing.acquire(timeout=max(0.0, until - time.monotonic())):
            held.append(checkpointing)


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


inherited: list[sqlite3.Connection] = []
checkpointing = threading.Lock()
_checkpoints = Checkpoints()
