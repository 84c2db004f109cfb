"""Shipping for good: what is new, whenever it is new, through outages of any length."""

import random
import threading
from typing import Final, Protocol

from exit_shim.journal import JournalError
from exit_shim.sinks.postgres.shipper import Shipper

POLL_S: Final = 0.5
"""How often the journal is looked into."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
"""After a failure the pause doubles, from the first to the longest; at that it stays, for hours."""


class Listener(Protocol):
    """Who is told how shipping fares."""

    def shipped(self, events: int) -> None:
        """All that was there is at the database: so many events of it since the last time."""

    def failed(self, error: JournalError, pause: float) -> None:
        """Something keeps the events here; it is tried again after `pause` seconds."""

    def waiting(self) -> None:
        """Another process ships this journal."""


def follow(shipper: Shipper, stopped: threading.Event, listener: Listener) -> None:
    """Ship until `stopped` is set; nothing that goes wrong with journal or database ends this."""
    outbox, failures = shipper.outbox, 0
    try:
        while not stopped.is_set():
            pause = POLL_S
            try:
                if not outbox.take_turn():
                    listener.waiting()
                    stopped.wait(jittered(2 * POLL_S))
                    continue
                if not outbox.journal.exists():
                    stopped.wait(POLL_S)
                    continue
                if shipper.connection is None:  # however long there is none: nothing of it may be pruned
                    outbox.remember({})
                events = shipper.round(stopped.is_set)
                if events or failures:
                    listener.shipped(events)
                failures = 0
            except (JournalError, OSError) as error:
                pause = jittered(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))
                failures = min(failures + 1, 30)
                listener.failed(_as_ours(error), pause)
            stopped.wait(pause)
    finally:
        shipper.close()
        outbox.leave_turn()


def jittered(pause: float) -> float:
    """A pause that is nobody else's: many shippers of a host that comes back must not come at once."""
    return pause * random.uniform(0.75, 1.25)  # noqa: S311 - spreading load, not keeping a secret


def _as_ours(error: Exception) -> JournalError:
    return (
        error if isinstance(error, JournalError) else JournalError(f"the journal cannot be shipped: {error}")
    )
