"""Build the tables that answer queries from the events: orders, names, counts, stacks and positions."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from exit_shim.domain.events import GuardFinding, Intent, OrderFindings, Outcome, PositionSeen, Resolution
from exit_shim.domain.verdicts import Reason
from exit_shim.journal.insertion import insert_rows
from exit_shim.journal.line_format import Line, Subject
from exit_shim.journal.order_state import IN_DOUBT, OrderSite, names_of, site_of
from exit_shim.journal.record_source import MEASURES, TAKING, bucket_number, times_of
from exit_shim.journal.rollups import FIGHTS, FINDINGS, LATENCIES, TAKEN_STATES, TALLY, Changes
from exit_shim.journal.rows import decode
from exit_shim.journal.schema import POS_MASK
from exit_shim.journal.victims import Victims

ADD_ORDERS: Final = """
INSERT INTO orders
    (id, ts, site, account, symbol, mode, conflict, state, outcome, resolution, before_ns, total_ns)
"""

CHANGE_ORDER: Final = """
UPDATE orders SET state = ?, outcome = ?, resolution = ?, before_ns = ?, total_ns = ? WHERE id = ?
"""

ADD_NAMES: Final = "INSERT OR IGNORE INTO names (name, id)"

ADD_REASONS: Final = "INSERT INTO reasons (id, code, number)"

ADD_NUMBER: Final = "ON CONFLICT (id, code) DO UPDATE SET number = number + excluded.number"

ADD_STACK: Final = "INSERT INTO stacks (module, evidence, chain, last)"

UPDATE_LAST: Final = "ON CONFLICT (module, evidence, chain) DO UPDATE SET last = max(last, excluded.last)"

ADD_POSITIONS: Final = """
INSERT INTO positions (account, symbol, position_side, is_flat, ts, run_id, seq, pos, body, link)
"""

IF_LATER: Final = """
ON CONFLICT (account, symbol, position_side) DO UPDATE SET is_flat = excluded.is_flat, ts = excluded.ts,
    run_id = excluded.run_id, seq = excluded.seq, pos = excluded.pos, body = excluded.body,
    link = excluded.link
WHERE (excluded.ts, excluded.run_id, excluded.seq) > (positions.ts, positions.run_id, positions.seq)
"""

FIND_SITE: Final = """
SELECT site FROM sites
WHERE (module, operation, kind, function, place, via, evidence) = (?, ?, ?, ?, ?, ?, ?)
"""

ADD_SITE: Final = """
INSERT INTO sites (module, operation, kind, function, place, via, evidence) VALUES (?, ?, ?, ?, ?, ?, ?)
"""

FIND: Final = """
SELECT events.seq, orders.id, orders.ts, site, account, symbol, mode, conflict, state, outcome, resolution,
    before_ns, total_ns, EXISTS (
        SELECT 1 FROM events AS findings WHERE findings.event = 'order_findings'
        AND findings.about = ? || ':' || events.seq
    ), (SELECT ts FROM events AS proof WHERE proof.id = orders.resolution), body
FROM events JOIN orders USING (id)
WHERE events.run = (SELECT run FROM runs WHERE run_id = ?) AND events.seq IN ({seqs})
"""

ABOUT_ORDERS: Final = frozenset({"outcome", "resolution", "order_findings"})
"""Events that change what is known of an order."""

FIND_EARLY: Final = """
SELECT id, seq, ts, event, about, body FROM events
WHERE run = ? AND seq > ? AND event IN ('outcome', 'resolution', 'order_findings') ORDER BY id
"""


@dataclass
class OrderRow:
    """A row of `orders`, with its intent; `is_old` if it is in the database already.

    `victims` are the modules that a cancel or change takes orders from, each with how many.
    """

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
    before_ns: int | None = None
    total_ns: int | None = None
    has_findings: bool = False
    resolved: int | None = None
    is_old: bool = False
    victims: Mapping[str, int] | None = None

    def row(self) -> tuple[object, ...]:
        """Return the columns of the table."""
        return (
            *(self.id, self.ts, self.site, self.account, self.symbol),
            *(self.mode, self.conflict, self.state, self.outcome, self.resolution),
            *(self.before_ns, self.total_ns),
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
        self._placed: list[str] = []
        self._changes = Changes()
        self._victims = Victims(connection)
        self._reasons: list[tuple[int, str, int]] = []
        self._positions: dict[tuple[str, str, str], tuple[object, ...]] = {}
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
        for seq, *fields, body in self._connection.execute(question, [run_id, run_id, *seqs]).fetchall():
            order = self._old[run_id, seq] = OrderRow(decode(Intent, body), *fields)
            order.is_old = True
        taking = {order.id: order for order in self._old.values() if order.intent.operation in TAKING}
        for order_id, victims in self._victims.look_up(taking).items():
            taking[order_id].victims = victims

    def fold(self, event_id: int, line: Line, link: bytes) -> None:
        """Fold one event that becomes the row `event_id`."""
        if line.event == "intent":
            self._add(event_id, line, decode(Intent, line.body))
        elif line.event == "run_ended":
            self._ended = line.ts
        elif line.event == "guard_finding":
            self._find_reasons(event_id, line.ts, 0, [decode(GuardFinding, line.body).reason])
        elif line.event == "position_seen":
            self._see(event_id & POS_MASK, line, link)
        elif line.event in ABOUT_ORDERS:
            subject = line.subject()
            order = None if subject is None else self._new.get(subject) or self._old.get(subject)
            # Where there is none, its intent was lost or has been pruned.
            if order is not None:
                self._apply(order, event_id, line)

    def finish(self) -> None:
        """Write the rows that changed."""
        for order in self._new.values():
            self._count(order, order.state, 1)
        insert_rows(self._connection, ADD_ORDERS, [order.row() for order in self._new.values()])
        for order in self._changed.values():
            _, *_, state, outcome, resolution, before_ns, total_ns = order.row()
            self._connection.execute(
                CHANGE_ORDER, (state, outcome, resolution, before_ns, total_ns, order.id)
            )
        insert_rows(self._connection, ADD_NAMES, self._names)
        new = [(order.id, order.victims) for order in self._new.values() if order.victims]
        self._victims.write(new, self._placed, self._changes)
        insert_rows(self._connection, ADD_REASONS, self._reasons, ADD_NUMBER)
        self._changes.write(self._connection)
        insert_rows(
            self._connection, ADD_STACK, [(*stack, last) for stack, last in self._stacks.items()], UPDATE_LAST
        )
        positions = [(*key, *rest) for key, rest in self._positions.items()]
        insert_rows(self._connection, ADD_POSITIONS, positions, IF_LATER)
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
        if intent.operation in TAKING:
            order.victims = self._victims.add(event_id, intent)
        if intent.verdict.reasons:
            self._find_reasons(event_id, line.ts, order.site, intent.verdict.reasons)
        self._name(order, [intent.order.client_order_id])
        for target in intent.targets:
            self._name(order, names_of(target))
        for early_id, early in self._early.get((self._run_id, line.seq), ()):
            self._apply(order, early_id, early)

    def _apply(self, order: OrderRow, event_id: int, line: Line) -> None:
        if line.event == "outcome":
            self._conclude(order, event_id, decode(Outcome, line.body))
        elif line.event == "resolution":
            self._resolve(order, event_id, line.ts, decode(Resolution, line.body))
        # The first findings count.
        elif not order.has_findings:
            order.has_findings = True
            self._find_reasons(order.id, order.ts, order.site, decode(OrderFindings, line.body).reasons)

    def _conclude(self, order: OrderRow, event_id: int, outcome: Outcome) -> None:
        # The first outcome counts.
        if order.outcome is not None:
            return
        order.outcome = event_id
        self._set_state(order, order.state if outcome.result == "unknown" else outcome.result)
        self._name(order, names_of(outcome))
        times = order.before_ns, order.total_ns = times_of(outcome)
        for measure, took_ns in zip(MEASURES, times, strict=True):
            if took_ns is not None:
                key = measure, bucket_number(took_ns)
                self._changes.add(LATENCIES, order.ts, key, 1, took_ns)
        who = order.intent.attribution
        steps = msgspec.json.encode((*who.chain, *outcome.chain)).decode()
        stack = who.module, who.evidence, steps
        self._stacks[stack] = max(order.ts, self._stacks.get(stack, 0))

    def _resolve(self, order: OrderRow, event_id: int, ts: int, resolution: Resolution) -> None:
        # The last resolution counts, for an order whose outcome is missing or unknown.
        is_settled = order.state != IN_DOUBT if order.resolved is None else ts < order.resolved
        if is_settled:
            return
        order.resolution, order.resolved = event_id, ts
        self._set_state(order, resolution.result)
        self._name(order, names_of(resolution))

    def _set_state(self, order: OrderRow, state: str) -> None:
        # A new order is counted once it is known what came of it.
        if order.is_old:
            self._count(order, order.state, -1)
            self._count(order, state, 1)
            self._changed[order.id] = order
        order.state = state

    def _count(self, order: OrderRow, state: str, number: int) -> None:
        key = order.site, order.mode, state
        self._changes.add(TALLY, order.ts, key, number, number * order.conflict)
        if order.victims and state in TAKEN_STATES:
            for victim, orders in order.victims.items():
                self._changes.add(FIGHTS, order.ts, (order.site, victim), number * orders)

    def _find_reasons(self, row: int, ts: int, site: int, reasons: Iterable[Reason]) -> None:
        """Add what the guard found about an order, or about none: the row is the intent's or its own."""
        for code, number in Counter(reason.code for reason in reasons).items():
            self._reasons.append((row, code, number))
            self._changes.add(FINDINGS, ts, (code, site), number)

    def _see(self, pos: int, line: Line, link: bytes) -> None:
        """Keep the last sight of a position; one that says nothing of its exits leaves open what it has."""
        seen = decode(PositionSeen, line.body)
        is_flat = seen.amount == "0"
        if seen.exits is None and not is_flat:
            return
        key = seen.account or "", seen.symbol, seen.position_side
        sight = is_flat, line.ts, self._run_id, line.seq, pos, line.body, link
        if key not in self._positions or sight[1:4] > self._positions[key][1:4]:
            self._positions[key] = sight

    def _name(self, order: OrderRow, names: Iterable[object]) -> None:
        """Add ids that an order itself has."""
        known = [str(name) for name in names if name is not None]
        self._names += [(name, order.id) for name in known]
        if order.intent.operation == "place":
            self._placed += known

    def _site(self, intent: Intent) -> int:
        site = site_of(intent)
        if site not in self._sites:
            row = self._connection.execute(FIND_SITE, site).fetchone()
            site_id = row or (self._connection.execute(ADD_SITE, site).lastrowid,)
            self._sites[site] = int(site_id[0] or 0)
        return self._sites[site]
