"""Whether the record is whole: each run's chain, link by link, and its numbers. Pure given the events."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exit_shim.domain.events import Lost
from exit_shim.journal import hash_chain
from exit_shim.journal.record_source import Run, StoredEvent
from exit_shim.journal.rows import decode


class Flaw(NamedTuple):
    """The first row of a run at which its chain does not hold; `seq` is None where the row is missing."""

    run_id: str
    pos: int
    seq: int | None
    what: str


class Numbers:
    """The numbers of a run's events, looked at while these pass by on their way to `verify_run`.

    A journal numbers its events from 1 on, leaving none out, before it writes them; so a number that no event
    has was given to one that never came to the file. `told` counts those that the run itself says are lost.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._events = 0
        self._last = 0
        self.told = 0

    def passing(self, events: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
        """The same events."""
        for event in events:
            if event.pos <= self._run.pos:
                self._see(event)
            yield event

    def _see(self, event: StoredEvent) -> None:
        if event.seq > 0:  # 0 is the start's, and what stands for a damaged line has one below
            self._events += 1
            self._last = max(self._last, event.seq)
        if event.event == "lost":
            self.told += decode(Lost, event.body).events

    @property
    def missing(self) -> int | None:
        """How many up to the last no event has; None where the beginning was pruned, with what it told."""
        return self._last - self._events if self._run.pruned_pos == 0 else None


def verify_run(run: Run, events: Iterable[StoredEvent]) -> Flaw | None:
    """The first flaw of a run, None where all its events are there, unchanged and in order.

    Args:
        run: Where the chain begins, and where it must end.
        events: The run's, in the order of their `pos`.
    """
    pos, head = run.pruned_pos, run.pruned_head
    for event in events:
        if event.pos > run.pos:  # came since the run was looked at
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
