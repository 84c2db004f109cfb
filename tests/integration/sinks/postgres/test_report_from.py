"""The report over the central database: the same as over the journal that was shipped there."""

from made import fill, ship

from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.reports.report_fold import read_report
from exit_shim.sinks.postgres.queries import PostgresReader


def test_a_report_is_the_same_from_journal_and_database(central, path):
    """What a report shows does not depend on where it reads from."""
    fill(path, 45)
    ship(path, central.writer)
    journal, database = (
        read_report(source, RecordFilter())
        for source in (JournalReader(path), PostgresReader(central.reader))
    )
    assert journal.orders == 45
    assert database.states == journal.states
    assert database.fights == journal.fights
    assert database.churn.counts == journal.churn.counts
    assert database.findings.counts == journal.findings.counts
    assert database.latencies == journal.latencies
    assert [ladder.exits for ladder in database.ladders] == [ladder.exits for ladder in journal.ladders]
