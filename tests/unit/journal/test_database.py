"""The database file of the journal."""

import contextlib
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exit_shim.journal.database import OPENING_S, file_uri, open_writer, set_aside
from exit_shim.journal.file_lock import try_to_hold
from exit_shim.journal.schema import OldSchemaError

BOTS = 4


def at_once(act, *arguments):
    """Call `act` on several threads at the same moment; return what each call returned."""
    barrier = threading.Barrier(BOTS)

    def call(_):
        barrier.wait()
        return act(*arguments)

    with ThreadPoolExecutor(BOTS) as pool:
        return list(pool.map(call, range(BOTS)))


def open_as_a_bot(path):
    """Open the journal for writing as a bot does; return whether this call renamed an older release's."""
    aside = None
    try:
        connection = open_writer(path)
    except OldSchemaError:
        aside = set_aside(path)
        connection = open_writer(path)
    connection.close()
    return aside is not None


@pytest.mark.parametrize("name", ["journal.db", "a b/c%d.db", "ü?#:x.db", "\udcff.db"])
def test_the_uri_of_a_path_is_the_one_of_pathlib(name):
    """Whatever characters are in it, SQLite opens the very file."""
    path = Path("/srv") / name
    assert file_uri(path) == path.as_uri()


def test_bots_that_start_together_make_one_journal(tmp_path):
    """None of them fails because another one makes the file at the same moment."""
    for number in range(25):
        path = tmp_path / f"{number}.db"
        assert at_once(open_as_a_bot, path) == [False] * BOTS
        with contextlib.closing(open_writer(path)) as journal:
            assert journal.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_bots_that_start_together_rename_an_old_journal_once(tmp_path):
    """After an upgrade one of them renames the old journal, whole; none renames the new one or fails."""
    for number in range(12):
        path = tmp_path / f"{number}.db"
        with contextlib.closing(open_writer(path)) as old:
            old.executescript("PRAGMA user_version=1; CREATE TABLE kept AS SELECT 7;")
        assert sorted(at_once(open_as_a_bot, path)) == [False, False, False, True]
        (aside,) = tmp_path.glob(f"{number}.db.old-*")
        with contextlib.closing(sqlite3.connect(aside)) as old:
            assert old.execute("SELECT * FROM kept").fetchall() == [(7,)]


def test_a_journal_that_another_process_opens_is_waited_for(tmp_path):
    """Opening waits while another process opens the file, and for a limited time."""
    path = tmp_path / "journal.db"
    open_writer(path).close()
    with (tmp_path / "journal.db-spool" / "opening").open() as other:
        assert try_to_hold(other.fileno())
        before = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked by another process"):
            open_writer(path)
        assert time.monotonic() - before >= OPENING_S
    open_writer(path).close()


def test_a_journal_is_made_where_no_file_can_be_locked(tmp_path):
    """A spool folder that cannot be made keeps nobody from the journal."""
    (tmp_path / "journal.db-spool").touch()
    open_writer(tmp_path / "journal.db").close()
    open_writer(tmp_path / "journal.db").close()
