"""Find the orders in doubt of a journal, and record their resolutions in it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from exit_shim.domain.events import Intent, Outcome, Record
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.journal import Journal, JournalError, RecordFilter, living_runs, read_records
from exit_shim.journal.fork_and_exit import FORK_S, checkpointing
from exit_shim.resolving import PACE, Resolver, RetryPolicy, UsedWeights
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.sinks.log import log_given_up, log_resolution


def find_left_in_doubt(path: Path) -> list[Record]:
    """Return what ended runs left in doubt, oldest first; running processes look up their own."""
    records: list[Record] = []
    # Without a journal nothing is in doubt. Reading moves what dead runs left into the database first.
    with contextlib.suppress(JournalError), holding_off_forks():
        records = list(read_records(path, RecordFilter(in_doubt=True)))
    living = living_runs(path)
    return [record for record in records if record.run_id not in living]


def find_namesakes(journal: Journal, name: str) -> list[Record] | None:
    """Return the records of a client order id; None where the journal is not up to date."""
    if not journal.flush():
        return None
    with holding_off_forks():
        records = list(read_records(journal.path, RecordFilter(named=name)))
    return [record for record in records if record.intent.order.client_order_id == name]


@contextlib.contextmanager
def holding_off_forks() -> Iterator[None]:
    """Hold off forks for a moment."""
    # The child of a fork during a thread's use of SQLite would find its mutexes locked.
    held = checkpointing.acquire(timeout=FORK_S)
    try:
        yield
    finally:
        if held:
            checkpointing.release()


def make_resolver(
    journal: Journal,
    internal_errors: InternalErrors,
    pace: RetryPolicy = PACE,
    tell: Callable[[Record], object] = log_resolution,
    give_up: Callable[[Record, str], object] | None = None,
    used: UsedWeights | None = None,
) -> Resolver:
    """Return a resolver of the orders in doubt in `journal`."""

    def of_this_run(record: Record, reason: str) -> None:
        # What earlier runs left would be reported again at each start of the bot.
        if record.run_id == journal.run_id:
            log_given_up(record, reason)

    return Resolver(
        left_behind=lambda: [
            record for record in find_left_in_doubt(journal.path) if record.run_id != journal.run_id
        ],
        namesakes=lambda name: find_namesakes(journal, name),
        write=lambda resolution, run_id, seq: journal.append(resolution, (run_id, seq)),
        tell=tell,
        give_up=give_up or of_this_run,
        internal_errors=internal_errors,
        pace=pace,
        used=used,
    )


def look_up_later(resolver: Resolver, client: Any, recorded: RecordedEvent) -> None:
    """Have a resolver look up the order of an outcome that is in doubt."""
    about, outcome = recorded.about, recorded.event
    if about is not None and isinstance(about.event, Intent) and isinstance(outcome, Outcome):
        resolver.add_order(client, Record(about.run_id, about.seq, about.event, outcome))


def event_of_resolution(record: Record) -> RecordedEvent | None:
    """Return a record's resolution as consumers get it; None where it has none."""
    if record.resolution is None:
        return None
    about = RecordedEvent(record.run_id, record.seq, record.intent)
    return RecordedEvent(record.run_id, record.seq, record.resolution, about)
