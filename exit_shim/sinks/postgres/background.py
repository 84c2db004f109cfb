"""Shipping inside the bot's process: a thread that no order knows of."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from exit_shim.journal import JournalError
from exit_shim.sinks.postgres.dsn import Dsn
from exit_shim.sinks.postgres.follow import follow
from exit_shim.sinks.postgres.outbox import Outbox
from exit_shim.sinks.postgres.shipper import Shipper

THREAD: Final = "exit-shim-shipping"

BATCH: Final = 200
BREATHE_S: Final = 0.0005
"""While a thread works those that place orders wait, for the interpreter is one; so it works in bits."""

STOP_S: Final = 2.0
"""The longest that stopping waits for what is under way."""

FORK_S: Final = 1.0
"""The longest that a fork waits for the thread to be outside SQLite."""


class Shipping(NamedTuple):
    """How shipping fares in this process; `is_ours` says whether this one of the host's processes does it."""

    destination: str
    is_ours: bool
    shipped: int
    last_error: str | None


class Background:
    """Ships a journal from a daemon thread, one a process, for as long as the process lives.

    Whatever is not shipped when the process ends is in the journal, and whoever ships that next goes on.
    After a `fork` the child has a thread of its own, which takes over once the parent is gone.

    Args:
        journal: The journal's path.
        dsn: The database.
        on_trouble: Told of each failure.

    Raises:
        PostgresError: `dsn` is none, or psycopg is missing.
    """

    def __init__(self, journal: Path, dsn: str, on_trouble: Callable[[Exception], None]) -> None:
        self._address = Dsn(dsn)
        self._journal = journal
        self._on_trouble = on_trouble
        self._shipped = 0
        self._last_error: str | None = None
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """All that a thread works with: one that is slow to end must not share it with the next."""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.outbox = Outbox(self._journal, self._address.name)
        self._shipper = Shipper(
            self.outbox, self._address, batch=BATCH, breathe=lambda: time.sleep(BREATHE_S)
        )

    def start(self) -> None:
        """Start the thread where it is not running in this process; nothing is raised."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, args=(self._shipper, self._stopped), name=THREAD, daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads, or the interpreter is on its way out
                    self._on_trouble(error)
                else:
                    self._thread = thread

    def stop(self) -> None:
        """End the thread, once it is through with what it is doing; `start` starts another."""
        thread = self._thread
        self.let_go()
        self._begin()
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_S)

    def let_go(self) -> None:
        """Have the thread end by itself."""
        self._stopped.set()

    def health(self) -> Shipping:
        """How it fares, for summaries."""
        return Shipping(self._address.name, self.outbox.is_ours, self._shipped, self._last_error)

    def shipped(self, events: int) -> None:
        """All that was there is at the database."""
        self._shipped += events
        self._last_error = None

    def failed(self, error: JournalError, _pause: float) -> None:
        """The events wait in the journal."""
        self._last_error = str(error)
        self._on_trouble(error)

    def waiting(self) -> None:
        """Another process ships."""

    def _run(self, shipper: Shipper, stopped: threading.Event) -> None:
        try:
            follow(shipper, stopped, self)
        except Exception as error:  # noqa: BLE001 - a thread's last word must not be a traceback on stderr
            self._on_trouble(error)

    def abandon(self) -> None:
        """In a child after `fork`: leave the parent's connection and turn, and wait for one's own.

        The connection is neither used nor closed, which would end the parent's; its socket is let go of, so
        that the database notices when the parent is gone.
        """
        was_running, connection = self._thread is not None, self._shipper.connection
        if connection is not None:
            _inherited.append(connection)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, connection.fileno(), inheritable=False)
            os.close(nothing)
        self.outbox.leave_turn()
        self._begin()
        if was_running:
            self.start()


_all: weakref.WeakSet[Background] = weakref.WeakSet()
_inherited: list[Any] = []
_held: list[threading.Lock] = []


def _before_fork() -> None:
    locks = [one.outbox.lock for one in list(_all)]
    _held.extend(lock for lock in locks if lock.acquire(timeout=FORK_S))


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _held.clear()
    for one in list(_all):
        one.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
