"""The journal as an outbox: its events, how far they were copied where, and which process copies."""

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
"""The row of a destination itself: from then on, what it does not have counts as unshipped."""


class Outbox:
    """A journal and one destination that it is copied to.

    `lock` is held while the file is used, so that a fork can wait until no thread is inside SQLite. The
    methods raise JournalError where the journal cannot be used now.
    """

    def __init__(self, journal: Path, destination: str) -> None:
        self.journal = journal
        self._reader = JournalReader(journal)
        self.destination = destination
        self.lock = threading.Lock()
        digest = hashlib.blake2s(destination.encode(), digest_size=4).hexdigest()
        self._turn_file = journal.with_name(f"{journal.name}-shipping-{digest}")
        self._turn: int | None = None

    def read_runs(self) -> list[Run]:
        """Return the journal's runs."""
        with self.lock:
            return self._reader.read_runs()

    def read_events(self, run_id: str, after: int, limit: int) -> list[StoredEvent]:
        """Return the next events of a run, in the order of its chain."""
        with self.lock:
            return list(self._reader.read_events(run_id=run_id, after_pos=after, limit=limit))

    def save_positions(self, shipped: Mapping[str, int]) -> None:
        """Save how far each run was copied, so that nothing unshipped is pruned."""
        rows = [(self.destination, run_id, pos) for run_id, pos in {EVERY_RUN: 0, **shipped}.items()]
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO shipments VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")

    def forget(self) -> None:
        """Forget the destination, so that nothing is kept for it any more."""
        with self._opened() as connection:
            connection.execute("DELETE FROM shipments WHERE destination = ?", (self.destination,))

    def read_positions(self) -> dict[str, int]:
        """Return how far each run was copied, as last saved."""
        with self._opened() as connection:
            return dict(
                connection.execute(
                    "SELECT run_id, pos FROM shipments WHERE destination = ?", (self.destination,)
                ).fetchall()
            )

    @property
    def is_ours(self) -> bool:
        """Return whether this process has the turn."""
        return self._turn is not None

    def acquire_turn(self) -> bool:
        """Try to be the one process of this host that ships; raise OSError where no file can be made."""
        # Two at once would do no harm, but the work twice. The turn ends with the process.
        if self._turn is None:
            fd = os.open(self._turn_file, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
            if not try_to_hold(fd):
                os.close(fd)
                return False
            self._turn = fd
        return True

    def release_turn(self) -> None:
        """Let another process ship; in the child of a fork, the parent keeps its turn."""
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
