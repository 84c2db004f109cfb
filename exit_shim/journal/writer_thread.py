"""The thread that copies events from the spool into the database."""

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
"""How long events gather before they are copied: nobody waits for it, and the bot is busy right now."""

STOP_S: Final = 1.0
"""The longest that closing waits for the thread."""


class TendedJournal(Protocol):
    """What the thread needs of a journal."""

    path: Path

    def tend(self) -> float | None:
        """Copy what waits; return the seconds until the next try, None to wait for a wake-up."""


class WriterThread:
    """Copy events and checkpoint the WAL, which would delay an order on its own thread."""

    def __init__(self, journal: TendedJournal) -> None:
        self._journal = weakref.ref(journal)
        # Nothing but a `SimpleQueue` may be used in a signal handler that interrupts its use.
        self._wakeups: queue.SimpleQueue[TendedJournal | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="exit-shim-journal", daemon=True)
        self._thread.start()
        close_at_exit_of_a_child()

    def wake(self, journal: TendedJournal) -> None:
        """Wake the thread, and keep the journal alive until its events are copied."""
        if self._wakeups.empty():
            self._wakeups.put(journal)

    def stop(self) -> None:
        """Stop the thread after its current work."""
        self._wakeups.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=STOP_S)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            journal: TendedJournal | None = None
            with contextlib.suppress(queue.Empty):
                if (journal := self._wakeups.get(timeout=pause)) is None:
                    return
            time.sleep(GATHER_S)
            journal = journal or self._journal()
            if journal is None or not self._drop_wakeups():
                return
            pause = journal.tend()
            with contextlib.suppress(sqlite3.Error, OSError), checkpointing:
                checkpoint(journal.path)
            # The thread must not keep the journal alive.
            del journal

    def _drop_wakeups(self) -> bool:
        """Take all wake-ups from the queue; return False where one of them says stop."""
        with contextlib.suppress(queue.Empty):
            while True:
                if self._wakeups.get_nowait() is None:
                    return False
        return True
