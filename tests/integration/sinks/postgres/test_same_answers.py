"""The database answers as the journal does, whatever came when and from how many hosts."""

import threading

import psycopg
import pytest
from counting_oracle import answers, counters, expected, last_seen, with_victims
from fighting_history import History
from made import ship
from made import until as wait_until

from exit_shim.journal import JournalReader, RecordFilter, prune
from exit_shim.sinks.postgres.queries import PostgresReader

ORDERS = 120
FIELDS = ("module", "symbol", "host", "account", "kind", "outcome", "reason")


def everything(source):
    """What a source says to all questions that have no moment."""
    return {
        "records": list(source.read_records()),
        "runs": source.read_runs(),
        "last seen": source.read_last_seen(),
        "counters": source.read_counters(),
        "stacks": set(source.read_stacks()),
        "values": [source.read_values(field) for field in FIELDS],
        "narrowed": [
            list(source.read_records(wanted))
            for wanted in (
                RecordFilter(limit=5),
                RecordFilter(limit=0),
                RecordFilter(reason="STRIPPED"),
                RecordFilter(reason="custom_rule", kind="tp", limit=3),
                RecordFilter(outcome="in doubt"),
                RecordFilter(outcome="rejected", host="alpha", limit=2),
                RecordFilter(account="other", host="alpha"),
                RecordFilter(host="nosuch", limit=2),
            )
        ],
    }


def test_both_sources_answer_the_same(central, path):
    """Each question, at odd moments too, has the answer that counting one by one gives; so after a prune."""
    history = History(3).live(ORDERS)
    history.write(path)
    ship(path, central.writer, batch=37)
    journal, database = JournalReader(path), PostgresReader(central.reader)
    assert everything(database) == everything(journal)
    assert all(map(len, everything(journal).values()))
    assert database.read_last_seen() == last_seen(database)
    victims = with_victims(journal.read_records())
    for since, until in history.odd_moments():
        counted = expected(journal, since, until, victims)
        assert answers(database, since, until) == counted, (since, until)
        assert answers(journal, since, until) == counted, (since, until)
    assert prune(path, before_ns=history.now).events > 0
    assert counters(journal.read_counters()) == counters(database.read_counters())
    for since, until in history.odd_moments():
        assert answers(journal, since, until) == expected(journal, since, until, victims), (since, until)
        assert answers(database, since, until) == expected(database, since, until, victims), (since, until)


def test_hosts_that_ship_at_once_are_counted_exactly(central, tmp_path):
    """Batches that wait for each other in any order lose and double nothing; nor does what is sent again."""
    hosts = [History(number, f"host{number}").live(ORDERS // 2) for number in range(4)]
    for history in hosts:
        history.write(tmp_path / f"{history.host}.db")
    shipping = [
        threading.Thread(
            target=ship, args=(tmp_path / f"{history.host}.db", central.writer), kwargs={"batch": 9}
        )
        for history in hosts
        for _ in range(2)
    ]
    for thread in shipping:
        thread.start()
    for thread in shipping:
        thread.join()
    database = PostgresReader(central.reader)
    central.run("INSERT INTO exit_shim.events SELECT * FROM exit_shim.events ON CONFLICT DO NOTHING")
    assert len(list(database.read_records())) == len(hosts) * (ORDERS // 2)
    assert answers(database, None, None) == expected(database, None, None)
    assert database.read_last_seen() == last_seen(database)
    assert central.rows("SELECT count(*) FROM exit_shim.early") == [(0,)]


EMPTY = """
CREATE TABLE kept AS SELECT * FROM exit_shim.events;
TRUNCATE exit_shim.events, exit_shim.order_states, exit_shim.strays, exit_shim.tally, exit_shim.fights,
    exit_shim.findings, exit_shim.latencies, exit_shim.stacks, exit_shim.positions;
"""
INSERT = (
    "INSERT INTO exit_shim.events SELECT * FROM kept WHERE {} ORDER BY run_id, pos ON CONFLICT DO NOTHING"
)


@pytest.fixture
def emptied(central, path):
    """A database whose events are in another table; what it answered before."""
    History(5).live(ORDERS // 2).write(path)
    ship(path, central.writer)
    database = PostgresReader(central.reader)
    before = everything(database), answers(database, None, None)
    central.run(EMPTY)
    return before


def test_an_order_that_comes_after_what_is_about_it(central, emptied):
    """Outcome, findings and resolution wait for an order that is sent later."""
    for event in ("resolution", "position_seen", "outcome", "order_findings", "guard_finding"):
        central.run(INSERT.format(f"event = '{event}'"))
    assert central.rows("SELECT count(*) > 50 FROM exit_shim.early") == [(True,)]
    for part in range(3):
        central.run(INSERT.format(f"pos % 3 = {part}"))
    database = PostgresReader(central.reader)
    assert (everything(database), answers(database, None, None)) == emptied
    assert central.rows("SELECT count(*) FROM exit_shim.early") == [(0,)]


def test_an_outcome_that_comes_while_its_order_does(central, emptied):
    """A batch waits for another one that has its orders and is not committed yet."""
    with psycopg.connect(central.admin) as connection:
        connection.execute(INSERT.format("event = 'intent'"))
        later = threading.Thread(target=central.run, args=(INSERT.format("event <> 'intent'"),))
        later.start()
        wait_until(lambda: central.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
    later.join()
    database = PostgresReader(central.reader)
    assert (everything(database), answers(database, None, None)) == emptied


def test_a_month_that_is_dropped_stays_counted(central, path):
    """Its records are gone, and what they were counted as is not."""
    History().live(ORDERS // 4).write(path)
    ship(path, central.writer)
    database = PostgresReader(central.reader)
    before = answers(database, None, None), database.read_counters()
    for month in central.rows(
        "SELECT relname FROM pg_class WHERE relname ~ '^(events|order_states)_[0-9_]+$' AND relkind = 'r'"
    ):
        central.run(f"DROP TABLE exit_shim.{month[0]}")
    assert list(database.read_records()) == []
    assert (answers(database, None, None), database.read_counters()) == before


def test_the_view_for_dashboards(central, path):
    """An order is there with whose orders it took, its reasons and its times."""
    History().live(ORDERS).write(path)
    ship(path, central.writer)
    rows = central.rows(
        "SELECT run_id, seq, module, taken_from, reasons, total_ms FROM exit_shim.dashboard_orders",
        dsn=central.reader,
    )
    reasons = {(run_id, seq): reasons for run_id, seq, _, _, reasons, _ in rows}
    records = list(JournalReader(path).read_records())
    assert reasons == {
        (record.run_id, record.seq): [reason.code for reason in record.reasons] for record in records
    }
    taken = [victim for *_, victims, _, _ in rows for victim in victims]
    fights = PostgresReader(central.reader).read_fights()
    assert {fight.victim or "unknown" for fight in fights} <= set(taken)
    assert any(total for *_, total in rows)
    assert not [module for _, _, module, victims, _, _ in rows if module in victims]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM exit_shim.tally",
        "SELECT * FROM exit_shim.order_states",
        "SELECT * FROM exit_shim.dashboard_orders",
        "UPDATE exit_shim.tally SET orders = 0",
        "DELETE FROM exit_shim.fights",
        "INSERT INTO exit_shim.early VALUES ('', 1, '', 1, now())",
        "SELECT exit_shim.roll_up()",
    ],
)
def test_counts_need_no_right_of_who_ships(central, statement):
    """A writer can neither read nor change what is kept of its events."""
    with pytest.raises(psycopg.Error, match="permission denied"):
        central.rows(statement, dsn=central.writer)
