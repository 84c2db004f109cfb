"""The questions that a record answers: this host's journal, or a database of many hosts."""

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from exit_shim.domain.attributions import Step
from exit_shim.domain.events import ExecutorStep, GuardFinding, Intent, Outcome, Record, RunStarted, Target
from exit_shim.journal.line_format import MOST, Line
from exit_shim.journal.order_state import IN_DOUBT, OrderSite, names_of, site_of, state_of

Field: TypeAlias = Literal["module", "symbol", "host", "account", "kind", "outcome", "reason"]
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


class Fight(NamedTuple):
    """The number of orders that one place in the bot took from another module.

    Attributes:
        module: The module that cancelled or changed them.
        function: Its function.
        place: Its file and line, "file.py:26".
        operation: "cancel" or "modify".
        victim: The module that had placed them; None where that is not known.
        orders: How many orders, of those that the exchange took or may have taken away.
    """

    module: str
    function: str
    place: str
    operation: str
    victim: str | None
    orders: int


class FindingCount(NamedTuple):
    """How often the guard gave one reason; `module` is None for what is about no single order."""

    code: str
    module: str | None
    number: int


Measure: TypeAlias = Literal["before_send", "total"]
"""What the shim added before the send, or the whole call with the exchange's answer."""

MEASURES: Final[tuple[Measure, Measure]] = ("before_send", "total")


C = TypeVar("C", Fight, FindingCount)


class Latency(NamedTuple):
    """How many orders took how long: a bucket of a histogram.

    Attributes:
        measure: What was measured.
        upper_us: The upper bound in microseconds, one of `LATENCY_BUCKETS_US`; infinity for the last bucket.
        orders: The orders in this bucket alone.
        sum_us: Their times added up, in microseconds.
    """

    measure: Measure
    upper_us: float
    orders: int
    sum_us: float


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
        until_ns: Only orders before this moment, in nanoseconds since the epoch.
        kind: Only orders of this kind.
        outcome: Only orders in this state: an outcome, a resolution, or "in doubt".
        reason: Only orders for which the guard gave this reason.
        limit: Only the newest so many, still oldest first.
        without_symbol: Only orders that name no symbol, such as a cancel by its algo id alone.
    """

    module: str | None = None
    symbol: str | None = None
    since_ns: int | None = None
    run_id: str | None = None
    named: str | None = None
    in_doubt: bool = False
    host: str | None = None
    account: str | None = None
    until_ns: int | None = None
    kind: str | None = None
    outcome: str | None = None
    reason: str | None = None
    limit: int | None = None
    without_symbol: bool = False

    def values(self) -> dict[str, Any]:
        """Return the parameters of a query; a clause applies where its own is not None."""
        of_run, _, seq = (self.named or "").rpartition(":")
        fits = bool(of_run) and seq.isascii() and seq.isdecimal() and len(seq) < len(str(MOST))
        return {
            **self._asdict(),
            "without_symbol": self.without_symbol or None,
            "in_doubt": self.in_doubt or self.outcome == IN_DOUBT or None,
            "limit": None if self.limit is None else max(self.limit, 0),
            "of_run": of_run,
            "of_seq": int(seq) if fits else None,
        }


EVERYTHING: Final = RecordFilter()

LATENCY_BUCKETS_US: Final = (
    *(25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0),
    *(100_000.0, 250_000.0, 500_000.0, 1_000_000.0, 2_500_000.0, 5_000_000.0, 10_000_000.0),
)
"""The upper bounds of the buckets, in microseconds; slower orders are in one without bound."""

NS_PER_US: Final = 1_000

BOUNDS_NS: Final = tuple(round(bound * NS_PER_US) for bound in LATENCY_BUCKETS_US)

LONGEST_NS: Final = 3_600_000_000_000
"""No order is counted as slower: a damaged journal may have any number, and sums must stay numbers."""


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

    def read_facts(
        self, events: Collection[str], *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Iterator[StoredEvent]:
        """Return the events of these kinds, which are about no order, oldest first.

        Args:
            events: Names of `EVENT_NAMES` but intent, outcome, order_findings and resolution.
            since_ns: Only since this moment, in nanoseconds since the epoch.
            until_ns: Only before this moment.
        """

    def read_last_seen(self) -> list[StoredEvent]:
        """Return, of each position, the last `position_seen` that listed its exits, or said it is flat.

        The longest ago comes first. A pruned journal forgets flat positions, and no others.
        """

    def read_fights(self, *, since_ns: int | None = None, until_ns: int | None = None) -> list[Fight]:
        """Return how many orders each place took from other modules, the most first."""

    def read_finding_counts(
        self, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> list[FindingCount]:
        """Return how often the guard gave each reason, the most first."""

    def read_latencies(self, *, since_ns: int | None = None) -> list[Latency]:
        """Return the histograms of how long orders took."""

    def read_counters(self) -> list[Count]:
        """Return the number of concluded orders by place, mode and state since ever, those pruned too.

        Of what was pruned the module, operation, kind, mode and state are known, and no place any more. By
        these the numbers never go down when a journal is pruned.
        """

    def count_lost(self) -> int:
        """Return the number of events that are recorded as lost."""


def count_fights(records: Iterable[Record]) -> list[Fight]:
    """Return how many orders each place took from other modules, of records at hand; the most first.

    Args:
        records: The records, oldest first; the module of a target that is not known is looked for in those
            before it.
    """
    placings, fights = Placings(), Counter[tuple[str, str, str, str, str | None]]()
    for record in records:
        intent = record.intent
        if intent.operation == "place":
            placings.add(record)
        if intent.operation not in TAKING or not may_have_left(record):
            continue
        site = site_of(intent)
        for target in intent.targets:
            victim = target.module or placings.find_module(intent, target)
            if victim != site.module:
                fights[site.module, site.function, site.place, site.operation, victim] += 1
    return sort_by_number(Fight(*key, number) for key, number in fights.items())


TAKING: Final = frozenset({"cancel", "modify"})
"""The operations that take an order from whoever placed it."""


class Placings:
    """The modules that placed orders, by the orders' ids."""

    def __init__(self) -> None:
        self._placed: defaultdict[str, list[Placing]] = defaultdict(list)
        self._number = 0

    def add(self, record: Record) -> None:
        """Remember who placed an order."""
        intent = record.intent
        self._number += 1
        placing = Placing(self._number, intent.account, intent.order.symbol, intent.attribution.module)
        answers = [answer for answer in (record.outcome, record.resolution) if answer is not None]
        names = {intent.order.client_order_id, *(name for answer in answers for name in names_of(answer))}
        for name in names - {None}:
            self._placed[str(name)].append(placing)

    def find_module(self, intent: Intent, target: Target) -> str | None:
        """Return the module that was the last to place a target of a cancel or change."""
        placed = [
            placing
            for name in names_of(target)
            for placing in self._placed.get(str(name), ())
            if placing.account == intent.account and intent.order.symbol in {None, placing.symbol}
        ]
        return max(placed).module if placed else None


class Placing(NamedTuple):
    """One order's place in the record, and who placed it."""

    number: int
    account: str | None
    symbol: str | None
    module: str


def count_findings(
    records: Iterable[Record],
    about_none: Iterable[GuardFinding],
    is_refuted: Callable[[Record, str], bool] | None = None,
) -> list[FindingCount]:
    """Return how often the guard gave each reason, of records and findings at hand; the most first.

    Args:
        records: The records.
        about_none: The findings that are about no single order.
        is_refuted: Tells whether a record's reason of this code did not hold, by what is known now.
    """
    found: Counter[tuple[str, str | None]] = Counter()
    for record in records:
        for reason in record.reasons:
            if is_refuted is None or not is_refuted(record, reason.code):
                found[reason.code, record.intent.attribution.module] += 1
    for finding in about_none:
        found[finding.reason.code, None] += 1
    return sort_by_number(FindingCount(*key, number) for key, number in found.items())


def sort_by_number(counts: Iterable[C]) -> list[C]:
    """Return counts with the greatest number first, and equal ones in the order of their texts."""
    return sorted(counts, key=lambda count: (-count[-1], [text or "" for text in count[:-1]]))


def count_latencies(records: Iterable[Record]) -> list[Latency]:
    """Return the histograms of how long orders took, of records at hand."""
    orders: Counter[tuple[Measure, float]] = Counter()
    sums: defaultdict[tuple[Measure, float], int] = defaultdict(int)
    for record in records:
        for measure, took_ns in zip(MEASURES, times_of(record.outcome), strict=True):
            if took_ns is not None:
                key = measure, bucket_of(took_ns / NS_PER_US)
                orders[key] += 1
                sums[key] += took_ns
    return [Latency(*key, number, sums[key] / NS_PER_US) for key, number in sorted(orders.items())]


def times_of(outcome: Outcome | None) -> tuple[int | None, int | None]:
    """Return what was added before the send and the whole call, in nanoseconds; None if nothing was sent."""
    if outcome is None or outcome.result in {"denied", "simulated", "not_sent"}:
        return None, None
    return _nanoseconds(outcome.presend_us), _nanoseconds(outcome.total_us)


def _nanoseconds(took_us: float) -> int:
    return round(min(max(took_us, 0.0) * NS_PER_US, LONGEST_NS))


def bucket_of(took_us: float) -> float:
    """Return the upper bound of the bucket of a time, both in microseconds."""
    return (*LATENCY_BUCKETS_US, math.inf)[bucket_number(round(took_us * NS_PER_US))]


def bucket_number(took_ns: int) -> int:
    """Return the number of the bucket of a time in nanoseconds, from 0 on."""
    return bisect.bisect_left(BOUNDS_NS, took_ns)


def may_have_left(record: Record) -> bool:
    """Return whether the exchange took an order, or may have."""
    return state_of(record.outcome, record.resolution) in {"accepted", IN_DOUBT}
