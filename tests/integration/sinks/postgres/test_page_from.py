"""The live page from the central database: it shows what it shows from the journal."""

import json
import time

from made import fill, ship

from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.reports.page.watcher import Watcher
from exit_shim.sinks.postgres.queries import PostgresReader

DAY_NS = 86_400 * 10**9


def shown(watcher):
    """Let a watcher look; return what a browser is sent that comes anew."""
    watcher.step()
    _, _, message = watcher.read_since(None, "")
    (data,) = [line for line in message.split(b"\n") if line.startswith(b"data: ")][:1]
    told = json.loads(data.removeprefix(b"data: "))
    assert watcher.pulse().problem == ""
    told["state"].pop("source")
    return told


def test_the_page_from_the_database_is_that_of_the_journal(central, path):
    """What was there and what is shipped later comes out the same; --host narrows it."""
    fill(path, 45)
    ship(path, central.writer)
    journal, database = (
        Watcher(source, RecordFilter(), DAY_NS, lambda *_: None)
        for source in (JournalReader(path), PostgresReader(central.reader))
    )
    before = shown(journal)
    assert before["feed"]
    assert shown(database) == before
    fill(path, 30, first=100)
    after = shown(journal)
    assert after != before
    ship(path, central.writer)
    deadline = time.monotonic() + 60
    while shown(database) != after:
        assert time.monotonic() < deadline
    elsewhere = Watcher(
        PostgresReader(central.reader), RecordFilter(host="elsewhere"), DAY_NS, lambda *_: None
    )
    assert shown(elsewhere)["feed"] == []
