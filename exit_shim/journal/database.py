"""The database file: how it is made, opened and kept small."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from exit_shim.journal import schema
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.schema import SCHEMA_VERSION, JournalError

BUSY_TIMEOUT_S: Final = 0.3
"""The longest that one statement waits for another process's lock; no order waits for it."""

ODD: Final = (sqlite3.Error, ValueError, TypeError, ArithmeticError, LookupError, msgspec.MsgspecError)
"""What it may come to where a file is damaged: a value of another type, or text that is none."""

CHECKPOINT_BYTES: Final = 4_000_000
"""The size from which on the WAL is moved into the file."""


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path` now; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_at(path: Path, inode: tuple[int, int]) -> bool:
    """Whether this file is still at `path`, as far as this user can see."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a folder that this user may not look into any more has lost nothing
        return True
    return (found.st_dev, found.st_ino) == inode


def is_busy(error: Exception) -> bool:
    """Whether another process has the file, which passes."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)  # its code is Python 3.11


def connect(path: Path, *, read_only: bool, lasting: bool = False) -> sqlite3.Connection:
    """Open the file in autocommit; a reader never creates it and never blocks a writer.

    `lasting`: a commit outlives the loss of power.
    """
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
            connection.execute(f"PRAGMA synchronous={'FULL' if lasting else 'NORMAL'}")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            # A WAL that stays as big as it once was would ask for a checkpoint after each batch.
            connection.execute(f"PRAGMA journal_size_limit={CHECKPOINT_BYTES // 2}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def lasting(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside, each commit outlives the loss of power."""
    (before,) = connection.execute("PRAGMA synchronous").fetchone()
    connection.execute("PRAGMA synchronous=FULL")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA synchronous={before}")


@contextlib.contextmanager
def legible(path: Path, what: str) -> Iterator[None]:
    """Inside, whatever a damaged file holds for those who read it is a JournalError."""
    try:
        yield
    except ODD as error:
        if isinstance(error, JournalError):
            raise
        hint = "try again" if is_busy(error) else "is it damaged, or another program's file?"
        raise JournalError(f"the journal {path} cannot be {what} ({error}); {hint}") from error


def open_writer(path: Path, *, lasting: bool = False) -> sqlite3.Connection:
    """Make the file where it is missing, and its tables; JournalError where it cannot be the journal."""
    create_private(path)
    connection = connect(path, read_only=False, lasting=lasting)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def checkpoint(path: Path) -> None:
    """Move a WAL that has grown into the file, on a connection of its own."""
    if path.with_name(f"{path.name}-wal").stat().st_size > CHECKPOINT_BYTES:
        with contextlib.closing(connect(path, read_only=False)) as own:
            own.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file, and today's of an older one's; refuse what is not ours or is newer."""
    if schema.check_schema(connection, path) == SCHEMA_VERSION:
        return
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # `prune` gives room back; only a new file heeds it
    connection.execute("PRAGMA journal_mode=WAL")
    with transaction(connection):
        found = schema.check_schema(connection, path)  # another process may have been at it meanwhile
        if found == 0:
            schema.make_tables(connection)
        elif found == 1:
            _bring_forward(connection)
        elif found == 2:  # noqa: PLR2004 - a version
            schema.index_findings(connection)


def _bring_forward(connection: sqlite3.Connection) -> None:
    schema.put_aside_first(connection)
    schema.make_tables(connection)
    for run_id, started, header_, lines in schema.first_runs(connection):
        ingest(connection, RunOrigin(run_id, started, header_), lines)
    schema.drop_first(connection)


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
