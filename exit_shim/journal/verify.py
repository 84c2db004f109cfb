"""Verify a record: each run's chain of hashes, and its numbers."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exit_shim.domain.events import Lost
from exit_shim.journal import hash_chain
from exit_shim.journal.record_source import Run, StoredEvent
from exit_shim.journal.rows import decode


class Flaw(NamedTuple):
    """The first row of a run that does not fit its chain; `seq` is None where the row is missing."""

    run_id: str
    pos: int
    seq: int | None
    what: str


class Numbers:
    """Count a run's events by their numbers, on their way to `verify_run`.

    A journal numbers its events from 1 on without gaps before it writes them, so a missing number is an
    event that never came to the file. `lost` counts the events that the run itself records as lost.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._events = 0
        self._last = 0
        self.lost = 0

    def passing(self, events: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
        """Yield the same events."""
        for event in events:
            if event.pos <= self._run.pos:
                self._see(event)
            yield event

    def _see(self, event: StoredEvent) -> None:
        # The start of the run has 0, and what replaces a damaged line a negative number.
        if event.seq > 0:
            self._events += 1
            self._last = max(self._last, event.seq)
        if event.event == "lost":
            self.lost += decode(Lost, event.body).events

    @property
    def missing(self) -> int | None:
        """Return how many numbers are missing; None where the beginning of the run was pruned."""
        return self._last - self._events if self._run.pruned_pos == 0 else None


def verify_run(run: Run, events: Iterable[StoredEvent]) -> Flaw | None:
    """Return the first flaw of a run; None where all its events are there, unchanged and in order.

    Args:
        run: The run, with the start and the end of its chain.
        events: Its events, in the order of their `pos`.
    """
    pos, head = run.pruned_pos, run.pruned_head
    for event in events:
        # Later events came after the run was read.
        if event.pos > run.pos:
            break
        if event.pos != pos + 1:
            return Flaw(run.run_id, pos + 1, None, f"{event.pos - pos - 1} missing, before seq {event.seq}")
        if hash_chain.link(head, event.line) != event.link:
            return Flaw(run.run_id, event.pos, event.seq, f"{event.event} changed or out of its order")
        pos, head = event.pos, event.link
    if pos != run.pos:
        return Flaw(run.run_id, pos + 1, None, f"{run.pos - pos} missing at the end")
    if head != run.head:
        return Flaw(run.run_id, pos, None, "the run's head is not its last event's link")
    return None
