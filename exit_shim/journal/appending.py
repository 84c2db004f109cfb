"""Appending to the journal: never in the way of an order, whatever the file does."""

import contextlib
import itertools
import os
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, NamedTuple

from exit_shim.journal.file import (
    BUSY_TIMEOUT_S,
    INSERT,
    SEQ_BITS,
    JournalError,
    begin_run,
    connect,
    create_private,
    identity,
    is_busy,
    prepare,
)
from exit_shim.journal.processes import exiting, inherited, journals
from exit_shim.journal.rows import encode
from exit_shim.journal.writer import Writer
from exit_shim.records import Conclusion, Submission

LOCK_S: Final = 0.1
"""The longest that one append waits for this process's other threads."""

RETRY_S: Final = 1.0
"""After a failed append, events go straight to memory for this long before the file is tried again."""

MAX_WAITING: Final = 10_000
"""Events held in memory while the file cannot be written; beyond it the oldest are dropped and counted."""

ROWS_AT_ONCE: Final = 64
"""Events that the journal's thread writes in one transaction; an intent may wait for one of these."""

CLOSE_S: Final = 1.0
"""The longest that closing waits for another process's lock; no order waits for it."""

FAILURES: Final = (sqlite3.Error, OSError, ValueError)
"""What can go wrong with a file; ValueError is ours."""


class Health(NamedTuple):
    """How the journal fares: events in memory because the file would not take them, and those lost."""

    path: str
    waiting: int
    dropped: int
    last_error: str | None


class _Event(NamedTuple):
    """One row to be; the run's number is added when it is written."""

    seq: int
    ts: int
    event: str
    concludes: int | None
    body: str


class Journal:
    """Appends to the file; thread-safe, reopened after `fork`, never slower than a stated bound.

    An intent is in the file when `intend` returns. An outcome follows from a thread of the journal's own,
    within milliseconds: a process that dies in between leaves the order in doubt, which is the truth
    that a reader can rely on. What the file does not take at once (broken, or locked for longer than an
    order may wait) waits in memory, bounded, and is retried; nothing here raises.

    Args:
        path: The file; it and its folder are created, readable by their owner alone.
        on_trouble: Told of each failure to write.
    """

    def __init__(
        self, path: str | os.PathLike[str], on_trouble: Callable[[Exception], None] | None = None
    ) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - Path's own raises where the folder is gone
        self._on_trouble = on_trouble or (lambda _: None)
        self._begin_run()
        journals.add(self)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # also where the constructor failed, or the interpreter is going
            self._disconnect()

    def _begin_run(self) -> None:
        """A fresh run: at the start, and in a child after `fork`, where nothing of the parent's is usable."""
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._base = 0
        self._seqs = itertools.count(1)
        self._waiting: deque[_Event] = deque()
        self._dropping = threading.RLock()
        self._dropped = 0
        self._last_error: str | None = None
        self._retry_at = 0.0
        self._writer: Writer | None = None
        self.run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"

    def open(self) -> None:
        """Open the file now, not at the first order; a failure is told to `on_trouble` and retried later."""
        self._within(LOCK_S, self._connected)

    def intend(self, submission: Submission) -> int:
        """Write down an order about to leave; returns its `seq` in this run."""
        event = _Event(next(self._seqs), submission.ts, "intent", None, encode(submission))
        if not (self.is_due() and self._within(LOCK_S, self._append, event)):
            self._wait(event)
        return event.seq

    def conclude(self, seq: int, conclusion: Conclusion) -> None:
        """Write down, soon, what came of the order that `intend` numbered `seq`."""
        self._wait(_Event(next(self._seqs), time.time_ns(), "outcome", seq, encode(conclusion)))

    def flush(self) -> bool:
        """Write all that waits, now; False where the file would not take it."""
        while self._waiting:
            if not self._within(CLOSE_S, self._append_some):
                return False
        return True

    def health(self) -> Health:
        """What is waiting and what was lost, for summaries."""
        return Health(str(self.path), len(self._waiting), self._dropped, self._last_error)

    def close(self) -> None:
        """Write what is waiting, as far as the file takes it, and let go of the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()
        deadline = time.monotonic() + CLOSE_S
        while not self.flush() and "locked" in (self._last_error or "") and time.monotonic() < deadline:
            time.sleep(BUSY_TIMEOUT_S)
        self._within(CLOSE_S, self._disconnect)

    def is_due(self) -> bool:
        """Whether a failing file is due for another try."""
        return self._retry_at <= time.monotonic()

    def tend(self) -> float | None:
        """What the journal's thread does between orders: write what waits, notice a file that is gone.

        Returns the seconds after which to try again, None where all is written.
        """
        if not self.is_due():
            return RETRY_S
        try:
            written = self.flush()
            if self._inode is not None and self._inode != identity(self.path):
                self._within(CLOSE_S, self._disconnect)
                self._on_trouble(
                    JournalError(
                        f"the journal {self.path} was removed or replaced while in use: what was written to "
                        "it since is gone with it; a new one begins. Stop the bot before moving its journal"
                    )
                )
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
            self._retry_at = time.monotonic() + RETRY_S
            self._on_trouble(error)
            return RETRY_S
        return None if written else RETRY_S

    def _wait(self, event: _Event) -> None:
        if len(self._waiting) >= MAX_WAITING:
            with self._dropping:
                self._dropped += len(self._take(1))
        self._waiting.append(event)
        writer = self._writer
        if writer is None and (writer := self._hire()) is None:
            self.flush()
        else:
            writer.wake(self)

    def _hire(self) -> Writer | None:
        """A writer, or None where no thread can be had: none left, or the interpreter is on its way out."""
        if exiting.is_set():
            return None
        try:
            writer = self._writer = Writer(self)
        except RuntimeError:
            return None
        return writer

    def _take(self, count: int) -> list[_Event]:
        taken: list[_Event] = []
        with contextlib.suppress(IndexError):  # another thread may empty it meanwhile
            while len(taken) < count:
                taken.append(self._waiting.popleft())
        return taken

    def _within(self, patience: float, act: Callable[..., object], *args: object) -> bool:
        """Do something to the file with the lock held; False where the lock or the file cannot be had."""
        me = threading.get_ident()
        if self._holder == me:  # a signal handler places an order: it would wait for what it has interrupted
            return False
        if not self._lock.acquire(timeout=patience):
            return False
        self._holder = me
        try:
            act(*args)
        except FAILURES as error:
            failure = self._give_up(error)
        else:
            return True
        finally:
            self._holder = None
            self._lock.release()
        self._on_trouble(failure)
        return False

    def _append(self, event: _Event) -> None:
        self._connected().execute(INSERT, self._row(event))

    def _append_some(self) -> None:
        """One transaction of a bounded number of events, so that an intent never waits long for the lock."""
        taken = self._take(ROWS_AT_ONCE)
        try:
            connection = self._connected()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(INSERT, map(self._row, taken))
        except BaseException:
            self._waiting.extendleft(reversed(taken))
            raise

    def _row(self, event: _Event) -> tuple[int, int, str, int | None, str]:
        concludes = None if event.concludes is None else self._base + event.concludes
        return self._base + event.seq, event.ts, event.event, concludes, event.body

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            create_private(self.path)
            connection = connect(self.path, read_only=False)
            try:
                prepare(connection, self.path)
                self._base = begin_run(connection, self.run_id) << SEQ_BITS
            except BaseException:
                connection.close()
                raise
            self._inode = identity(self.path)
            self._connection, self._retry_at, self._last_error = connection, 0.0, None
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection, self._inode = self._connection, None, None
        if connection is not None:
            connection.close()

    def _give_up(self, error: Exception) -> JournalError:
        """Leave the file alone for a while, so that not every order pays for finding it broken."""
        self._retry_at = time.monotonic() + RETRY_S
        self._last_error = str(error)
        if not is_busy(error):  # a lock passes; a broken file may be another one when it is opened again
            with contextlib.suppress(sqlite3.Error):
                self._disconnect()
        if isinstance(error, JournalError):
            return error
        return JournalError(
            f"the journal {self.path} cannot be written now ({error}); orders go out, their events wait in "
            f"memory ({MAX_WAITING} at most) and are retried; if this lasts, free the file or set "
            "EXIT_SHIM_JOURNAL to another path"
        )

    def let_go_for_fork(self, held: list[threading.Lock]) -> None:
        """Close the file, and keep it closed until after the fork.

        A child that inherits an open connection inherits SQLite's belief that this process has its locks,
        which it has not: its parent could then take away the WAL that the child writes.
        """
        if self._lock.acquire(timeout=CLOSE_S):
            held.append(self._lock)
            with contextlib.suppress(sqlite3.Error):
                self._disconnect()

    def abandon(self) -> None:
        """In a child after `fork`: leave the parent's connection untouched; closing it corrupts its locks."""
        if self._connection is not None:
            inherited.append(self._connection)
        self._begin_run()
