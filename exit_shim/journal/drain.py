"""From the spool into the database: what the journal's own thread does, and no order waits for."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from exit_shim.journal.database import identity, is_at, is_busy, open_writer
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import parse
from exit_shim.journal.overflow import MAX_WAITING
from exit_shim.journal.recovery import take_up
from exit_shim.journal.schema import JournalError
from exit_shim.journal.spool import Segment, Spool

RETRY_S: Final = 1.0
"""After a failure a file is left alone for this long."""

BUSY_S: Final = 5.0
"""How long another process may have the database before anybody is told: events are safe in the spool."""

PATIENCE_S: Final = 1.0
"""The longest that one thread waits for another to be through with the database."""

TURN_S: Final = 0.001
"""What a thread that has much to move leaves to the others after each piece."""


class Drain:
    """Moves one run's lines; one thread at a time.

    Args:
        path: The database.
        spool: Where the lines are.
        origin: Whose they are, as the run's row in the database is to say.
        lose: Told how many lines are gone from the spool before they could be moved.
        on_trouble: Told of each failure.
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
        self._holder: int | None = None
        self.connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._has_taken_up = False
        self._retry_at = 0.0
        self._busy_since: float | None = None
        self._removal: JournalError | None = None
        self.last_error: str | None = None

    def is_due(self) -> bool:
        """Whether a failing file is due for another try."""
        return self._retry_at <= time.monotonic()

    def rest(self) -> None:
        """Leave the files alone for a while."""
        self._retry_at = time.monotonic() + RETRY_S

    def acquire(self) -> "threading.Lock | None":  # a function before Python 3.13
        """Have the database to oneself, where that can be had in time; release what is returned."""
        self._waiting += 1
        try:
            return self._lock if self._lock.acquire(timeout=PATIENCE_S) else None
        finally:
            self._waiting -= 1

    def flush(self, seconds: float) -> bool:
        """Move all that is in the spool; False where the database would not take it, or not in this time."""
        until = time.monotonic() + seconds
        while self._spool.unread() is not None:
            if time.monotonic() > until or not self._within(self._move_some):
                return False
        return True

    def take_up_once(self) -> bool:
        """Move what dead runs have left, the first time; False where that failed."""
        return self._has_taken_up or self._within(self._take_up)

    def add(self, lines: bytes) -> bool:
        """Put lines into the database that are in no spool; False where it would not take them."""
        return self._within(self._add, lines)

    def notice_removal(self) -> None:
        """Have the database made anew where somebody has taken it away, with what is still in the spool."""
        self._within(self._is_left)

    def let_go(self) -> None:
        """Close the database, as soon as nobody is at it."""
        self._within(self.disconnect)

    def disconnect(self) -> None:
        """Close the database."""
        connection, self.connection, self._inode = self.connection, None, None
        if connection is not None:
            connection.close()

    def _within(self, act: Callable[..., object], *args: object) -> bool:
        """Do something to the database with the lock held; False where the lock or the file cannot be had."""
        me = threading.get_ident()
        if self._holder == me:  # a signal handler amid this very thing
            return False
        if not self.acquire():
            return False
        self._holder, done = me, False
        try:
            act(*args)
        except Exception as error:  # noqa: BLE001 - a damaged file may hold anything
            failure = self._give_up(error)
        else:
            done = True
            failure, self._removal = self._removal, None
        finally:
            self._holder = None
            self._lock.release()
            if self._waiting:  # a lock is taken again at once by whoever has just let it go
                time.sleep(TURN_S)
        if failure is not None:
            self._on_trouble(failure)
        return done

    def _move_some(self) -> None:
        segment = self._spool.unread()
        if segment is None:
            return
        if segment.was_cut():
            self._move_what_was_cut(segment)
            return
        data = segment.chunk()
        end = segment.read + len(data)
        if self._ingest(self._origin()._replace(place=(segment.number, end)), data) is None:
            return
        segment.read = end
        segment.moved += data.count(b"\n")
        self._spool.drop_read()

    def _move_what_was_cut(self, segment: Segment) -> None:
        """Read a file anew that somebody has cut, once another is in use, and count what is missing."""
        if segment is self._spool.segments[-1]:
            raise JournalError(f"the spool {segment.path} was made shorter by somebody")
        added = self._ingest(self._origin(), segment.all())
        if added is None:
            return
        missing = max(0, segment.lines - segment.moved - added)
        segment.read, segment.moved = segment.size, segment.lines
        self._spool.drop_read()
        self._lose(missing)
        raise JournalError(
            f"the spool {segment.path} was made shorter by somebody, and {missing} events are lost; it is "
            "the journal's, which takes it away itself"
        )

    def _add(self, lines: bytes) -> None:
        while self._ingest(self._origin(), lines) is None:
            pass

    def _ingest(self, origin: RunOrigin, data: bytes) -> int | None:
        """Returns how many events were added; None where the database was not at its place any more."""
        connection = self._connected()
        with transaction(connection):
            added = ingest(connection, origin, parse(data))
        self._busy_since = None
        return None if self._is_left() else added

    def _is_left(self) -> bool:
        """Let go of a database that is not at its place any more; whether it is so."""
        if self._inode is None or is_at(self._path, self._inode):
            return False
        self.disconnect()
        self._spool.rewind()
        self._removal = JournalError(
            f"the journal {self._path} was removed or replaced while in use: what was written to it since is "
            "gone with it, but for the latest; a new one begins. Stop the bot before moving its journal"
        )
        return True

    def _take_up(self) -> None:
        take_up(self._connected(), self._path)
        self._has_taken_up = True

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = open_writer(self._path, lasting=self._spool.sync == "power")
            self._inode = identity(self._path)
            self._retry_at, self.last_error = 0.0, None
        return self.connection

    def _give_up(self, error: Exception) -> JournalError | None:
        """Leave the file alone for a while; returns what to tell of it, None for what may pass by itself."""
        self.rest()
        self.last_error = str(error)
        if is_busy(error):
            now = time.monotonic()
            self._busy_since = self._busy_since or now
            return complaint(self._path, error) if now - self._busy_since > BUSY_S else None
        with contextlib.suppress(sqlite3.Error):  # a broken file may be another one when it is opened again
            self.disconnect()
        return complaint(self._path, error)


def complaint(path: Path, error: Exception) -> JournalError:
    """What a user must know of a failure to write."""
    if isinstance(error, JournalError):
        return error
    said = (error.strerror or error) if isinstance(error, OSError) else error
    return JournalError(
        f"the journal {path} cannot be written now ({said}); orders go out, their events wait beside it or "
        f"in memory ({MAX_WAITING} at most) and are retried; if this lasts, free the file or set "
        "EXIT_SHIM_JOURNAL to another path"
    )
