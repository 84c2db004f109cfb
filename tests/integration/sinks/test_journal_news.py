"""What the watch and the page read of a journal, where a part of it cannot be read for a moment."""

import time

import msgspec
import pytest

from exit_shim.alerts.journal_news import JournalNews
from exit_shim.domain.events import Lost
from exit_shim.journal import Journal, JournalError, JournalReader
from exit_shim.reports.page.source_follower import SourceFollower


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def write_runs(path, *numbers):
    """Append an event to each of some runs."""
    for number in numbers:
        journal = Journal(path)
        journal.append(Lost(f"run {number}", number))
        journal.close()


def failing_once(read, at):
    """Return a read that fails the one time that it is called for the nth time."""
    calls = []

    def try_it(*arguments, **named):
        calls.append(1)
        if len(calls) == at:
            raise JournalError("database is locked")
        return read(*arguments, **named)

    return try_it


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_watch_misses_nothing_where_one_run_cannot_be_read(path, monkeypatch, at):
    """A read that fails loses no event of another run, and what failed is read the next time."""
    write_runs(path, 0)
    news = JournalNews(path)
    news.skip_to_end()
    write_runs(path, 1, 2, 3)
    monkeypatch.setattr(news.reader, "read_events", failing_once(news.reader.read_events, at))
    first = news.read(time.time_ns())
    assert str(news.problem) == "database is locked"
    second = news.read(time.time_ns())
    assert news.problem is None
    lost = [stored for stored in [*first, *second] if stored.event == "lost"]
    assert len(first) > 0
    assert sorted(msgspec.json.decode(stored.body)["events"] for stored in lost) == [1, 2, 3]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_page_misses_nothing_where_one_run_cannot_be_read(path, monkeypatch, at):
    """What was read before a read failed is returned the next time."""
    write_runs(path, 0)
    follower = SourceFollower(JournalReader(path))
    follower.skip_to_end()
    write_runs(path, 1, 2, 3)
    journal = follower._journal
    monkeypatch.setattr(journal, "read_events", failing_once(journal.read_events, at))
    with pytest.raises(JournalError):
        follower.read_new()
    lost = [stored for stored in follower.read_new() if stored.event == "lost"]
    assert sorted(msgspec.json.decode(stored.body)["events"] for stored in lost) == [1, 2, 3]
