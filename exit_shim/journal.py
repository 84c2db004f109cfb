"""The durable record: an append-only SQLite file, written before an order leaves, shared by one host.

WAL with `synchronous=NORMAL`: what was appended survives the death of the process at any instruction
(the operating system holds it), though not the loss of power. One file serves all processes of a host.
"""

import atexit
import contextlib
import errno
import itertools
import json
import os
import queue
import secrets
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from exit_shim.records import Conclusion, Record, Submission
from exit_shim.scrubbing import text_of

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x45584954
"""Marks the file as ours: "EXIT" in SQLite's header."""

BUSY_TIMEOUT_S: Final = 0.05
"""The longest that one statement waits for another process's lock."""

LOCK_S: Final = 0.1
"""The longest that one append waits for this process's other threads."""

RETRY_S: Final = 1.0
"""After a failed append, events go straight to memory for this long before the file is tried again."""

MAX_WAITING: Final = 10_000
"""Events held in memory while the file cannot be written; beyond it the oldest are dropped and counted."""

ROWS_AT_ONCE: Final = 64
"""Events that the journal's thread writes in one transaction; an intent may wait for one of these."""

GATHER_S: Final = 0.005
"""How long the journal's thread lets outcomes gather."""

CLOSE_S: Final = 1.0
"""The longest that closing waits for another process's lock; no order waits for it."""

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

INSERT: Final = "INSERT OR IGNORE INTO events (id, ts, event, concludes, body) VALUES (?, ?, ?, ?, ?)"
"""An event that is in the file already, by a write that seemed to fail, must not hold up those behind it."""

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
    that a reader can rely on. What the file does not take at once (broken, or locked for longer than an
    order may wait) waits in memory, bounded, and is retried; nothing here raises.

    Args:
        path: The file; it and its folder are created, readable by their owner alone.
        on_trouble: Told of each failure to write.
    """

    def __init__(
        self, path: str | os.PathLike[str], on_trouble: Callable[[Exception], None] | None = None
    ) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - Path's own raises where the folder is gone
        self._on_trouble = on_trouble or (lambda _: None)
        self._begin_run()
        _journals.add(self)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # also where the constructor failed, or the interpreter is going
            self._disconnect()

    def _begin_run(self) -> None:
        """A fresh run: at the start, and in a child after `fork`, where nothing of the parent's is usable."""
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._base = 0
        self._seqs = itertools.count(1)
        self._waiting: deque[_Event] = deque()
        self._dropping = threading.RLock()
        self._dropped = 0
        self._last_error: str | None = None
        self._retry_at = 0.0
        self._writer: _Writer | None = None
        self.run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"

    def open(self) -> None:
        """Open the file now, not at the first order; a failure is told to `on_trouble` and retried later."""
        self._within(LOCK_S, self._connected)

    def intend(self, submission: Submission) -> int:
        """Write down an order about to leave; returns its `seq` in this run."""
        event = _Event(next(self._seqs), submission.ts, "intent", None, encode(submission))
        if not (self.is_due() and self._within(LOCK_S, self._append, event)):
            self._wait(event)
        return event.seq

    def conclude(self, seq: int, conclusion: Conclusion) -> None:
        """Write down, soon, what came of the order that `intend` numbered `seq`."""
        self._wait(_Event(next(self._seqs), time.time_ns(), "outcome", seq, encode(conclusion)))

    def flush(self) -> bool:
        """Write all that waits, now; False where the file would not take it."""
        while self._waiting:
            if not self._within(CLOSE_S, self._append_some):
                return False
        return True

    def health(self) -> Health:
        """What is waiting and what was lost, for summaries."""
        return Health(str(self.path), len(self._waiting), self._dropped, self._last_error)

    def close(self) -> None:
        """Write what is waiting, as far as the file takes it, and let go of the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()
        deadline = time.monotonic() + CLOSE_S
        while not self.flush() and "locked" in (self._last_error or "") and time.monotonic() < deadline:
            time.sleep(BUSY_TIMEOUT_S)
        self._within(CLOSE_S, self._disconnect)

    def is_due(self) -> bool:
        """Whether a failing file is due for another try."""
        return self._retry_at <= time.monotonic()

    def tend(self) -> bool:
        """What the journal's thread does between orders: write what waits, notice a file that is gone."""
        if not self.is_due():
            return False
        try:
            written = self.flush()
            if self._inode is not None and self._inode != identity(self.path):
                self._within(CLOSE_S, self._disconnect)
                self._on_trouble(
                    JournalError(
                        f"the journal {self.path} was removed or replaced while in use: what was written to "
                        "it since is gone with it; a new one begins. Stop the bot before moving its journal"
                    )
                )
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
            self._retry_at = time.monotonic() + RETRY_S
            self._on_trouble(error)
            return False
        return written

    def _wait(self, event: _Event) -> None:
        if len(self._waiting) >= MAX_WAITING:
            with self._dropping:
                self._dropped += len(self._take(1))
        self._waiting.append(event)
        writer = self._writer
        if writer is None and (writer := self._hire()) is None:
            self.flush()
        else:
            writer.wake(self)

    def _hire(self) -> "_Writer | None":
        """A writer, or None where no thread can be had: none left, or the interpreter is on its way out."""
        if _exiting.is_set():
            return None
        try:
            writer = self._writer = _Writer(self)
        except RuntimeError:
            return None
        return writer

    def _take(self, count: int) -> list[_Event]:
        taken: list[_Event] = []
        with contextlib.suppress(IndexError):  # another thread may empty it meanwhile
            while len(taken) < count:
                taken.append(self._waiting.popleft())
        return taken

    def _within(self, patience: float, act: Callable[..., object], *args: object) -> bool:
        """Do something to the file with the lock held; False where the lock or the file cannot be had."""
        me = threading.get_ident()
        if self._holder == me:  # a signal handler places an order: it would wait for what it has interrupted
            return False
        if not self._lock.acquire(timeout=patience):
            return False
        self._holder = me
        try:
            act(*args)
        except FAILURES as error:
            failure = self._give_up(error)
        else:
            return True
        finally:
            self._holder = None
            self._lock.release()
        self._on_trouble(failure)
        return False

    def _append(self, event: _Event) -> None:
        self._connected().execute(INSERT, self._row(event))

    def _append_some(self) -> None:
        """One transaction of a bounded number of events, so that an intent never waits long for the lock."""
        taken = self._take(ROWS_AT_ONCE)
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
            self._inode = identity(self.path)
            self._connection, self._retry_at, self._last_error = connection, 0.0, None
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection, self._inode = self._connection, None, None
        if connection is not None:
            connection.close()

    def _give_up(self, error: Exception) -> JournalError:
        """Leave the file alone for a while, so that not every order pays for finding it broken."""
        self._retry_at = time.monotonic() + RETRY_S
        self._last_error = str(error)
        if not is_busy(error):  # a lock passes; a broken file may be another one when it is opened again
            with contextlib.suppress(sqlite3.Error):
                self._disconnect()
        if isinstance(error, JournalError):
            return error
        return JournalError(
            f"the journal {self.path} cannot be written now ({error}); orders go out, their events wait in "
            f"memory ({MAX_WAITING} at most) and are retried; if this lasts, free the file or set "
            "EXIT_SHIM_JOURNAL to another path"
        )

    def _let_go_for_fork(self, held: list[threading.Lock]) -> None:
        """Close the file, and keep it closed until after the fork.

        A child that inherits an open connection inherits SQLite's belief that this process has its locks,
        which it has not: its parent could then take away the WAL that the child writes.
        """
        if self._lock.acquire(timeout=CLOSE_S):
            held.append(self._lock)
            with contextlib.suppress(sqlite3.Error):
                self._disconnect()

    def _abandon(self) -> None:
        """In a child after `fork`: leave the parent's connection untouched; closing it corrupts its locks."""
        if self._connection is not None:
            _inherited.append(self._connection)
        self._begin_run()


class _Writer:
    """The journal's own thread: writes what waits, and moves the WAL into the file.

    Both would stall an order if they were done on the caller's thread. It is woken through a
    `SimpleQueue`, the one means of threading that a signal handler may use amid its own use.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = weakref.ref(journal)
        self._bells: queue.SimpleQueue[Journal | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="exit-shim-journal", daemon=True)
        self._thread.start()
        close_at_exit_of_a_child()

    def wake(self, journal: Journal) -> None:
        """Say that something waits; the bell keeps the journal alive until it is written."""
        if self._bells.empty():
            self._bells.put(journal)

    def stop(self) -> None:
        self._bells.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=CLOSE_S)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            journal: Journal | None = None
            with contextlib.suppress(queue.Empty):
                if (journal := self._bells.get(timeout=pause)) is None:
                    return
            time.sleep(GATHER_S)  # outcomes come in bursts, and the caller is busy right now
            journal = journal or self._journal()
            if journal is None or not self._hear_out():
                return
            pause = None if journal.tend() else RETRY_S
            self._checkpoint(journal.path)
            del journal  # this thread must not be what keeps it alive

    def _hear_out(self) -> bool:
        """Empty the bells; False where one of them says stop."""
        with contextlib.suppress(queue.Empty):
            while True:
                if self._bells.get_nowait() is None:
                    return False
        return True

    def _checkpoint(self, path: Path) -> None:
        wal = path.with_name(f"{path.name}-wal")
        with contextlib.suppress(sqlite3.Error, OSError), _checkpointing:
            if wal.stat().st_size > CHECKPOINT_BYTES:
                with contextlib.closing(connect(path, read_only=False)) as own:
                    own.execute("PRAGMA wal_checkpoint(PASSIVE)")


_encode: Final = msgspec.json.Encoder().encode


def encode(event: Submission | Conclusion) -> str:
    """An event as JSON; what JSON or UTF-8 cannot carry of it is carried as text."""
    try:
        return _encode(event).decode()
    except Exception:  # noqa: BLE001 - a bot's odd values cost their own exactness, not the record
        return _encode(_plain(event)).decode()


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if value is None or type(value) in (bool, int, float):
        return value
    return text_of(value)


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
        if is_bare(connection):
            return
        try:
            for run, seq, intent, outcome in connection.execute(" ".join(where), values):
                yield Record(
                    run_id=run,
                    seq=seq,
                    submission=_read(Submission, intent),
                    conclusion=None if outcome is None else _read(Conclusion, outcome),
                )
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path} cannot be read on ({error}); is it damaged?") from error


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads; JournalError with the way out where there is nothing to read."""
    if not path.exists():
        raise JournalError(
            f"there is no journal at {path}; it appears with the first exit order, or set EXIT_SHIM_JOURNAL"
        )
    with contextlib.ExitStack() as undo:
        try:
            connection = connect(path, read_only=True)
            undo.callback(connection.close)
            check_schema(connection, path)
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal {path} cannot be read ({error}); is it another program's file?"
            ) from error
        undo.pop_all()
    return connection


def default_path() -> Path:
    """`journal.db` in the platform's state folder for exit_shim, or the temporary one of the homeless."""
    try:
        return state_folder() / "journal.db"
    except RuntimeError:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"exit_shim-{user}" / "journal.db"


def state_folder() -> Path:
    """Where state lives: XDG_STATE_HOME on Linux, Application Support on macOS, LOCALAPPDATA on Windows."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "exit_shim"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "exit_shim"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "exit_shim"


S = TypeVar("S", bound=msgspec.Struct)

_PLACEHOLDERS: Final[dict[str, Any]] = {
    "ts": 0,
    "door": "unknown",
    "intent": "place",
    "kind": "other_exit",
    "module": "unknown",
    "evidence": "unknown",
    "mode": "unknown",
    "outcome": "unknown",
}
"""What stands for a required field that a row lacks or has in words that this release does not know."""


def _read(struct: type[S], body: str) -> S:
    """A row's body; one that another release or an odd value has made is read as far as it can be."""
    try:
        return msgspec.json.decode(body, type=struct)
    except msgspec.DecodeError:
        with contextlib.suppress(ValueError):
            return _as_far_as_possible(struct, json.loads(body))
        return _as_far_as_possible(struct, {})


def _as_far_as_possible(struct: type[S], raw: object) -> S:
    kept: dict[str, Any] = {}
    given = raw if isinstance(raw, dict) else {}
    for field in msgspec.structs.fields(struct):
        value = given.get(field.name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            kept[field.name] = _as_far_as_possible(field.type, value)
            continue
        for candidate in (value, text_of(value)):
            with contextlib.suppress(msgspec.ValidationError):
                if value is not None:
                    kept.setdefault(field.name, msgspec.convert(candidate, field.type))
        if field.name not in kept and field.required:
            kept[field.name] = _PLACEHOLDERS[field.name]
    return struct(**kept)


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []
_checkpointing = threading.Lock()
_exiting = threading.Event()
_held: list[threading.Lock] = []
_children: set[int] = set()


def _before_fork() -> None:
    """Let no thread of ours be inside SQLite while the process is copied: its mutexes would stay shut."""
    for journal in list(_journals):
        journal._let_go_for_fork(_held)  # noqa: SLF001 - the module's own class
    if _checkpointing.acquire(timeout=CLOSE_S):
        _held.append(_checkpointing)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()
    for journal in list(_journals):
        journal._abandon()  # noqa: SLF001 - the module's own class


def close_at_exit_of_a_child() -> None:
    """Have journals closed where a child of `multiprocessing` ends: it skips `atexit`."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and os.getpid() not in _children:
        _children.add(os.getpid())
        util.Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    for journal in list(_journals):
        journal.close()


def _close_for_good() -> None:
    """From here on no thread of ours is sure to run: outcomes are written where they are concluded."""
    _exiting.set()
    _close_all()


atexit.register(_close_for_good)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
