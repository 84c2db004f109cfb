"""Reading the central database as if it were a journal, over all hosts and accounts."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, TypeVar

from exit_shim.domain.events import Intent, Outcome
from exit_shim.journal.record_source import SqlSource, Stack
from exit_shim.journal.rows import decode
from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, UnreachableError, driver
from exit_shim.sinks.postgres.schema import check_ready

T = TypeVar("T")

AT_ONCE: Final = 2_000
"""Rows fetched at once; no more are held."""

# The second half lets PostgreSQL leave out whole partitions.
SINCE: Final = """ts >= %(since_ns)s
AND at >= 'epoch'::timestamptz + %(since_ns)s::bigint / 1000 * interval '1 microsecond'"""

COLUMNS: Final = "module, operation, kind, function, place, via, evidence, mode, state"

LISTED: Final = "SELECT DISTINCT {0} FROM exit_shim.orders WHERE {0} IS NOT NULL"


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
        "named": """(run_id, seq) IN (
            SELECT coalesce(about_run, run_id), coalesce(about_seq, seq) FROM exit_shim.events
            WHERE names @> ARRAY[%(named)s]
            UNION SELECT %(of_run)s, %(of_seq)s
        )""",
        "in_doubt": "state = 'in doubt'",
        "host": "host = %(host)s",
        "account": "account = %(account)s",
    }
    RECORDS = """
        SELECT run_id, seq, intent, outcome, resolution, (
            SELECT body FROM exit_shim.events AS findings
            WHERE findings.event = 'order_findings'
            AND findings.about_run = orders.run_id AND findings.about_seq = orders.seq
            LIMIT 1
        )
        FROM exit_shim.orders {where} ORDER BY ts, run_id, seq
    """
    VALUES: ClassVar[Mapping[str, str]] = {
        field: LISTED.format(field) for field in ("module", "symbol", "host", "account")
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
    COUNTS = f"""
        SELECT {COLUMNS}, count(*), count(*) FILTER (WHERE conflict)
        FROM exit_shim.orders WHERE {SINCE} GROUP BY {COLUMNS}
    """  # noqa: S608 - constants of ours
    STACKS = f"""
        SELECT intent, outcome FROM exit_shim.orders JOIN (
            SELECT split_part(min(run_id || ':' || seq), ':', 1) AS run_id,
                split_part(min(run_id || ':' || seq), ':', 2)::bigint AS seq
            FROM exit_shim.orders WHERE outcome IS NOT NULL AND {SINCE}
            GROUP BY module, evidence, stack, later_stack
        ) AS one USING (run_id, seq)
        ORDER BY ts, run_id, seq
    """  # noqa: S608 - a constant of ours
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
