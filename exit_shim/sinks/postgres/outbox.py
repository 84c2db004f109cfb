"""The local journal as an outbox: what is in it, what of it was shipped where, and whose turn it is."""

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from exit_shim.journal import JournalError, JournalReader, Run, StoredEvent
from exit_shim.journal.database import open_writer
from exit_shim.journal.file_lock import try_to_hold

EVERY_RUN: Final = ""
"""Stands for the destination itself: from when it is first shipped to, what it has not got is unshipped."""


class Outbox:
    """A journal, seen by what ships it to one destination.

    `lock` is held while the file is used, so that a fork can wait until no thread is inside SQLite.
    Its methods raise JournalError where the journal cannot be used now.
    """

    def __init__(self, journal: Path, destination: str) -> None:
        self.journal = journal
        self._reader = JournalReader(journal)
        self.destination = destination
        self.lock = threading.Lock()
        digest = hashlib.blake2s(destination.encode(), digest_size=4).hexdigest()
        self._turn_file = journal.with_name(f"{journal.name}-shipping-{digest}")
        self._turn: int | None = None

    def runs(self) -> list[Run]:
        """The journal's runs."""
        with self.lock:
            return self._reader.read_runs()

    def events(self, run_id: str, after: int, limit: int) -> list[StoredEvent]:
        """The next events of a run, in the order of its chain."""
        with self.lock:
            return list(self._reader.read_events(run_id=run_id, after_pos=after, limit=limit))

    def remember(self, shipped: Mapping[str, int]) -> None:
        """Keep how far each run has come at the destination, so that nothing unshipped is pruned."""
        rows = [(self.destination, run_id, pos) for run_id, pos in {EVERY_RUN: 0, **shipped}.items()]
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO shipments VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")

    def forget(self) -> None:
        """Let what the destination has not got be pruned: nothing is shipped there any more."""
        with self._opened() as connection:
            connection.execute("DELETE FROM shipments WHERE destination = ?", (self.destination,))

    def remembered(self) -> dict[str, int]:
        """How far each run had come at the destination when that was last kept."""
        with self._opened() as connection:
            return dict(
                connection.execute(
                    "SELECT run_id, pos FROM shipments WHERE destination = ?", (self.destination,)
                ).fetchall()
            )

    @property
    def is_ours(self) -> bool:
        """Whether this process has the turn."""
        return self._turn is not None

    def take_turn(self) -> bool:
        """Whether this process is the one of its host that ships; OSError where no file can be made.

        Two at once would be harmless, and work twice. The turn ends with the process, however that ends.
        """
        if self._turn is None:
            fd = os.open(self._turn_file, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
            if not try_to_hold(fd):
                os.close(fd)
                return False
            self._turn = fd
        return True

    def leave_turn(self) -> None:
        """Let somebody else have it; in a child after `fork` this leaves the parent's as it is."""
        fd, self._turn = self._turn, None
        if fd is not None:
            os.close(fd)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with self.lock, contextlib.closing(open_writer(self.journal)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal {self.journal} cannot be used for shipping now ({error})"
            ) from error
