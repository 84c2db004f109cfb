"""Orders in doubt of a journal: which there are, and a resolver that writes to it what it finds."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from exit_shim.domain.events import Record
from exit_shim.journal import Journal, JournalError, RecordFilter, living_runs, read_records
from exit_shim.journal.fork_and_exit import FORK_S, checkpointing
from exit_shim.resolving import PACE, Resolver, RetryPolicy, UsedWeights
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.sinks.log import log_given_up, log_resolution


def left_in_doubt(path: Path) -> list[Record]:
    """What runs that have ended left in doubt, oldest first; those that live look after their own."""
    found: list[Record] = []
    # Without a journal nothing is in doubt. Reading moves what dead runs left into the database first.
    with contextlib.suppress(JournalError), unforked():
        found = list(read_records(path, RecordFilter(in_doubt=True)))
    living = living_runs(path)
    return [record for record in found if record.run_id not in living]


def namesakes(journal: Journal, name: str) -> list[Record] | None:
    """The records of a client order id; None where the journal is not to be had up to this moment."""
    if not journal.flush():
        return None
    with unforked():
        found = list(read_records(journal.path, RecordFilter(named=name)))
    return [record for record in found if record.intent.order.client_order_id == name]


@contextlib.contextmanager
def unforked() -> Iterator[None]:
    """Have a fork wait a moment: the child of one amid a thread's use of SQLite finds its mutexes shut."""
    held = checkpointing.acquire(timeout=FORK_S)
    try:
        yield
    finally:
        if held:
            checkpointing.release()


def resolver_of(
    journal: Journal,
    internal_errors: InternalErrors,
    pace: RetryPolicy = PACE,
    tell: Callable[[Record], object] = log_resolution,
    give_up: Callable[[Record, str], object] | None = None,
    used: UsedWeights | None = None,
) -> Resolver:
    """A resolver of what is in doubt in `journal`, which it holds.

    What stays in doubt of earlier runs is not told of by default, lest each start of a bot say it again.
    """

    def of_this_run(record: Record, reason: str) -> None:
        if record.run_id == journal.run_id:
            log_given_up(record, reason)

    return Resolver(
        left_behind=lambda: [one for one in left_in_doubt(journal.path) if one.run_id != journal.run_id],
        namesakes=lambda name: namesakes(journal, name),
        write=lambda found, run_id, seq: journal.append(found, (run_id, seq)),
        tell=tell,
        give_up=give_up or of_this_run,
        internal_errors=internal_errors,
        pace=pace,
        used=used,
    )
