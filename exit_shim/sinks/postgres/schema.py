"""The tables, partitions and roles of the central database."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, driver
from exit_shim.sinks.postgres.rows import COLUMNS

if TYPE_CHECKING:
    import psycopg

WRITER: Final = "exit_shim_writer"
READER: Final = "exit_shim_reader"

MONTHS_AHEAD: Final = 12
"""Partitions are made for so many months ahead, so a yearly migration is enough."""

VERSION: Final = 4

SCHEMA: Final = f"""
CREATE TABLE exit_shim.versions (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now());
CREATE TABLE exit_shim.runs (
    run_id text PRIMARY KEY,
    host text,
    pid bigint,
    started bigint NOT NULL,
    header text NOT NULL,
    base_pos bigint NOT NULL,
    base_head bytea NOT NULL
);
CREATE TABLE exit_shim.events (
    at timestamptz NOT NULL,
    {", ".join(map(" ".join, COLUMNS.items()))},
    PRIMARY KEY (run_id, seq, at)
) PARTITION BY RANGE (at);
ALTER TABLE exit_shim.events
    ALTER COLUMN pos SET NOT NULL, ALTER COLUMN ts SET NOT NULL, ALTER COLUMN event SET NOT NULL,
    ALTER COLUMN body SET NOT NULL, ALTER COLUMN link SET NOT NULL;
CREATE TABLE exit_shim.events_other PARTITION OF exit_shim.events DEFAULT;
CREATE INDEX events_chain ON exit_shim.events (run_id, pos);
CREATE INDEX events_outcome ON exit_shim.events (run_id, about_seq) WHERE event = 'outcome';
CREATE INDEX events_resolved ON exit_shim.events (about_run, about_seq) WHERE event = 'resolution';
CREATE INDEX events_findings ON exit_shim.events (about_run, about_seq) WHERE event = 'order_findings';
CREATE INDEX events_orders ON exit_shim.events (ts) WHERE event = 'intent';
CREATE INDEX events_module ON exit_shim.events (module, ts) WHERE event = 'intent';
CREATE INDEX events_symbol ON exit_shim.events (symbol, ts) WHERE event = 'intent';
CREATE INDEX events_steps ON exit_shim.events (ts) WHERE event = 'executor_step';
CREATE INDEX events_names ON exit_shim.events USING gin (names);
CREATE VIEW exit_shim.orders AS
SELECT
    intent.at, intent.ts, intent.run_id, intent.seq, intent.host, intent.account, intent.module,
    intent.symbol, intent.operation, intent.kind, intent.function, intent.place, intent.via, intent.evidence,
    intent.mode, intent.conflict, intent.stack, outcome.stack AS later_stack,
    coalesce(nullif(outcome.result, 'unknown'), resolution.result, 'in doubt') AS state,
    intent.body AS intent, outcome.body AS outcome, resolution.body AS resolution
FROM exit_shim.events AS intent
LEFT JOIN exit_shim.events AS outcome
    ON outcome.event = 'outcome' AND outcome.run_id = intent.run_id AND outcome.about_seq = intent.seq
LEFT JOIN (
    SELECT DISTINCT ON (about_run, about_seq) about_run, about_seq, result, body
    FROM exit_shim.events WHERE event = 'resolution'
    ORDER BY about_run, about_seq, ts DESC, pos DESC
) AS resolution ON resolution.about_run = intent.run_id AND resolution.about_seq = intent.seq
WHERE intent.event = 'intent';
"""  # noqa: S608 - the columns are our own
"""An event is identified by its run and `seq`. The key has `at` too, as partitions demand: it follows from
`ts`, which the event's link covers, so it is the same if the event is sent again."""

SET_ASIDE: Final = "ALTER SCHEMA exit_shim RENAME TO exit_shim_{version}"

# A writer reads runs and positions only, to find where to continue. Its batches arrive in a temporary table.
GRANTS: Final = {
    WRITER: """
GRANT USAGE ON SCHEMA exit_shim TO {role};
GRANT SELECT ON exit_shim.versions TO {role};
GRANT INSERT, SELECT (run_id) ON exit_shim.runs TO {role};
GRANT INSERT, SELECT (run_id, pos) ON exit_shim.events TO {role};
GRANT TEMPORARY ON DATABASE {database} TO {role};
""",
    READER: """
GRANT USAGE ON SCHEMA exit_shim TO {role};
GRANT SELECT ON exit_shim.versions, exit_shim.runs, exit_shim.events, exit_shim.orders TO {role};
""",
}
LATE: Final = """
SELECT DISTINCT (date_part('year', day) * 12 + date_part('month', day) - 1)::int
FROM (
    SELECT at AT TIME ZONE 'UTC' AS day FROM exit_shim.events_other WHERE at >= '2020-01-01Z' AND at < %s
) AS days
"""
"""The months of events that have no partition; a clock before 2020 was not set."""

PARTITION: Final = """
CREATE TABLE {name} (LIKE exit_shim.events);
WITH moved AS (DELETE FROM exit_shim.events_other WHERE at >= {start} AND at < {end} RETURNING *)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE exit_shim.events ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end});
"""

LOCK: Final = 0x45584954
"""The advisory lock of a migration."""


def check_version(connection: "psycopg.Connection[Any]", address: Dsn) -> int:
    """Return the schema's version, 0 for none; raise PostgresError where it is newer or forbidden."""
    psycopg = driver()
    try:
        if connection.execute("SELECT to_regclass('exit_shim.versions')").fetchone() == (None,):
            return 0
        row = connection.execute("SELECT coalesce(max(version), 0) FROM exit_shim.versions").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        raise PostgresError(
            f"{address.name}: this user may not use the schema exit_shim; whoever made it can "
            f"GRANT {WRITER} TO it for shipping, or {READER} for reading, and migrates it"
        ) from None
    version = int(row[0]) if row else 0
    if version > VERSION:
        raise PostgresError(
            f"{address.name} has the schema of a newer exit_shim (version {version}, this one knows "
            f"{VERSION}); upgrade exit_shim here"
        )
    return version


def check_ready(connection: "psycopg.Connection[Any]", address: Dsn) -> None:
    """Raise PostgresError where the schema is not the one of this release."""
    version = check_version(connection, address)
    if version < VERSION:
        what = f"an older exit_shim's schema (version {version})" if version else "no schema of exit_shim"
        raise PostgresError(
            f"{address.name} has {what}; as a user that may create it: exit-shim ship --migrate --to …"
        )


def migrate(address: Dsn, now: datetime | None = None) -> list[str]:
    """Make schema, partitions and roles where they are missing; return what was done, in lines.

    A schema of an older release is renamed. Safe to repeat, and to run while others ship. Needs a user that
    may create in the database; roles are made where it may create those too.
    """
    psycopg = driver()
    with address.connect() as connection:
        try:
            with connection.transaction():
                return list(_migrate(connection, address, now or datetime.now(timezone.utc)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise PostgresError(
                f"{address.name}: this user may not make or change the schema exit_shim "
                f"({address.describe(error)}); migrate as the database's owner"
            ) from None
        except psycopg.Error as error:
            raise PostgresError(f"{address.name} could not be migrated: {address.describe(error)}") from None


def _migrate(connection: "psycopg.Connection[Any]", address: Dsn, now: datetime) -> Iterator[str]:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    version = check_version(connection, address)
    _check_encoding(connection, address)
    if 0 < version < VERSION:
        connection.execute(SET_ASIDE.format(version=version))
        yield f"schema version {version} renamed to exit_shim_{version}"
    if version < VERSION:
        connection.execute("CREATE SCHEMA IF NOT EXISTS exit_shim")
        connection.execute(SCHEMA)
        connection.execute("INSERT INTO exit_shim.versions (version) VALUES (%s)", (VERSION,))
        yield f"schema version {VERSION}"
    for name in _make_partitions(connection, now):
        yield f"partition {name}"
    yield from _grant(connection)


def _check_encoding(connection: "psycopg.Connection[Any]", address: Dsn) -> None:
    encoding = connection.execute("SHOW server_encoding").fetchone()
    if encoding != ("UTF8",):
        raise PostgresError(
            f"{address.name} cannot hold every character (its encoding is {encoding and encoding[0]}); "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and migrate that"
        )


def _make_partitions(connection: "psycopg.Connection[Any]", now: datetime) -> Iterator[str]:
    """Make partitions for last month to a year ahead, and for late events; yield their names."""
    this = now.year * 12 + now.month - 1
    late = connection.execute(LATE, (now,)).fetchall()
    wanted = sorted({*range(this - 1, this + MONTHS_AHEAD + 1), *(month for (month,) in late)})
    missing = {_partition_name(month): month for month in wanted}
    for name in _partitions(connection):
        missing.pop(name, None)
    # An insert that has already chosen its partition would find another one in its place.
    if missing:
        connection.execute("LOCK TABLE ONLY exit_shim.events IN SHARE ROW EXCLUSIVE MODE")
    for name, month in missing.items():
        _make_partition(connection, name, _first_of(month), _first_of(month + 1))
        yield name


def _make_partition(connection: "psycopg.Connection[Any]", name: str, start: str, end: str) -> None:
    """Make a partition, move the events into it that came before it, and attach it."""
    sql = driver().sql
    names = {"name": sql.Identifier("exit_shim", name), "start": sql.Literal(start), "end": sql.Literal(end)}
    connection.execute(sql.SQL(PARTITION).format(**names))


def _partitions(connection: "psycopg.Connection[Any]") -> set[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'exit_shim.events'::regclass"
    )
    return {name for (name,) in rows}


def _partition_name(month: int) -> str:
    return f"events_{month // 12:04}_{month % 12 + 1:02}"


def _first_of(month: int) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}-01 00:00:00+00"


def _grant(connection: "psycopg.Connection[Any]") -> Iterator[str]:
    """Make the roles where they are missing and this user may, and give them what they need."""
    psycopg = driver()
    (database,) = connection.execute("SELECT current_database()").fetchone() or ("",)
    for role, grants in GRANTS.items():
        named = {"role": psycopg.sql.Identifier(role), "database": psycopg.sql.Identifier(database)}
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
            try:
                with connection.transaction():
                    connection.execute(psycopg.sql.SQL("CREATE ROLE {role} NOLOGIN").format(**named))
            except psycopg.errors.InsufficientPrivilege:
                yield (
                    f"the role {role} is missing and this user may not make it: have CREATE ROLE {role} "
                    "NOLOGIN run, and migrate again"
                )
                continue
            yield f"role {role}"
        connection.execute(psycopg.sql.SQL(grants).format(**named))
