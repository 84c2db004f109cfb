"""What a record shows at a glance: who fights whom, what was found, what is in doubt, and what is bare."""

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from exit_shim.cli.filters import Selection
from exit_shim.cli.hindsight import Hindsight, read_hindsight
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.totals import OrderTotals
from exit_shim.domain.events import GuardFinding, Record
from exit_shim.domain.reason_codes import FOREIGN_CANCEL, REASONS, STRIPPED
from exit_shim.journal import Count, Stack, count_records
from exit_shim.journal.record_source import (
    Fight,
    FindingCount,
    RecordFilter,
    count_fights,
    count_findings,
)
from exit_shim.journal.rows import decode

if TYPE_CHECKING:
    from exit_shim.reports.lives import PositionName, Span
    from exit_shim.reports.timeline import PositionState

T = TypeVar("T")

AT_ONCE: Final = 10_000
"""The records that are held at once."""


class Feud(NamedTuple):
    """How many orders of another module one module cancelled or changed.

    Attributes:
        module: Who did it.
        operation: "cancel" or "modify".
        victim: Who had placed them; None where that is not known.
        orders: How many.
        places: From where, each function with its file and line, the most frequent first.
    """

    module: str
    operation: str
    victim: str | None
    orders: int
    places: tuple[str, ...]


class Found(NamedTuple):
    """How often the guard gave a reason, and to whom."""

    code: str
    number: int
    by: dict[str, int]

    @property
    def meaning(self) -> str:
        """What the reason means, in a few words."""
        return REASONS.get(self.code, "a custom rule")


class Baring(NamedTuple):
    """How long a position was without a stop, and who bared it how often.

    Attributes:
        account: The account's label.
        symbol: The symbol.
        position_side: As the exchange has it.
        times: How often it was bare.
        total_ns: For how long in all, in nanoseconds.
        by: How often each module's cancel or change bared it; "" where nobody's did.
        is_now: Whether it still is.
    """

    account: str | None
    symbol: str
    position_side: str
    times: int
    total_ns: int
    by: dict[str, int]
    is_now: bool


class Overview(NamedTuple):
    """What `run` and `summary` show.

    Attributes:
        totals: Orders by place.
        feuds: Who fights whom, the most orders first.
        found: What the guard found, the most frequent first.
        positions: The positions that were seen of late, with their cover now.
        barings: The positions that were bare at a time of the run; None where no single run was asked for.
        worst_symbol: The symbol on which modules fight most; None where that was not counted.
    """

    totals: OrderTotals
    feuds: list[Feud]
    found: list[Found]
    positions: "list[PositionState]"
    barings: list[Baring] | None
    worst_symbol: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        barings = None if self.barings is None else [baring._asdict() for baring in self.barings]
        return {
            **self.totals.as_dict(),
            "fights": [feud._asdict() for feud in self.feuds],
            "findings": [{**found._asdict(), "meaning": found.meaning} for found in self.found],
            "in_doubt": self.totals.in_doubt(),
            "cover": [cover_fields(state) for state in self.positions],
            "bare": barings,
        }


class Numbers(NamedTuple):
    """What is counted of records: nothing in it grows with their number."""

    counts: list[Count]
    stacks: dict[Stack, None]
    fights: list[Fight]
    findings: list[FindingCount]
    symbols: Counter[str]


def read_overview(selection: Selection) -> Overview:
    """Return the overview of what is selected; end the command where it cannot be read."""
    with readable_journal_errors():
        hindsight = None if selection.wanted.run_id is None else read_hindsight(selection)
        numbers = read_counted(selection) if is_counted(selection) else count_read(selection, hindsight)
        return Overview(
            OrderTotals(numbers.counts, numbers.stacks, selection.source.count_lost()),
            group_fights(numbers.fights),
            group_findings(numbers.findings),
            read_positions_now(selection),
            None if hindsight is None else find_barings(hindsight),
            next(iter(dict(numbers.symbols.most_common(1))), None),
        )


def read_positions_now(selection: Selection) -> "list[PositionState]":
    """Return the cover of the positions that were seen of late."""
    source, wanted = selection.source, selection.wanted
    if not source.read_last_seen():
        return []
    # With what it needs it is a tenth of the command's start.
    from exit_shim.reports.situation import read_positions  # noqa: PLC0415

    return read_positions(source, time.time_ns(), symbol=wanted.symbol, account=wanted.account)


def is_counted(selection: Selection) -> bool:
    """Return whether the source's own counts answer, without reading each record."""
    return selection.is_by_time_alone and selection.wanted.until_ns is None


def read_counted(selection: Selection) -> Numbers:
    """Return the source's own counts."""
    source, since_ns = selection.source, selection.wanted.since_ns
    return Numbers(
        source.read_counts(since_ns=since_ns),
        dict.fromkeys(source.read_stacks(since_ns=since_ns)),
        source.read_fights(since_ns=since_ns),
        source.read_finding_counts(since_ns=since_ns),
        Counter(),
    )


def count_read(selection: Selection, hindsight: Hindsight | None) -> Numbers:
    """Return the counts of the selected records, which are read one after another."""
    is_refuted = None if hindsight is None else hindsight.refutes
    numbers = Numbers([], {}, [], [], Counter())
    for batch in batches(selection.read_records()):
        counts, stacks = count_records(batch)
        numbers.counts.extend(counts)
        numbers.stacks.update(dict.fromkeys(stacks))
        numbers.fights.extend(count_fights(batch))
        numbers.findings.extend(count_findings(batch, (), is_refuted))
        numbers.symbols.update(weigh_symbols(batch))
    numbers.findings.extend(count_findings((), read_guard_findings(selection, hindsight)))
    return numbers


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield lists of at most `AT_ONCE` items."""
    source = iter(items)
    while batch := list(itertools.islice(source, AT_ONCE)):
        yield batch


def weigh_symbols(records: Iterable[Record]) -> dict[str, int]:
    """Return how much modules fight on each symbol: strips first, foreign cancels next, orders last."""
    weights: Counter[str] = Counter()
    for record in records:
        codes = {reason.code for reason in record.reasons}
        if record.intent.order.symbol is not None:
            weights[record.intent.order.symbol] += (
                1 + 1_000_000 * (STRIPPED in codes) + 1_000 * (FOREIGN_CANCEL in codes)
            )
    return weights


def read_guard_findings(selection: Selection, hindsight: Hindsight | None) -> Iterator[GuardFinding]:
    """Yield the selected findings that are about no single order, but for those that hindsight refutes."""
    wanted = selection.wanted
    # They are of no module, kind, outcome or host.
    if wanted != RecordFilter(
        symbol=wanted.symbol,
        account=wanted.account,
        run_id=wanted.run_id,
        since_ns=wanted.since_ns,
        until_ns=wanted.until_ns,
    ):
        return
    facts = selection.source.read_facts({"guard_finding"}, since_ns=wanted.since_ns, until_ns=wanted.until_ns)
    for stored in facts:
        finding = decode(GuardFinding, stored.body)
        if selection.has_fact(stored) and (
            hindsight is None or not hindsight.refutes_finding(finding, stored.ts)
        ):
            yield finding


def group_fights(fights: Iterable[Fight]) -> list[Feud]:
    """Return who fights whom, the most orders first."""
    places: dict[tuple[str, str, str | None], Counter[str]] = {}
    for fight in fights:
        key = fight.module, fight.operation, fight.victim
        function = fight.function.rpartition(".")[2]
        places.setdefault(key, Counter())[f"{function} {fight.place}"] += fight.orders
    feuds = [
        Feud(*key, sum(by_place.values()), tuple(name for name, _ in by_place.most_common()))
        for key, by_place in places.items()
    ]
    return sorted(feuds, key=lambda feud: (-feud.orders, feud.module, feud.victim or ""))


def group_findings(findings: Iterable[FindingCount]) -> list[Found]:
    """Return what was found by code, the most frequent first."""
    by_code: dict[str, Counter[str]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, Counter())[finding.module or ""] += finding.number
    found = [Found(code, sum(by.values()), dict(by.most_common())) for code, by in by_code.items()]
    return sorted(found, key=lambda each: (-each.number, each.code))


def find_barings(hindsight: Hindsight) -> list[Baring]:
    """Return the positions that were bare at a time of what is selected, the longest bare first."""
    by_position: dict[PositionName, list[Span]] = {}
    for span in hindsight.spans:
        if span.cover == "bare":
            by_position.setdefault(span.position, []).append(span)
    barings = [baring_of(position, bare, hindsight.now_ns) for position, bare in by_position.items()]
    return sorted(barings, key=lambda baring: (not baring.is_now, -baring.total_ns))


def baring_of(position: "PositionName", spans: "list[Span]", now_ns: int) -> Baring:
    """Add up the bare spans of a position."""
    by = Counter("" if span.by is None else span.by.module for span in spans)
    name, side = position.symbol, position.position_side
    total_ns = sum((span.end_ns or now_ns) - span.start_ns for span in spans)
    is_now = any(span.end_ns is None for span in spans)
    return Baring(position.account, name, side, len(spans), total_ns, dict(by.most_common()), is_now)


def cover_fields(state: "PositionState") -> dict[str, Any]:
    """Return what is known of a position now, JSON-ready."""
    by = None if state.last_stop is None else state.last_stop.ended_by
    return {
        **state.position._asdict(),
        "amount": None if state.amount is None else str(state.amount),
        "cover": state.cover,
        "since": state.since_ns,
        "seen": state.seen_ns,
        "bared_by": None if by is None else by._asdict(),
        "stops": sum(life.is_stop for life in state.exits),
    }
