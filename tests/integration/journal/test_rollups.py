"""The counts that answer questions: equal to counting one by one, whatever came in which order."""

import contextlib
import itertools
import re
import sqlite3

import pytest
from counting_oracle import answers, counters, expected, last_seen, with_victims
from fighting_history import DAYS, HOUR, History

from exit_shim.domain.events import PositionSeen
from exit_shim.journal import JournalError, JournalReader, RecordFilter, prune
from exit_shim.journal.database import open_writer
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import Line
from exit_shim.journal.retention import ROWS_AT_ONCE
from exit_shim.journal.rollups import MOST_MODULES, ROLLUPS
from exit_shim.journal.rows import decode

ORDERS = 250


@pytest.fixture
def history(tmp_path):
    """A history that is in a journal; its reader has the path."""
    own = History().live(ORDERS)
    own.write(tmp_path / "journal.db")
    return own


@pytest.fixture
def reader(history, tmp_path):
    """The journal of the history."""
    return JournalReader(tmp_path / "journal.db")


def test_counts_equal_counting_one_by_one(history, reader):
    """Fights, findings, times and orders between any two moments are those of the records between them."""
    for since, until in history.odd_moments():
        assert answers(reader, since, until) == expected(reader, since, until), (since, until)
    everything = answers(reader, None, None)
    assert {fight.victim for fight in everything["fights"]} > {None, "exit_brain"}
    assert {count.module for count in everything["findings"]} > {None, "exit_brain"}
    assert len({latency.upper_us for latency in everything["latencies"]}) > 5


def test_the_last_sight_of_each_position(reader):
    """It is the last that says something of its exits, or that it is flat."""
    assert reader.read_last_seen() == last_seen(reader)
    assert len(reader.read_last_seen()) > 6


def test_counts_equal_counting_after_a_prune(tmp_path):
    """What was pruned is in no count but the counters; a position that is held stays known."""
    history, path = History(2).live(ORDERS).settle(), tmp_path / "journal.db"
    history.write(path)
    reader = JournalReader(path)
    before, seen = counters(reader.read_counters()), reader.read_last_seen()
    victims = with_victims(reader.read_records())
    assert before == counters(reader.read_counts())
    middle = history.began + DAYS * 12 * HOUR
    assert prune(path, before_ns=middle).events > ORDERS // 2
    assert 0 < len(list(reader.read_records())) < ORDERS
    for since, until in history.odd_moments():
        assert answers(reader, since, until) == expected(reader, since, until, victims), (since, until)
    assert counters(reader.read_counters()) == before
    assert reader.read_last_seen() == [each for each in seen if each.ts >= middle or is_held(each)]
    prune(path, before_ns=history.now + HOUR)
    assert list(reader.read_records()) == reader.read_counts() == reader.read_fights() == []
    assert counters(reader.read_counters()) == before
    assert reader.read_last_seen() == list(filter(is_held, seen)) != seen


def is_held(stored):
    return decode(PositionSeen, stored.body).amount != "0"


def test_reasons_narrow_records(reader):
    """An order is found by a reason of its verdict, and by one that was found later."""
    everything = list(reader.read_records())
    for code in ("STRIPPED", "custom_rule", "nothing"):
        found = list(reader.read_records(RecordFilter(reason=code)))
        assert found == [
            record for record in everything if code in {reason.code for reason in record.reasons}
        ]
    verdicts, later = (
        {reason.code for record in everything for reason in record.intent.verdict.reasons},
        {reason.code for record in everything if record.findings for reason in record.findings.reasons},
    )
    assert verdicts == later == set(reader.read_values("reason"))


def test_the_newest_records(reader):
    """A limit takes the newest of those that the other filters leave, oldest first."""
    everything = list(reader.read_records())
    assert list(reader.read_records(RecordFilter(limit=7))) == everything[-7:]
    assert list(reader.read_records(RecordFilter(limit=0))) == []
    narrowed = RecordFilter(kind="sl", outcome="accepted", account="alpha-main", host="alpha", limit=3)
    fitting = [
        record
        for record in everything
        if (record.intent.order.kind, record.intent.account) == ("sl", "alpha-main")
        and record.outcome
        and record.outcome.result == "accepted"
    ]
    assert list(reader.read_records(narrowed)) == fitting[-3:]


def test_values_of_each_field(reader):
    """Each field lists the values that orders have, once."""
    records = list(reader.read_records())
    assert reader.read_values("kind") == sorted({record.intent.order.kind for record in records})
    assert "in doubt" in reader.read_values("outcome")
    assert reader.read_values("account") == ["alpha-main", "other"]
    assert reader.read_values("host") == ["alpha"]
    assert reader.read_values("symbol") == ["BTCUSDT", "ETHUSDT"]


def test_no_question_reads_a_whole_table(reader):
    """Counts between two moments are read by index."""
    with contextlib.closing(sqlite3.connect(reader.path)) as connection:
        for rollup in ROLLUPS:
            question = f"EXPLAIN QUERY PLAN {rollup.add_up(':{}'.format)}"
            values = {f"{name}_{place}": 0 for name in ("from", "to") for place in range(5)}
            plan = [row[-1] for row in connection.execute(question, values)]
            assert not [line for line in plan if re.match("SCAN (?!rows_|pieces)", line)], plan


def test_odd_events_are_counted_as_far_as_they_can_be_read(tmp_path):
    """Events without what they should have, or with other types, hide no other answer."""
    bodies = ("{}", "[]", "null", '{"reason":3,"exits":"x","result":"unknown","presend_us":"a"}', "\x00", "{")
    kinds = ("intent", "outcome", "order_findings", "resolution", "guard_finding", "position_seen")
    lines = [
        Line(number, number, event, None if event == "intent" else "run:0", body)
        for number, (event, body) in enumerate(itertools.product(kinds, bodies))
    ]
    path = tmp_path / "journal.db"
    with contextlib.closing(open_writer(path)) as connection, transaction(connection):
        assert ingest(connection, RunOrigin("run", 1, "{}"), lines) == len(lines)
    reader = JournalReader(path)
    assert answers(reader, None, None) == expected(reader, None, None)
    assert reader.read_last_seen() == last_seen(reader)
    assert prune(path, before_ns=0).events == 0


@pytest.mark.parametrize("table", ["tally", "fights", "findings", "latencies", "positions", "sites"])
def test_a_damaged_table_is_an_error_of_one_line(reader, table):
    """Values of any type in a table of counts are read, or are one readable error."""
    with contextlib.closing(sqlite3.connect(reader.path, isolation_level=None)) as connection:
        columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
        key = columns[2]
        for column, value in itertools.product(columns, ("'x'", "x'ff00'", "1e300", "-9")):
            damage = f"{table} SET {column} = {value} WHERE {key} = (SELECT max({key}) FROM {table})"
            # The number of a row cannot be anything else.
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute(f"UPDATE OR IGNORE {damage}")
    for ask in (
        reader.read_counts,
        reader.read_counters,
        reader.read_fights,
        reader.read_finding_counts,
        reader.read_latencies,
        reader.read_last_seen,
    ):
        assert "\n" not in answer_or_error(ask)


def answer_or_error(ask):
    try:
        ask()
    except JournalError as error:
        return str(error)
    return ""


def test_any_number_of_modules(tmp_path):
    """Counters of modules that are gone stay within bounds, and lose none of their orders."""
    body = '{{"ts":1,"door":"d","operation":"place","order":{{"kind":"sl"}},"mode":"m",'
    body += '"attribution":{{"module":"m{}","evidence":"stack"}}}}'
    path, orders = tmp_path / "journal.db", 12_000
    lines = [
        line
        for number in range(orders)
        for line in (
            Line(2 * number, number, "intent", None, body.format(number)),
            Line(2 * number + 1, number, "outcome", f"run:{2 * number}", '{"result":"accepted"}'),
        )
    ]
    with contextlib.closing(open_writer(path)) as connection:
        for first in range(0, len(lines), 4_000):
            with transaction(connection):
                ingest(connection, RunOrigin("run", 1, "{}"), lines[first : first + 4_000])
    reader = JournalReader(path)
    assert len(reader.read_counts()) == len(reader.read_values("module")) == orders
    prune(path, before_ns=orders)
    counters = reader.read_counters()
    assert sum(count.orders for count in counters) == orders
    assert len(counters) <= MOST_MODULES + ROWS_AT_ONCE
    assert "other" in {count.site.module for count in counters}
    assert reader.read_counts() == []
