"""Follow a journal: read what any process added since the last time."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from exit_shim.domain.events import Record
from exit_shim.journal.database import connect
from exit_shim.journal.fork_and_exit import checkpointing
from exit_shim.journal.queries import RECORDS
from exit_shim.journal.schema import POS_BITS, RARE, JournalError, OldSchemaError, check_schema, is_empty
from exit_shim.journal.sql_source import record_of

LATEST_SWITCHES: Final = f"SELECT body FROM events WHERE event = 'switch' AND {RARE} ORDER BY ts, id"  # noqa: S608
NEW: Final = """
SELECT seq, event, about, body FROM events
WHERE id > ? AND id <= ? AND event IN ('intent', 'outcome', 'resolution', 'switch') ORDER BY id
"""


NAMED: Final = "orders.id IN (SELECT id FROM names WHERE name = ?)"


class News(NamedTuple):
    """An event that was added."""

    run_id: str
    seq: int
    event: str
    about: str | None
    body: str


class Follower:
    """Read the events that are new; never blocks a writer, and costs two `stat` while there are none.

    Args:
        path: The journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[int, int] | None = None
        self._stamp: tuple[int, ...] = ()

    def skip_to_end(self) -> list[str]:
        """Skip all events so far; return the bodies of the switches among them."""
        self._stamp = self._read_stamp()
        with self._reading() as connection:
            if connection is None:
                return []
            self._seen = dict(connection.execute("SELECT run, pos FROM runs"))
            return [body for (body,) in connection.execute(LATEST_SWITCHES)]

    def read_new(self, own_run: str) -> Iterator[News]:
        """Yield the events that other runs added since the last time."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        news: list[News] = []
        with self._reading() as connection:
            if connection is None:
                return
            seen = self._seen if self._seen is not None else {}
            for run, run_id, pos in connection.execute("SELECT run, run_id, pos FROM runs"):
                before = seen.get(run, 0)
                if pos > before and run_id != own_run:
                    span = (run << POS_BITS) + before, (run << POS_BITS) + pos
                    news += (News(run_id, *row) for row in connection.execute(NEW, span))
                seen[run] = pos
            self._seen, self._stamp = seen, stamp
        yield from news

    def read_records(self, *, since_ns: int = 0, named: str | None = None) -> list[Record]:
        """Return records without copying what dead runs left, so that no writer is delayed."""
        where, values = ("orders.ts >= ?", [since_ns]) if named is None else (NAMED, [named])
        with self._reading() as connection:
            if connection is None:
                return []
            question = RECORDS.format(where=f"WHERE {where}")
            return [record_of(*row) for row in connection.execute(question, values)]

    def _read_stamp(self) -> tuple[int, ...]:
        """Return a value that changes whenever the database does."""
        stamp: list[int] = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with contextlib.suppress(OSError):
                # `Path.stat` is four times as slow, and this runs four times a second.
                status = os.stat(path)  # noqa: PTH116
                stamp += (status.st_mtime_ns, status.st_size, status.st_ino)
        return tuple(stamp)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Open the journal for reading, and hold off forks; yield None where there is nothing to read."""
        if not self.path.exists():
            yield None
            return
        try:
            with checkpointing, contextlib.closing(connect(self.path, read_only=True)) as connection:
                yield connection if self._is_readable(connection) else None
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} cannot be followed ({error})") from error

    def _is_readable(self, connection: sqlite3.Connection) -> bool:
        try:
            check_schema(connection, self.path)
        except OldSchemaError:
            # The journal's thread is about to put a new one in its place.
            return False
        return not is_empty(connection)
