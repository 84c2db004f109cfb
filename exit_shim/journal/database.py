"""Make, open and checkpoint the SQLite database."""

import contextlib
import errno
import itertools
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

import msgspec

from exit_shim.journal import file_lock, schema
from exit_shim.journal.ingest import transaction
from exit_shim.journal.schema import JournalError
from exit_shim.journal.spool import folder_of

BUSY_TIMEOUT_S: Final = 0.3
"""The longest that one statement waits for another process's lock; no order waits for it."""

DAMAGE: Final = (sqlite3.Error, ValueError, TypeError, ArithmeticError, LookupError, msgspec.MsgspecError)
"""The errors that a damaged file may cause: values of another type, text that is not UTF-8."""

OPENING_S: Final = 2.0
"""The longest that opening waits for another process that opens, makes or renames the same journal."""

LOOK_AGAIN_S: Final = 0.005
"""The pause between two looks at a file that another process has locked."""

CHECKPOINT_BYTES: Final = 4_000_000
"""The size from which the WAL is copied into the file."""


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file at `path`; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_at(path: Path, inode: tuple[int, int]) -> bool:
    """Return whether the file of this identity is still at `path`."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    # A folder that this user may not read any more has lost nothing.
    except OSError:
        return True
    return (status.st_dev, status.st_ino) == inode


def is_busy(error: Exception) -> bool:
    """Return whether another process has locked the file, which passes."""
    # `sqlite_errorcode` is new in Python 3.11.
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def file_uri(path: Path) -> str:
    """Return the URI of an absolute path, as `Path.as_uri` does."""
    # Since Python 3.14 that one loads urllib.request, and with it ssl: too much for the start of a command.
    return path.as_uri() if os.name == "nt" else f"file://{quote_from_bytes(os.fsencode(path))}"


def connect(path: Path, *, read_only: bool, lasting: bool = False) -> sqlite3.Connection:
    """Open the file in autocommit; a reader never creates it and never blocks a writer.

    Args:
        path: The database.
        read_only: Open it for reading.
        lasting: Have each commit survive a power failure.
    """
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{file_uri(path.absolute())}?mode={mode}",
        uri=True,
        timeout=1.0 if read_only else BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if not read_only:
            connection.execute(f"PRAGMA synchronous={'FULL' if lasting else 'NORMAL'}")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            # A WAL that stayed as big as it once was would need a checkpoint after each batch.
            connection.execute(f"PRAGMA journal_size_limit={CHECKPOINT_BYTES // 2}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def lasting(connection: sqlite3.Connection) -> Iterator[None]:
    """Have each commit inside survive a power failure."""
    (before,) = connection.execute("PRAGMA synchronous").fetchone()
    connection.execute("PRAGMA synchronous=FULL")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA synchronous={before}")


@contextlib.contextmanager
def reporting_damage(path: Path, what: str) -> Iterator[None]:
    """Raise JournalError for any error inside that a damaged file may cause."""
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, JournalError):
            raise
        hint = "try again" if is_busy(error) else "is it damaged, or another program's file?"
        raise JournalError(f"the journal {path} cannot be {what} ({error}); {hint}") from error


def open_writer(path: Path, *, lasting: bool = False) -> sqlite3.Connection:
    """Open the journal for writing; make file and tables where they are missing.

    Raises:
        OldSchemaError: An older release has written it; see `set_aside`.
        JournalError: It cannot be the journal, or cannot be written.
    """
    with _alone(path):
        create_private(path)
        connection = connect(path, read_only=False, lasting=lasting)
        try:
            schema.check_schema(connection, path)
            if schema.is_empty(connection):
                _make_tables(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from opening the journal for writing, where files can be locked."""
    # Of two that switch a new file to WAL at once, SQLite turns one away without waiting. One that opens a
    # file while another renames it takes the new one's WAL for its own, and destroys the old file.
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            fd = _open_lock(folder_of(path))
            stack.callback(os.close, fd)
            _wait_for_lock(fd)
            stack.callback(file_lock.release, fd)
        yield


def _open_lock(folder: Path) -> int:
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(folder / "opening", os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)


def _wait_for_lock(fd: int) -> None:
    until = time.monotonic() + OPENING_S
    while not file_lock.try_to_hold(fd):
        if time.monotonic() > until:
            raise sqlite3.OperationalError("database is locked by another process that opens it")
        time.sleep(LOOK_AGAIN_S)


def _make_tables(connection: sqlite3.Connection) -> None:
    # `prune` gives room back, which SQLite can do only if that was set while the file was empty.
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    with transaction(connection):
        # Where files cannot be locked, another process may have made them meanwhile.
        if schema.is_empty(connection):
            schema.make_tables(connection)


def set_aside(path: Path) -> Path | None:
    """Rename a journal of an older release; return its new path, None where another process was faster.

    Raises:
        JournalError: It is in use, or cannot be renamed.
    """
    try:
        with _alone(path):
            return _rename_old(path) if path.exists() else None
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            f"{path} was written by an older exit_shim and cannot be renamed now ({error}); "
            "stop the bots and commands that use it, or set EXIT_SHIM_JOURNAL to another path"
        ) from error


def _rename_old(path: Path) -> Path | None:
    with contextlib.closing(connect(path, read_only=False)) as connection:
        if not schema.is_old(connection):
            return None
        # SQLite leaves WAL mode only where nobody else has the file open. Without a WAL, one rename moves
        # all of it, and the lock keeps others from writing to it meanwhile.
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        aside = next(name for name in _names_aside(path) if not name.exists())
        path.rename(aside)
        return aside


def _names_aside(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.name}.old-{number}") for number in itertools.count(1))


def checkpoint(path: Path) -> None:
    """Copy a WAL that has grown into the file, on a separate connection."""
    if path.with_name(f"{path.name}-wal").stat().st_size > CHECKPOINT_BYTES:
        with contextlib.closing(connect(path, read_only=False)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def create_private(path: Path) -> None:
    """Create the folder (0700) and the file (0600) where they are missing; SQLite would let others read."""
    # A file that exists is not opened: closing it would drop the POSIX locks of all connections that this
    # process has to it, and another process would take the WAL for unused and remove it.
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
