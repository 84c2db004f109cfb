"""The journal's own thread."""

import contextlib
import queue
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from typing import Final, Protocol

from exit_shim.journal.database import checkpoint
from exit_shim.journal.fork_and_exit import checkpointing, close_at_exit_of_a_child

GATHER_S: Final = 0.05
"""How long the journal's thread lets events gather: nothing hangs on it, and the bot is busy right now."""

STOP_S: Final = 1.0
"""The longest that closing waits for the thread."""


class Tended(Protocol):
    """A journal, as its thread sees it."""

    path: Path

    def tend(self) -> float | None:
        """Write what waits; the seconds after which to come back unasked, None for when there is a bell."""


class WriterThread:
    """The journal's own thread: writes what waits, and moves the WAL into the file.

    Both would stall an order if they were done on the caller's thread. It is woken through a
    `SimpleQueue`, the one means of threading that a signal handler may use amid its own use.
    """

    def __init__(self, journal: Tended) -> None:
        self._journal = weakref.ref(journal)
        self._bells: queue.SimpleQueue[Tended | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="exit-shim-journal", daemon=True)
        self._thread.start()
        close_at_exit_of_a_child()

    def wake(self, journal: Tended) -> None:
        """Say that something waits; the bell keeps the journal alive until it is written."""
        if self._bells.empty():
            self._bells.put(journal)

    def stop(self) -> None:
        """End the thread, once it is through with what it is doing."""
        self._bells.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=STOP_S)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            journal: Tended | None = None
            with contextlib.suppress(queue.Empty):
                if (journal := self._bells.get(timeout=pause)) is None:
                    return
            time.sleep(GATHER_S)
            journal = journal or self._journal()
            if journal is None or not self._hear_out():
                return
            pause = journal.tend()
            with contextlib.suppress(sqlite3.Error, OSError), checkpointing:
                checkpoint(journal.path)
            del journal  # this thread must not be what keeps it alive

    def _hear_out(self) -> bool:
        """Empty the bells; False where one of them says stop."""
        with contextlib.suppress(queue.Empty):
            while True:
                if self._bells.get_nowait() is None:
                    return False
        return True
