"""Reading the journal back; a reader never blocks a writer, and takes up what dead runs have left."""

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from exit_shim.domain.attributions import Step
from exit_shim.domain.events import (
    UNREAD,
    Intent,
    InternalError,
    Lost,
    OrderFindings,
    Outcome,
    Record,
    Resolution,
    RunStarted,
)
from exit_shim.journal.database import ODD, connect, legible, open_writer
from exit_shim.journal.default_path import with_home
from exit_shim.journal.index_tables import DAY_NS, HOUR_NS, IN_DOUBT, OrderSite, site_of, state_of
from exit_shim.journal.line_format import Line
from exit_shim.journal.recovery import take_up
from exit_shim.journal.rows import decode
from exit_shim.journal.schema import POS_BITS, RARE, SCHEMA_VERSION, JournalError, check_schema, is_bare
from exit_shim.journal.spool import spools

FOUND: Final = """(
    SELECT body FROM events AS found
    WHERE found.event = 'order_findings' AND found.about = runs.run_id || ':' || intent.seq LIMIT 1
)"""

RECORDS: Final = f"""
SELECT runs.run_id, intent.seq, intent.body, outcome.body, resolution.body, {FOUND}
FROM orders
JOIN events AS intent ON intent.id = orders.id
JOIN runs ON runs.run = intent.run
LEFT JOIN events AS outcome ON outcome.id = orders.outcome
LEFT JOIN events AS resolution ON resolution.id = orders.resolution
"""  # noqa: S608 - constants of ours

BODIES: Final = f"""
SELECT intent.body, outcome.body, {FOUND}, resolution.body
FROM orders
JOIN events AS intent ON intent.id = orders.id
JOIN runs ON runs.run = intent.run
LEFT JOIN events AS outcome ON outcome.id = orders.outcome
LEFT JOIN events AS resolution ON resolution.id = orders.resolution
WHERE orders.ts >= ? ORDER BY orders.ts, orders.id
"""  # noqa: S608

NAMED: Final = """orders.id IN (
    SELECT id FROM names WHERE name = :name
    UNION SELECT events.id FROM events JOIN runs USING (run) WHERE run_id = :named_run AND seq = :named_seq
)"""

VALUES: Final = {
    "module": "SELECT DISTINCT module FROM sites WHERE site IN (SELECT site FROM orders) ORDER BY module",
    "symbol": "SELECT DISTINCT symbol FROM orders WHERE symbol IS NOT NULL ORDER BY symbol",
}

LOST: Final = f"SELECT body FROM events WHERE event = 'lost' AND {RARE}"  # noqa: S608 - a constant of ours

UNREAD_DOORS: Final = f"""
SELECT runs.run_id, events.body FROM events JOIN runs USING (run)
WHERE events.event = 'internal_error' AND {RARE} AND json_extract(events.body, '$.step') LIKE :step || '%'
AND NOT EXISTS (
    SELECT 1 FROM events AS later WHERE later.id > events.id AND later.id < (events.run + 1) << {POS_BITS}
    AND later.event = 'intent'
    AND json_extract(later.body, '$.door') = substr(json_extract(events.body, '$.step'), length(:step) + 1)
)
ORDER BY events.ts, events.id
"""  # noqa: S608
"""A run's doors of which no call was read after the first that was not."""

EVENTS: Final = """
SELECT seq, pos, ts, event, about, body, link FROM events WHERE id > ? AND id < ? ORDER BY id LIMIT ?
"""

COUNTS: Final = """
SELECT module, intent, kind, function, place, via, evidence, mode, state, sum(orders), sum(conflicts)
FROM (
    SELECT site, mode, state, orders, conflicts FROM tally WHERE span = :day_ns AND place >= :day
    UNION ALL
    SELECT site, mode, state, orders, conflicts FROM tally
    WHERE span = :hour_ns AND place >= :hour AND place < :first_day
    UNION ALL
    SELECT site, mode, state, 1, conflict FROM orders WHERE ts >= :since AND ts < :first_hour
) JOIN sites USING (site)
GROUP BY module, intent, kind, function, place, via, evidence, mode, state HAVING sum(orders) > 0
ORDER BY module, intent, kind, function, place, via, evidence, mode, state
"""


Values = Sequence[object] | Mapping[str, object]

Bodies = tuple[str, str | None, str | None, str | None]
"""An order as JSON: its intent, outcome, findings and resolution."""


class StoredEvent(NamedTuple):
    """One row of the record: `pos` and `link` are its place in its run's chain."""

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
        """What its link is taken over."""
        return Line(self.seq, self.ts, self.event, self.about, self.body)


class Run(NamedTuple):
    """One process's life: its header, and where its chain begins and ends.

    `pos` and `head` are its last event's, `pruned_pos` and `pruned_head` those of the last that was pruned.
    """

    run_id: str
    started: int
    header: RunStarted
    pos: int
    head: bytes
    pruned_pos: int
    pruned_head: bytes
    ended: int | None


class Count(NamedTuple):
    """How many orders one place in the bot had, in one mode, that came to one state."""

    site: OrderSite
    mode: str
    state: str
    orders: int
    conflicts: int


class Stack(NamedTuple):
    """A chain of frames that orders came by, with the module that it was attributed to."""

    module: str
    evidence: str
    chain: tuple[Step, ...]


def read_records(  # noqa: PLR0913 - each narrows in its own way
    path: str | os.PathLike[str],
    *,
    module: str | None = None,
    symbol: str | None = None,
    since_ns: int | None = None,
    run_id: str | None = None,
    named: str | None = None,
    in_doubt: bool = False,
) -> Iterator[Record]:
    """The recorded orders, oldest first.

    Args:
        path: The journal.
        module: Only those of this module, by its short name.
        symbol: Only those on this symbol.
        since_ns: Only those since this moment, in nanoseconds since the epoch.
        run_id: Only those of this run.
        named: Only those with this order id, algo id or client order id, the cancels and changes of such, or
            the one that is RUN_ID:SEQ.
        in_doubt: Only those of which nothing is proved.

    Raises:
        JournalError: There is no journal at `path`, or it cannot be read.
    """
    named_run, _, named_seq = (named or "").rpartition(":")
    clauses = {
        "orders.site IN (SELECT site FROM sites WHERE module = :module)": module,
        "orders.symbol = :symbol": symbol,
        "orders.ts >= :since": since_ns,
        "runs.run_id = :run": run_id,
        NAMED: named,
        f"orders.state = '{IN_DOUBT}'": in_doubt or None,
    }
    values = {
        "module": module,
        "symbol": symbol,
        "since": since_ns,
        "run": run_id,
        "name": named,
        "named_run": named_run,
        "named_seq": seq_of(named_run, named_seq),
    }
    where = " AND ".join(clause for clause, value in clauses.items() if value is not None)
    question = f"{RECORDS} {'WHERE' * bool(where)} {where} ORDER BY orders.ts, orders.id"
    with legible(Path(path), "read on"):
        yield from map(record_of, _rows(path, question, values))


def seq_of(run_id: str, seq: str) -> int | None:
    """Return the number in RUN_ID:SEQ; None for an id, and for a number that SQLite cannot hold."""
    fits = bool(run_id) and seq.isascii() and seq.isdecimal() and len(seq) < len(str(2**63))
    return int(seq) if fits else None


def read_values(path: str | os.PathLike[str], field: Literal["module", "symbol"]) -> list[str]:
    """Return each module, or each symbol, that some recorded order has; JournalError as `read_records`."""
    found = _rows(path, VALUES[field])
    with legible(Path(path), "read on"):
        return [value for (value,) in found]


def read_bodies(path: str | os.PathLike[str], *, since_ns: int = 0) -> Iterator[Bodies]:
    """The recorded orders as JSON, oldest first; JournalError as `read_records`."""
    yield from _rows(path, BODIES, (since_ns,))


def count_orders(path: str | os.PathLike[str], *, since_ns: int = 0) -> int:
    """How many orders there are; JournalError as `read_records`."""
    return sum(number for (number,) in _rows(path, "SELECT count(*) FROM orders WHERE ts >= ?", (since_ns,)))


def record_of(row: tuple[str, int, str, str | None, str | None, str | None]) -> Record:
    """A row of `RECORDS`."""
    run, seq, operation, outcome, resolution, found = row
    return Record(
        run_id=run,
        seq=seq,
        intent=decode(Intent, operation),
        outcome=None if outcome is None else decode(Outcome, outcome),
        resolution=None if resolution is None else decode(Resolution, resolution),
        findings=None if found is None else decode(OrderFindings, found),
    )


def read_events(
    path: str | os.PathLike[str], *, run_id: str | None = None, after_pos: int = 0, limit: int | None = None
) -> Iterator[StoredEvent]:
    """All events, run by run, each run's in the order of its chain; JournalError as `read_records`."""
    with legible(Path(path), "read on"):
        for run, known in _rows(path, "SELECT run, run_id FROM runs ORDER BY run"):
            if run_id in (None, known):
                beginning, end = (run << POS_BITS) + after_pos, run + 1 << POS_BITS
                found = _rows(path, EVENTS, (beginning, end, -1 if limit is None else limit))
                yield from (StoredEvent(known, *row) for row in found)


def read_runs(path: str | os.PathLike[str]) -> list[Run]:
    """All runs, in the order in which they came to the file; JournalError as `read_records`."""
    found = _rows(
        path,
        "SELECT run_id, started, header, pos, head, pruned_pos, pruned_head, ended FROM runs ORDER BY run",
    )
    with legible(Path(path), "read on"):
        return [
            Run(
                run_id,
                started,
                decode(RunStarted, header),
                pos,
                bytes(head),
                pruned,
                bytes(pruned_head),
                ended,
            )
            for run_id, started, header, pos, head, pruned, pruned_head, ended in found
        ]


def read_counts(path: str | os.PathLike[str], *, since_ns: int | None = None) -> list[Count]:
    """How many orders, by place, mode and state; JournalError as `read_records`.

    Whole days and hours are counted already; only the beginning of the first hour is counted now.
    """
    since = since_ns or 0
    hour, day = -(-since // HOUR_NS), -(-since // DAY_NS)
    values = {
        "hour_ns": HOUR_NS,
        "day_ns": DAY_NS,
        "since": since,
        "hour": hour,
        "day": day,
        "first_hour": hour * HOUR_NS,
        "first_day": day * DAY_NS // HOUR_NS,
    }
    found = _rows(path, COUNTS, values)
    with legible(Path(path), "read on"):
        return [
            Count(OrderSite(*row[: len(OrderSite._fields)]), *row[len(OrderSite._fields) :]) for row in found
        ]


def read_stacks(path: str | os.PathLike[str], *, since_ns: int | None = None) -> list[Stack]:
    """The chains that concluded orders came by, each once; JournalError as `read_records`."""
    found = _rows(
        path, "SELECT module, evidence, chain FROM stacks WHERE last >= ? ORDER BY stack", (since_ns or 0,)
    )
    with legible(Path(path), "read on"):
        return [
            Stack(module, evidence, msgspec.json.decode(chain, type=tuple[Step, ...]))
            for module, evidence, chain in found
        ]


def counted(records: Iterable[Record]) -> tuple[list[Count], list[Stack]]:
    """The same two, of records at hand."""
    orders: Counter[tuple[OrderSite, str, str]] = Counter()
    conflicts: Counter[tuple[OrderSite, str, str]] = Counter()
    stacks: dict[Stack, None] = {}
    for record in records:
        intent, who = record.intent, record.intent.attribution
        state = state_of(record.outcome, record.resolution)
        key = site_of(intent), intent.mode, state
        orders[key] += 1
        conflicts[key] += bool(intent.verdict.reasons)
        if record.outcome is not None:
            stacks[Stack(who.module, who.evidence, record.chain)] = None
    return [Count(*key, number, conflicts[key]) for key, number in sorted(orders.items())], list(stacks)


def read_unread_doors(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the declared doors that have read none of their calls, in their latest run, each with why."""
    found = (decode(InternalError, body) for _, body in _rows(path, UNREAD_DOORS, {"step": UNREAD}))
    return {failure.step.removeprefix(UNREAD): failure.error for failure in found}


def count_lost(path: str | os.PathLike[str]) -> int:
    """How many events were lost, by what the journal itself says; JournalError as `read_records`."""
    found = _rows(path, LOST)
    with legible(Path(path), "read on"):
        return sum(decode(Lost, body).events for (body,) in found)


def _rows(path: str | os.PathLike[str], question: str, values: Values = ()) -> Iterator[Any]:
    with contextlib.closing(open_reader(Path(with_home(path)))) as connection:
        if not is_bare(connection):
            yield from connection.execute(question, values)


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads; JournalError with the way out where there is nothing to read."""
    take_up_left(path)
    if not path.exists():
        raise JournalError(
            f"there is no journal at {path}; it appears with the first exit order, or set EXIT_SHIM_JOURNAL"
        )
    with contextlib.ExitStack() as undo, legible(path, "read"):
        connection = connect(path, read_only=True)
        undo.callback(connection.close)
        if check_schema(connection, path) not in (0, SCHEMA_VERSION):
            open_writer(path).close()  # brings the tables forward
        undo.pop_all()
    return connection


def take_up_left(path: Path) -> None:
    """Move what dead runs have left into the database, where this user can."""
    with contextlib.suppress(OSError, *ODD):
        if spools(path):
            with contextlib.closing(open_writer(path)) as connection:
                take_up(connection, path)
