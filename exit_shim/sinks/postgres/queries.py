"""Reading the central database as if it were a journal: the same questions, over all hosts and accounts."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from exit_shim.domain.events import Intent, Lost, OrderFindings, Outcome, Record, Resolution, RunStarted
from exit_shim.journal import Count, OrderSite, Run, Stack, StoredEvent
from exit_shim.journal.rows import decode
from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, UnreachableError, driver
from exit_shim.sinks.postgres.schema import check_ready

AT_ONCE: Final = 2_000
"""Rows fetched in one go; no more are held."""

NAMED: Final = """(run_id, seq) IN (
    SELECT coalesce(about_run, run_id), coalesce(about_seq, seq) FROM exit_shim.events
    WHERE names @> ARRAY[%(named)s]
    UNION SELECT %(of_run)s, %(of_seq)s
)"""

SINCE: Final = """ts >= %(since_ns)s
AND at >= 'epoch'::timestamptz + %(since_ns)s::bigint / 1000 * interval '1 microsecond'"""
"""The second half is what leaves out whole partitions."""

CLAUSES: Final[Mapping[str, str]] = {
    "module": "module = %(module)s",
    "symbol": "symbol = %(symbol)s",
    "since_ns": SINCE,
    "run_id": "run_id = %(run_id)s",
    "named": NAMED,
    "in_doubt": "state = 'in doubt'",
    "host": "host = %(host)s",
    "account": "account = %(account)s",
}

RECORDS: Final = """
SELECT run_id, seq, submission, conclusion, resolution, (
    SELECT body FROM exit_shim.events AS found
    WHERE found.event = 'order_findings' AND found.about_run = orders.run_id AND found.about_seq = orders.seq
    LIMIT 1
)
FROM exit_shim.orders {where} ORDER BY ts, run_id, seq
"""

RUNS: Final = """
SELECT run_id, started, header, base_pos, base_head, last.pos, last.link, last.event, last.ts
FROM exit_shim.runs LEFT JOIN LATERAL (
    SELECT pos, link, event, ts FROM exit_shim.events WHERE events.run_id = runs.run_id
    ORDER BY pos DESC LIMIT 1
) AS last ON true
ORDER BY started, run_id
"""

EVENTS: Final = """
SELECT run_id, seq, pos, ts, event, about, body, link FROM exit_shim.events
WHERE run_id = %(run_id)s AND pos > %(after_pos)s ORDER BY pos LIMIT %(limit)s
"""

COUNTS: Final = """
SELECT module, intent, kind, function, place, via, evidence, mode, state, count(*),
    count(*) FILTER (WHERE conflict)
FROM exit_shim.orders {where}
GROUP BY module, intent, kind, function, place, via, evidence, mode, state
"""

STACKS: Final = """
SELECT submission, conclusion FROM exit_shim.orders JOIN (
    SELECT split_part(min(run_id || ':' || seq), ':', 1) AS run_id,
        split_part(min(run_id || ':' || seq), ':', 2)::bigint AS seq
    FROM exit_shim.orders WHERE conclusion IS NOT NULL {and_where}
    GROUP BY module, evidence, stack, later_stack
) AS one USING (run_id, seq)
ORDER BY ts, run_id, seq
"""

VALUES: Final = "SELECT DISTINCT {field} FROM exit_shim.orders WHERE {field} IS NOT NULL ORDER BY {field}"

LOST: Final = "SELECT body FROM exit_shim.events WHERE event = 'lost'"


def read_records(  # noqa: PLR0913 - each narrows in its own way
    dsn: str,
    *,
    module: str | None = None,
    symbol: str | None = None,
    since_ns: int | None = None,
    run_id: str | None = None,
    named: str | None = None,
    in_doubt: bool = False,
    host: str | None = None,
    account: str | None = None,
) -> Iterator[Record]:
    """The recorded orders, oldest first, as `exit_shim.journal.read_records` has them.

    Args:
        dsn: The database.
        module: Only those of this module, by its short name.
        symbol: Only those on this symbol.
        since_ns: Only those since this moment, in nanoseconds since the epoch.
        run_id: Only those of this run.
        named: Only those with this order id, algo id or client order id, the cancels and changes of such, or
            the one that is RUN_ID:SEQ.
        in_doubt: Only those of which nothing is proved.
        host: Only those of processes on this host.
        account: Only those on the account of this label.

    Raises:
        PostgresError: The database cannot be reached or read.
    """
    of_run, _, of_seq = (named or "").rpartition(":")
    values = {
        "module": module,
        "symbol": symbol,
        "since_ns": since_ns,
        "run_id": run_id,
        "named": named,
        "in_doubt": in_doubt or None,
        "host": host,
        "account": account,
        "of_run": of_run,
        "of_seq": int(of_seq) if of_seq.isdecimal() and len(of_seq) < len(str(2**63)) else None,
    }
    for run, seq, intent, outcome, resolution, found in _rows(
        dsn, RECORDS.format(where=_where(values)), values
    ):
        yield Record(
            run_id=run,
            seq=seq,
            intent=decode(Intent, intent),
            outcome=None if outcome is None else decode(Outcome, outcome),
            resolution=None if resolution is None else decode(Resolution, resolution),
            findings=None if found is None else decode(OrderFindings, found),
        )


def read_values(dsn: str, field: Literal["module", "symbol", "host", "account"]) -> list[str]:
    """Return each value of a field that some recorded order has; PostgresError as `read_records`."""
    return [value for (value,) in _rows(dsn, VALUES.format(field=field), {})]


def read_events(
    dsn: str, *, run_id: str | None = None, after_pos: int = 0, limit: int | None = None
) -> Iterator[StoredEvent]:
    """All events, run by run, each run's in the order of its chain; PostgresError as `read_records`."""
    for known in [run_id] if run_id is not None else [run.run_id for run in read_runs(dsn)]:
        for row in _rows(dsn, EVENTS, {"run_id": known, "after_pos": after_pos, "limit": limit}):
            yield StoredEvent(*row)


def read_runs(dsn: str) -> list[Run]:
    """All runs, oldest first; PostgresError as `read_records`.

    A run's end is where its last event is here: what was not shipped yet is not missed.
    """
    return [
        Run(
            run_id=run_id,
            started=started,
            header=decode(RunStarted, header),
            pos=base_pos if pos is None else pos,
            head=base_head if pos is None else link,
            pruned_pos=base_pos,
            pruned_head=base_head,
            ended=ts if event == "run_ended" else None,
        )
        for run_id, started, header, base_pos, base_head, pos, link, event, ts in _rows(dsn, RUNS, {})
    ]


def read_counts(dsn: str, *, since_ns: int | None = None) -> list[Count]:
    """How many orders, by place, mode and state; PostgresError as `read_records`."""
    where = _where({"since_ns": since_ns})
    found = _rows(dsn, COUNTS.format(where=where), {"since_ns": since_ns})
    places = len(OrderSite._fields)
    return sorted(Count(OrderSite(*row[:places]), *row[places:]) for row in found)


def read_stacks(dsn: str, *, since_ns: int | None = None) -> list[Stack]:
    """The chains that concluded orders came by, each once; PostgresError as `read_records`."""
    and_where = "" if since_ns is None else f"AND {SINCE}"
    found = []
    for operation, outcome in _rows(dsn, STACKS.format(and_where=and_where), {"since_ns": since_ns}):
        who, known = decode(Intent, operation).attribution, decode(Outcome, outcome)
        found.append(Stack(who.module, who.evidence, (*who.chain, *known.chain)))
    return list(dict.fromkeys(found))


def count_lost(dsn: str) -> int:
    """How many events were lost, by what the journals themselves said; PostgresError as `read_records`."""
    return sum(decode(Lost, body).events for (body,) in _rows(dsn, LOST, {}))


def _where(values: Mapping[str, object]) -> str:
    clauses = [clause for name, clause in CLAUSES.items() if values.get(name) is not None]
    return "WHERE " + " AND ".join(clauses) if clauses else ""


def _rows(dsn: str, question: str, values: Mapping[str, object]) -> Iterator[Any]:
    """The answer's rows, fetched as they are asked for, all of one moment; nothing can be written."""
    psycopg, address = driver(), Dsn(dsn)
    try:
        with contextlib.closing(address.connect()) as connection:
            connection.read_only = True
            check_ready(connection, address)
            with connection.transaction(), connection.cursor(name="exit_shim") as cursor:
                cursor.itersize = AT_ONCE
                yield from cursor.execute(question, values)
    except psycopg.errors.InsufficientPrivilege:
        raise PostgresError(
            f"{address.name}: this user may not read the record; GRANT exit_shim_reader TO it"
        ) from None
    except psycopg.OperationalError as error:
        raise UnreachableError(f"{address.name} was lost: {address.told(error)}") from None
    except psycopg.Error as error:
        raise PostgresError(f"{address.name} cannot be read: {address.told(error)}") from None
