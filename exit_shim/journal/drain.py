"""Copy events from the spool into the database, on the journal's thread."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from exit_shim.journal.database import identity, is_at, is_busy, open_writer, set_aside
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import parse
from exit_shim.journal.overflow import MAX_WAITING
from exit_shim.journal.recovery import recover
from exit_shim.journal.schema import JournalError, OldSchemaError
from exit_shim.journal.spool import Segment, Spool

RETRY_S: Final = 1.0
"""The pause after a failure to write a file."""

BUSY_S: Final = 5.0
"""How long another process may lock the database before that is reported; events are safe meanwhile."""

PATIENCE_S: Final = 1.0
"""The longest that one thread waits for another that uses the database."""

TURN_S: Final = 0.001
"""The pause after each piece where other threads wait: who releases a lock gets it again at once."""


class Drain:
    """Copy one run's lines into the database; one thread at a time.

    Args:
        path: The database.
        spool: The run's spool.
        origin: Returns what the run's row in the database says.
        lose: Called with the number of lines that vanished from the spool before they were copied.
        on_trouble: Called with each failure.
    """

    def __init__(
        self,
        path: Path,
        spool: Spool,
        origin: Callable[[], RunOrigin],
        lose: Callable[[int], None],
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self._path = path
        self._spool = spool
        self._origin = origin
        self._lose = lose
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._waiting = 0
        self.connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._has_recovered = False
        self._retry_at = 0.0
        self._busy_since: float | None = None
        self._notice: JournalError | None = None
        self.last_error: str | None = None

    def is_due(self) -> bool:
        """Return whether a file that failed is due for another try."""
        return self._retry_at <= time.monotonic()

    def back_off(self) -> None:
        """Try the files again only after a pause."""
        self._retry_at = time.monotonic() + RETRY_S

    # `threading.Lock` is a function before Python 3.13.
    def acquire(self) -> "threading.Lock | None":
        """Take and return the lock of the database; None where that takes too long."""
        self._waiting += 1
        try:
            return self._lock if self._lock.acquire(timeout=PATIENCE_S) else None
        finally:
            self._waiting -= 1

    def flush(self, seconds: float) -> bool:
        """Copy all that is in the spool; return False where that fails or takes longer."""
        until = time.monotonic() + seconds
        while self._spool.unread() is not None:
            if time.monotonic() > until or not self._try(self._copy_some):
                return False
        return True

    def recover_once(self) -> bool:
        """Copy what dead runs left, once; return False where that failed."""
        return self._has_recovered or self._try(self._recover)

    def add(self, lines: bytes) -> bool:
        """Copy lines that are in no spool; return False where that failed."""
        return self._try(self._add, lines)

    def notice_removal(self) -> None:
        """Leave a database that was removed or replaced; the next copy makes a new one."""
        self._try(self._leave_removed)

    def close(self) -> None:
        """Close the database once no other thread uses it."""
        self._try(self.disconnect)

    def disconnect(self) -> None:
        """Close the database, with the lock held."""
        connection, self.connection, self._inode = self.connection, None, None
        if connection is not None:
            connection.close()

    def _try(self, act: Callable[..., object], *args: object) -> bool:
        """Call `act` with the lock held; return False where it fails or the lock is not had in time."""
        # In a signal handler that interrupts this very function, the lock is not had in time either.
        if not self.acquire():
            return False
        done = False
        try:
            act(*args)
        # A damaged file may hold anything.
        except Exception as error:  # noqa: BLE001
            failure = self._note_failure(error)
        else:
            done = True
            failure, self._notice = self._notice, None
        finally:
            self._lock.release()
            if self._waiting:
                time.sleep(TURN_S)
        if failure is not None:
            self._on_trouble(failure)
        return done

    def _copy_some(self) -> None:
        segment = self._spool.unread()
        if segment is None:
            return
        if segment.was_truncated():
            self._copy_truncated(segment)
            return
        data = segment.chunk()
        end = segment.read + len(data)
        if self._ingest(self._origin()._replace(place=(segment.number, end)), data) is None:
            return
        segment.read = end
        segment.moved += data.count(b"\n")
        self._spool.drop_read()

    def _copy_truncated(self, segment: Segment) -> None:
        # A truncated file is read from its start, once another one is in use, to count what is missing.
        if segment is self._spool.segments[-1]:
            raise JournalError(f"spool file {segment.path} was truncated by another program")
        added = self._ingest(self._origin(), segment.all())
        if added is None:
            return
        missing = max(0, segment.lines - segment.moved - added)
        segment.read, segment.moved = segment.size, segment.lines
        self._spool.drop_read()
        self._lose(missing)
        raise JournalError(
            f"spool file {segment.path} was truncated by another program; {missing} events lost. "
            f"Do not edit files in {segment.path.parent.name}"
        )

    def _add(self, lines: bytes) -> None:
        while self._ingest(self._origin(), lines) is None:
            pass

    def _ingest(self, origin: RunOrigin, data: bytes) -> int | None:
        """Copy lines; return how many were new, None where the database had been removed or replaced."""
        connection = self._connected()
        with transaction(connection):
            added = ingest(connection, origin, parse(data))
        self._busy_since = None
        return None if self._leave_removed() else added

    def _leave_removed(self) -> bool:
        """Close a database that is not at its path any more; return whether that was so."""
        if self._inode is None or is_at(self._path, self._inode):
            return False
        self.disconnect()
        self._spool.rewind()
        self._notice = JournalError(
            f"the journal {self._path} was removed or replaced while in use; only the latest events are "
            "copied to a new one. Stop the bot before you move its journal"
        )
        return True

    def _recover(self) -> None:
        recover(self._connected(), self._path)
        self._has_recovered = True

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = self._open()
            self._inode = identity(self._path)
            self._retry_at, self.last_error = 0.0, None
        return self.connection

    def _open(self) -> sqlite3.Connection:
        lasting = self._spool.sync == "power"
        try:
            return open_writer(self._path, lasting=lasting)
        except OldSchemaError:
            aside = set_aside(self._path)
            if aside is not None:
                self._notice = JournalError(
                    f"{self._path} was written by an older exit_shim. It was renamed to {aside}, and a new "
                    "journal begins; read the old one with the release that wrote it"
                )
        return open_writer(self._path, lasting=lasting)

    def _note_failure(self, error: Exception) -> JournalError | None:
        """Begin the pause after a failure; return the error to report, None for a lock that may pass."""
        self.back_off()
        self.last_error = str(error)
        if is_busy(error):
            now = time.monotonic()
            self._busy_since = self._busy_since or now
            return write_failure(self._path, error) if now - self._busy_since > BUSY_S else None
        # A broken file may have been replaced by the time it is opened again.
        with contextlib.suppress(sqlite3.Error):
            self.disconnect()
        return write_failure(self._path, error)


def write_failure(path: Path, error: Exception) -> JournalError:
    """Return the error that a user sees for a failure to write."""
    if isinstance(error, JournalError):
        return error
    reason = (error.strerror or error) if isinstance(error, OSError) else error
    return JournalError(
        f"the journal {path} cannot be written now ({reason}). Orders go out; their events wait in its spool "
        f"or in memory ({MAX_WAITING} at most) and are retried. If this lasts, free the file or set "
        "EXIT_SHIM_JOURNAL to another path"
    )
