"""Reading the journal; a reader never blocks a writer, and moves what dead runs left into the database."""

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from exit_shim.domain.attributions import Step
from exit_shim.domain.events import UNREAD, Bodies, ExecutorStep, InternalError, Record
from exit_shim.journal import rollups
from exit_shim.journal.database import DAMAGE, connect, open_writer, reporting_damage
from exit_shim.journal.default_path import with_home
from exit_shim.journal.order_state import IN_DOUBT, OrderSite, site_of, state_of
from exit_shim.journal.record_source import EVERYTHING, Count, RecordFilter, Stack
from exit_shim.journal.recovery import recover
from exit_shim.journal.rows import decode
from exit_shim.journal.schema import POS_BITS, RARE, STEP_OF, JournalError, check_schema, is_empty
from exit_shim.journal.spool import spools
from exit_shim.journal.sql_source import SqlSource

T = TypeVar("T")


FINDINGS: Final = """(
    SELECT body FROM events AS findings
    WHERE findings.event = 'order_findings' AND findings.about = runs.run_id || ':' || intent.seq LIMIT 1
)"""

JOINED: Final = """
FROM orders
JOIN events AS intent ON intent.id = orders.id
JOIN runs ON runs.run = intent.run
LEFT JOIN events AS outcome ON outcome.id = orders.outcome
LEFT JOIN events AS resolution ON resolution.id = orders.resolution
"""

RECORDS: Final = f"""
SELECT runs.run_id, intent.seq, intent.body, outcome.body, resolution.body, {FINDINGS} {JOINED}
{{where}} ORDER BY orders.ts, orders.id
"""

# Without the bodies, which are read of the newest only.
NEWEST: Final = RECORDS.format(
    where=f"""
WHERE orders.id IN (
    SELECT orders.id FROM orders JOIN runs ON runs.run = orders.id >> {POS_BITS}
    {{where}} ORDER BY orders.ts DESC, orders.id DESC LIMIT :limit
)"""  # noqa: S608 - a constant of ours
)

BODIES: Final = f"""
SELECT intent.body, outcome.body, {FINDINGS}, resolution.body {JOINED}
WHERE orders.ts >= :since_ns ORDER BY orders.ts, orders.id
"""

COLUMNS: Final = "module, operation, kind, function, place, via, evidence, mode, state"

COUNTS: Final = f"""
SELECT {COLUMNS}, orders, conflicts FROM ({rollups.TALLY.add_up(":{}".format)}) JOIN sites USING (site)
"""  # noqa: S608 - constants of ours

COUNTERS: Final = f"""
{COUNTS} UNION ALL
SELECT module, operation, kind, '?', '?', '', 'unknown', mode, state, orders, conflicts FROM pruned
"""  # noqa: S608 - constants of ours

HOST: Final = "json_extract(runs.header, '$.host')"

# A door counts as unread until a later order of the same run came through it.
UNREAD_DOORS: Final = f"""
SELECT events.body FROM events
WHERE events.event = 'internal_error' AND {RARE} AND json_extract(events.body, '$.step') LIKE :step || '%'
AND NOT EXISTS (
    SELECT 1 FROM events AS later WHERE later.id > events.id AND later.id < (events.run + 1) << {POS_BITS}
    AND later.event = 'intent'
    AND json_extract(later.body, '$.door') = substr(json_extract(events.body, '$.step'), length(:step) + 1)
)
ORDER BY events.ts, events.id
"""  # noqa: S608 - constants of ours


STEP: Final = f"event = 'executor_step' AND {RARE}"

EPISODE: Final = "json_extract(body, '$.episode')"

STEPS: Final = f"""
SELECT runs.run_id, seq, ts, body FROM events JOIN runs USING (run)
WHERE {STEP} AND ts >= :since_ns AND (:named IS NULL OR {EPISODE} IN (
    SELECT {EPISODE} FROM events WHERE {STEP}
    AND :named IN ({EPISODE}, json_extract(body, '$.client_order_id'), json_extract(body, '$.order_id'))
))
ORDER BY ts, id
"""  # noqa: S608 - constants of ours

# SQLite takes the other columns from the row that has the maximum.
EPISODES: Final = f"""
SELECT runs.run_id, seq, max(ts), body FROM events JOIN runs USING (run)
WHERE {STEP} AND ts >= :since_ns
GROUP BY json_extract(body, '$.account'), json_extract(body, '$.symbol'), {EPISODE}
ORDER BY max(ts), id
"""  # noqa: S608 - constants of ours

# One look into the index per position, however many steps there are. A label may begin with another one.
LAST_STEPS: Final = f"""
WITH RECURSIVE positions (name) AS (
    SELECT min({STEP_OF}) FROM events WHERE event = 'executor_step' AND {STEP_OF} >= :account || ' '
    UNION ALL
    SELECT (SELECT min({STEP_OF}) FROM events WHERE event = 'executor_step' AND {STEP_OF} > name)
    FROM positions WHERE name IS NOT NULL
)
SELECT (
    SELECT body FROM events WHERE event = 'executor_step' AND {STEP_OF} = name
    ORDER BY ts DESC, id DESC LIMIT 1
) FROM positions WHERE name < :account || '!'
"""  # noqa: S608 - constants of ours


IN_USE: Final = "EXISTS (SELECT 1 FROM orders WHERE orders.site = sites.site)"


def distinct(table: str, column: str) -> str:
    """Return the query for the values of an indexed column: one look into the index for each."""
    return f"""
        WITH RECURSIVE seen (value) AS (
            SELECT min({column}) FROM {table}
            UNION ALL SELECT (SELECT min({column}) FROM {table} WHERE {column} > value)
            FROM seen WHERE value IS NOT NULL
        )
        SELECT value FROM seen WHERE value IS NOT NULL
    """  # noqa: S608 - names of ours


class JournalReader(SqlSource):
    """Read this host's journal.

    Args:
        path: The journal's path.
    """

    CLAUSES: ClassVar[Mapping[str, str]] = {
        "module": "orders.site IN (SELECT site FROM sites WHERE module = :module)",
        "symbol": "orders.symbol = :symbol",
        "since_ns": "orders.ts >= :since_ns",
        "run_id": "runs.run_id = :run_id",
        "named": """orders.id IN (
            SELECT id FROM names WHERE name = :named
            UNION SELECT events.id FROM events JOIN runs USING (run) WHERE run_id = :of_run AND seq = :of_seq
        )""",
        "in_doubt": f"orders.state = '{IN_DOUBT}'",
        "host": f"{HOST} = :host",
        "account": "orders.account = :account",
        "without_symbol": "orders.symbol IS NULL",
        "until_ns": "orders.ts < :until_ns",
        "kind": "orders.site IN (SELECT site FROM sites WHERE kind = :kind)",
        "outcome": "orders.state = :outcome",
        "reason": "orders.id IN (SELECT id FROM reasons WHERE code = :reason)",
    }
    RECORDS = RECORDS
    NEWEST = NEWEST
    VALUES: ClassVar[Mapping[str, str]] = {
        "module": f"SELECT DISTINCT module FROM sites WHERE {IN_USE}",  # noqa: S608 - a constant
        "kind": f"SELECT DISTINCT kind FROM sites WHERE {IN_USE}",  # noqa: S608 - a constant
        "symbol": distinct("orders", "symbol"),
        "outcome": distinct("orders", "state"),
        "reason": distinct("reasons", "code"),
        "host": f"SELECT DISTINCT {HOST} FROM runs WHERE {HOST} IS NOT NULL",  # noqa: S608 - a constant
        "account": distinct("orders", "account"),
    }
    EVENTS = f"""
        SELECT :run_id, seq, pos, ts, event, about, body, link FROM events
        WHERE id > ((SELECT run FROM runs WHERE run_id = :run_id) << {POS_BITS}) + :after_pos
        AND id < ((SELECT run FROM runs WHERE run_id = :run_id) + 1) << {POS_BITS}
        ORDER BY id LIMIT coalesce(:limit, -1)
    """  # noqa: S608 - a constant of ours
    RUNS = "SELECT run_id, started, header, pos, head, pruned_pos, pruned_head, ended FROM runs ORDER BY run"
    STEPS = STEPS
    EPISODES = EPISODES
    COUNTS = COUNTS
    STACKS = "SELECT module, evidence, chain FROM stacks WHERE last >= :since_ns ORDER BY stack"
    LOST = f"SELECT body FROM events WHERE event = 'lost' AND {RARE}"  # noqa: S608 - a constant of ours

    FACTS = f"""
        SELECT run_id, seq, events.pos, ts, event, about, body, link FROM events JOIN runs USING (run)
        WHERE {RARE} AND event IN (SELECT value FROM json_each(:events))
        AND ts >= :since_ns AND ts < :until_ns ORDER BY ts, id
    """  # noqa: S608 - a constant of ours

    LAST_SEEN = "SELECT run_id, seq, pos, ts, body, link FROM positions ORDER BY ts, run_id, seq"
    FIGHTS = f"""
        SELECT module, function, place, operation, nullif(victim, ''), sum(orders)
        FROM ({rollups.FIGHTS.add_up(":{}".format)}) JOIN sites USING (site) GROUP BY 1, 2, 3, 4, 5
    """  # noqa: S608 - constants of ours
    FINDINGS = f"""
        SELECT code, module, sum(number)
        FROM ({rollups.FINDINGS.add_up(":{}".format)}) LEFT JOIN sites USING (site) GROUP BY 1, 2
    """  # noqa: S608 - constants of ours
    LATENCIES = rollups.LATENCIES.add_up(":{}".format)
    COUNTERS = COUNTERS

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(with_home(path))
        self.name = f"the journal {self.path}"

    def query(self, question: str, values: Mapping[str, object], make: Callable[..., T]) -> Iterator[T]:
        """Return what `make` makes of each row; raise JournalError where the journal cannot be read."""
        with contextlib.closing(open_reader(self.path)) as connection, reporting_damage(self.path, "read on"):
            if not is_empty(connection):
                for row in connection.execute(question, values):
                    yield make(*row)

    @staticmethod
    def stack_of(*row: Any) -> Stack:
        """Return the stack in a row of `STACKS`."""
        module, evidence, chain = row
        return Stack(module, evidence, msgspec.json.decode(chain, type=tuple[Step, ...]))

    def read_bodies(self, *, since_ns: int = 0) -> Iterator[Bodies]:
        """Return the recorded orders as JSON, oldest first."""
        return self.query(BODIES, {"since_ns": since_ns}, lambda *row: row)

    def read_last_steps(self, account: str | None) -> list[ExecutorStep]:
        """Return the last step that the executor recorded of each position of an account."""
        steps = self.query(LAST_STEPS, {"account": account or ""}, lambda body: decode(ExecutorStep, body))
        return [step for step in steps if step.account == account]

    def count_orders(self, *, since_ns: int = 0) -> int:
        """Return the number of recorded orders."""
        question = "SELECT count(*) FROM orders WHERE ts >= :since_ns"
        return sum(self.query(question, {"since_ns": since_ns}, int))

    def read_unread_doors(self) -> dict[str, str]:
        """Return the declared doors that read none of their calls in their latest run, each with why."""
        errors = self.query(UNREAD_DOORS, {"step": UNREAD}, lambda body: decode(InternalError, body))
        return {error.step.removeprefix(UNREAD): error.error for error in errors}


def read_records(path: str | os.PathLike[str], wanted: RecordFilter = EVERYTHING) -> Iterator[Record]:
    """Return the orders recorded in the journal at `path`, oldest first.

    Raises:
        JournalError: There is no journal at `path`, or it cannot be read.
    """
    return JournalReader(path).read_records(wanted)


def count_records(records: Iterable[Record]) -> tuple[list[Count], list[Stack]]:
    """Return counts and stacks, as a source has them, of records at hand."""
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


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the journal for reading only; JournalError where there is nothing to read."""
    recover_spools(path)
    if not path.exists():
        raise JournalError(
            f"there is no journal at {path}; it appears with the first exit order, or set EXIT_SHIM_JOURNAL"
        )
    with contextlib.ExitStack() as undo, reporting_damage(path, "read"):
        connection = connect(path, read_only=True)
        undo.callback(connection.close)
        check_schema(connection, path)
        undo.pop_all()
    return connection


def recover_spools(path: Path) -> None:
    """Move what dead runs left into the database, where this user can."""
    with contextlib.suppress(OSError, *DAMAGE):
        if spools(path):
            with contextlib.closing(open_writer(path)) as connection:
                recover(connection, path)
