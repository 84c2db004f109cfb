"""Reading the central database as if it were a journal, over all hosts and accounts."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, TypeVar

from exit_shim.domain.events import Intent, Outcome
from exit_shim.journal import rollups
from exit_shim.journal.record_source import Stack
from exit_shim.journal.rows import decode
from exit_shim.journal.sql_source import SqlSource
from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, UnreachableError, driver
from exit_shim.sinks.postgres.schema import check_ready
from exit_shim.sinks.postgres.triggers import NO_SITE

T = TypeVar("T")

AT_ONCE: Final = 2_000
"""Rows fetched at once; no more are held."""

# The planner expects few elements of an array, and of a subquery one event in two hundred.
NAMED: Final = """
SELECT coalesce(about_run, run_id) AS run_id, coalesce(about_seq, seq) AS seq FROM exit_shim.events
WHERE names @> ARRAY[%(named)s::text]
UNION SELECT %(of_run)s::text, %(of_seq)s::bigint
"""

# The second half lets PostgreSQL leave out whole partitions.
SINCE: Final = """ts >= %(since_ns)s
AND at >= 'epoch'::timestamptz + %(since_ns)s::bigint / 1000 * interval '1 microsecond'"""

UNTIL: Final = """ts < %(until_ns)s
AND at <= 'epoch'::timestamptz + %(until_ns)s::bigint / 1000 * interval '1 microsecond'"""

COLUMNS: Final = "module, operation, kind, function, place, via, evidence, mode, state"

ROLLUPS: Final = {
    "tally": rollups.TALLY._replace(
        table="exit_shim.tally",
        parts=(
            """
            SELECT dated.ts, site, mode, state, 1 AS orders, conflict::int AS conflicts
            FROM exit_shim.order_states AS dated WHERE {within}
            """,
        ),
    ),
    "fights": rollups.FIGHTS._replace(
        table="exit_shim.fights",
        parts=(
            f"""
            SELECT dated.ts, site, victim, 1 AS orders
            FROM exit_shim.order_states AS dated CROSS JOIN LATERAL unnest(victims) AS victim
            WHERE state IN {rollups.in_sql(rollups.TAKEN_STATES)} AND {{within}}
            """,  # noqa: S608 - constants of ours
        ),
    ),
    "findings": rollups.FINDINGS._replace(
        table="exit_shim.findings",
        parts=(
            """
            SELECT dated.ts, code, site, 1 AS number
            FROM exit_shim.order_states AS dated CROSS JOIN LATERAL unnest(reasons) AS code WHERE {within}
            """,
            f"""
            SELECT dated.ts, code, '{NO_SITE}'::uuid AS site, 1 AS number
            FROM exit_shim.events AS dated CROSS JOIN LATERAL unnest(reasons) AS code
            WHERE event = 'guard_finding' AND {{within}}
            """,  # noqa: S608 - constants of ours
        ),
    ),
    "latencies": rollups.LATENCIES._replace(
        table="exit_shim.latencies", parts=rollups.latency_parts("exit_shim.order_states")
    ),
}
"""The counts as the journal keeps them, made from the tables that are here."""

ADDED_UP: Final = {name: f"({rollup.add_up('%({})s'.format)}) AS counted" for name, rollup in ROLLUPS.items()}


def distinct(column: str) -> str:
    """Return the query for the values of an indexed column: one look into the index for each."""
    return f"""
        WITH RECURSIVE seen (value) AS (
            SELECT min({column}) FROM exit_shim.order_states
            UNION ALL SELECT (SELECT min({column}) FROM exit_shim.order_states WHERE {column} > value)
            FROM seen WHERE value IS NOT NULL
        )
        SELECT value FROM seen WHERE value IS NOT NULL
    """  # noqa: S608 - names of ours


class PostgresReader(SqlSource):
    """Read the journals of many hosts from one PostgreSQL.

    Args:
        dsn: The database.

    Raises:
        PostgresError: `dsn` is invalid, or psycopg is missing.
    """

    CLAUSES: ClassVar[Mapping[str, str]] = {
        "module": "module = %(module)s",
        "symbol": "symbol = %(symbol)s",
        "since_ns": SINCE,
        "run_id": "run_id = %(run_id)s",
        "named": f"""run_id = ANY (ARRAY(SELECT run_id FROM ({NAMED}) AS named))
            AND seq = ANY (ARRAY(SELECT seq FROM ({NAMED}) AS named))
            AND (run_id, seq) IN ({NAMED})""",  # noqa: S608 - constants of ours
        "in_doubt": "state = 'in doubt'",
        "host": "run_id IN (SELECT run_id FROM exit_shim.runs WHERE host = %(host)s)",
        "account": "account = %(account)s",
        "without_symbol": "symbol IS NULL",
        "until_ns": UNTIL,
        "kind": "kind = %(kind)s",
        "outcome": "state = %(outcome)s",
        "reason": "reasons @> ARRAY[%(reason)s::text]",
    }
    RECORDS = """
        SELECT run_id, seq, intent, outcome, resolution, findings
        FROM exit_shim.orders {where} ORDER BY ts, run_id, seq
    """
    # Without the events, which are read of the newest only.
    NEWEST = """
        SELECT run_id, seq, intent, outcome, resolution, findings FROM exit_shim.orders
        WHERE (run_id, seq, at) IN (
            SELECT run_id, seq, at FROM exit_shim.order_states JOIN exit_shim.sites USING (site, module)
            {where} ORDER BY ts DESC, run_id DESC, seq DESC LIMIT %(limit)s
        )
        ORDER BY ts, run_id, seq
    """
    VALUES: ClassVar[Mapping[str, str]] = {
        "module": distinct("module"),
        "symbol": distinct("symbol"),
        "host": "SELECT DISTINCT host FROM exit_shim.runs WHERE host IS NOT NULL",
        "account": distinct("account"),
        "kind": "SELECT DISTINCT kind FROM exit_shim.sites",
        "outcome": "SELECT DISTINCT state FROM exit_shim.tally WHERE orders > 0",
        "reason": "SELECT DISTINCT code FROM exit_shim.findings WHERE number > 0",
    }
    EVENTS = """
        SELECT run_id, seq, pos, ts, event, about, body, link FROM exit_shim.events
        WHERE run_id = %(run_id)s AND pos > %(after_pos)s ORDER BY pos LIMIT %(limit)s
    """
    RUNS = """
        SELECT run_id, started, header, coalesce(last.pos, base_pos), coalesce(last.link, base_head),
            base_pos, base_head, CASE last.event WHEN 'run_ended' THEN last.ts END
        FROM exit_shim.runs LEFT JOIN LATERAL (
            SELECT pos, link, event, ts FROM exit_shim.events WHERE events.run_id = runs.run_id
            ORDER BY pos DESC LIMIT 1
        ) AS last ON true
        ORDER BY started, run_id
    """
    STEPS = """
        SELECT run_id, seq, ts, body FROM exit_shim.events
        WHERE event = 'executor_step' AND ts >= %(since_ns)s AND (%(named)s::text IS NULL OR names[1] IN (
            SELECT names[1] FROM exit_shim.events
            WHERE event = 'executor_step' AND names @> ARRAY[%(named)s::text]
        ))
        ORDER BY ts, run_id, seq
    """
    EPISODES = """
        SELECT run_id, seq, ts, body FROM (
            SELECT DISTINCT ON (account, symbol, names[1]) run_id, seq, ts, body
            FROM exit_shim.events WHERE event = 'executor_step' AND ts >= %(since_ns)s
            ORDER BY account, symbol, names[1], ts DESC, seq DESC
        ) AS last ORDER BY ts, run_id, seq
    """
    FACTS = """
        SELECT run_id, seq, pos, ts, event, about, body, link FROM exit_shim.events
        WHERE event IN (SELECT json_array_elements_text(%(events)s::json))
        AND event NOT IN ('intent', 'outcome', 'order_findings', 'resolution')
        AND ts >= %(since_ns)s AND ts < %(until_ns)s ORDER BY ts, run_id, seq
    """
    COUNTS = f"""
        SELECT {COLUMNS}, orders::bigint, conflicts::bigint
        FROM {ADDED_UP["tally"]} JOIN exit_shim.sites USING (site)
    """  # noqa: S608 - constants of ours
    COUNTERS = COUNTS
    FIGHTS = f"""
        SELECT module, function, place, operation, nullif(victim, ''), sum(orders)::bigint
        FROM {ADDED_UP["fights"]} JOIN exit_shim.sites USING (site) GROUP BY 1, 2, 3, 4, 5
    """  # noqa: S608 - constants of ours
    FINDINGS = f"""
        SELECT code, module, sum(number)::bigint
        FROM {ADDED_UP["findings"]} LEFT JOIN exit_shim.sites USING (site) GROUP BY 1, 2
    """  # noqa: S608 - constants of ours
    LATENCIES = f"""
        SELECT measure, bucket, orders::bigint, sum_ns::bigint FROM {ADDED_UP["latencies"]}
    """  # noqa: S608 - constants of ours
    LAST_SEEN = "SELECT run_id, seq, pos, ts, body, link FROM exit_shim.positions ORDER BY ts, run_id, seq"
    STACKS = """
        SELECT intent, outcome FROM exit_shim.stacks WHERE last >= %(since_ns)s
        ORDER BY ts, module, evidence, stack, later_stack
    """
    LOST = "SELECT body FROM exit_shim.events WHERE event = 'lost'"

    name = "the database"

    def __init__(self, dsn: str) -> None:
        self._dsn = Dsn(dsn)

    def query(self, question: str, values: Mapping[str, object], make: Callable[..., T]) -> Iterator[T]:
        """Return what `make` makes of each row; raise PostgresError where the database cannot be read.

        The rows are of one moment and are fetched as they are asked for. Nothing can be written.
        """
        psycopg, dsn = driver(), self._dsn
        try:
            with contextlib.closing(dsn.connect()) as connection:
                connection.read_only = True
                check_ready(connection, dsn)
                with connection.transaction(), connection.cursor(name="exit_shim") as cursor:
                    cursor.itersize = AT_ONCE
                    for row in cursor.execute(question, values):
                        yield make(*row)
        except psycopg.errors.InsufficientPrivilege:
            raise PostgresError(
                f"{dsn.name}: this user may not read the record; GRANT exit_shim_reader TO it"
            ) from None
        except psycopg.OperationalError as error:
            raise UnreachableError(f"{dsn.name} was lost: {dsn.describe(error)}") from None
        except psycopg.Error as error:
            raise PostgresError(f"{dsn.name} cannot be read: {dsn.describe(error)}") from None

    @staticmethod
    def stack_of(*row: Any) -> Stack:
        """Return the stack in a row of `STACKS`."""
        intent, outcome = row
        who = decode(Intent, intent).attribution
        return Stack(who.module, who.evidence, (*who.chain, *decode(Outcome, outcome).chain))
