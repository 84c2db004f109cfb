"""Whether the record is whole: each run's chain, link by link. Pure given the events."""

from collections.abc import Iterable
from typing import NamedTuple

from exit_shim.journal import chain
from exit_shim.journal.reading import Event, Run


class Flaw(NamedTuple):
    """The first row of a run at which its chain does not hold; `seq` is None where the row is missing."""

    run_id: str
    pos: int
    seq: int | None
    what: str


def verify_run(run: Run, events: Iterable[Event]) -> Flaw | None:
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
        if chain.link(head, event.line) != event.link:
            return Flaw(run.run_id, event.pos, event.seq, f"{event.event} changed or out of its order")
        pos, head = event.pos, event.link
    if pos != run.pos:
        return Flaw(run.run_id, pos + 1, None, f"{run.pos - pos} missing at the end")
    if head != run.head:
        return Flaw(run.run_id, pos, None, "the run's head is not its last event's link")
    return None
