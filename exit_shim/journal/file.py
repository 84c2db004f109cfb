"""The file: its schema, how it is made and opened, and who writes to it."""

import contextlib
import errno
import json
import os
import socket
import sqlite3
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x45584954
"""Marks the file as ours: "EXIT" in SQLite's header."""

BUSY_TIMEOUT_S: Final = 0.05
"""The longest that one statement waits for another process's lock."""

CHECKPOINT_BYTES: Final = 4_000_000
"""The size from which on the WAL is moved into the file."""

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

INSERT: Final = "INSERT OR IGNORE INTO events (id, ts, event, concludes, body) VALUES (?, ?, ?, ?, ?)"
"""An event that is in the file already, by a write that seemed to fail, must not hold up those behind it."""


class JournalError(ValueError):
    """The journal cannot be used; the text names the file, the rule and the way out."""


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path` now; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_busy(error: Exception) -> bool:
    """Whether another process has the file, which passes."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)  # its code is Python 3.11


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
    try:
        if not read_only:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            # A WAL that stays as big as it once was would ask for a checkpoint after each order.
            connection.execute(f"PRAGMA journal_size_limit={CHECKPOINT_BYTES // 2}")
    except BaseException:
        connection.close()
        raise
    return connection


def checkpoint(path: Path) -> None:
    """Move a WAL that has grown into the file, on a connection of its own."""
    if path.with_name(f"{path.name}-wal").stat().st_size > CHECKPOINT_BYTES:
        with contextlib.closing(connect(path, read_only=False)) as own:
            own.execute("PRAGMA wal_checkpoint(PASSIVE)")


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
    if not is_bare(connection) and application != APPLICATION_ID:
        raise JournalError(
            f"{path} is a database of something else; set EXIT_SHIM_JOURNAL to another path for the journal"
        )
    if found > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer exit_shim (schema {found}, this one knows {SCHEMA_VERSION}); "
            "upgrade exit_shim or set EXIT_SHIM_JOURNAL to another path"
        )
    return int(found)


def is_bare(connection: sqlite3.Connection) -> bool:
    """Whether the file is empty as yet: made, and its maker not come to the schema, or dead."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))


def create_private(path: Path) -> None:
    """Create the folder (0700) and the file (0600) where they are missing, before SQLite would, wider.

    A file that exists is not opened: closing it again would drop the locks of every connection that this
    process has to it (POSIX), and another process would take the WAL for unused and remove it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
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
