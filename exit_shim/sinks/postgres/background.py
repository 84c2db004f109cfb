"""Copy the journal to PostgreSQL on a thread of the bot's process."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from exit_shim.journal import JournalError
from exit_shim.sinks.postgres.dsn import Dsn
from exit_shim.sinks.postgres.follow import ship_continuously
from exit_shim.sinks.postgres.outbox import Outbox
from exit_shim.sinks.postgres.shipper import Shipper

THREAD: Final = "exit-shim-shipping"

BATCH: Final = 200
BREATHE_S: Final = 0.0005
"""The pause after every few events: while this thread runs Python, those that place orders wait."""

STOP_S: Final = 2.0
"""The longest that stopping waits for the thread."""

FORK_S: Final = 1.0
"""The longest that a fork waits for the thread to leave SQLite."""


class Shipping(NamedTuple):
    """The state of shipping in this process; `is_ours` if it is the one of this host that ships."""

    destination: str
    is_ours: bool
    shipped: int
    last_error: str | None


class Background:
    """Copy a journal to PostgreSQL from a daemon thread.

    What is not copied when the process ends is in the journal, and the next process continues. The child of a
    fork has its own thread, which takes over once the parent is gone.

    Args:
        journal: The journal's path.
        dsn: The database.
        on_trouble: Called with each failure.

    Raises:
        PostgresError: `dsn` is invalid, or psycopg is missing.
    """

    def __init__(self, journal: Path, dsn: str, on_trouble: Callable[[Exception], None]) -> None:
        self._address = Dsn(dsn)
        self._journal = journal
        self._on_trouble = on_trouble
        self._shipped = 0
        self._last_error: str | None = None
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        # A thread that is slow to end must share nothing with the next.
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.outbox = Outbox(self._journal, self._address.name)
        self._shipper = Shipper(
            self.outbox, self._address, batch=BATCH, breathe=lambda: time.sleep(BREATHE_S)
        )

    def start(self) -> None:
        """Start the thread unless it is running; never raises."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, args=(self._shipper, self._stopped), name=THREAD, daemon=True
                )
                try:
                    thread.start()
                # Out of threads, or the interpreter is exiting.
                except RuntimeError as error:
                    self._on_trouble(error)
                else:
                    self._thread = thread

    def stop(self) -> None:
        """Stop the thread after its current work; `start` starts another."""
        thread = self._thread
        self.request_stop()
        self._reset()
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_S)

    def request_stop(self) -> None:
        """Ask the thread to stop, without waiting for it."""
        self._stopped.set()

    def health(self) -> Shipping:
        """Return the state for summaries."""
        return Shipping(self._address.name, self.outbox.is_ours, self._shipped, self._last_error)

    def on_shipped(self, events: int) -> None:
        """Count the events that were copied."""
        self._shipped += events
        self._last_error = None

    def on_failure(self, error: JournalError, _pause: float) -> None:
        """Report a failure; the events wait in the journal."""
        self._last_error = str(error)
        self._on_trouble(error)

    def on_waiting(self) -> None:
        """Do nothing while another process ships."""

    def _run(self, shipper: Shipper, stopped: threading.Event) -> None:
        try:
            ship_continuously(shipper, stopped, self)
        # A thread must not end with a traceback on stderr.
        except Exception as error:  # noqa: BLE001
            self._on_trouble(error)

    def abandon(self) -> None:
        """In the child of a fork, leave the parent's connection and turn, and wait for a turn."""
        # To close the connection would end the parent's. Its socket is replaced, so that the database notices
        # when the parent is gone.
        was_running, connection = self._thread is not None, self._shipper.connection
        if connection is not None:
            _inherited.append(connection)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, connection.fileno(), inheritable=False)
            os.close(nothing)
        self.outbox.release_turn()
        self._reset()
        if was_running:
            self.start()


_all: weakref.WeakSet[Background] = weakref.WeakSet()
_inherited: list[Any] = []
_held: list[threading.Lock] = []


def _before_fork() -> None:
    locks = [shipper.outbox.lock for shipper in list(_all)]
    _held.extend(lock for lock in locks if lock.acquire(timeout=FORK_S))


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _held.clear()
    for shipper in list(_all):
        shipper.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
