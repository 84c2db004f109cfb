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
from exit_shim.journal.fork_and_exit import checkpointing
from exit_shim.runtime.service import Service

GATHER_S: Final = 0.05
"""How long events gather before they are copied: nobody waits for it, and the bot is busy right now."""


class TendedJournal(Protocol):
    """What the thread needs of a journal."""

    path: Path

    def tend(self) -> float | None:
        """Copy what waits; return the seconds until the next try, None to wait for a wake-up."""


class WriterThread(Service):
    """Copy events and checkpoint the WAL, which would delay an order on its own thread."""

    thread_name = "exit-shim-journal"

    def __init__(self, journal: TendedJournal) -> None:
        self._journal = weakref.ref(journal)
        super().__init__()

    def renew(self) -> None:
        """Begin with no thread and no wake-up."""
        super().renew()
        # Nothing but a `SimpleQueue` may be used in a signal handler that interrupts its use.
        self._wakeups: queue.SimpleQueue[TendedJournal | None] = queue.SimpleQueue()

    def wake(self, journal: TendedJournal) -> None:
        """Wake the thread, and keep the journal alive until its events are copied."""
        if self._wakeups.empty():
            self._wakeups.put(journal)

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        wakeups, self._wakeups = self._wakeups, queue.SimpleQueue()
        wakeups.put(None)

    @staticmethod
    def live(owner: "weakref.ref[WriterThread]", stopped: threading.Event) -> None:
        """Copy events whenever there are some, and look for them in between."""
        writer = owner()
        if writer is None:
            return
        wakeups, tended = writer._wakeups, writer._journal  # noqa: SLF001 - this class's own thread
        del writer
        pause: float | None = None
        while not stopped.is_set():
            journal: TendedJournal | None = None
            with contextlib.suppress(queue.Empty):
                if (journal := wakeups.get(timeout=pause)) is None:
                    return
            time.sleep(GATHER_S)
            journal = journal or tended()
            if journal is None or not drop_wakeups(wakeups):
                return
            pause = journal.tend()
            with contextlib.suppress(sqlite3.Error, OSError), checkpointing:
                checkpoint(journal.path)
            # The thread must not keep the journal alive.
            del journal


def drop_wakeups(wakeups: "queue.SimpleQueue[TendedJournal | None]") -> bool:
    """Take all wake-ups from the queue; return False where one of them says stop."""
    with contextlib.suppress(queue.Empty):
        while True:
            if wakeups.get_nowait() is None:
                return False
    return True
