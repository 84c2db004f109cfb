"""Follow any source of records: what is new in each run since the last time."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from exit_shim.journal import JournalError, JournalReader, RecordSource, Run, StoredEvent
from exit_shim.journal.database import connect, reporting_damage
from exit_shim.journal.fork_and_exit import checkpointing
from exit_shim.journal.queries import recover_spools
from exit_shim.journal.schema import check_schema, is_empty

T = TypeVar("T")

AT_ONCE: Final = 5_000
"""The most events of a run that are read at once."""

RECOVERY_S: Final = 2.0
"""How often what dead runs left is looked for; nothing else says that it is there."""

DATABASE_S: Final = 1.0
"""How often a database of many hosts is asked."""


NOT_DUE: Final = (0,)
"""The stamp of a database that is not to be asked yet."""


class FollowedJournal(JournalReader):
    """The journal of this host, read without a look for what dead runs left at each query."""

    def query(self, question: str, values: Mapping[str, object], make: Callable[..., T]) -> Iterator[T]:
        """Return what `make` makes of each row; raise JournalError where the journal cannot be read."""
        if not self.path.exists():
            raise JournalError(
                f"there is no journal at {self.path}; it appears with the first exit order of a bot"
            )
        # All rows at once: a reader that stays open would keep the WAL from being copied.
        with checkpointing, reporting_damage(self.path, "followed"):
            rows = self._fetch(question, values)
        for row in rows:
            yield make(*row)

    def _fetch(self, question: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with contextlib.closing(connect(self.path, read_only=True)) as connection:
            check_schema(connection, self.path)
            return [] if is_empty(connection) else connection.execute(question, values).fetchall()

    def stamp(self) -> tuple[int, ...]:
        """Return a value that changes whenever the database does."""
        stamp: list[int] = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with contextlib.suppress(OSError):
                # `Path.stat` is four times as slow, and this runs several times a second.
                status = os.stat(path)  # noqa: PTH116
                stamp += (status.st_mtime_ns, status.st_size, status.st_ino)
        return tuple(stamp)

    def recover(self) -> None:
        """Copy what dead runs left into the database, where this user can."""
        with contextlib.suppress(JournalError, sqlite3.Error):
            recover_spools(self.path)


class SourceFollower:
    """Read the events that are new, of all runs; a journal that stayed as it was costs two `stat`.

    Args:
        source: What to follow.
        host: Only runs on this host; None for all.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        source: RecordSource,
        host: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._journal = FollowedJournal(source.path) if isinstance(source, JournalReader) else None
        self._source: RecordSource = self._journal or source
        self._clock = clock
        self._seen: dict[str, int] = {}
        self._news: list[StoredEvent] = []
        self._stamp: tuple[int, ...] | None = None
        self._due_at = 0.0

    def skip_to_end(self) -> None:
        """Skip all events so far."""
        if self._journal is not None:
            self._journal.recover()
        self._seen = {run.run_id: run.pos for run in self._read_runs()}
        self._stamp, self._news = None, []

    def place_of(self, run_id: str) -> int:
        """Return the place in a run's chain up to which its events were skipped or read."""
        return self._seen.get(run_id, 0)

    def read_new(self) -> list[StoredEvent]:
        """Return the events that were added since the last time, in the order of their time."""
        stamp = self._next_stamp()
        if stamp is not None and stamp in (self._stamp, NOT_DUE):
            return []
        runs, is_all = self._read_runs(), True
        for run in runs:
            if run.pos > self.place_of(run.run_id):
                is_all = self._read_run(run) and is_all
        known = {run.run_id for run in runs}
        self._seen = {run_id: pos for run_id, pos in self._seen.items() if run_id in known}
        self._stamp = stamp if is_all else None
        news, self._news = sorted(self._news, key=lambda stored: stored.ts), []
        return news

    def _read_runs(self) -> list[Run]:
        return [run for run in self._source.read_runs() if self._host in (None, run.header.host)]

    def _read_run(self, run: Run) -> bool:
        """Read what is new of a run; return whether that was all."""
        seen = self.place_of(run.run_id)
        news = list(self._source.read_events(run_id=run.run_id, after_pos=seen, limit=AT_ONCE))
        # Where there is nothing it was pruned meanwhile.
        self._seen[run.run_id] = news[-1].pos if news else run.pos
        # Should the next run be unreadable, they are returned the next time.
        self._news += news
        return len(news) < AT_ONCE

    def _next_stamp(self) -> tuple[int, ...] | None:
        """Return what must have changed for a look to be worth it; None for a look in any case."""
        now = self._clock()
        is_due = now >= self._due_at
        if self._journal is None:
            if is_due:
                self._due_at = now + DATABASE_S
            return None if is_due else NOT_DUE
        if is_due:
            self._journal.recover()
            # Two changes within a tick of the file system's clock look like one.
            self._stamp, self._due_at = None, now + RECOVERY_S
        return self._journal.stamp()
