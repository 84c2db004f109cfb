"""The durable record: an append-only SQLite file, written before an order leaves, shared by one host.

WAL with `synchronous=NORMAL`: what was appended survives the death of the process at any instruction
(the operating system holds it), though not the loss of power. One file serves all processes of a host.
"""

import contextlib
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

CHECKPOINT_ROWS: Final = 1_000

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


class JournalError(Exception):
    """The journal cannot be used; the text names the file, the rule and the way out."""


class Health(NamedTuple):
    """How the journal fares: events in memory because the file would not take them, and those lost."""

    path: str
    waiting: int
    dropped: int
    last_error: str | None


class _Waiting(NamedTuple):
    """An event that is not in the file yet; `run` is added when it is."""

    seq: int
    ts: int
    event: str
    concludes: int | None
    body: str


class Journal:
    """Appends to the file; thread-safe, reopened after `fork`, never slower than a stated bound.

    Nothing is opened before the first append. An append that fails keeps its event in memory and is
    retried; it never raises. `on_trouble` is called, outside any lock, with what went wrong.

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
        self._dropped = 0
        self._last_error: str | None = None
        self._begin_run()
        _journals.add(self)

    def _begin_run(self) -> None:
        """A fresh run: at the start, and in a child after `fork`, where nothing of the parent's is usable."""
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._base = 0
        self._seq = 0
        self._waiting: deque[_Waiting] = deque()
        self._retry_at = 0.0
        self._checkpointer: _Checkpointer | None = None
        self.run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"

    def open(self) -> None:
        """Open the file now, not at the first order; a failure is told to `on_trouble` and retried later."""
        trouble: Exception | None = None
        with self._lock:
            try:
                if self._connection is None and time.monotonic() >= self._retry_at:
                    self._flush()
            except (sqlite3.Error, OSError, JournalError) as error:
                trouble = self._failed(error)
        if trouble is not None:
            self._on_trouble(trouble)

    def intend(self, submission: Submission) -> int:
        """Write down an order about to leave; returns its `seq` in this run."""
        return self._append("intent", submission.ts, None, self._encode(submission).decode())

    def conclude(self, seq: int, conclusion: Conclusion) -> None:
        """Write down what came of the order that `intend` numbered `seq`."""
        self._append("outcome", time.time_ns(), seq, self._encode(conclusion).decode())

    def health(self) -> Health:
        """What is waiting and what was lost, for summaries."""
        return Health(str(self.path), len(self._waiting), self._dropped, self._last_error)

    def close(self) -> None:
        """Write what is waiting, as far as the file takes it, and let go of the file."""
        with self._lock:
            if self._waiting:
                with contextlib.suppress(sqlite3.Error, OSError, JournalError):
                    self._flush()
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            checkpointer, self._checkpointer = self._checkpointer, None
        if checkpointer is not None:
            checkpointer.stop()

    def _append(self, event: str, ts: int, concludes: int | None, body: str) -> int:
        trouble: Exception | None = None
        with self._lock:
            self._seq = seq = self._seq + 1
            try:
                if self._connection is None or self._waiting:
                    self._wait(_Waiting(seq, ts, event, concludes, body))
                    if time.monotonic() >= self._retry_at:
                        self._flush()
                else:
                    base = self._base
                    self._connection.execute(
                        INSERT, (base + seq, ts, event, None if concludes is None else base + concludes, body)
                    )
            except (sqlite3.Error, OSError, JournalError) as error:
                if not self._waiting or self._waiting[-1].seq != seq:
                    self._wait(_Waiting(seq, ts, event, concludes, body))
                trouble = self._failed(error)
        if trouble is not None:
            self._on_trouble(trouble)
        elif self._checkpointer is not None and seq % CHECKPOINT_ROWS == 0:
            self._checkpointer.wake()
        return seq

    def _wait(self, row: _Waiting) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(row)

    def _failed(self, error: Exception) -> Exception:
        self._retry_at = time.monotonic() + RETRY_S
        self._last_error = str(error)
        return error

    def _flush(self) -> None:
        """Write everything that waits, in one transaction; on failure all of it still waits."""
        if self._connection is None:
            self._connection, self._base = self._open()
        base = self._base
        rows = [
            (base + seq, ts, event, None if concludes is None else base + concludes, body)
            for seq, ts, event, concludes, body in self._waiting
        ]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(INSERT, rows)
        self._waiting.clear()
        self._last_error = None

    def _open(self) -> tuple[sqlite3.Connection, int]:
        create_private(self.path)
        connection = connect(self.path, read_only=False)
        try:
            prepare(connection, self.path)
            run = connection.execute(
                "INSERT INTO runs (run_id, started, header) VALUES (?, ?, ?)",
                (self.run_id, time.time_ns(), json.dumps(header())),
            ).lastrowid
        except BaseException:
            connection.close()
            raise
        self._checkpointer = self._checkpointer or _Checkpointer(self.path)
        return connection, (run or 0) << SEQ_BITS


class _Checkpointer:
    """Moves the WAL into the file on a thread of its own: on the caller's it would stall an order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._event = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="exit-shim-checkpoint", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._event.set()

    def stop(self) -> None:
        self._stopped = True
        self._event.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while True:
            self._event.wait()
            self._event.clear()
            if self._stopped:
                return
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(connect(self._path, read_only=False)) as own,
            ):
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
    """Leave the parent's connections open and untouched: closing one here would corrupt its locks."""
    for journal in list(_journals):
        if journal._connection is not None:  # noqa: SLF001 - the module's own class
            _inherited.append(journal._connection)  # noqa: SLF001
        journal._begin_run()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
