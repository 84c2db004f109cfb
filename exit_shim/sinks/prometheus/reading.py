"""Read at one moment all that the metrics say."""

import contextlib
import time
from collections import Counter
from collections.abc import Generator
from typing import Final, NamedTuple

from exit_shim.domain.events import PositionSeen, Record
from exit_shim.journal import IN_DOUBT, Count, RecordFilter, RecordSource, Run, StoredEvent
from exit_shim.journal.record_source import Fight, FindingCount, Latency
from exit_shim.journal.rows import decode
from exit_shim.reports.lives import PositionName, amount_of
from exit_shim.reports.situation import Earlier, read_positions
from exit_shim.reports.timeline import SECOND_NS, PositionState

MOST_UNFINISHED: Final = 200
"""The runs without an end, the newest, whose last events are looked up: those killed stay so for ever."""


FORGET_NS: Final = 86_400 * SECOND_NS
"""How long a position that nobody looks at any more is reported as unknown."""


class Reading(NamedTuple):
    """What a record says at one moment.

    Attributes:
        at_ns: The moment, in nanoseconds since the epoch.
        took_s: How long it took to read.
        counts: Orders that were concluded, since ever.
        in_doubt: Orders in doubt, by module.
        oldest_in_doubt_ns: When the oldest of them was asked for; None where there is none.
        findings: What the guard found.
        fights: Who took whose orders.
        latencies: How long orders took.
        lost: Events that are recorded as lost.
        positions: The open positions.
        newest_ns: When each host's newest event was recorded.
    """

    at_ns: int
    took_s: float
    counts: list[Count]
    in_doubt: Counter[str]
    oldest_in_doubt_ns: int | None
    findings: list[FindingCount]
    fights: list[Fight]
    latencies: list[Latency]
    lost: int
    positions: list[PositionState]
    newest_ns: dict[str, int]


class Memory:
    """What one reading knows for the next."""

    def __init__(self) -> None:
        self.newest = NewestEvents()
        self.positions: Earlier | None = None


class NewestEvents:
    """Find each host's newest event; remember the ends of runs that have none."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def read(self, source: RecordSource) -> dict[str, int]:
        """Return when each host's newest event was recorded, in nanoseconds since the epoch."""
        runs = source.read_runs()
        newest: dict[str, int] = {}
        unfinished = [run for run in runs if run.ended is None][-MOST_UNFINISHED:]
        known, self._known = self._known, {}
        for run in unfinished:
            last = known.get(run.run_id)
            ts = last[1] if last is not None and last[0] == run.pos else last_event_ns(source, run)
            if ts is not None:
                self._known[run.run_id] = run.pos, ts
        for run in runs:
            ts = run.ended if run.ended is not None else self._known.get(run.run_id, (0, None))[1]
            if ts is not None:
                host = run.header.host or ""
                newest[host] = max(ts, newest.get(host, 0))
        return newest


def last_event_ns(source: RecordSource, run: Run) -> int | None:
    """Return when a run's last event was recorded; None where it was pruned."""
    events = source.read_events(run_id=run.run_id, after_pos=run.pos - 1, limit=1)
    return next((event.ts for event in events), None)


def read_all(source: RecordSource, memory: Memory) -> Reading:
    """Read a record; raise JournalError where that fails."""
    began, now_ns = time.monotonic(), time.time_ns()
    # First, so that an order which is concluded meanwhile is counted somewhere.
    in_doubt, oldest = read_in_doubt(source)
    reading = Reading(
        at_ns=now_ns,
        took_s=0.0,
        counts=source.read_counters(),
        in_doubt=in_doubt,
        oldest_in_doubt_ns=oldest,
        findings=source.read_finding_counts(),
        fights=source.read_fights(),
        latencies=source.read_latencies(),
        lost=source.count_lost(),
        positions=read_open_positions(source, now_ns, memory.positions),
        newest_ns=memory.newest.read(source),
    )
    memory.positions = Earlier(now_ns, reading.positions)
    return reading._replace(took_s=time.monotonic() - began)


def read_open_positions(source: RecordSource, now_ns: int, earlier: Earlier | None) -> list[PositionState]:
    """Return the positions that are open as far as is known; who looked at them may have died."""
    states = read_positions(source, now_ns, earlier=earlier)
    seen = {state.position for state in states}
    # Without these, nobody would learn that a position is not looked at any more.
    forgotten = [
        unknown_position(stored)
        for stored in source.read_last_seen()
        if now_ns - FORGET_NS <= stored.ts <= now_ns
    ]
    states += [state for state in forgotten if state.position not in seen]
    return [state for state in states if state.cover != "flat" and state.amount != 0]


def unknown_position(stored: StoredEvent) -> PositionState:
    """Return a position that was seen so long ago that nothing is known of it now."""
    sight = decode(PositionSeen, stored.body)
    name = PositionName(sight.account, sight.symbol, sight.position_side)
    return PositionState(
        position=name,
        amount=amount_of(sight.amount),
        entry_price=sight.entry_price,
        mark_price=sight.mark_price,
        seen_ns=stored.ts,
        cover="unknown",
        since_ns=stored.ts,
        last_stop=None,
        exits=(),
    )


def read_in_doubt(source: RecordSource) -> tuple[Counter[str], int | None]:
    """Return the number of orders in doubt by module, and when the oldest was asked for."""
    numbers: Counter[str] = Counter()
    for count in source.read_counts():
        if count.state == IN_DOUBT:
            numbers[count.site.module] += count.orders
    return numbers, find_oldest_in_doubt(source) if numbers else None


def find_oldest_in_doubt(source: RecordSource) -> int | None:
    """Return when the oldest order in doubt was asked for, in nanoseconds since the epoch."""
    # There may be many, and a generator that is left open keeps its connection.
    with contextlib.closing(in_doubt_records(source)) as records:
        return next((record.intent.ts for record in records), None)


def in_doubt_records(source: RecordSource) -> Generator[Record, None, None]:
    """Yield the orders in doubt, oldest first."""
    yield from source.read_records(RecordFilter(in_doubt=True))
