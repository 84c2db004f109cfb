"""The last step that the executor recorded of each position, as the next process reads it."""

import contextlib
import sqlite3

from exit_shim.domain.events import ExecutorStep, Switch
from exit_shim.journal import Journal, JournalReader
from exit_shim.journal.queries import LAST_STEPS


def step(why, symbol="BTCUSDT", account="mine", position_side="BOTH"):
    """A step with a state, told from others by its reason."""
    return ExecutorStep(
        account=account,
        symbol=symbol,
        position_side=position_side,
        episode="aaaaaaaa",
        verb="note",
        why=why,
        state={"side": "LONG"},
    )


def journal_with(path, *steps):
    """A journal with these steps."""
    journal = Journal(path)
    for each in steps:
        journal.append(each)
    journal.close()
    return JournalReader(path)


def last(reader, account="mine"):
    """What is read: symbol, side and reason."""
    return [(one.symbol, one.position_side, one.why) for one in reader.read_last_steps(account)]


def test_the_last_step_of_each_position_is_read(tmp_path):
    """By symbol and position side, across runs."""
    path = tmp_path / "journal.db"
    journal_with(path, step("1"), step("2", "ETHUSDT"), step("3"), step("4", position_side="LONG"))
    reader = journal_with(path, Switch(by="me", mode="LEGACY"), step("5", "ETHUSDT"))
    assert last(reader) == [
        ("BTCUSDT", "BOTH", "3"), ("BTCUSDT", "LONG", "4"), ("ETHUSDT", "BOTH", "5"),
    ]  # fmt: skip


def test_other_accounts_are_left_out(tmp_path):
    """Those whose label begins with this one's, too, and orders without an account."""
    labels = ["mine", "mine 2", "mine@testnet", "mind", None]
    reader = journal_with(tmp_path / "journal.db", *(step(str(label), account=label) for label in labels))
    for label in labels:
        assert last(reader, label) == [("BTCUSDT", "BOTH", str(label))]
    assert last(reader, "nobody") == []


def test_what_a_run_that_just_died_left_is_read(tmp_path):
    """Its events may be in its spool only."""
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    journal.append(step("1"))
    journal._writer.stop()
    journal._spool.close_files()
    assert last(JournalReader(tmp_path / "journal.db")) == [("BTCUSDT", "BOTH", "1")]


def test_the_journal_is_not_searched(tmp_path):
    """However many steps there are, each position is one look into the index."""
    path = tmp_path / "journal.db"
    journal_with(path, *(step(str(number), f"S{number % 7}USDT") for number in range(1000)))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {LAST_STEPS}", {"account": "mine"}).fetchall()
    looks = [row[3] for row in plan if "events" in row[3]]
    assert len(looks) == 3
    assert all("SEARCH events USING" in look and "INDEX executor_steps" in look for look in looks)
    assert [one.why for one in JournalReader(path).read_last_steps("mine")] == [
        "994", "995", "996", "997", "998", "999", "993",
    ]  # fmt: skip
