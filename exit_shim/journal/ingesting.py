"""From lines to rows: the one place where events enter the database, chained, with what is made from them."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from exit_shim.journal import chain
from exit_shim.journal.lines import Line
from exit_shim.journal.rows import decode
from exit_shim.journal.schema import POS_BITS, add_run
from exit_shim.records import Conclusion, Resolution, Submission, Target

HOUR_NS: Final = 3_600_000_000_000

IN_DOUBT: Final = "in doubt"
"""The state of an order of which nothing is proved: without an outcome as yet, or with an unknown one."""

ADD_EVENT: Final = """
INSERT OR IGNORE INTO events (id, seq, ts, event, about, body, link) VALUES (?, ?, ?, ?, ?, ?, ?)
"""

ADD_ORDER: Final = """
INSERT INTO orders (id, ts, site, account, symbol, mode, conflict, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

COUNT: Final = """
INSERT INTO tally (hour, site, mode, state, orders, conflicts) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (hour, site, mode, state)
DO UPDATE SET orders = orders + excluded.orders, conflicts = conflicts + excluded.conflicts
"""

SEE: Final = """
INSERT INTO stacks (module, evidence, chain, last) VALUES (?, ?, ?, ?)
ON CONFLICT (module, evidence, chain) DO UPDATE SET last = max(last, excluded.last)
"""


class Site(NamedTuple):
    """A place in the bot that places, changes or cancels exits of one kind, and how it is known."""

    module: str
    intent: str
    kind: str
    function: str
    place: str
    via: str
    evidence: str


FIND_SITE: Final = """
SELECT site FROM sites
WHERE (module, intent, kind, function, place, via, evidence) = (?, ?, ?, ?, ?, ?, ?)
"""

ADD_SITE: Final = """
INSERT INTO sites (module, intent, kind, function, place, via, evidence) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class Order(NamedTuple):
    """A row of `orders`, as far as events about it need it, and the body of its intent."""

    id: int
    ts: int
    site: int
    mode: str
    conflict: int
    state: str
    outcome: int | None
    resolution: int | None
    body: str


FIND: Final = """
SELECT orders.id, orders.ts, site, mode, conflict, state, outcome, resolution, body
FROM events JOIN orders USING (id) WHERE events.run = {run} AND events.seq = ?
"""


class Origin(NamedTuple):
    """Whose lines these are, and where in the run's spool the last of them ends; no place: from elsewhere."""

    run_id: str
    started: int
    header: str
    place: tuple[int, int] | None = None


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def ingest(connection: sqlite3.Connection, origin: Origin, lines: Iterable[Line | None]) -> int:
    """Add a run's events behind those that it has, inside the caller's transaction.

    A line that is damaged is None: an event says so in its place. One that is in already, by its `seq`, is
    passed over. Returns how many were added.
    """
    add_run(connection, origin.run_id, origin.started, origin.header)
    run, pos, head = connection.execute(
        "SELECT run, pos, head FROM runs WHERE run_id = ?", (origin.run_id,)
    ).fetchone()
    before = pos
    for read in lines:
        line = read or _damaged(pos)
        event_id = (run << POS_BITS) + pos + 1
        made = chain.link(head, line)
        added = connection.execute(
            ADD_EVENT,
            (event_id, *line, made),
        )
        if added.rowcount:
            pos, head = pos + 1, made
            _fold(connection, run, event_id, line)
    connection.execute("UPDATE runs SET pos = ?, head = ? WHERE run = ?", (pos, head, run))
    if origin.place is not None:
        connection.execute("UPDATE runs SET segment = ?, offset = ? WHERE run = ?", (*origin.place, run))
    return int(pos - before)


def _damaged(pos: int) -> Line:
    """What stands for a line that cannot be read; its number is one that no journal gives."""
    return Line(-1 - pos, 0, "lost", None, '{"why":"a line of the spool was damaged","events":1}')


def _fold(connection: sqlite3.Connection, run: int, event_id: int, line: Line) -> None:
    """Keep what is made from the events."""
    if line.event == "intent":
        _add_order(connection, event_id, line.ts, decode(Submission, line.body))
    elif line.event == "end":
        connection.execute("UPDATE runs SET ended = ? WHERE run = ?", (line.ts, run))
    elif line.event in {"outcome", "resolution"}:
        order = _find(connection, run, line.about)
        if order is None:  # its intent is not in this file: it was lost, or has been pruned
            return
        if line.event == "outcome":
            _conclude(connection, order, event_id, decode(Conclusion, line.body))
        else:
            _resolve(connection, order, event_id, decode(Resolution, line.body))


def _add_order(connection: sqlite3.Connection, event_id: int, ts: int, submission: Submission) -> None:
    site, mode = _site_number(connection, submission), submission.mode
    conflict = bool(submission.verdict.reasons)
    connection.execute(
        ADD_ORDER,
        (event_id, ts, site, submission.account, submission.order.symbol, mode, conflict, IN_DOUBT),
    )
    connection.execute(COUNT, (ts // HOUR_NS, site, mode, IN_DOUBT, 1, conflict))
    _name(connection, event_id, [submission.order.client_order_id])
    _name(connection, event_id, [name for target in submission.targets for name in names_of(target)])


def _conclude(connection: sqlite3.Connection, order: Order, event_id: int, conclusion: Conclusion) -> None:
    """The first outcome stands."""
    if order.outcome is not None:
        return
    connection.execute("UPDATE orders SET outcome = ? WHERE id = ?", (event_id, order.id))
    if conclusion.outcome != "unknown":
        _move(connection, order, state_of(conclusion))
    _name(connection, order.id, names_of(conclusion))
    who = decode(Submission, order.body).attribution
    steps = msgspec.json.encode((*who.chain, *conclusion.chain)).decode()
    connection.execute(SEE, (who.module, who.evidence, steps, order.ts))


def _resolve(connection: sqlite3.Connection, order: Order, event_id: int, resolution: Resolution) -> None:
    """The last resolution stands, of an order whose outcome does not tell by itself."""
    if order.state != IN_DOUBT and order.resolution is None:
        return
    connection.execute("UPDATE orders SET resolution = ? WHERE id = ?", (event_id, order.id))
    _move(connection, order, resolution.outcome)
    _name(connection, order.id, names_of(resolution))


def _move(connection: sqlite3.Connection, order: Order, state: str) -> None:
    """Count an order under another state."""
    connection.execute("UPDATE orders SET state = ? WHERE id = ?", (state, order.id))
    hour = order.ts // HOUR_NS
    connection.execute(COUNT, (hour, order.site, order.mode, order.state, -1, -order.conflict))
    connection.execute(COUNT, (hour, order.site, order.mode, state, 1, order.conflict))


def site_of(submission: Submission) -> Site:
    """Where an order comes from."""
    who = submission.attribution
    return Site(
        module=who.module,
        intent=submission.intent,
        kind=submission.order.kind,
        function=who.function or "?",
        place=f"{Path(who.file).name}:{who.line}" if who.file else "?",
        via=",".join(who.via),
        evidence=who.evidence,
    )


def state_of(conclusion: Conclusion | None, resolution: Resolution | None = None) -> str:
    """What is known of an order: its outcome, where that tells, else what a later look has proved."""
    if conclusion is not None and conclusion.outcome != "unknown":
        return conclusion.outcome
    return IN_DOUBT if resolution is None else resolution.outcome


def _site_number(connection: sqlite3.Connection, submission: Submission) -> int:
    site = site_of(submission)
    known = connection.execute(FIND_SITE, site).fetchone()
    return int(known[0] if known else connection.execute(ADD_SITE, site).lastrowid or 0)


def names_of(known: Conclusion | Resolution | Target) -> list[object]:
    """What an order is called by the exchange and by the bot."""
    return [known.order_id, known.algo_id, known.client_order_id]


def _name(connection: sqlite3.Connection, order: int, names: Iterable[object]) -> None:
    for name in names:
        if name is not None:
            connection.execute("INSERT OR IGNORE INTO names (name, id) VALUES (?, ?)", (str(name), order))


def _find(connection: sqlite3.Connection, run: int, about: str | None) -> Order | None:
    """The order that an event is about; None where it is not in this file."""
    run_id, _, seq = (about or "").rpartition(":")
    if not seq.isdigit():
        return None
    which = "(SELECT run FROM runs WHERE run_id = ?)" if run_id else "?"
    found = connection.execute(FIND.format(run=which), (run_id or run, int(seq))).fetchone()
    return None if found is None else Order(*found)
