"""What is made from the events, so that an index answers questions: orders, names, counts and stacks."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from exit_shim.journal.lines import Line
from exit_shim.journal.rows import decode
from exit_shim.records import Conclusion, Resolution, Submission, Target

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
SPANS: Final = (HOUR_NS, DAY_NS)
"""What orders are counted by: a year has too many hours to add up, and a day too many orders."""

IN_DOUBT: Final = "in doubt"
"""The state of an order of which nothing is proved: without an outcome as yet, or with an unknown one."""

ADD_ORDER: Final = """
INSERT INTO orders (id, ts, site, account, symbol, mode, conflict, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

COUNT: Final = """
INSERT INTO tally (span, place, site, mode, state, orders, conflicts) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (span, place, site, mode, state)
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


class Folding:
    """Folds a run's events in their order, for the length of one transaction; `finish` writes the counts."""

    def __init__(self, connection: sqlite3.Connection, run: int) -> None:
        self._execute = connection.execute
        self._run = run
        self._sites: dict[Site, int] = {}
        self._counts: defaultdict[tuple[int, int, int, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self._stacks: dict[tuple[str, str, str], int] = {}

    def fold(self, event_id: int, line: Line) -> None:
        """Take in an event that has just become a row."""
        if line.event == "intent":
            self._add(event_id, line.ts, decode(Submission, line.body))
        elif line.event == "end":
            self._execute("UPDATE runs SET ended = ? WHERE run = ?", (line.ts, self._run))
        elif line.event in {"outcome", "resolution"}:
            order = self._find(line.about)
            if order is None:  # its intent is not in this file: it was lost, or has been pruned
                return
            if line.event == "outcome":
                self._conclude(order, event_id, decode(Conclusion, line.body))
            else:
                self._resolve(order, event_id, decode(Resolution, line.body))

    def finish(self) -> None:
        """Write what was counted."""
        for key, (orders, conflicts) in self._counts.items():
            if orders or conflicts:
                self._execute(COUNT, (*key, orders, conflicts))
        for stack, last in self._stacks.items():
            self._execute(SEE, (*stack, last))

    def _add(self, event_id: int, ts: int, submission: Submission) -> None:
        site, mode, conflict = self._site(submission), submission.mode, bool(submission.verdict.reasons)
        account, symbol = submission.account, submission.order.symbol
        self._execute(ADD_ORDER, (event_id, ts, site, account, symbol, mode, conflict, IN_DOUBT))
        self._count(ts, site, mode, IN_DOUBT, 1, conflict)
        self._name(event_id, [submission.order.client_order_id])
        for target in submission.targets:
            self._name(event_id, names_of(target))

    def _conclude(self, order: Order, event_id: int, conclusion: Conclusion) -> None:
        """The first outcome stands."""
        if order.outcome is not None:
            return
        state = order.state if conclusion.outcome == "unknown" else conclusion.outcome
        self._execute("UPDATE orders SET outcome = ?, state = ? WHERE id = ?", (event_id, state, order.id))
        self._move(order, state)
        self._name(order.id, names_of(conclusion))
        who = decode(Submission, order.body).attribution
        steps = msgspec.json.encode((*who.chain, *conclusion.chain)).decode()
        stack = who.module, who.evidence, steps
        self._stacks[stack] = max(order.ts, self._stacks.get(stack, 0))

    def _resolve(self, order: Order, event_id: int, resolution: Resolution) -> None:
        """The last resolution stands, of an order whose outcome does not tell by itself."""
        if order.state != IN_DOUBT and order.resolution is None:
            return
        state = resolution.outcome
        self._execute("UPDATE orders SET resolution = ?, state = ? WHERE id = ?", (event_id, state, order.id))
        self._move(order, state)
        self._name(order.id, names_of(resolution))

    def _move(self, order: Order, state: str) -> None:
        self._count(order.ts, order.site, order.mode, order.state, -1, -order.conflict)
        self._count(order.ts, order.site, order.mode, state, 1, order.conflict)

    def _count(self, ts: int, site: int, mode: str, state: str, orders: int, conflicts: int) -> None:
        for span in SPANS:
            counted = self._counts[span, ts // span, site, mode, state]
            counted[0] += orders
            counted[1] += conflicts

    def _site(self, submission: Submission) -> int:
        site = site_of(submission)
        if site not in self._sites:
            known = self._execute(FIND_SITE, site).fetchone()
            self._sites[site] = int(known[0] if known else self._execute(ADD_SITE, site).lastrowid or 0)
        return self._sites[site]

    def _name(self, order: int, names: Iterable[object]) -> None:
        for name in names:
            if name is not None:
                self._execute("INSERT OR IGNORE INTO names (name, id) VALUES (?, ?)", (str(name), order))

    def _find(self, about: str | None) -> Order | None:
        """The order that an event is about; None where it is not in this file."""
        run_id, _, seq = (about or "").rpartition(":")
        if not seq.isdigit():
            return None
        which = "(SELECT run FROM runs WHERE run_id = ?)" if run_id else "?"
        found = self._execute(FIND.format(run=which), (run_id or self._run, int(seq))).fetchone()
        return None if found is None else Order(*found)


def site_of(submission: Submission) -> Site:
    """Where an order comes from."""
    who = submission.attribution
    file = (who.file or "").replace("\\", "/").rpartition("/")[2]
    return Site(
        module=who.module,
        intent=submission.intent,
        kind=submission.order.kind,
        function=who.function or "?",
        place=f"{file}:{who.line}" if file else "?",
        via=",".join(who.via),
        evidence=who.evidence,
    )


def state_of(conclusion: Conclusion | None, resolution: Resolution | None = None) -> str:
    """What is known of an order: its outcome, where that tells, else what a later look has proved."""
    if conclusion is not None and conclusion.outcome != "unknown":
        return conclusion.outcome
    return IN_DOUBT if resolution is None else resolution.outcome


def names_of(known: Conclusion | Resolution | Target) -> list[object]:
    """What an order is called by the exchange and by the bot."""
    return [known.order_id, known.algo_id, known.client_order_id]
