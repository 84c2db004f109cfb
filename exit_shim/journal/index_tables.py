"""Build the tables that answer queries from the events: orders, names, counts and stacks."""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from exit_shim.domain.events import Intent, Outcome, Resolution, Target
from exit_shim.journal.line_format import Line, Subject
from exit_shim.journal.rows import decode

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
SPANS: Final = (HOUR_NS, DAY_NS)
"""The spans that orders are counted by: a year has too many hours to add up, a day too many orders."""

IN_DOUBT: Final = "in doubt"
"""The state of an order without an outcome, or with an unknown one that was not resolved."""

ADD_ORDERS: Final = """
INSERT INTO orders (id, ts, site, account, symbol, mode, conflict, state, outcome, resolution)
"""

CHANGE_ORDER: Final = "UPDATE orders SET state = ?, outcome = ?, resolution = ? WHERE id = ?"

ADD_NAMES: Final = "INSERT OR IGNORE INTO names (name, id)"

ADD_COUNT: Final = "INSERT INTO tally (span, place, site, mode, state, orders, conflicts)"

ADD_UP: Final = """
ON CONFLICT (span, place, site, mode, state)
DO UPDATE SET orders = orders + excluded.orders, conflicts = conflicts + excluded.conflicts
"""

ADD_STACK: Final = "INSERT INTO stacks (module, evidence, chain, last)"

UPDATE_LAST: Final = "ON CONFLICT (module, evidence, chain) DO UPDATE SET last = max(last, excluded.last)"

VALUES_AT_ONCE: Final = 900
"""Older SQLites take at most 999 values in a statement."""


class OrderSite(NamedTuple):
    """A place in the bot that places, changes or cancels exits of one kind, with the evidence for it."""

    module: str
    operation: str
    kind: str
    function: str
    place: str
    via: str
    evidence: str


FIND_SITE: Final = """
SELECT site FROM sites
WHERE (module, operation, kind, function, place, via, evidence) = (?, ?, ?, ?, ?, ?, ?)
"""

ADD_SITE: Final = """
INSERT INTO sites (module, operation, kind, function, place, via, evidence) VALUES (?, ?, ?, ?, ?, ?, ?)
"""

FIND: Final = """
SELECT events.seq, orders.id, orders.ts, site, account, symbol, mode, conflict, state, outcome, resolution,
    body
FROM events JOIN orders USING (id)
WHERE events.run = (SELECT run FROM runs WHERE run_id = ?) AND events.seq IN ({seqs})
"""

ABOUT_ORDERS: Final = frozenset({"outcome", "resolution"})
"""Events that change what is known of an order."""

FIND_EARLY: Final = """
SELECT id, seq, ts, event, about, body FROM events
WHERE run = ? AND seq > ? AND event IN ('outcome', 'resolution') ORDER BY id
"""


@dataclass
class OrderRow:
    """A row of `orders`, with its intent; `is_old` if it is in the database already."""

    intent: Intent
    id: int
    ts: int
    site: int
    account: str | None
    symbol: str | None
    mode: str
    conflict: int
    state: str
    outcome: int | None
    resolution: int | None
    is_old: bool = False

    def row(self) -> tuple[object, ...]:
        """Return the columns of the table."""
        return (
            *(self.id, self.ts, self.site, self.account, self.symbol),
            *(self.mode, self.conflict, self.state, self.outcome, self.resolution),
        )


class IndexTables:
    """Fold a run's events in their order, within one transaction; `finish` writes the rows.

    Args:
        connection: The database.
        run: The run's number.
        run_id: The run.
    """

    # Rows are written in few statements: each one releases the interpreter, and a busy bot's threads keep
    # it for milliseconds.

    def __init__(self, connection: sqlite3.Connection, run: int, run_id: str) -> None:
        self._connection = connection
        self._run = run
        self._run_id = run_id
        self._new: dict[Subject, OrderRow] = {}
        self._old: dict[Subject, OrderRow] = {}
        self._changed: dict[int, OrderRow] = {}
        self._early: defaultdict[Subject | None, list[tuple[int, Line]]] = defaultdict(list)
        self._sites: dict[OrderSite, int] = {}
        self._names: list[tuple[str, int]] = []
        self._counts: defaultdict[tuple[int, int, int, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self._stacks: dict[tuple[str, str, str], int] = {}
        self._ended: int | None = None

    def look_up(self, lines: Iterable[Line]) -> None:
        """Load the earlier orders that these events are about, and earlier events about these orders.

        An event comes before its intent where a run's second file was copied before its first.
        """
        new = {(self._run_id, line.seq) for line in lines if line.event == "intent"}
        if new:
            _, first = min(new)
            for event_id, *fields in self._connection.execute(FIND_EARLY, (self._run, first)):
                line = Line(*fields)
                self._early[line.subject()].append((event_id, line))
        by_run: defaultdict[str, set[int]] = defaultdict(set)
        for line in lines:
            subject = line.subject() if line.event in ABOUT_ORDERS else None
            if subject is not None and subject not in new:
                by_run[subject[0]].add(subject[1])
        for run_id, seqs in by_run.items():
            self._find(run_id, seqs)

    def _find(self, run_id: str, seqs: Collection[int]) -> None:
        question = FIND.format(seqs=", ".join("?" * len(seqs)))
        for seq, *fields, body in self._connection.execute(question, [run_id, *seqs]).fetchall():
            order = self._old[run_id, seq] = OrderRow(decode(Intent, body), *fields)
            order.is_old = True

    def fold(self, event_id: int, line: Line) -> None:
        """Fold one event that becomes the row `event_id`."""
        if line.event == "intent":
            self._add(event_id, line, decode(Intent, line.body))
        elif line.event == "run_ended":
            self._ended = line.ts
        elif line.event in ABOUT_ORDERS:
            subject = line.subject()
            order = None if subject is None else self._new.get(subject) or self._old.get(subject)
            # Where there is none, its intent was lost or has been pruned.
            if order is not None:
                self._apply(order, event_id, line)

    def finish(self) -> None:
        """Write the rows that changed."""
        insert_rows(self._connection, ADD_ORDERS, [order.row() for order in self._new.values()])
        for order in self._changed.values():
            self._connection.execute(CHANGE_ORDER, (order.state, order.outcome, order.resolution, order.id))
        insert_rows(self._connection, ADD_NAMES, self._names)
        counted = [(*key, *numbers) for key, numbers in self._counts.items() if any(numbers)]
        insert_rows(self._connection, ADD_COUNT, counted, ADD_UP)
        insert_rows(
            self._connection, ADD_STACK, [(*stack, last) for stack, last in self._stacks.items()], UPDATE_LAST
        )
        if self._ended is not None:
            self._connection.execute("UPDATE runs SET ended = ? WHERE run = ?", (self._ended, self._run))

    def _add(self, event_id: int, line: Line, intent: Intent) -> None:
        order = OrderRow(
            intent,
            id=event_id,
            ts=line.ts,
            site=self._site(intent),
            account=intent.account,
            symbol=intent.order.symbol,
            mode=intent.mode,
            conflict=bool(intent.verdict.reasons),
            state=IN_DOUBT,
            outcome=None,
            resolution=None,
        )
        self._new[self._run_id, line.seq] = order
        self._count(order, order.state, 1)
        self._name(order, [intent.order.client_order_id])
        for target in intent.targets:
            self._name(order, names_of(target))
        for early_id, early in self._early.get((self._run_id, line.seq), ()):
            self._apply(order, early_id, early)

    def _apply(self, order: OrderRow, event_id: int, line: Line) -> None:
        if line.event == "outcome":
            self._conclude(order, event_id, decode(Outcome, line.body))
        else:
            self._resolve(order, event_id, decode(Resolution, line.body))

    def _conclude(self, order: OrderRow, event_id: int, outcome: Outcome) -> None:
        # The first outcome counts.
        if order.outcome is not None:
            return
        order.outcome = event_id
        self._set_state(order, order.state if outcome.result == "unknown" else outcome.result)
        self._name(order, names_of(outcome))
        who = order.intent.attribution
        steps = msgspec.json.encode((*who.chain, *outcome.chain)).decode()
        stack = who.module, who.evidence, steps
        self._stacks[stack] = max(order.ts, self._stacks.get(stack, 0))

    def _resolve(self, order: OrderRow, event_id: int, resolution: Resolution) -> None:
        # The last resolution counts, for an order whose outcome is missing or unknown.
        if order.state != IN_DOUBT and order.resolution is None:
            return
        order.resolution = event_id
        self._set_state(order, resolution.result)
        self._name(order, names_of(resolution))

    def _set_state(self, order: OrderRow, state: str) -> None:
        self._count(order, order.state, -1)
        order.state = state
        self._count(order, state, 1)
        if order.is_old:
            self._changed[order.id] = order

    def _count(self, order: OrderRow, state: str, number: int) -> None:
        for span in SPANS:
            counted = self._counts[span, order.ts // span, order.site, order.mode, state]
            counted[0] += number
            counted[1] += number * order.conflict

    def _name(self, order: OrderRow, names: Iterable[object]) -> None:
        self._names += [(str(name), order.id) for name in names if name is not None]

    def _site(self, intent: Intent) -> int:
        site = site_of(intent)
        if site not in self._sites:
            row = self._connection.execute(FIND_SITE, site).fetchone()
            site_id = row or (self._connection.execute(ADD_SITE, site).lastrowid,)
            self._sites[site] = int(site_id[0] or 0)
        return self._sites[site]


def insert_rows(
    connection: sqlite3.Connection, into: str, rows: Sequence[tuple[object, ...]], then: str = ""
) -> None:
    """Insert rows, as many per statement as SQLite takes."""
    if not rows:
        return
    marks = f"({', '.join('?' * len(rows[0]))})"
    at_once = VALUES_AT_ONCE // len(rows[0])
    for first in range(0, len(rows), at_once):
        piece = rows[first : first + at_once]
        values = [value for row in piece for value in row]
        connection.execute(f"{into} VALUES {', '.join([marks] * len(piece))} {then}", values)


def site_of(intent: Intent) -> OrderSite:
    """Return the place in the bot that an order comes from."""
    who = intent.attribution
    file = (who.file or "").replace("\\", "/").rpartition("/")[2]
    return OrderSite(
        module=who.module,
        operation=intent.operation,
        kind=intent.order.kind,
        function=who.function or "?",
        place=f"{file}:{who.line}" if file else "?",
        via=",".join(who.via),
        evidence=who.evidence,
    )


def state_of(outcome: Outcome | None, resolution: Resolution | None = None) -> str:
    """Return an order's state: its outcome unless that is unknown, else its resolution."""
    if outcome is not None and outcome.result != "unknown":
        return outcome.result
    return IN_DOUBT if resolution is None else resolution.result


def names_of(source: Outcome | Resolution | Target) -> list[object]:
    """Return the ids that exchange and bot have for an order."""
    return [source.order_id, source.algo_id, source.client_order_id]
