"""Read a source into a timeline: of a time, or of now."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from exit_shim.domain.events import ExchangeUpdate, PositionSeen, Record
from exit_shim.journal import RecordFilter, RecordSource, StoredEvent
from exit_shim.journal.rows import decode, subject_of
from exit_shim.reports.lives import Span
from exit_shim.reports.timeline import FACTS, SECOND_NS, PositionState, Timeline

LOOK_BACK_NS: Final = 900 * SECOND_NS
"""How old the last sight of a position may be to say what is now; what it is older by is not known."""

SLOWEST_NS: Final = 60 * SECOND_NS
"""The longest that an order's answer takes, with some to spare."""

REPEATED_NS: Final = 150 * SECOND_NS
"""How far apart two sights of a position are at most that is known in between, with some to spare."""

DAY_NS: Final = 86_400 * SECOND_NS

LOOK_BACKS_NS: Final = (LOOK_BACK_NS, 7_200 * SECOND_NS, DAY_NS)
"""How far back it is read who bared a position, until that is found."""

UNSAFE: Final = frozenset({"bare", "partly"})


def fold(
    source: RecordSource, timeline: Timeline, wanted: RecordFilter, *, before: Iterator[Record] | None = None
) -> None:
    """Let a timeline take all records and facts of a source that fit, in the order of their time.

    Args:
        source: What to read.
        timeline: What takes them; it is not finished.
        wanted: Of this, only account, symbol, host, run and times count: without an order that somebody else
            placed nobody could tell what is covered.
        before: Earlier records to take first, oldest first.
    """
    for record in before or ():
        timeline.take_record(record)
    facts = source.read_facts(FACTS, since_ns=wanted.since_ns, until_ns=wanted.until_ns)
    fold_in(timeline, read_all(source, wanted), (stored for stored in facts if fits(stored, wanted)))


def fold_in(timeline: Timeline, records: Iterable[Record], facts: Iterable[StoredEvent]) -> None:
    """Let a timeline take records and facts, each oldest first, in the order of their time."""
    facts = iter(facts)
    stored = next(facts, None)
    for record in records:
        while stored is not None and stored.ts < record.intent.ts:
            timeline.take_fact(stored)
            stored = next(facts, None)
        timeline.take_record(record)
    while stored is not None:
        timeline.take_fact(stored)
        stored = next(facts, None)


def read_all(source: RecordSource, wanted: RecordFilter) -> Iterator[Record]:
    """Yield the records of an account and symbol, oldest first, with the orders that name no symbol."""
    whole = RecordFilter(
        symbol=wanted.symbol,
        account=wanted.account,
        run_id=wanted.run_id,
        host=wanted.host,
        since_ns=wanted.since_ns,
        until_ns=wanted.until_ns,
    )
    records = source.read_records(whole)
    if wanted.symbol is not None:
        nameless = source.read_records(whole._replace(symbol=None, without_symbol=True))
        records = heapq.merge(records, nameless, key=lambda record: record.intent.ts)
    yield from records


class Earlier(NamedTuple):
    """What `read_positions` returned for an earlier moment, in nanoseconds since the epoch."""

    at_ns: int
    states: Sequence[PositionState]


def read_positions(
    source: RecordSource,
    now_ns: int,
    *,
    symbol: str | None = None,
    account: str | None = None,
    earlier: Earlier | None = None,
) -> list[PositionState]:
    """Return what is known now of the positions that were seen of late, with their live exits.

    Of a position that is bare it is read farther back who bared it, and when.

    Args:
        source: What to read.
        now_ns: The moment, in nanoseconds since the epoch.
        symbol: Only positions of this symbol.
        account: Only positions of the account of this label.
        earlier: What was read before; a position that has been bare since then is not looked back for again.
    """
    wanted = RecordFilter(symbol=symbol, account=account)
    seen = [stored for stored in source.read_last_seen() if fits(stored, wanted)]
    fresh = [stored for stored in seen if now_ns - LOOK_BACK_NS <= stored.ts <= now_ns]
    if not fresh:
        return []
    sights = [decode(PositionSeen, stored.body) for stored in fresh]
    # What was answered while the exchange was read may not be in what it listed.
    asked_ns = min(sight.asked or stored.ts for sight, stored in zip(sights, fresh, strict=True))
    since_ns = asked_ns - SLOWEST_NS - (0 if earlier is None else REPEATED_NS)
    names = {name for sight in sights for name in sight.exits or ()}
    states = [
        state
        for state in _read_states(source, wanted._replace(since_ns=since_ns, until_ns=now_ns), names)
        if state.seen_ns is not None
    ]
    return [_continue(state, earlier) or _look_back(source, state, now_ns) for state in states]


def _continue(state: PositionState, earlier: Earlier | None) -> PositionState | None:
    """Return a position with all that is known of its cover; None where it must be looked back for that."""
    if state.cover not in UNSAFE:
        return state
    # It must have been so at the earlier moment, and ever since.
    if earlier is None or state.since_ns > earlier.at_ns:
        return None
    for before in earlier.states:
        if (before.position, before.cover) == (state.position, state.cover):
            return state._replace(since_ns=before.since_ns, last_stop=before.last_stop)
    return None


def _read_states(source: RecordSource, wanted: RecordFilter, names: set[str]) -> list[PositionState]:
    """Return the positions at the end of a time, of which these exits rested at its beginning."""
    timeline = Timeline(on_life=_ignore, on_span=_ignore)
    since_ns, now_ns = wanted.since_ns or 0, wanted.until_ns or 0
    placings = sorted(read_placings(source, names, since_ns), key=lambda record: record.intent.ts)
    # What somebody else placed has no record, and was told of when it was first seen.
    unplaced = names.difference(*(names_of_record(record) for record in placings))
    for stored in read_first_sights(source, unplaced, since_ns):
        timeline.take_fact(stored)
    fold(source, timeline, wanted, before=iter(placings))
    timeline.advance(now_ns)
    return timeline.positions()


def _look_back(source: RecordSource, state: PositionState, now_ns: int) -> PositionState:
    """Return a position with since when it is bare, and who bared it, as far as a day shows."""
    account, symbol, _ = state.position
    for back_ns in LOOK_BACKS_NS:
        wanted = RecordFilter(symbol=symbol, account=account, since_ns=now_ns - back_ns, until_ns=now_ns)
        spans: list[Span] = []
        timeline = Timeline(on_life=_ignore, on_span=spans.append)
        fold_history(timeline, read_history_since(source, wanted))
        timeline.advance(now_ns)
        for earlier in timeline.positions():
            if (earlier.position, earlier.cover) == (state.position, state.cover):
                state = state._replace(since_ns=earlier.since_ns, last_stop=earlier.last_stop)
        # What it was before is in sight, so its end is, too.
        if any(span.position == state.position and span.cover != "unknown" for span in spans):
            break
    return state


class History(NamedTuple):
    """All that was read of a symbol, or of everything, since a moment.

    Attributes:
        records: The orders, oldest first.
        facts: What the exchange told, oldest first.
        placings: Older orders, which rested when the time began.
        first_sights: How the exchange told of such orders that nobody placed here.
        since_ns: When the time begins.
    """

    records: list[Record]
    facts: list[StoredEvent]
    placings: list[Record]
    first_sights: list[StoredEvent]
    since_ns: int


def read_history_since(source: RecordSource, wanted: RecordFilter) -> History:
    """Return what there is since the beginning in `wanted`, with the orders that rested then."""
    facts = source.read_facts(FACTS, since_ns=wanted.since_ns, until_ns=wanted.until_ns)
    fitting = [stored for stored in facts if fits(stored, wanted)]
    return complete(source, list(read_all(source, wanted)), fitting, wanted.since_ns or 0)


def complete(source: RecordSource, records: list[Record], facts: list[StoredEvent], since_ns: int) -> History:
    """Return a history with the orders that rested when it begins."""
    records = [record for record in records if record.intent.ts >= since_ns]
    facts = [stored for stored in facts if stored.ts >= since_ns]
    names = {name for _, seen in sights_in(facts) for name in seen.exits or ()}
    names -= {name for record in records for name in names_of_record(record)}
    placings = sorted(read_placings(source, names, since_ns), key=lambda record: record.intent.ts)
    names -= {name for record in placings for name in names_of_record(record)}
    return History(records, facts, placings, list(read_first_sights(source, names, since_ns)), since_ns)


def fold_history(timeline: Timeline, history: History) -> None:
    """Let a timeline take a history; it is not finished."""
    for stored in history.first_sights:
        timeline.take_fact(stored)
    for record in history.placings:
        timeline.take_record(record)
    fold_in(timeline, history.records, history.facts)


def sights_in(facts: Iterable[StoredEvent]) -> Iterator[tuple[int, PositionSeen]]:
    """Yield how positions were seen, each with when."""
    for stored in facts:
        if stored.event == "position_seen":
            yield stored.ts, decode(PositionSeen, stored.body)


def names_of_record(record: Record) -> set[str]:
    """Return the ids by which a list of the exchange may name an order."""
    ids: set[object] = {record.intent.order.client_order_id}
    for answer in (record.outcome, record.resolution):
        if answer is not None:
            ids |= {answer.algo_id, answer.order_id, answer.client_order_id}
    return {str(each) for each in ids if each is not None}


def read_first_sights(source: RecordSource, names: set[str], before_ns: int) -> Iterator[StoredEvent]:
    """Yield what the exchange told of exits of these ids, which nobody placed here, in the day before."""
    if not names:
        return
    for stored in source.read_facts({"exchange_update"}, since_ns=before_ns - DAY_NS, until_ns=before_ns):
        update = decode(ExchangeUpdate, stored.body)
        if names & {str(update.algo_id), str(update.order_id), str(update.client_order_id)}:
            yield stored


def read_placings(source: RecordSource, names: set[str], before_ns: int) -> Iterator[Record]:
    """Yield the records that placed the exits of these ids."""
    for name in names:
        for record in source.read_records(RecordFilter(named=name, until_ns=before_ns)):
            if record.intent.operation == "place":
                yield record


def fits(stored: StoredEvent, wanted: RecordFilter) -> bool:
    """Return whether a fact is about the account and symbol that are wanted."""
    if stored.event == "run_ended":
        return True
    if wanted.run_id is not None and stored.run_id != wanted.run_id:
        return False
    if wanted.symbol is None and wanted.account is None:
        return True
    about = subject_of(stored.body)
    return wanted.symbol in (None, about.symbol) and wanted.account in (None, about.account)


def _ignore(_: object) -> None:
    """Keep nothing."""
