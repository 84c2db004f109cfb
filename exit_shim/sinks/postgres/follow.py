"""Copy a journal to PostgreSQL continuously, through outages of any length."""

import random
import threading
from typing import Final, Protocol

from exit_shim.journal import JournalError
from exit_shim.sinks.postgres.shipper import Shipper

POLL_S: Final = 0.5
"""The pause between two looks into the journal."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
"""After a failure the pause doubles from the first to the longest."""


class ShippingListener(Protocol):
    """What is called while a journal is copied."""

    def on_shipped(self, events: int) -> None:
        """All events are copied: `events` of them since the last call."""

    def on_failure(self, error: JournalError, pause: float) -> None:
        """Copying failed; it is tried again after `pause` seconds."""

    def on_waiting(self) -> None:
        """Another process copies this journal."""


def ship_continuously(shipper: Shipper, stopped: threading.Event, listener: ShippingListener) -> None:
    """Copy until `stopped` is set; failures of journal or database do not end it."""
    outbox, failures = shipper.outbox, 0
    try:
        while not stopped.is_set():
            pause = POLL_S
            try:
                if not outbox.acquire_turn():
                    listener.on_waiting()
                    stopped.wait(jittered(2 * POLL_S))
                    continue
                if not outbox.journal.exists():
                    stopped.wait(POLL_S)
                    continue
                # Nothing may be pruned before it is copied, however long there is no connection.
                if shipper.connection is None:
                    outbox.save_positions({})
                events = shipper.ship(stopped.is_set)
                if events or failures:
                    listener.on_shipped(events)
                failures = 0
            except (JournalError, OSError) as error:
                pause = jittered(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))
                failures = min(failures + 1, 30)
                listener.on_failure(_as_ours(error), pause)
            stopped.wait(pause)
    finally:
        shipper.close()
        outbox.release_turn()


def jittered(pause: float) -> float:
    """Return a pause near the given one: many shippers must not all come back at once."""
    # No secret depends on it.
    return pause * random.uniform(0.75, 1.25)  # noqa: S311


def _as_ours(error: Exception) -> JournalError:
    return (
        error if isinstance(error, JournalError) else JournalError(f"the journal cannot be shipped: {error}")
    )
