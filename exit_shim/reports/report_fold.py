"""Read a source once into what a report shows."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone, tzinfo
from typing import Final, NamedTuple, TypeAlias

from exit_shim.domain.events import GuardFinding, Lost, PositionSeen, Record, Switch
from exit_shim.domain.orders import closes_now
from exit_shim.journal import RecordFilter, RecordSource, StoredEvent
from exit_shim.journal.rows import decode
from exit_shim.reports.lives import Actor, Life, Span, actor_of
from exit_shim.reports.report_counts import OTHERS, Names, OrderCounts, fits
from exit_shim.reports.report_data import (
    Caller,
    CoverSpan,
    ExitLine,
    Ladder,
    Prices,
    ReportData,
    SwitchMark,
    how_ended,
)
from exit_shim.reports.situation import fold
from exit_shim.reports.timeline import LATE_NS, SECOND_NS, Timeline

MOST_EXITS: Final = 100_000
"""How many exits of a symbol are drawn, the newest."""

MOST_SPANS: Final = 50_000
"""How many spans of cover of a symbol are drawn, the newest."""

MOST_CALLERS: Final = 20_000
"""How many places in a bot are kept apart."""

NOTES: Final = ("guard_finding", "switch", "lost")
"""The events that a report shows, besides those of a timeline."""

PriceReader: TypeAlias = Callable[[str, int, int], Iterable[tuple[int, float]]]
"""Returns the prices of a symbol between two moments, such as the closes of an exchange's klines; moments are
in nanoseconds since the epoch."""


class Zone(NamedTuple):
    """The zone of a report's times.

    Attributes:
        zone: The zone; None for that of this machine.
        name: Its name, for people.
    """

    zone: tzinfo | None = timezone.utc
    name: str = "UTC"

    def offset_ns(self, at_ns: int) -> int:
        """Return how far it is ahead of UTC at a moment."""
        offset = datetime.fromtimestamp(at_ns / SECOND_NS, timezone.utc).astimezone(self.zone).utcoffset()
        return 0 if offset is None else int(offset.total_seconds()) * SECOND_NS


class Labels(NamedTuple):
    """What a report says of itself.

    Attributes:
        zone: The zone of its times.
        filters: The filters as people type them.
        options: The options that let another command read the same, as a shell takes them.
    """

    zone: Zone = Zone()
    filters: Sequence[str] = ()
    options: Sequence[str] = ()


class ReportTimeline(Timeline):
    """Fold records and facts as a timeline does, and count and keep what a report shows.

    Args:
        wanted: The filters; those that a timeline does not heed narrow what is counted and drawn.
        offset_ns: How far the report's clock is ahead of UTC.
        most_exits: How many exits of a symbol are kept.
    """

    def __init__(self, wanted: RecordFilter, offset_ns: int, most_exits: int = MOST_EXITS) -> None:
        super().__init__(on_life=self._keep_later, on_span=self._keep_later)
        self.ladders: dict[str, Ladder] = {}
        self.counts = OrderCounts(offset_ns)
        self.first_ns: int | None = None
        self.positions_seen = 0
        self._wanted, self._most_exits = wanted, most_exits
        self._callers: dict[tuple[str, str, str], Caller] = {}
        self._places: dict[tuple[object, ...], Caller] = {}
        # Who ended an exit may be learnt after its end: the exchange tells before the answer comes.
        self._later: deque[tuple[int, Life | Span]] = deque()

    def take_record(self, record: Record) -> None:
        """Take an order."""
        if self.first_ns is None:
            self.first_ns = record.intent.ts
        if fits(record, self._wanted):
            self.counts.take(record, self._caller_of(record))
        super().take_record(record)

    def take_fact(self, stored: StoredEvent) -> None:
        """Take an event."""
        if self.first_ns is None and stored.event != "run_ended":
            self.first_ns = stored.ts
        super().take_fact(stored)

    def _see_position(self, seen: PositionSeen, stored: StoredEvent) -> None:
        """Take in a position, and keep its price."""
        super()._see_position(seen, stored)
        self.positions_seen += 1
        price = as_float(seen.mark_price)
        if price is not None:
            self.ladder(seen.symbol).prices.add(stored.ts, price)

    def finish(self, at: int) -> None:
        """End at a moment."""
        super().finish(at)
        while self._later:
            self._keep(self._later.popleft()[1])

    def _keep_later(self, item: Life | Span) -> None:
        self._later.append((self.now, item))
        while self._later[0][0] < self.now - LATE_NS:
            self._keep(self._later.popleft()[1])

    def _keep(self, item: Life | Span) -> None:
        if isinstance(item, Life):
            self._keep_life(item)
        else:
            self._keep_span(item)

    def _keep_life(self, life: Life) -> None:
        if closes_now(life.type, None):
            return
        line = ExitLine(
            life.placed_ns,
            life.ended_ns,
            as_float(life.level),
            life.kind,
            self._caller(life.placed_by),
            life.end,
            self._caller(life.ended_by),
            life.is_ended_by_other,
            life.name,
        )
        if self._wanted.module not in (None, line.module) or self._wanted.kind not in (None, line.kind):
            return
        ladder = self.ladder(life.position.symbol)
        ladder.counts[line.module, line.kind, how_ended(line)] += 1
        ladder.exits.append(line)
        if len(ladder.exits) > 2 * self._most_exits:
            drop_oldest(ladder, self._most_exits)

    def _keep_span(self, span: Span) -> None:
        ladder, stop = self.ladder(span.position.symbol), span.last_stop
        end_ns = self.now if span.end_ns is None else span.end_ns
        kept = CoverSpan(
            span.position,
            span.start_ns,
            max(end_ns, span.start_ns),
            span.cover,
            None if stop is None else stop.name,
            None if stop is None else stop.module,
            self._caller(span.by),
        )
        ladder.cover_ns[span.cover] += kept.length_ns
        ladder.bares += span.cover == "bare"
        ladder.spans.append(kept)
        if len(ladder.spans) > 2 * MOST_SPANS:
            del ladder.spans[:-MOST_SPANS]

    def ladder(self, symbol: str) -> Ladder:
        """Return what is kept of a symbol."""
        ladder = self.ladders.get(symbol)
        if ladder is None:
            ladder = self.ladders[symbol] = Ladder(symbol)
        return ladder

    def _caller_of(self, record: Record) -> Caller:
        who = record.intent.attribution
        caller = self._places.get((who.file, who.line, who.function, who.module))
        if caller is None:
            caller = self._known_caller(actor_of(record))
            if len(self._places) < MOST_CALLERS:
                self._places[who.file, who.line, who.function, who.module] = caller
        return caller

    def _caller(self, actor: Actor | None) -> Caller | None:
        return None if actor is None else self._known_caller(actor)

    def _known_caller(self, actor: Actor) -> Caller:
        """Return where an order came from, as the same value each time: there are few, and many orders."""
        key = actor[:3]
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= MOST_CALLERS:
                return Caller(OTHERS, "?", "?")
            caller = self._callers[key] = Caller(self.counts.names.admit(key[0]), key[1], key[2])
        return caller


def read_report(
    source: RecordSource,
    wanted: RecordFilter,
    *,
    labels: Labels | None = None,
    read_prices: PriceReader | None = None,
    most_exits: int = MOST_EXITS,
) -> ReportData:
    """Read a source into what a report shows.

    Args:
        source: The journal or database.
        wanted: What is wanted; a limit is not heeded.
        labels: The zone of its times, and what it says of its filters; None for UTC and none.
        read_prices: Reads the price of a symbol, where somebody can; else the marks of positions serve.
        most_exits: How many exits of a symbol are drawn.
    """
    made_ns, labels = time.time_ns(), labels or Labels()
    offset_ns = labels.zone.offset_ns(min(wanted.until_ns or made_ns, made_ns))
    timeline = ReportTimeline(wanted, offset_ns, most_exits)
    fold(source, timeline, wanted)
    timeline.finish(timeline.now)
    switches, lost = read_notes(source, timeline, wanted)
    counts = timeline.counts
    for ladder in timeline.ladders.values():
        drop_oldest(ladder, most_exits)
        if read_prices is not None and timeline.first_ns is not None:
            ladder.prices = Prices()
            for ts, price in read_prices(ladder.symbol, timeline.first_ns, timeline.now):
                ladder.prices.add(ts, price)
    return ReportData(
        source=source.name,
        filters=tuple(labels.filters),
        options=tuple(labels.options),
        zone=labels.zone.name,
        offset_ns=offset_ns,
        made_ns=made_ns,
        first_ns=timeline.first_ns,
        last_ns=timeline.now,
        modules=modules_of(counts),
        ladders=sorted(timeline.ladders.values(), key=lambda ladder: ladder.trouble, reverse=True),
        fights=counts.fights,
        churn=counts.churn.series(),
        findings=counts.findings.series(),
        switches=switches,
        states=counts.states,
        latencies=counts.latencies(),
        accounts=sorted(counts.accounts),
        lost=lost,
        positions_seen=timeline.positions_seen,
    )


def read_notes(
    source: RecordSource, timeline: ReportTimeline, wanted: RecordFilter
) -> tuple[list[SwitchMark], Counter[str]]:
    """Count the findings about no order; return the switches, and what was lost by why."""
    switches, lost, reasons = [], Counter[str](), Names(100)
    for stored in source.read_facts(NOTES, since_ns=wanted.since_ns, until_ns=wanted.until_ns):
        if wanted.run_id not in (None, stored.run_id):
            continue
        if stored.event == "lost":
            event = decode(Lost, stored.body)
            lost[reasons.admit(event.why)] += event.events
        elif stored.event == "switch":
            switches.append(mark_of(stored))
        elif is_wanted(finding := decode(GuardFinding, stored.body), wanted):
            timeline.counts.findings.add(finding.reason.code, stored.ts)
    return switches, lost


def is_wanted(finding: GuardFinding, wanted: RecordFilter) -> bool:
    """Return whether a finding about no order passes the filters; it is of no module and no kind."""
    if wanted.module or wanted.kind or wanted.outcome:
        return False
    pairs = (
        (wanted.symbol, finding.symbol),
        (wanted.account, finding.account),
        (wanted.reason, finding.reason.code),
    )
    return all(value in (None, actual) for value, actual in pairs)


def mark_of(stored: StoredEvent) -> SwitchMark:
    """Return a switch in words."""
    switch = decode(Switch, stored.body)
    words = []
    if switch.mode is not None:
        words.append(f"mode {switch.mode}" if switch.mode else "mode as configured")
    if switch.enforce is not None:
        words.append(f"enforce {switch.enforce}")
    if switch.protect is not None:
        words.append(f"{switch.protect} protection of {switch.symbol or 'all symbols'}")
    return SwitchMark(stored.ts, ", ".join(words) or "no change", switch.by)


def modules_of(counts: OrderCounts) -> list[str]:
    """Return the modules, those with the most orders first."""
    orders: Counter[str] = Counter()
    for (module, _, _), number in counts.states.items():
        orders[module] += number
    return [module for module, _ in sorted(orders.items(), key=lambda item: (-item[1], item[0]))]


def drop_oldest(ladder: Ladder, most: int) -> None:
    """Drop the exits that ended longest ago, beyond so many."""
    excess = len(ladder.exits) - most
    if excess > 0:
        del ladder.exits[:excess]
        ladder.dropped += excess


def as_float(number: object) -> float | None:
    """Return a number above zero; None for anything else."""
    try:
        value = float(str(number))
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
