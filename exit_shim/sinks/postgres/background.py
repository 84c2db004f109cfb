"""Copy the journal to PostgreSQL on a thread of the bot's process."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from exit_shim.journal import JournalError
from exit_shim.runtime.process_hooks import Releasable
from exit_shim.runtime.service import Service
from exit_shim.sinks.postgres.dsn import Dsn
from exit_shim.sinks.postgres.follow import ship_continuously
from exit_shim.sinks.postgres.outbox import Outbox
from exit_shim.sinks.postgres.shipper import Shipper

BATCH: Final = 200
BREATHE_S: Final = 0.0005
"""The pause after every few events: while this thread runs Python, those that place orders wait."""


class Shipping(NamedTuple):
    """The state of shipping in this process; `is_ours` if it is the one of this host that ships."""

    destination: str
    is_ours: bool
    shipped: int
    last_error: str | None


class Background(Service):
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

    thread_name = "exit-shim-shipping"
    stop_s = 2.0

    def __init__(self, journal: Path, dsn: str, on_trouble: Callable[[Exception], None]) -> None:
        self._address = Dsn(dsn)
        self._journal = journal
        self._on_trouble = on_trouble
        self._shipped = 0
        self._last_error: str | None = None
        super().__init__()

    def renew(self) -> None:
        """Begin with no thread, no connection and no turn."""
        super().renew()
        self._set_up()

    def _set_up(self) -> None:
        # A thread that is slow to end must not share these with the next one.
        self.outbox = Outbox(self._journal, self._address.name)
        self._shipper = Shipper(
            self.outbox, self._address, batch=BATCH, breathe=lambda: time.sleep(BREATHE_S)
        )

    def start(self) -> bool:
        """Start the thread unless it runs; report where none can be started."""
        is_started = super().start()
        if not is_started:
            self._on_trouble(RuntimeError("cannot start a thread to ship the journal"))
        return is_started

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        self._set_up()

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

    @staticmethod
    def live(owner: "weakref.ref[Background]", stopped: threading.Event) -> None:
        """Ship what is new until told to stop."""
        background = owner()
        if background is None:
            return
        shipper, on_trouble = background._shipper, background._on_trouble  # noqa: SLF001 - its own thread
        # The thread must not keep the service alive, and ends when nobody has it any more.
        weakref.finalize(background, stopped.set).atexit = False
        listener = weakref.proxy(background)
        del background
        try:
            ship_continuously(shipper, stopped, listener)
        # The service is gone.
        except ReferenceError:
            return
        except Exception as error:  # noqa: BLE001 - a thread must not end with a traceback on stderr
            on_trouble(error)

    def hold_for_fork(self, held: list[Releasable], until: float) -> None:
        """Keep the thread out of SQLite while the process is copied."""
        if self.outbox.lock.acquire(timeout=max(0.0, until - time.monotonic())):
            held.append(self.outbox.lock)

    def renew_after_fork(self) -> None:
        """Leave the parent's connection and turn to it, and wait for a turn of one's own."""
        was_running, connection = self.thread is not None, self._shipper.connection
        if connection is not None:
            # Closing it would end the parent's session. Its socket is given up instead, so that the database
            # notices when the parent is gone.
            _inherited.append(connection)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, connection.fileno(), inheritable=False)
            os.close(nothing)
        self.outbox.release_turn()
        super().renew_after_fork()
        if was_running:
            self.start()


_inherited: list[Any] = []
