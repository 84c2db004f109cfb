"""The durable record: an append-only SQLite file, written before an order leaves, shared by one host.

WAL with `synchronous=NORMAL`: what was appended survives the death of the process at any instruction
(the operating system holds it), though not the loss of power. One file serves all processes of a host.
"""

import atexit
import contextlib
import itertools
import json
import os
import secrets
import socket
import sqlite3
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.records import Conclusion, Record, Submission

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x45584954
"""Marks the file as ours: "EXIT" in SQLite's header."""

BUSY_TIMEOUT_S: Final = 0.05
"""The longest that one append waits for another process's lock: the bound on what an order can lose to it."""

RETRY_S: Final = 1.0
"""After a failed append, events go straight to memory for this long before the file is tried again."""

MAX_WAITING: Final = 10_000
"""Events held in memory while the file cannot be written; beyond it the oldest are dropped and counted."""

ROWS_AT_ONCE: Final = 64
"""Events that the journal's thread writes in one transaction; an intent may wait for one of these."""

GATHER_S: Final = 0.005
"""How long the journal's thread lets outcomes gather."""

CHECKPOINT_BYTES: Final = 4_000_000
"""The size from which on the WAL is moved into the file."""

FAILURES: Final = (sqlite3.Error, OSError, ValueError)
"""What can go wrong with a file; ValueError is ours."""

SEQ_BITS: Final = 40
SEQ_MASK: Final = (1 << SEQ_BITS) - 1

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    started INTEGER NOT NULL,
    header TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    event TEXT NOT NULL,
    concludes INTEGER,
    body TEXT NOT NULL,
    run INTEGER GENERATED ALWAYS AS (id >> {SEQ_BITS}) VIRTUAL,
    seq INTEGER GENERATED ALWAYS AS (id & {SEQ_MASK}) VIRTUAL
);
CREATE UNIQUE INDEX IF NOT EXISTS conclusions ON events (concludes) WHERE concludes IS NOT NULL;
"""

INSERT: Final = "INSERT INTO events (id, ts, event, concludes, body) VALUES (?, ?, ?, ?, ?)"

SELECT: Final = """
SELECT runs.run_id, intent.seq, intent.body, outcome.body
FROM events AS intent
JOIN runs ON runs.run = intent.run
LEFT JOIN events AS outcome ON outcome.concludes = intent.id
WHERE intent.event = 'intent'
"""


class JournalError(ValueError):
    """The journal cannot be used; the text names the file, the rule and the way out."""


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
    that a reader can rely on. What the file does not take waits in memory, bounded, and is retried;
    nothing here raises.

    Args:
        path: The file; it and its folder are created, readable by their owner alone.
        on_trouble: Told of each failure to write.
    """

    def __init__(
        self, path: str | os.PathLike[str], on_trouble: Callable[[Exception], None] | None = None
    ) -> None:
        self.path = Path(path)
        self._on_trouble = on_trouble or (lambda _: None)
        self._encode = msgspec.json.Encoder().encode
        self._begin_run()
        _journals.add(self)

    def _begin_run(self) -> None:
        """A fresh run: at the start, and in a child after `fork`, where nothing of the parent's is usable."""
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._base = 0
        self._seqs = itertools.count(1)
        self._waiting: deque[_Event] = deque()
        self._dropped = 0
        self._last_error: str | None = None
        self._retry_at = 0.0
        self._writer: _Writer | None = None
        self.run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"

    def open(self) -> None:
        """Open the file now, not at the first order; a failure is told to `on_trouble` and retried later."""
        try:
            with self._lock:
                self._connected()
        except FAILURES as error:
            self._failed(error)

    def intend(self, submission: Submission) -> int:
        """Write down an order about to leave; returns its `seq` in this run."""
        event = _Event(next(self._seqs), submission.ts, "intent", None, self._encode(submission).decode())
        if self._retry_at > time.monotonic():
            self._wait(event)
            return event.seq
        try:
            with self._lock:
                self._connected().execute(INSERT, self._row(event))
        except FAILURES as error:
            self._wait(event)
            self._failed(error)
        return event.seq

    def conclude(self, seq: int, conclusion: Conclusion) -> None:
        """Write down, soon, what came of the order that `intend` numbered `seq`."""
        body = self._encode(conclusion).decode()
        self._wait(_Event(next(self._seqs), time.time_ns(), "outcome", seq, body))

    def flush(self) -> bool:
        """Write all that waits, now; False where the file would not take it."""
        try:
            while self._waiting:
                self._write_some()
        except FAILURES as error:
            self._failed(error)
        return not self._waiting

    def health(self) -> Health:
        """What is waiting and what was lost, for summaries."""
        return Health(str(self.path), len(self._waiting), self._dropped, self._last_error)

    def close(self) -> None:
        """Write what is waiting, as far as the file takes it, and let go of the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()
        self.flush()
        with self._lock:
            self._disconnect()

    def is_due(self) -> bool:
        """Whether a failing file is due for another try."""
        return self._retry_at <= time.monotonic()

    def _wait(self, event: _Event) -> None:
        if len(self._waiting) >= MAX_WAITING:
            with contextlib.suppress(IndexError):
                self._waiting.popleft()
                self._dropped += 1
        self._waiting.append(event)
        if self._writer is None:
            self._writer = _Writer(self)
        self._writer.wake()

    def _write_some(self) -> None:
        """One transaction of a bounded number of events, so that an intent never waits long for the lock."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(ROWS_AT_ONCE, len(self._waiting)))]
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
            self._connection, self._retry_at, self._last_error = connection, 0.0, None
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, error: Exception) -> None:
        """Let go of the file for a while, so that not every order pays for finding out that it is broken."""
        self._retry_at = time.monotonic() + RETRY_S
        self._last_error = str(error)
        with self._lock:
            self._disconnect()
        self._on_trouble(error)

    def _abandon(self) -> None:
        """In a child after `fork`: leave the parent's connection untouched; closing it corrupts its locks."""
        if self._connection is not None:
            _inherited.append(self._connection)
        self._begin_run()


class _Writer:
    """The journal's own thread: writes what waits, and moves the WAL into the file.

    Both would stall an order if they were done on the caller's thread.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = weakref.ref(journal)
        self._wal = journal.path.with_name(f"{journal.path.name}-wal")
        self._event = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="exit-shim-journal", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        if not self._event.is_set():
            self._event.set()

    def stop(self) -> None:
        self._stopped = True
        self._event.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            self._event.wait(pause)
            time.sleep(GATHER_S)  # outcomes come in bursts, and the caller is busy right now
            self._event.clear()
            journal = self._journal()
            if journal is None or self._stopped:
                return
            pause = None if journal.is_due() and journal.flush() else RETRY_S
            self._checkpoint(journal.path)
            del journal  # this thread must not be what keeps it alive

    def _checkpoint(self, path: Path) -> None:
        with contextlib.suppress(sqlite3.Error, OSError):
            if self._wal.stat().st_size > CHECKPOINT_BYTES:
                with contextlib.closing(connect(path, read_only=False)) as own:
                    own.execute("PRAGMA wal_checkpoint(PASSIVE)")


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the file in autocommit; a reader never creates it and never blocks a writer."""
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=1.0 if read_only else BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    if not read_only:
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def begin_run(connection: sqlite3.Connection, run_id: str) -> int:
    """The number of this run in the file; it is written there once."""
    connection.execute(
        "INSERT OR IGNORE INTO runs (run_id, started, header) VALUES (?, ?, ?)",
        (run_id, time.time_ns(), json.dumps(header())),
    )
    return int(connection.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0])


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the schema in a new file; refuse a file that is not ours or newer than this release."""
    found = check_schema(connection, path)
    if found == SCHEMA_VERSION:
        return
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def check_schema(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema version, 0 for an empty one; JournalError where it cannot be ours."""
    application, found = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not empty and application != APPLICATION_ID:
        raise JournalError(
            f"{path} is a database of something else; set EXIT_SHIM_JOURNAL to another path for the journal"
        )
    if found > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer exit_shim (schema {found}, this one knows {SCHEMA_VERSION}); "
            "upgrade exit_shim or set EXIT_SHIM_JOURNAL to another path"
        )
    return int(found)


def create_private(path: Path) -> None:
    """Create the folder (0700) and the file (0600) where they are missing, before SQLite would, wider."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be opened for writing ({error.strerror}); "
            "set EXIT_SHIM_JOURNAL to a path that this user can write"
        ) from error


def header() -> dict[str, Any]:
    """Who writes: what a later reader needs to make sense of a run."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        **{name: _version(name) for name in ("exit_shim", "python-binance", "wrapt")},
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def read_records(
    path: str | os.PathLike[str],
    *,
    module: str | None = None,
    symbol: str | None = None,
    since_ns: int | None = None,
    run_id: str | None = None,
) -> Iterator[Record]:
    """The recorded orders, oldest first.

    Raises:
        JournalError: There is no journal at `path`, or it cannot be read.
    """
    where, values = [SELECT], []
    for clause, value in (
        ("json_extract(intent.body, '$.attribution.module') = ?", module),
        ("json_extract(intent.body, '$.order.symbol') = ?", symbol),
        ("intent.ts >= ?", since_ns),
        ("runs.run_id = ?", run_id),
    ):
        if value is not None:
            where.append(f"AND {clause}")
            values.append(value)
    where.append("ORDER BY intent.ts, intent.id")
    with contextlib.closing(open_reader(Path(path))) as connection:
        for run, seq, intent, outcome in connection.execute(" ".join(where), values):
            yield Record(
                run_id=run,
                seq=seq,
                submission=_submission(intent),
                conclusion=None if outcome is None else _conclusion(outcome),
            )


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads; JournalError with the way out where there is nothing to read."""
    if not path.exists():
        raise JournalError(
            f"there is no journal at {path}; it appears with the first exit order, or set EXIT_SHIM_JOURNAL"
        )
    try:
        connection = connect(path, read_only=True)
        check_schema(connection, path)
    except sqlite3.Error as error:
        raise JournalError(
            f"the journal {path} cannot be read ({error}); is it another program's file?"
        ) from error
    return connection


def default_path() -> Path:
    """`journal.db` in the platform's state folder for exit_shim."""
    return state_folder() / "journal.db"


def state_folder() -> Path:
    """Where state lives: XDG_STATE_HOME on Linux, Application Support on macOS, LOCALAPPDATA on Windows."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "exit_shim"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "exit_shim"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "exit_shim"


_submission = msgspec.json.Decoder(Submission).decode
_conclusion = msgspec.json.Decoder(Conclusion).decode

_journals: weakref.WeakSet[Journal] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _after_fork_in_child() -> None:
    for journal in list(_journals):
        journal._abandon()  # noqa: SLF001 - the module's own class


def _close_all() -> None:
    for journal in list(_journals):
        journal.close()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
