"""The questions that a record answers: this host's journal, or a database of many hosts."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from exit_shim.domain.attributions import Step
from exit_shim.domain.events import (
    ExecutorStep,
    Intent,
    Lost,
    OrderFindings,
    Outcome,
    Record,
    Resolution,
    RunStarted,
)
from exit_shim.journal.index_tables import DAY_NS, HOUR_NS, OrderSite
from exit_shim.journal.line_format import MOST, Line
from exit_shim.journal.rows import decode

T = TypeVar("T")

Field: TypeAlias = Literal["module", "symbol", "host", "account"]
"""A field whose values a source can list."""


class StoredEvent(NamedTuple):
    """One row of the record; `pos` and `link` are its place in its run's chain."""

    run_id: str
    seq: int
    pos: int
    ts: int
    event: str
    about: str | None
    body: str
    link: bytes

    @property
    def line(self) -> Line:
        """Return the event without its place, which its link is taken over."""
        return Line(self.seq, self.ts, self.event, self.about, self.body)


class Run(NamedTuple):
    """One process's life: its first event, and where its chain begins and ends.

    `pos` and `head` are position and link of its last event, `pruned_pos` and `pruned_head` of the last that
    was pruned.
    """

    run_id: str
    started: int
    header: RunStarted
    pos: int
    head: bytes
    pruned_pos: int
    pruned_head: bytes
    ended: int | None


class StoredStep(NamedTuple):
    """A step of an exit executor, and when it was recorded, in nanoseconds since the epoch."""

    run_id: str
    seq: int
    ts: int
    step: ExecutorStep


class Count(NamedTuple):
    """The number of orders that one place in the bot sent in one mode and that came to one state."""

    site: OrderSite
    mode: str
    state: str
    orders: int
    conflicts: int


class Stack(NamedTuple):
    """A chain of frames that orders came by, with the module that they were attributed to."""

    module: str
    evidence: str
    chain: tuple[Step, ...]


class RecordFilter(NamedTuple):
    """Narrow the records to read; what is None does not narrow.

    Args:
        module: Only orders of this module, by its short name.
        symbol: Only orders on this symbol.
        since_ns: Only orders since this moment, in nanoseconds since the epoch.
        run_id: Only orders of this run.
        named: Only the order with this order id, algo id, client order id or RUN_ID:SEQ, and the cancels and
            changes of it.
        in_doubt: Only orders whose outcome is unknown and was not resolved.
        host: Only orders of processes on this host.
        account: Only orders on the account of this label.
    """

    module: str | None = None
    symbol: str | None = None
    since_ns: int | None = None
    run_id: str | None = None
    named: str | None = None
    in_doubt: bool = False
    host: str | None = None
    account: str | None = None

    def values(self) -> dict[str, Any]:
        """Return the parameters of a query; a clause applies where its own is not None."""
        of_run, _, seq = (self.named or "").rpartition(":")
        fits = bool(of_run) and seq.isascii() and seq.isdecimal() and len(seq) < len(str(MOST))
        return {
            **self._asdict(),
            "in_doubt": self.in_doubt or None,
            "of_run": of_run,
            "of_seq": int(seq) if fits else None,
        }


EVERYTHING: Final = RecordFilter()


class RecordSource(Protocol):
    """A record to read from; every method raises JournalError where it cannot be read."""

    name: str
    """The source in words, for messages."""

    def read_records(self, wanted: RecordFilter = EVERYTHING) -> Iterator[Record]:
        """Return the recorded orders, oldest first."""

    def read_values(self, field: Field) -> list[str]:
        """Return the values of a field that recorded orders have, sorted."""

    def read_events(
        self, *, run_id: str | None = None, after_pos: int = 0, limit: int | None = None
    ) -> Iterator[StoredEvent]:
        """Return the events of one run or of all, run by run, in the order of their chain."""

    def read_runs(self) -> list[Run]:
        """Return all runs, oldest first. A run's end is its last event here: some may not be copied yet."""

    def read_steps(self, *, since_ns: int | None = None, named: str | None = None) -> Iterator[StoredStep]:
        """Return the steps of exit executors, oldest first.

        Args:
            since_ns: Only steps since this moment, in nanoseconds since the epoch.
            named: Only those of the episode of this key, or in which the order of this id is.
        """

    def read_episodes(self, *, since_ns: int | None = None) -> list[StoredStep]:
        """Return the last step of each episode of a position, the longest ago first."""

    def read_counts(self, *, since_ns: int | None = None) -> list[Count]:
        """Return the number of orders by place in the bot, mode and state."""

    def read_stacks(self, *, since_ns: int | None = None) -> list[Stack]:
        """Return the different stacks that concluded orders came by."""

    def count_lost(self) -> int:
        """Return the number of events that are recorded as lost."""


class SqlSource:
    """Base of the sources that are asked in SQL: a subclass says how, in its dialect, and runs the queries.

    All columns come in the same order, so that rows become records, runs and counts in one place.
    """

    CLAUSES: ClassVar[Mapping[str, str]]
    RECORDS: ClassVar[str]
    VALUES: ClassVar[Mapping[str, str]]
    EVENTS: ClassVar[str]
    RUNS: ClassVar[str]
    STEPS: ClassVar[str]
    EPISODES: ClassVar[str]
    COUNTS: ClassVar[str]
    STACKS: ClassVar[str]
    LOST: ClassVar[str]

    def query(self, question: str, values: Mapping[str, object], make: Callable[..., T]) -> Iterator[T]:
        """Return what `make` makes of each row; raise JournalError where the source cannot be read."""
        raise NotImplementedError

    def read_records(self, wanted: RecordFilter = EVERYTHING) -> Iterator[Record]:
        """Return the recorded orders, oldest first."""
        values = wanted.values()
        clauses = [clause for name, clause in self.CLAUSES.items() if values[name] is not None]
        where = "WHERE " + " AND ".join(clauses) if clauses else ""
        return self.query(self.RECORDS.format(where=where), values, record_of)

    def read_values(self, field: Field) -> list[str]:
        """Return the values of a field that recorded orders have, sorted."""
        return sorted(self.query(self.VALUES[field], {}, str))

    def read_events(
        self, *, run_id: str | None = None, after_pos: int = 0, limit: int | None = None
    ) -> Iterator[StoredEvent]:
        """Return the events of one run or of all, run by run, in the order of their chain."""
        for each in [run_id] if run_id is not None else [run.run_id for run in self.read_runs()]:
            values = {"run_id": each, "after_pos": after_pos, "limit": limit}
            yield from self.query(self.EVENTS, values, StoredEvent)

    def read_runs(self) -> list[Run]:
        """Return all runs, oldest first."""
        return list(self.query(self.RUNS, {}, run_of))

    def read_steps(self, *, since_ns: int | None = None, named: str | None = None) -> Iterator[StoredStep]:
        """Return the steps of exit executors, oldest first."""
        return self.query(self.STEPS, {"since_ns": since_ns or 0, "named": named}, step_of)

    def read_episodes(self, *, since_ns: int | None = None) -> list[StoredStep]:
        """Return the last step of each episode of a position, the longest ago first."""
        return list(self.query(self.EPISODES, {"since_ns": since_ns or 0}, step_of))

    def read_counts(self, *, since_ns: int | None = None) -> list[Count]:
        """Return the number of orders by place in the bot, mode and state."""
        since = since_ns or 0
        hour, day = -(-since // HOUR_NS), -(-since // DAY_NS)
        values = {
            "hour_ns": HOUR_NS,
            "day_ns": DAY_NS,
            "since_ns": since,
            "hour": hour,
            "day": day,
            "first_hour": hour * HOUR_NS,
            "first_day": day * DAY_NS // HOUR_NS,
        }
        return sorted(self.query(self.COUNTS, values, count_of))

    def read_stacks(self, *, since_ns: int | None = None) -> list[Stack]:
        """Return the different stacks that concluded orders came by."""
        stacks = self.query(self.STACKS, {"since_ns": since_ns or 0}, self.stack_of)
        return list(dict.fromkeys(stacks))

    @staticmethod
    def stack_of(*row: Any) -> Stack:
        """Return the stack in a row of `STACKS`."""
        raise NotImplementedError

    def count_lost(self) -> int:
        """Return the number of events that are recorded as lost."""
        return sum(self.query(self.LOST, {}, lambda body: decode(Lost, body).events))


def record_of(
    run_id: str, seq: int, intent: str, outcome: str | None, resolution: str | None, findings: str | None
) -> Record:
    """Return the record in a row of `RECORDS`."""
    return Record(
        run_id=run_id,
        seq=seq,
        intent=decode(Intent, intent),
        outcome=None if outcome is None else decode(Outcome, outcome),
        resolution=None if resolution is None else decode(Resolution, resolution),
        findings=None if findings is None else decode(OrderFindings, findings),
    )


def step_of(run_id: str, seq: int, ts: int, body: str) -> StoredStep:
    """Return the step in a row of `STEPS`."""
    return StoredStep(run_id, seq, ts, decode(ExecutorStep, body))


def run_of(*row: Any) -> Run:
    """Return the run in a row of `RUNS`."""
    run = Run(*row)
    return run._replace(
        header=decode(RunStarted, row[2]), head=bytes(run.head), pruned_head=bytes(run.pruned_head)
    )


def count_of(*row: Any) -> Count:
    """Return the count in a row of `COUNTS`."""
    columns = len(OrderSite._fields)
    return Count(OrderSite(*row[:columns]), *row[columns:])
