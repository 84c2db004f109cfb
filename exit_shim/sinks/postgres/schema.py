"""The tables, partitions and roles of the central database."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, driver
from exit_shim.sinks.postgres.tables import EVENTS, ORDERS, ROLLUPS, VIEWS
from exit_shim.sinks.postgres.triggers import ROLL_UP

if TYPE_CHECKING:
    import psycopg

WRITER: Final = "exit_shim_writer"
READER: Final = "exit_shim_reader"

MONTHS_AHEAD: Final = 12
"""Partitions are made for so many months ahead, so a yearly migration is enough."""

VERSION: Final = 5

SCHEMA: Final = EVENTS + ORDERS + ROLLUPS + VIEWS + ROLL_UP

PARTITIONED: Final = ("events", "order_states")

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
GRANT SELECT ON ALL TABLES IN SCHEMA exit_shim TO {role};
""",
}
LATE: Final = """
SELECT DISTINCT (date_part('year', day) * 12 + date_part('month', day) - 1)::int
FROM (
    SELECT at AT TIME ZONE 'UTC' AS day FROM exit_shim.{table}_other WHERE at >= '2020-01-01Z' AND at < %s
) AS days
"""
"""The months of rows that have no partition; a clock before 2020 was not set."""

PARTITION: Final = """
CREATE TABLE {name} (LIKE {table});
WITH moved AS (DELETE FROM {other} WHERE at >= {start} AND at < {end} RETURNING *)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end});
"""

FORGET: Final = """
DELETE FROM exit_shim.strays WHERE NOT EXISTS (
    SELECT 1 FROM exit_shim.order_states AS own WHERE own.run_id = strays.run_id AND own.seq = strays.seq
);
DELETE FROM exit_shim.early WHERE event_at < now() - interval '3 months';
"""
"""Forget what waits for orders that are gone or never came."""

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
    for table in PARTITIONED:
        for name in _make_partitions(connection, table, now):
            yield f"partition {name}"
    connection.execute(FORGET)
    yield from _grant(connection)


def _check_encoding(connection: "psycopg.Connection[Any]", address: Dsn) -> None:
    encoding = connection.execute("SHOW server_encoding").fetchone()
    if encoding != ("UTF8",):
        raise PostgresError(
            f"{address.name} cannot hold every character (its encoding is {encoding and encoding[0]}); "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and migrate that"
        )


def _make_partitions(connection: "psycopg.Connection[Any]", table: str, now: datetime) -> Iterator[str]:
    """Make partitions for last month to a year ahead, and for late rows; yield their names."""
    this = now.year * 12 + now.month - 1
    late = connection.execute(LATE.format(table=table), (now,)).fetchall()
    wanted = sorted({*range(this - 1, this + MONTHS_AHEAD + 1), *(month for (month,) in late)})
    missing = {_partition_name(table, month): month for month in wanted}
    for name in _partitions(connection, table):
        missing.pop(name, None)
    # An insert that has already chosen its partition would find another one in its place.
    if missing:
        connection.execute(f"LOCK TABLE ONLY exit_shim.{table} IN SHARE ROW EXCLUSIVE MODE")
    for name, month in missing.items():
        _make_partition(connection, table, name, (_first_of(month), _first_of(month + 1)))
        yield name


def _make_partition(
    connection: "psycopg.Connection[Any]", table: str, name: str, bounds: tuple[str, str]
) -> None:
    """Make a partition, move the rows into it that came before it, and attach it."""
    sql = driver().sql
    tables = {"name": name, "table": table, "other": f"{table}_other"}
    names = {each: sql.Identifier("exit_shim", text) for each, text in tables.items()}
    start, end = map(sql.Literal, bounds)
    connection.execute(sql.SQL(PARTITION).format(**names, start=start, end=end))


def _partitions(connection: "psycopg.Connection[Any]", table: str) -> set[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = %s::regclass",
        (f"exit_shim.{table}",),
    )
    return {name for (name,) in rows}


def _partition_name(table: str, month: int) -> str:
    return f"{table}_{month // 12:04}_{month % 12 + 1:02}"


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
