"""A record that is asked in SQL: the rows become records, runs and counts in one place."""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar, Final, TypeVar

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
from exit_shim.journal.order_state import IN_DOUBT, OrderSite
from exit_shim.journal.record_source import (
    EVERYTHING,
    LATENCY_BUCKETS_US,
    NS_PER_US,
    Count,
    Field,
    Fight,
    FindingCount,
    Latency,
    Measure,
    RecordFilter,
    Run,
    Stack,
    StoredEvent,
    StoredStep,
    sort_by_number,
)
from exit_shim.journal.rollups import ranges_of
from exit_shim.journal.rows import decode

T = TypeVar("T")

LATEST_NS: Final = 2**63 - 1
"""The last moment that SQLite can hold."""


class SqlSource:
    """Base of the sources that are asked in SQL: a subclass says how, in its dialect, and runs the queries.

    All columns come in the same order, so that rows become records, runs and counts in one place.
    """

    CLAUSES: ClassVar[Mapping[str, str]]
    RECORDS: ClassVar[str]
    NEWEST: ClassVar[str]
    VALUES: ClassVar[Mapping[str, str]]
    EVENTS: ClassVar[str]
    RUNS: ClassVar[str]
    STEPS: ClassVar[str]
    EPISODES: ClassVar[str]
    COUNTS: ClassVar[str]
    STACKS: ClassVar[str]
    LOST: ClassVar[str]
    FACTS: ClassVar[str]
    LAST_SEEN: ClassVar[str]
    FIGHTS: ClassVar[str]
    FINDINGS: ClassVar[str]
    LATENCIES: ClassVar[str]
    COUNTERS: ClassVar[str]

    def query(self, question: str, values: Mapping[str, object], make: Callable[..., T]) -> Iterator[T]:
        """Return what `make` makes of each row; raise JournalError where the source cannot be read."""
        raise NotImplementedError

    def read_records(self, wanted: RecordFilter = EVERYTHING) -> Iterator[Record]:
        """Return the recorded orders, oldest first."""
        values = wanted.values()
        clauses = self.clauses_of(values)
        where = "WHERE " + " AND ".join(clauses) if clauses else ""
        question = self.RECORDS if wanted.limit is None else self.NEWEST
        return self.query(question.format(where=where), values, record_of)

    def clauses_of(self, values: Mapping[str, object]) -> list[str]:
        """Return the conditions on an order that a filter sets."""
        return [clause for name, clause in self.CLAUSES.items() if values[name] is not None]

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
        return sorted(self.query(self.COUNTS, ranges_of(since_ns, None), count_of))

    def read_stacks(self, *, since_ns: int | None = None) -> list[Stack]:
        """Return the different stacks that concluded orders came by."""
        stacks = self.query(self.STACKS, {"since_ns": since_ns or 0}, self.stack_of)
        return list(dict.fromkeys(stacks))

    @staticmethod
    def stack_of(*row: Any) -> Stack:
        """Return the stack in a row of `STACKS`."""
        raise NotImplementedError

    def read_facts(
        self, events: Collection[str], *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Iterator[StoredEvent]:
        """Return the events of these kinds, which are about no order, oldest first."""
        values = {
            "events": json.dumps(sorted(events)),
            "since_ns": since_ns or 0,
            "until_ns": LATEST_NS if until_ns is None else until_ns,
        }
        return self.query(self.FACTS, values, StoredEvent)

    def read_last_seen(self) -> list[StoredEvent]:
        """Return, of each position, the last `position_seen` that listed its exits, or said it is flat."""
        return list(self.query(self.LAST_SEEN, {}, seen_of))

    def read_fights(self, *, since_ns: int | None = None, until_ns: int | None = None) -> list[Fight]:
        """Return how many orders each place took from other modules, the most first."""
        return sort_by_number(self.query(self.FIGHTS, ranges_of(since_ns, until_ns), fight_of))

    def read_finding_counts(
        self, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> list[FindingCount]:
        """Return how often the guard gave each reason, the most first."""
        return sort_by_number(self.query(self.FINDINGS, ranges_of(since_ns, until_ns), finding_of))

    def read_latencies(self, *, since_ns: int | None = None) -> list[Latency]:
        """Return the histograms of how long orders took."""
        return sorted(self.query(self.LATENCIES, ranges_of(since_ns, None), latency_of))

    def read_counters(self) -> list[Count]:
        """Return the number of concluded orders by place, mode and state since ever, those pruned too."""
        counts = self.query(self.COUNTERS, ranges_of(None, None), count_of)
        return sorted(count for count in counts if count.state != IN_DOUBT)

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
    mode, state, orders, conflicts = row[columns:]
    # A damaged journal may hold any type, and what is sorted must be of one.
    return Count(OrderSite(*map(str, row[:columns])), str(mode), str(state), int(orders), int(conflicts))


def fight_of(
    module: str, function: str, place: str, operation: str, victim: str | None, orders: int
) -> Fight:
    """Return the fight in a row of `FIGHTS`."""
    whose = None if victim is None else str(victim)
    return Fight(str(module), str(function), str(place), str(operation), whose, int(orders))


def finding_of(code: str, module: str | None, number: int) -> FindingCount:
    """Return the count in a row of `FINDINGS`."""
    return FindingCount(str(code), None if module is None else str(module), int(number))


def seen_of(run_id: str, seq: int, pos: int, ts: int, body: str, link: bytes) -> StoredEvent:
    """Return the event in a row of `LAST_SEEN`."""
    return StoredEvent(run_id, seq, pos, ts, "position_seen", None, body, link)


def latency_of(measure: Measure, bucket: int, orders: int, sum_ns: int) -> Latency:
    """Return the bucket in a row of `LATENCIES`."""
    bounds = (*LATENCY_BUCKETS_US, math.inf)
    return Latency(measure, bounds[bucket], int(orders), int(sum_ns) / NS_PER_US)
