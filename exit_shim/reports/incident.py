"""The incident of a symbol: is it protected now, since when not, who did it, and what happened around it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from exit_shim.domain.events import ExchangeUpdate, PositionSeen, Record
from exit_shim.domain.orders import closes_now
from exit_shim.journal import IN_DOUBT, RecordFilter, RecordSource, StoredEvent, state_of
from exit_shim.journal.rows import decode
from exit_shim.reports.lives import Actor, Life, PositionName, Span, actor_of, amount_of
from exit_shim.reports.position_cover import PositionState
from exit_shim.reports.situation import (
    DAY_NS,
    SLOWEST_NS,
    UNSAFE,
    History,
    complete,
    fits,
    fold_history,
    names_of_record,
    read_all,
    sights_in,
)
from exit_shim.reports.timeline import FACTS, Timeline

URGENCY: Final = ("bare", "partly", "unknown", "covered", "flat")
"""The covers, the most urgent first."""

WHOLE: Final = "whole position"


class Moment(NamedTuple):
    """Something that happened around a position.

    Attributes:
        at_ns: When, in nanoseconds since the epoch.
        text: What, in words.
        actor: The module that did it; None where the exchange or nobody known did.
        is_alarming: Whether it took protection away, or failed to give it.
    """

    at_ns: int
    text: str
    actor: Actor | None = None
    is_alarming: bool = False


class Incident(NamedTuple):
    """What is known of one position, and of the last time that it was not covered.

    Attributes:
        position: The position.
        now: How it is now.
        then: How it was when it was last known, where it is not known now.
        gap: The time since when it is bare, or covered in part only; else the longest such time; None where
            it always was covered.
        gaps: How often that was, in the time that was read.
        gaps_ns: How long, all in all.
        last_stop: The stop whose end bared it; else the last one that ended, where none rests.
        cause: In words, why it is not covered where no stop ended.
        pivot_ns: The moment at the centre of the screen.
        moments: All that happened, oldest first.
        since_ns: Since when there is anything to tell, of what was read.
    """

    position: PositionName
    now: PositionState
    then: PositionState | None
    gap: Span | None
    gaps: int
    gaps_ns: int
    last_stop: Life | None
    cause: str | None
    pivot_ns: int
    moments: tuple[Moment, ...]
    since_ns: int

    @property
    def known(self) -> PositionState:
        """How it is now, or was when it was last known."""
        return self.then or self.now

    @property
    def culprit(self) -> Actor | None:
        """Who took the last stop away; None where nobody did, or nobody is known."""
        return None if self.last_stop is None else self.last_stop.ended_by


def read_history(source: RecordSource, wanted: RecordFilter, now_ns: int) -> History | None:
    """Return what there is of a symbol since it was flat last, of a day at most; None for nothing.

    Where the last day has nothing, it is the day before the last thing that is recorded.

    Args:
        source: What to read.
        wanted: The symbol, perhaps an account, host and run; a beginning or end in it is kept to.
        now_ns: The moment, in nanoseconds since the epoch.
    """
    until_ns = wanted.until_ns or now_ns
    for since_ns in [wanted.since_ns] if wanted.since_ns is not None else [until_ns - DAY_NS, 0]:
        facts = read_about(source, wanted._replace(since_ns=since_ns, until_ns=until_ns))
        begin_ns = since_ns if wanted.since_ns is not None else begin_of_episode(facts) or since_ns
        records = list(read_all(source, wanted._replace(since_ns=begin_ns, until_ns=until_ns)))
        records = without_strangers(records, wanted.symbol)
        last_ns = max((item_ns for item_ns in (last_of(records), last_sight(facts)) if item_ns), default=0)
        if not last_ns:
            continue
        begin_ns = begin_ns if wanted.since_ns is not None else max(begin_ns, last_ns - DAY_NS)
        return complete(source, records, facts, begin_ns)
    return None


def read_about(source: RecordSource, wanted: RecordFilter) -> list[StoredEvent]:
    """Return what the exchange told of a symbol, and the ends of the runs that saw it."""
    facts = source.read_facts(FACTS, since_ns=wanted.since_ns, until_ns=wanted.until_ns)
    return [stored for stored in facts if fits(stored, wanted)]


def without_strangers(records: Iterable[Record], symbol: str | None) -> list[Record]:
    """Return the orders of a symbol, and the cancels without one that are about an order of theirs."""
    records = list(records)
    named = {
        name for record in records if record.intent.order.symbol == symbol for name in names_of_record(record)
    }
    return [
        record
        for record in records
        if record.intent.order.symbol == symbol or names_of_targets(record) & named
    ]


def names_of_targets(record: Record) -> set[str]:
    """Return the ids of the orders that a cancel or change is about."""
    ids = {
        id_ for each in record.intent.targets for id_ in (each.algo_id, each.order_id, each.client_order_id)
    }
    return {str(each) for each in ids if each is not None}


def last_of(records: Sequence[Record]) -> int:
    """Return when the last order was asked for; 0 for none."""
    return records[-1].intent.ts if records else 0


def last_sight(facts: Sequence[StoredEvent]) -> int:
    """Return when the exchange told of a symbol last; 0 for never."""
    return max((stored.ts for stored in facts if stored.event != "run_ended"), default=0)


def begin_of_episode(facts: Iterable[StoredEvent]) -> int | None:
    """Return since when to read: a while before all positions were last flat before they were open.

    None where one of them was not seen flat before.
    """
    flat: dict[PositionName, int] = {}
    begins: dict[PositionName, int | None] = {}
    for ts, seen in sights_in(facts):
        name = PositionName(seen.account, seen.symbol, seen.position_side)
        if not amount_of(seen.amount):
            flat[name] = ts
        elif name not in begins or name in flat:
            begins[name] = flat.pop(name, None)
    if not begins or None in begins.values():
        return None
    return min(begin for begin in begins.values() if begin is not None) - SLOWEST_NS


def find_incidents(history: History, now_ns: int) -> list[Incident]:
    """Return the incident of each position of a symbol, the most urgent first."""
    spans: defaultdict[PositionName, list[Span]] = defaultdict(list)
    lives: defaultdict[PositionName, list[Life]] = defaultdict(list)
    timeline = Timeline(
        on_life=lambda life: lives[life.position].append(life),
        on_span=lambda span: spans[span.position].append(span),
    )
    fold_history(timeline, history)
    mention_others(timeline, history)
    before = {state.position: state for state in timeline.positions()}
    timeline.finish(now_ns)
    incidents = [
        make_incident(
            state, before.get(state.position), spans[state.position], lives[state.position], history
        )
        for state in timeline.positions()
    ]
    # In hedge mode the side that was never open says nothing.
    said = [each for each in incidents if each.moments] or incidents
    return sorted(said, key=urgency)


def mention_others(timeline: Timeline, history: History) -> None:
    """Have a timeline know the positions of which there is no more than a refused or denied order."""
    sides: defaultdict[tuple[str | None, str], set[str]] = defaultdict(set)
    for state in timeline.positions():
        sides[state.position[:2]].add(state.position.position_side)
    # What names no side may be about any of them, so it comes last.
    for name, at in sorted(names_in(history), key=lambda named: (named[0].position_side == "BOTH", named[1])):
        known = sides[name[:2]]
        if not known or (name.position_side != "BOTH" and "BOTH" not in known):
            known.add(name.position_side)
            timeline.mention(name, at)


def names_in(history: History) -> Iterator[tuple[PositionName, int]]:
    """Yield the positions that orders and the exchange's updates name, each with when."""
    for record in history.records:
        intent, order = record.intent, record.intent.order
        if order.symbol is not None:
            yield PositionName(intent.account, order.symbol, order.position_side or "BOTH"), intent.ts
    for stored in history.facts:
        if stored.event == "exchange_update":
            update = decode(ExchangeUpdate, stored.body)
            yield PositionName(update.account, update.symbol, update.position_side), stored.ts


def urgency(incident: Incident) -> tuple[int, int, int]:
    """Return the key that sorts incidents, the most urgent first."""
    is_open = incident.known.cover in UNSAFE
    return URGENCY.index(incident.now.cover), 0 if is_open else 1, -incident.pivot_ns


def make_incident(
    now: PositionState, before: PositionState | None, spans: list[Span], lives: list[Life], history: History
) -> Incident:
    """Return what is to be said of a position."""
    position, sights = now.position, sights_of(now.position, history.facts)
    then = known_before(now, before)
    gaps = [span for span in spans if span.cover in UNSAFE]
    known, gap = then or now, choose_gap(gaps)
    ended = [life for life in lives if life.is_stop and life.ended_ns is not None]
    last_stop = gap.last_stop if gap is not None else None
    if gap is None and known.cover != "flat" and not any(life.is_stop for life in known.exits) and ended:
        last_stop = max(ended, key=lambda life: life.ended_ns or 0)
    moments = sorted(tell(position, lives, history.records, sights), key=lambda moment: moment.at_ns)
    end_ns = (
        now.since_ns if now.cover == "unknown" else max(now.since_ns, moments[-1].at_ns if moments else 0)
    )
    return Incident(
        position,
        now,
        then,
        gap,
        len(gaps),
        sum((span.end_ns or end_ns) - span.start_ns for span in gaps),
        last_stop,
        None if gap is None or last_stop is not None else cause_of(gap, spans, sights),
        pivot_of(gap, last_stop, now, moments),
        tuple(moments),
        moments[0].at_ns if moments else history.since_ns,
    )


def choose_gap(gaps: Sequence[Span]) -> Span | None:
    """Return the gap that lasts, else the longest one; None for none."""
    if not gaps or gaps[-1].end_ns is None:
        return gaps[-1] if gaps else None
    return max(gaps, key=lambda span: (span.end_ns or 0) - span.start_ns)


def known_before(now: PositionState, before: PositionState | None) -> PositionState | None:
    """Return how a position was when it was last known; None where it is known now, or never was."""
    if now.doubt != "not_seen_since" or before is None or before.cover == "unknown":
        return None
    return before


def pivot_of(gap: Span | None, last_stop: Life | None, now: PositionState, moments: Sequence[Moment]) -> int:
    """Return the moment at the centre of the screen."""
    # Where nobody looked, it is known to be bare only later.
    if last_stop is not None and last_stop.ended_ns is not None:
        return last_stop.ended_ns
    if gap is not None:
        return gap.start_ns
    return moments[-1].at_ns if moments else now.since_ns


def cause_of(gap: Span, spans: Sequence[Span], sights: Sequence[tuple[int, PositionSeen]]) -> str:
    """Return in words why a position is not covered though no stop was seen to end."""
    earlier = [span.cover for span in spans if span.start_ns < gap.start_ns]
    sizes = [(ts, amount_of(seen.amount)) for ts, seen in sights]
    before = [amount for ts, amount in sizes if ts < gap.start_ns and amount]
    then = [amount for ts, amount in sizes if ts <= gap.start_ns and amount]
    if "covered" in earlier and before and then and abs(then[-1]) > abs(before[-1]):
        return f"it grew from {before[-1]:f} to {then[-1]:f} beyond its stops"
    if not earlier or "covered" not in earlier:
        return "no stop of it was ever seen" if gap.cover == "bare" else "its stops never closed all of it"
    return "its stop was gone when somebody looked, and no record says who took it"


# What happened, in words


def sights_of(position: PositionName, facts: Iterable[StoredEvent]) -> list[tuple[int, PositionSeen]]:
    """Return how one position was seen, each with when."""
    return [
        (ts, seen)
        for ts, seen in sights_in(facts)
        if (seen.account, seen.symbol, seen.position_side) == position
    ]


def tell(
    position: PositionName,
    lives: Iterable[Life],
    records: Iterable[Record],
    sights: Iterable[tuple[int, PositionSeen]],
) -> Iterator[Moment]:
    """Yield what happened to a position, in words."""
    for life in lives:
        yield placing_of(life)
        if life.ended_ns is not None:
            yield ending_of(life)
    for record in records:
        if is_about(record, position) and (moment := failure_of(record)) is not None:
            yield moment
    yield from changes_in(sights)


def placing_of(life: Life) -> Moment:
    """Return the placing of an exit, in words."""
    if life.placed_by is None:
        return Moment(life.placed_ns, f"{exit_text(life)} is at the exchange; no record of its placing")
    verb = "may have placed" if life.is_in_doubt else "places"
    return Moment(life.placed_ns, f"{life.module} {verb} {exit_text(life)}", life.placed_by)


def ending_of(life: Life) -> Moment:
    """Return the end of an exit, in words."""
    at, by = life.ended_ns or 0, life.ended_by
    if by is not None:
        verb = "changes" if life.end == "changed" else "cancels"
        whose = "its own" if by.module == life.module else "the"
        owner = "" if by.module == life.module else f" of {life.module or 'nobody known'}"
        is_taken = life.is_stop and life.is_ended_by_other and life.end == "cancelled"
        return Moment(at, f"{by.module} {verb} {whose} {exit_text(life)}{owner}", by, is_taken)
    return Moment(
        at, f"{exit_text(life)}{owner_text(life)} {END_WORDS[life.end or 'gone']}", None, life.is_stop
    )


END_WORDS: Final = {
    "filled": "fires",
    "cancelled": "is cancelled, not by this bot",
    "changed": "is changed",
    "expired": "expires at the exchange",
    "gone": "is gone; no record says why",
}
"""How an exit ended, where nobody is known who did it."""


def owner_text(life: Life) -> str:
    """Return whose an exit is."""
    return f" of {life.module}" if life.module else ""


def exit_text(life: Life) -> str:
    """Return an exit in a few words, such as "sl STOP_MARKET 50000"."""
    level = None if life.level is None else f"{life.level.normalize():f}"
    size = None if life.close_position or life.quantity is None else f"({life.quantity.normalize():f})"
    return " ".join(part for part in (life.kind, life.type, level, size) if part)


def is_about(record: Record, position: PositionName) -> bool:
    """Return whether an order is about a position."""
    intent = record.intent
    side = intent.order.position_side or "BOTH"
    is_of_side = position.position_side == "BOTH" or side in ("BOTH", position.position_side)
    return intent.account == position.account and is_of_side


def failure_of(record: Record) -> Moment | None:
    """Return an order that did not come to what it asked for, or that closed at once, in words."""
    intent, order = record.intent, record.intent.order
    state = state_of(record.outcome, record.resolution)
    if intent.operation not in VERBS or (
        state == IN_DOUBT and intent.operation == "place" and not is_close(record)
    ):
        return None
    module = intent.attribution.module
    what = " ".join(part for part in (order.kind, order.type, order.trigger_price or order.price) if part)
    if state == "accepted":
        if intent.operation == "place" and is_close(record):
            size = order.quantity or WHOLE
            return Moment(intent.ts, f"{module} closes {size} at {order.type}", actor_of(record))
        return None
    code = (
        "" if record.outcome is None or record.outcome.error_code is None else f" {record.outcome.error_code}"
    )
    verb = VERBS[intent.operation]
    return Moment(
        intent.ts, f"{module} {verb} {what}: {state}{code}", actor_of(record), intent.operation == "place"
    )


VERBS: Final = {"place": "asks for", "cancel": "asks to cancel", "modify": "asks to change"}


def is_close(record: Record) -> bool:
    """Return whether an order closes as soon as it arrives."""
    return closes_now(record.intent.order.type, record.intent.order.time_in_force)


def changes_in(sights: Iterable[tuple[int, PositionSeen]]) -> Iterator[Moment]:
    """Yield the changes of a position's size, in words."""
    before: Decimal | None = None
    for ts, seen in sights:
        amount = amount_of(seen.amount)
        if amount is not None and amount != before:
            if not amount:
                yield from [] if before is None else [Moment(ts, "the position is flat")]
            elif not before:
                yield Moment(ts, f"the position is open: {seen.amount}")
            else:
                yield Moment(ts, f"the position is {seen.amount} (was {before.normalize():f})")
        before = amount
