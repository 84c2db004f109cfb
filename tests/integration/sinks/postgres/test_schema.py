"""The central database's schema: how it comes about, who may do what, and where events are kept."""

import contextlib
import threading
from datetime import datetime, timezone

import psycopg
import pytest
from made import fill, local, ship

from exit_shim.journal import JournalReader
from exit_shim.sinks.postgres import Dsn, PostgresError, migrate, schema
from exit_shim.sinks.postgres.queries import PostgresReader

NOW = datetime.now(timezone.utc)
ROW = "(at, run_id, seq, pos, ts, event, body, link) VALUES (now(), '', 1, 1, 1, '', '', '')"


def partitions(central):
    """Each partition with the number of its events."""
    return dict(
        central.rows(
            "SELECT relname, (SELECT count(*) FROM exit_shim.events WHERE events.tableoid = pg_class.oid) "
            "FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
            "WHERE inhparent = 'exit_shim.events'::regclass"
        )
    )


def month(moment):
    return f"events_{moment:%Y_%m}"


@pytest.fixture
def bare(server):
    """A database without the schema, owned by somebody who is no superuser."""
    with contextlib.suppress(psycopg.errors.DuplicateObject):
        server.admin("CREATE ROLE owner LOGIN PASSWORD 'owner'")
    server.admin("CREATE DATABASE bare OWNER owner ENCODING 'UTF8' TEMPLATE template0")
    yield server.dsn("owner", "bare", "owner")
    server.admin("DROP DATABASE bare WITH (FORCE)")


def test_a_migration_is_safe_to_repeat(central):
    """The second one finds nothing to do."""
    assert migrate(Dsn(central.admin)) == []


def test_the_databases_owner_migrates(central, bare):
    """No superuser is needed; where the roles cannot be made, or are there already, the rest is."""
    done = migrate(Dsn(bare))
    assert done[0] == f"schema version {schema.VERSION}"
    assert f"partition {month(NOW)}" in done


def test_a_schema_of_an_older_release_is_set_aside(central, path):
    """It is renamed with all that is in it, and said; shipping goes on into a new one."""
    fill(path, 3)
    ship(path, central.writer)
    before = central.count()
    central.run("UPDATE exit_shim.versions SET version = 2")
    with pytest.raises(PostgresError, match=r"older exit_shim's schema \(version 2\)"):
        ship(path, central.writer)
    done = migrate(Dsn(central.admin))
    assert done[:2] == ["schema version 2 renamed to exit_shim_2", f"schema version {schema.VERSION}"]
    assert central.rows("SELECT count(*) FROM exit_shim_2.events") == [(before,)]
    assert ship(path, central.writer) == central.count() == before


def test_roles_that_may_not_be_made_are_asked_for(central, bare, monkeypatch):
    """Without the right to make roles the migration goes through, and says which to have made."""
    monkeypatch.setitem(schema.GRANTS, "nobody_has_made_this", "SELECT 1")
    assert any("have CREATE ROLE nobody_has_made_this NOLOGIN run" in line for line in migrate(Dsn(bare)))


def test_two_migrations_at_once(server, bare):
    """One does it, the other finds it done."""
    done = []
    threads = [threading.Thread(target=lambda: done.append(migrate(Dsn(bare)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(bool, done)) == [False, True]


def test_a_newer_schema_is_refused(central, path):
    """Shipping, reading and migrating refuse the schema of a newer release, and say what to do."""
    fill(path, 3)
    central.run("INSERT INTO exit_shim.versions (version) VALUES (99)")
    for act in (
        lambda: ship(path, central.writer),
        lambda: PostgresReader(central.reader).read_runs(),
        lambda: migrate(Dsn(central.admin)),
    ):
        with pytest.raises(PostgresError, match=r"newer exit_shim \(version 99.*upgrade exit_shim"):
            act()
    assert central.count() == 0


def test_a_missing_schema_is_named(bare, path):
    """Before the migration shipping and reading say which command makes the schema."""
    fill(path, 3)
    for act in (lambda: ship(path, bare), lambda: PostgresReader(bare).read_runs()):
        with pytest.raises(PostgresError, match=r"has no schema of exit_shim.*ship --migrate"):
            act()


def test_a_database_that_cannot_hold_all_characters_is_refused(server):
    """An encoding other than UTF8 would lose events; the migration says how to have another database."""
    server.admin("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(PostgresError, match=r"LATIN1.*ENCODING 'UTF8'"):
            migrate(Dsn(server.dsn("admin", "latin")))
    finally:
        server.admin("DROP DATABASE latin")


def test_somebody_without_a_role_is_told_which(server, central, path):
    """A user with neither role is told which to have granted; so are a writer that reads and the reverse."""
    with contextlib.suppress(psycopg.errors.DuplicateObject):
        server.admin("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    fill(path, 3)
    stranger = server.dsn("stranger", central.name, "stranger")
    with pytest.raises(PostgresError, match="GRANT exit_shim_writer"):
        ship(path, stranger)
    with pytest.raises(PostgresError, match="GRANT exit_shim_reader"):
        list(PostgresReader(central.writer).read_records())
    with pytest.raises(PostgresError, match="permission denied for table"):
        ship(path, central.reader)
    for user in (stranger, central.reader):
        with pytest.raises(PostgresError, match="this user may not"):
            migrate(Dsn(user))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT body FROM exit_shim.events",
        "SELECT header FROM exit_shim.runs",
        "SELECT * FROM exit_shim.orders",
        "SELECT 1 FROM {partition}",
        "UPDATE exit_shim.events SET pos = 1",
        "DELETE FROM exit_shim.events",
        "TRUNCATE exit_shim.events",
        f"INSERT INTO {{partition}} {ROW}",
        f"INSERT INTO exit_shim.events {ROW} ON CONFLICT (run_id, seq, at) DO UPDATE SET pos = 2",
        "UPDATE exit_shim.runs SET started = 1",
        "INSERT INTO exit_shim.versions (version) VALUES (2)",
        "CREATE TABLE exit_shim.own (x int)",
        "DROP TABLE exit_shim.events",
    ],
)
def test_a_writer_can_only_insert(central, statement):
    """Nothing recorded can be read, changed or taken away by the role that ships."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        central.rows(statement.format(partition=f"exit_shim.{month(NOW)}"), dsn=central.writer)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM exit_shim.events",
        "UPDATE exit_shim.events SET pos = 1",
        "INSERT INTO exit_shim.runs VALUES ('', '', 1, 1, '', 1, '')",
        "INSERT INTO exit_shim.events SELECT * FROM exit_shim.events",
        "CREATE TABLE exit_shim.own (x int)",
    ],
)
def test_a_reader_can_only_read(central, statement):
    """The role that reads changes nothing."""
    central.rows("SELECT * FROM exit_shim.orders, exit_shim.events, exit_shim.runs", dsn=central.reader)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        central.rows(statement, dsn=central.reader)


@pytest.mark.parametrize(
    "revoked",
    [
        None,
        "USAGE ON SCHEMA exit_shim",
        "SELECT ON exit_shim.versions",
        "INSERT ON exit_shim.runs",
        "SELECT (run_id) ON exit_shim.runs",
        "INSERT ON exit_shim.events",
        "SELECT (run_id) ON exit_shim.events",
        "SELECT (pos) ON exit_shim.events",
        "TEMPORARY ON DATABASE {name}",
    ],
)
def test_a_writer_has_no_right_that_it_does_not_need(central, path, revoked):
    """With all that it is granted a writer ships, and with anything less it does not."""
    fill(path, 3)
    central.run(f"REVOKE TEMPORARY ON DATABASE {central.name} FROM PUBLIC")
    if revoked is None:
        ship(path, central.writer)
        return
    central.run(f"REVOKE {revoked.format(name=central.name)} FROM exit_shim_writer")
    with pytest.raises(PostgresError):
        ship(path, central.writer)


def test_events_go_where_their_month_is(central, path):
    """Partitions are there from last month to a year ahead; one's event is in that of its own moment."""
    found = partitions(central)
    assert len(found) == 1 + 1 + 1 + schema.MONTHS_AHEAD
    fill(path, 10)
    ship(path, central.writer)
    assert {name for name, number in partitions(central).items() if number} == {month(NOW)}
    ((rows, exact),) = central.rows(
        "SELECT count(*), count(*) FILTER (WHERE at = 'epoch'::timestamptz + ts / 1000 * interval '1 us') "
        "FROM exit_shim.events"
    )
    assert rows == exact > 0


def test_an_event_without_a_partition_is_kept_and_moved_later(central, path):
    """What comes when nobody has migrated for long is in the default partition, until a migration."""
    fill(path, 10)
    central.run(f"DROP TABLE exit_shim.{month(NOW)}")
    ship(path, central.writer)
    kept = central.stored()
    assert {name for name, number in partitions(central).items() if number} == {"events_other"}
    assert migrate(Dsn(central.admin)) == [f"partition {month(NOW)}"]
    assert {name for name, number in partitions(central).items() if number} == {month(NOW)}
    assert central.stored() == kept == local(path)
    assert ship(path, central.writer) == 0


def test_moments_that_no_calendar_has_are_kept(central, path, monkeypatch):
    """A clock that stood at 1970, or far ahead, costs no event: there is a partition for the rest."""
    import made  # noqa: PLC0415

    early = iter([0, 10**9, 2**63 - 1])
    monkeypatch.setattr(made.time, "time_ns", lambda: next(early, 10**18))
    fill(path, 3)
    monkeypatch.undo()
    assert {0, 2**63 - 1} < {event.ts for event in JournalReader(path).read_events()}
    ship(path, central.writer)
    assert central.stored() == local(path)
    migrate(Dsn(central.admin))
    assert central.stored() == local(path)


def test_a_migration_while_others_ship(central, path):
    """Partitions are made under the feet of those that ship, and nothing is lost."""
    for _ in range(4):
        fill(path, 40)
    central.run(f"DROP TABLE exit_shim.{month(NOW)}")
    shipping = threading.Thread(target=ship, args=(path, central.writer), kwargs={"batch": 2})
    shipping.start()
    while shipping.is_alive():
        migrate(Dsn(central.admin))
    shipping.join()
    assert central.stored() == local(path)
