"""The record itself: its chain, what is verified and named, what may go, and what an older release left."""

import concurrent.futures
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time

import msgspec
import pytest
from click.testing import CliRunner

import exit_shim
from exit_shim.cli import app
from exit_shim.domain.attributions import Attribution, Step
from exit_shim.domain.events import Intent, InternalError, Lost, Outcome, Resolution, RunStarted, Target
from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.verdicts import Reason, Verdict
from exit_shim.journal import (
    IN_DOUBT,
    Journal,
    JournalError,
    JournalReader,
    Numbers,
    RecordFilter,
    count_records,
    prune,
    read_records,
    verify_run,
)
from exit_shim.journal.file_lock import try_to_hold
from exit_shim.journal.follow import LATEST_SWITCHES, Follower
from exit_shim.journal.line_format import parse
from exit_shim.journal.log_writer import NAMES
from exit_shim.journal.queries import RECORDS
from exit_shim.journal.rows import decode
from exit_shim.journal.spool import spools

HOUR = 3_600_000_000_000
DAY = 24 * HOUR


def intent(ts, module="position_monitor", **order):
    """An order about to leave, made by hand."""
    return Intent(
        ts=ts,
        door="futures_create_order",
        operation="place",
        order=ExitOrder(**{"kind": "sl", "symbol": "BTCUSDT", **order}),
        attribution=Attribution(
            module=module,
            evidence="stack",
            function="f",
            file=f"/bot/{module}.py",
            line=7,
            chain=(Step(module, "chosen", "f", 7),),
        ),
        mode="LEGACY",
    )


def ordered(journal, *moments, outcome="accepted", **order):
    """Write concluded orders."""
    for moment in moments:
        journal.append(
            Outcome(outcome, order_id=moment % 1000),
            (journal.run_id, journal.append(intent(moment, **order))),
        )


@pytest.fixture
def journal(tmp_path):
    """A journal, closed at the end."""
    own = Journal(tmp_path / "journal.db")
    yield own
    own.close()


def spoil(journal, statement, *values):
    """Have somebody at the closed journal."""
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as own:
        assert own.execute(statement, values).rowcount > 0


@contextlib.contextmanager
def at(moment):
    """Have the journal take this for now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exit_shim.journal.log_writer.time.time_ns", lambda: moment)
        yield


def flaws(path):
    """The flaw of each run, None for a whole one."""
    reader = JournalReader(path)
    return [verify_run(run, reader.read_events(run_id=run.run_id)) for run in reader.read_runs()]


def verified(path):
    """What `exit-shim verify` ends with and prints."""
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", "verify"],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_whole_journal_verifies(journal):
    """The chain of each run holds from its start to its last event, whichever thread or process moved it."""
    ordered(journal, *range(1, 300))
    journal.close()
    ordered(journal, *range(300, 320))
    journal.close()
    assert flaws(journal.path) == [None]
    (run,) = JournalReader(journal.path).read_runs()
    events = list(JournalReader(journal.path).read_events())
    assert [event.pos for event in events] == list(range(1, run.pos + 1))
    assert events[0].event == "run_started"
    assert decode(RunStarted, events[0].body) == run.header
    assert run.header.pid == os.getpid()
    status, said = verified(journal.path)
    assert status == 0
    assert "complete" in said


@pytest.mark.parametrize(
    ("statement", "pos", "seq", "what"),
    [
        (
            "UPDATE events SET body = replace(body, 'BTCUSDT', 'ETHUSDT') WHERE pos = 4",
            4,
            3,
            "intent changed",
        ),
        ("UPDATE events SET ts = ts + 1 WHERE pos = 5", 5, 4, "outcome changed"),
        ("UPDATE events SET about = '7' WHERE pos = 5", 5, 4, "outcome changed"),
        ("DELETE FROM events WHERE pos = 6", 6, None, "1 missing"),
        ("DELETE FROM events WHERE pos >= 8", 8, None, "missing at the end"),
        ("UPDATE events SET link = zeroblob(16) WHERE pos = 3", 3, 2, "outcome changed"),
        ("UPDATE runs SET head = zeroblob(16)", 11, None, "head"),
    ],
)
def test_the_first_row_that_was_tampered_with_is_named(journal, statement, pos, seq, what):
    """Changed, removed from the middle or the end, with its link or without: the first such row is told."""
    ordered(journal, *range(1, 6))
    journal.close()
    spoil(journal, statement)
    (flaw,) = flaws(journal.path)
    assert (flaw.pos, flaw.seq) == (pos, seq)
    assert what in flaw.what
    status, said = verified(journal.path)
    assert status == 1
    assert f"event {pos}" in said


def test_rows_that_changed_places_are_out_of_order(journal):
    """Two events that were swapped do not pass, though nothing of theirs was changed."""
    ordered(journal, *range(1, 6))
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as own:
        ids = [row[0] for row in own.execute("SELECT id FROM events WHERE pos IN (4, 6) ORDER BY id")]
        for was, becomes in ((ids[0], -1), (ids[1], ids[0]), (-1, ids[1])):
            own.execute("UPDATE events SET id = ? WHERE id = ?", (becomes, was))
    (flaw,) = flaws(journal.path)
    assert flaw.pos == 4
    assert "out of its order" in flaw.what


def numbers(path):
    """Of each run, how many numbers no event has, and how many events it says are lost."""
    found = []
    for run in JournalReader(path).read_runs():
        own = Numbers(run)
        assert verify_run(run, own.passing(JournalReader(path).read_events(run_id=run.run_id))) is None
        found.append((own.missing, own.lost))
    return found


def left_by_a_dead_run(journal, spoil):
    """Have a journal's spool as a dead run would have left it, but for what `spoil` makes of its lines."""
    (left,) = spools(journal.path)
    lines = left.read_bytes().splitlines(keepends=True)
    journal.close()
    journal.path.unlink()
    left.write_bytes(b"".join(spoil(lines)))


def test_no_number_is_left_out(journal):
    """Whichever threads write, and in whichever order they come to the file, each number is an event's."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda ts: ordered(journal, ts), range(400)))
    journal.end()
    journal.close()
    assert numbers(journal.path) == [(0, 0)]
    left = [event.seq for event in JournalReader(journal.path).read_events()]
    assert sorted(left) == list(range(802))


def test_numbers_of_what_memory_had_to_drop_are_told(tmp_path, monkeypatch):
    """Where neither spool nor database takes anything, what is missing is said to be lost, no more."""
    monkeypatch.setattr("exit_shim.journal.overflow.MAX_WAITING", 50)
    (tmp_path / "journal.db-spool").touch()
    (tmp_path / "journal.db").mkdir()
    journal = Journal(tmp_path / "journal.db")
    ordered(journal, *range(40))
    kept = len(journal._memory)
    assert journal._memory.hand_over(lambda lines: True)
    journal._memory.lose(kept)
    for _ in range(5):
        assert not journal.flush()  # which tries to tell of them, in vain
    ordered(journal, *range(40))
    (tmp_path / "journal.db").rmdir()
    (tmp_path / "journal.db-spool").unlink()
    time.sleep(1.1)
    ordered(journal, 1)
    journal.close()
    ((missing, told),) = numbers(journal.path)
    assert missing == told == journal.health().dropped > 80


def test_an_event_that_never_came_to_the_file_shows_by_its_number(journal):
    """A line that is gone from a dead run's spool breaks no chain, but its number is nobody's."""
    ordered(journal, *range(1, 6))
    left_by_a_dead_run(journal, lambda lines: [*lines[:3], *lines[5:]])
    assert numbers(journal.path) == [(2, 0)]
    status, said = verified(journal.path)
    assert status == 0
    assert "complete; 2 never reached the file" in said
    assert "1 run, 0 flawed; 0 events recorded as lost, 2 more missing by their numbers" in said


def test_a_line_that_is_damaged_is_no_more_than_lost(journal):
    """It stands in the chain as lost, which accounts for its number."""
    ordered(journal, *range(1, 6))
    left_by_a_dead_run(journal, lambda lines: [*lines[:3], b"x" + lines[3][1:], *lines[4:]])
    assert numbers(journal.path) == [(1, 1)]
    assert "1 event recorded as lost, 0 more missing by their numbers" in verified(journal.path)[1]


def test_numbers_tell_nothing_of_a_run_whose_beginning_was_pruned(tmp_path):
    """What went may have been a number's event, and what was said to be lost."""
    journal = old_journal(tmp_path / "journal.db")
    prune(journal.path, before_ns=time.time_ns() - 90 * DAY)
    journal.close()
    assert numbers(journal.path) == [(None, 0)]
    assert ", 0 more missing by their numbers" in verified(journal.path)[1]


def test_verify_tells_numbers_in_json(journal, monkeypatch):
    """`missing` and `lost` of each run, null where a flaw ended the look at it."""
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(journal.path))
    ordered(journal, *range(1, 6))
    left_by_a_dead_run(journal, lambda lines: lines[:3] + lines[4:])
    assert flaws(journal.path) == [None]
    (whole,) = json.loads(CliRunner().invoke(app, ["verify", "--json"]).output)
    assert (whole["flaw"], whole["missing"], whole["lost"]) == (None, 1, 0)
    spoil(journal, "UPDATE runs SET head = zeroblob(16)")
    (flawed,) = json.loads(CliRunner().invoke(app, ["verify", "--json"]).output)
    assert (flawed["missing"], flawed["lost"]) == (None, None)


def test_what_a_dead_run_left_is_taken_up_by_who_reads(tmp_path):
    """A process that dies right after an append, before anything was moved, has it there for the reader."""
    script = """
import os, signal, sys
import exit_shim.journal.log_writer as appending
from exit_shim.journal import Journal
sys.path.insert(0, sys.argv[2])
from test_journal_record import intent
appending.Journal._wake = lambda self: None
journal = Journal(sys.argv[1])
journal.append(intent(1))
journal.append(intent(2))
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "journal.db"
    subprocess.run([sys.executable, "-c", script, str(path), os.path.dirname(__file__)], check=False)  # noqa: PTH120
    assert not path.exists()
    (left,) = spools(path)
    with left.open("ab") as file:
        file.write(b"1234 half a line")
    assert [record.intent.ts for record in read_records(path)] == [1, 2]
    assert spools(path) == []
    assert flaws(path) == [None]
    assert list(read_records(path, RecordFilter(in_doubt=True))) == list(read_records(path))
    (lost,) = (event for event in JournalReader(path).read_events() if event.event == "lost")
    assert "damaged" in lost.body


def test_a_living_run_is_not_taken_up(journal):
    """Another opener leaves the spool of a process that lives alone."""
    journal.append(intent(1))
    other = Journal(journal.path)
    ordered(other, 5)
    other.close()
    assert [record.intent.ts for record in read_records(journal.path)] == [5]
    journal.close()
    assert [record.intent.ts for record in read_records(journal.path)] == [1, 5]


def test_a_run_that_is_moved_twice_is_there_once(journal):
    """A spool whose lines are in the database already, as after a death between the two, adds nothing."""
    ordered(journal, 1, 2, 3)
    (left,) = spools(journal.path)
    kept = left.read_bytes()
    journal.close()
    left.write_bytes(kept)
    assert len(list(parse(kept))) == 7
    assert len(list(read_records(journal.path))) == 3
    assert spools(journal.path) == []
    assert flaws(journal.path) == [None]


def test_counts_are_those_of_the_records(journal):
    """What summaries are made of equals the records counted one by one, since whatever moment."""
    now = 100 * DAY
    for hours, module, outcome in [
        (0, "a", "accepted"),
        (1, "a", "rejected"),
        (1, "b", "unknown"),
        (30, "b", "accepted"),
        (100, "a", "accepted"),
    ]:
        ordered(journal, now - hours * HOUR, now - hours * HOUR - 7, module=module, outcome=outcome)
    journal.append(intent(now - HOUR // 2))
    (first, _) = read_back_in_doubt(journal)
    journal.append(Resolution(result="not_there"), (first.run_id, first.seq))
    assert journal.flush()
    for since in (
        None,
        0,
        now - HOUR,
        now - HOUR + 1,
        now - 30 * HOUR - 7,
        now - 30 * HOUR,
        now - 40 * HOUR,
        now,
    ):
        counts, stacks = count_records(read_records(journal.path, RecordFilter(since_ns=since)))
        assert sorted(JournalReader(journal.path).read_counts(since_ns=since)) == counts
        assert set(stacks) <= set(JournalReader(journal.path).read_stacks(since_ns=since))
    states = [count.state for count in JournalReader(journal.path).read_counts()]
    assert sorted(states) == ["accepted", "accepted", "in doubt", "in doubt", "not_there", "rejected"]


def read_back_in_doubt(journal):
    """Two orders whose outcome is unknown."""
    assert journal.flush()
    found = [
        record
        for record in read_records(journal.path, RecordFilter(in_doubt=True))
        if record.outcome is not None
    ]
    assert len(found) == 2
    return found


def test_an_order_is_found_by_any_of_its_names(journal):
    """By order id, algo id, either client order id, its number in its run; and so are cancels of it."""
    seq = journal.append(intent(1, client_order_id="mine"))
    journal.append(
        Outcome("accepted", order_id=11, algo_id=4000000000000001, client_order_id="theirs"),
        (journal.run_id, seq),
    )
    cancel = Intent(
        ts=2,
        door="futures_cancel_order",
        operation="cancel",
        order=ExitOrder(kind="sl"),
        attribution=Attribution(module="m", evidence="stack"),
        mode="LEGACY",
        targets=(Target(kind="sl", order_id=11),),
    )
    journal.append(cancel)
    ordered(journal, 3)
    assert journal.flush()

    def found(name):
        return [record.intent.ts for record in read_records(journal.path, RecordFilter(named=name))]

    assert found("11") == [1, 2]
    assert (
        found("4000000000000001")
        == found("mine")
        == found("theirs")
        == found(f"{journal.run_id}:{seq}")
        == [1]
    )
    assert found("12") == found(f"{journal.run_id}:77") == found(":") == []


def test_a_resolution_settles_an_order_in_doubt_and_no_other(journal):
    """It gives the order its state and ids, last one first; an order whose outcome tells stays as it is."""
    doubtful = journal.append(intent(1, client_order_id="x"))
    clear = journal.append(intent(2))
    journal.append(Outcome("unknown", error_message="timed out"), (journal.run_id, doubtful))
    journal.append(Outcome("rejected"), (journal.run_id, clear))
    for about in (doubtful, clear):
        journal.append(
            Resolution(result="accepted", status="NEW", algo_id=5, evidence=("open list → there",)),
            (journal.run_id, about),
        )
    assert journal.flush()
    first, second = read_records(journal.path)
    assert first.resolution.algo_id == 5
    assert (first.flat()["outcome"], first.flat()["resolution"], first.flat()["algo_id"]) == (
        "unknown",
        "accepted",
        5,
    )
    assert second.resolution is None
    assert list(read_records(journal.path, RecordFilter(in_doubt=True))) == []
    assert [record.seq for record in read_records(journal.path, RecordFilter(named="5"))] == [doubtful]


def test_old_events_go_and_the_rest_verifies(journal):
    """What is older than the limit is gone from rows, names and counts; what is left is whole."""
    now = time.time_ns()
    with at(now - 100 * DAY):
        journal._begin_run()
        ordered(journal, *(now - 100 * DAY + place for place in range(40)))
    ordered(journal, *(now - place for place in range(40)))
    assert journal.flush()
    gone = prune(journal.path, before_ns=now - 90 * DAY)
    assert (gone.in_doubt, gone.unshipped) == (0, 0)
    assert gone.events == 1 + 80
    assert len(list(read_records(journal.path))) == 40
    assert JournalReader(journal.path).read_counts() == count_records(read_records(journal.path))[0]
    assert flaws(journal.path) == [None]
    ordered(journal, now + 1)
    assert journal.flush()
    assert flaws(journal.path) == [None]


def old_journal(path):
    """A journal whose events are all of a hundred days ago, and its run."""
    journal = Journal(path)
    then = time.time_ns() - 100 * DAY
    with at(then):
        journal._begin_run()
        ordered(journal, *range(then, then + 20))
        journal.append(intent(then + 50))
        ordered(journal, *range(then + 100, then + 120))
        assert journal.flush()
    return journal


def test_an_order_in_doubt_is_never_pruned(tmp_path):
    """An old order of which nothing is proved stays, and what follows it in its run, until it is resolved."""
    journal = old_journal(tmp_path / "journal.db")
    ninety = time.time_ns() - 90 * DAY
    gone = prune(journal.path, before_ns=ninety)
    assert gone.events == 41
    assert gone.in_doubt == 1
    (doubtful,) = read_records(journal.path, RecordFilter(in_doubt=True))
    journal.append(Resolution(result="not_there"), (doubtful.run_id, doubtful.seq))
    assert journal.flush()
    assert prune(journal.path, before_ns=ninety).events == 41
    assert list(read_records(journal.path)) == []
    assert flaws(journal.path) == [None]
    journal.close()


def test_what_has_yet_to_be_shipped_is_never_pruned(tmp_path):
    """With destinations, a run goes as far as the one that is furthest behind has it."""
    journal = old_journal(tmp_path / "journal.db")
    ninety = time.time_ns() - 90 * DAY
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as own:
        own.execute("INSERT INTO shipments VALUES ('there', ?, 30)", (journal.run_id,))
        own.execute("INSERT INTO shipments VALUES ('elsewhere', 'another run', 1)")
    gone = prune(journal.path, before_ns=ninety)
    assert (gone.events, gone.unshipped) == (0, 1)
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as own:
        own.execute("INSERT INTO shipments VALUES ('elsewhere', ?, 10)", (journal.run_id,))
    assert prune(journal.path, before_ns=ninety).events == 10
    assert flaws(journal.path) == [None]
    journal.close()


def rows(path, question):
    with contextlib.closing(sqlite3.connect(path)) as own:
        return own.execute(question).fetchall()


def an_ended_run(path, ago_ns, module):
    """A run of a process that ended in good order so long ago; its name."""
    journal = Journal(path)
    with at(time.time_ns() - ago_ns):
        journal._begin_run()
        ordered(journal, *(time.time_ns() - ago_ns + place for place in range(5)), module=module)
        journal.end()
        journal.close()
    return journal.run_id


def test_places_that_nothing_is_left_of_go(tmp_path):
    """A place in the bot goes with its last order; one in use stays, and one that is new is its own."""
    path = tmp_path / "journal.db"
    an_ended_run(path, 100 * DAY, "gone")
    an_ended_run(path, 100 * DAY, "used")
    an_ended_run(path, 1 * DAY, "used")
    prune(path, before_ns=time.time_ns() - 90 * DAY)
    assert rows(path, "SELECT module FROM sites") == [("used",)]
    an_ended_run(path, 0, "new")
    assert JournalReader(path).read_counts() == count_records(read_records(path))[0]
    assert {count.site.module: count.orders for count in JournalReader(path).read_counts()} == {
        "used": 5,
        "new": 5,
    }


def test_runs_that_nothing_is_left_of_go(tmp_path):
    """With their rows of shipments; those that stay verify, and a later run has a number of its own."""
    path = tmp_path / "journal.db"
    old, young = an_ended_run(path, 100 * DAY, "a"), an_ended_run(path, 1 * DAY, "a")
    follower = Follower(path)
    follower.skip_to_end()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as own:
        own.executemany("INSERT INTO shipments VALUES ('there', ?, 12)", [("",), (old,), (young,)])
    gone = prune(path, before_ns=time.time_ns() - 90 * DAY)
    assert (gone.events, gone.runs, gone.unshipped) == (12, 1, 0)
    assert rows(path, "SELECT run_id FROM shipments ORDER BY run_id") == [("",), (young,)]
    assert [run.run_id for run in JournalReader(path).read_runs()] == [young]
    assert prune(path, before_ns=time.time_ns()).runs == 0  # the newest, whose number would come again
    assert [run.run_id for run in JournalReader(path).read_runs()] == [young]
    newest = an_ended_run(path, 0, "a")
    assert prune(path, before_ns=time.time_ns() - HOUR).runs == 1
    assert [run.run_id for run in JournalReader(path).read_runs()] == [newest]
    assert {news.run_id for news in follower.read_new("none")} == {newest}
    assert flaws(path) == [None]
    status, said = verified(path)
    assert (status, "1 run, 0 flawed" in said) == (0, True)


KILLED = """
import os, signal, sys
from exit_shim.journal import Journal
sys.path.insert(0, sys.argv[2])
from test_journal_record import ordered
journal = Journal(sys.argv[1])
ordered(journal, 1, 2)
journal.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_without_an_end_goes_once_its_process_is_surely_gone(tmp_path, monkeypatch):
    """After kill -9 on this host; not where it was another's, or where a process has that number."""
    path = tmp_path / "journal.db"
    subprocess.run([sys.executable, "-c", KILLED, str(path), os.path.dirname(__file__)], check=False)  # noqa: PTH120
    an_ended_run(path, 0, "a")
    far = time.time_ns() + DAY
    for name, answer in (("is_running", lambda _: True), ("socket.gethostname", lambda: "another")):
        with monkeypatch.context() as patch:
            patch.setattr(f"exit_shim.journal.retention.{name}", answer)
            assert prune(path, before_ns=far).runs == 0
    assert prune(path, before_ns=far).runs == 1


@pytest.mark.parametrize("header", ["{}", "[]", "odd", '{"host": "%s"}', '{"host": "%s", "pid": "1"}'])
def test_a_run_of_which_its_process_does_not_show_stays(tmp_path, header):
    """As one of an older release, or one whose beginning was damaged."""
    path = tmp_path / "journal.db"
    an_ended_run(path, 1, "a")
    an_ended_run(path, 0, "a")
    written = header.replace("%s", socket.gethostname())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as own:
        own.execute("UPDATE runs SET ended = NULL, header = ?", (written,))
    assert prune(path, before_ns=time.time_ns() + DAY).runs == 0


def test_a_process_that_closed_its_journal_goes_on_in_its_run(journal):
    """All of it is old and gone, and yet its next order is linked to what went, and numbered behind it."""
    ordered(journal, 1, 2)
    journal.close()
    an_ended_run(journal.path, 0, "a")
    assert spools(journal.path) == []
    assert prune(journal.path, before_ns=time.time_ns() + DAY).runs == 0
    ordered(journal, 3)
    journal.close()
    own = next(run for run in JournalReader(journal.path).read_runs() if run.run_id == journal.run_id)
    assert (own.pruned_pos, own.pos) == (5, 7)
    assert flaws(journal.path) == [None, None]


def test_a_size_is_kept(tmp_path):
    """The oldest orders go until the file has the size that was asked for, and the room is given back."""
    journal = Journal(tmp_path / "journal.db")
    with at(1):
        journal._begin_run()
    for moment in range(1, 4000):
        with at(moment):
            ordered(journal, moment)
    # `close` alone would leave in the spool what takes longer than a second.
    assert journal.flush()
    journal.close()
    before = journal.path.stat().st_size
    gone = prune(journal.path, max_bytes=before // 2)
    assert gone.bytes > before // 3
    assert journal.path.stat().st_size <= before * 0.6
    kept = [record.intent.ts for record in read_records(journal.path)]
    assert kept == list(range(4000 - len(kept), 4000))
    assert 500 < len(kept) < 3000


def test_pruning_by_command(tmp_path, monkeypatch):
    """`exit-shim prune` wants to be told what is old, says what went and what had to stay."""
    journal = old_journal(tmp_path / "journal.db")
    journal.close()
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(journal.path))

    def command(*words):
        return subprocess.run(
            [sys.executable, "-m", "exit_shim", "prune", *words], capture_output=True, text=True, check=False
        )

    assert command().returncode == 2
    assert "--older-than 90d" in command().stderr
    assert command("--max-size", "many").returncode == 2
    done = command("--older-than", "90d")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("deleted 41 events")
    assert "orders in doubt keep old events in 1 run;" in done.stdout
    assert json.loads(command("--max-size", "2GB", "--json").stdout)["events"] == 0


OLD_SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA application_id=1163413844;
PRAGMA user_version=3;
CREATE TABLE events (body TEXT);
"""


def test_a_journal_of_an_older_release_is_set_aside(tmp_path):
    """A bot renames it whole, says so and begins a new one; commands leave it and name the way out."""
    path = tmp_path / "journal.db"
    for number in (1, 2):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as own:
            own.executescript(f"{OLD_SCHEMA} INSERT INTO events VALUES ('{number}')")
        with pytest.raises(JournalError, match=r"older exit_shim .*; the next bot renames it"):
            list(read_records(path))
        problems = []
        with contextlib.closing(Journal(path, problems.append)) as own:
            seq = own.append(intent(7))
            assert own.flush()
        assert [record.seq for record in read_records(path)] == [seq]
        (problem,) = problems
        aside = tmp_path / f"journal.db.old-{number}"
        assert f"renamed to {aside}" in str(problem)
        with contextlib.closing(sqlite3.connect(aside)) as old:
            assert old.execute("SELECT body FROM events").fetchall() == [(str(number),)]
        path.unlink()


def test_a_journal_that_an_older_release_uses_is_left(tmp_path):
    """While another process has it open it is not renamed: that is said, and events wait beside it."""
    path = tmp_path / "journal.db"
    problems = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as own:
        own.executescript(OLD_SCHEMA)
        journal = Journal(path, problems.append)
        journal.append(intent(7))
        assert not journal.flush()
        assert "cannot be renamed now" in str(problems[0])
        own.execute("INSERT INTO events VALUES ('still in use')")
    assert journal.flush()
    journal.close()
    assert len(list(read_records(path))) == 1


def test_events_of_a_later_release_are_kept_and_skipped(journal, monkeypatch):
    """An event of an unknown name stands in the chain, and every command reads past it."""
    ordered(journal, 1)
    monkeypatch.setitem(NAMES, InternalError, b"executor_step")
    journal.append(InternalError("a step", "of a later release"), (journal.run_id, 1))
    monkeypatch.undo()
    journal.close()
    assert [event.event for event in JournalReader(journal.path).read_events()][-1] == "executor_step"
    assert len(list(read_records(journal.path))) == 1
    assert flaws(journal.path) == [None]
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(journal.path))
    for command in ("summary", "records", "verify", "doctor", "prune --older-than 1d"):
        done = CliRunner().invoke(app, command.split())
        assert isinstance(done.exception, SystemExit | None), command


def test_findings_are_read_by_their_index(journal):
    """Reading records does not go through all events for the findings."""
    ordered(journal, 1)
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.path)) as own:
        plan = own.execute(f"EXPLAIN QUERY PLAN {RECORDS.format(where='')}").fetchall()
    assert any("USING INDEX order_findings (about=?)" in line[-1] for line in plan)


def test_events_besides_orders_are_in_the_record(journal):
    """The start and the end of the process, and what was lost, stand in the chain with the orders."""
    ordered(journal, 1)
    journal.append(Lost("a test", 3))
    journal.end()
    journal.close()
    assert [event.event for event in JournalReader(journal.path).read_events()] == [
        "run_started",
        "intent",
        "outcome",
        "lost",
        "run_ended",
    ]
    assert JournalReader(journal.path).read_runs()[0].ended is not None
    assert flaws(journal.path) == [None]


def test_a_failure_of_the_shim_is_in_the_record(tmp_path, monkeypatch):
    """What fails in the shim itself stands in the journal once, with the step that it failed in."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)

    class Client:
        def futures_create_order(self, **params):
            return {"orderId": 1}

    def broken(record):
        raise RuntimeError("no room")

    sink = type("Broken", (), {"on": staticmethod(broken), "wants": frozenset({Outcome})})()
    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[sink])
    for _ in range(3):
        shim.wrap(Client()).futures_create_order(
            symbol="BTCUSDT", side="SELL", type="MARKET", reduceOnly=True
        )
    assert shim.flush()
    (event,) = (
        event for event in JournalReader(shim.journal.path).read_events() if event.event == "internal_error"
    )
    assert json.loads(event.body)["error"] == "RuntimeError: no room"
    assert shim.internal_errors.count == 3
    shim.close()


def test_a_process_that_ends_says_so(tmp_path):
    """The last event of a run that came to its end in good order is its end; it leaves no spool."""
    path = tmp_path / "journal.db"
    script = "import exit_shim, sys; exit_shim.ExitShim(journal=sys.argv[1], sync='power').wrap(object())"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert [event.event for event in JournalReader(path).read_events()] == ["run_started", "run_ended"]
    (run,) = JournalReader(path).read_runs()
    assert run.header.sync == "power"
    assert run.header.configuration
    assert spools(path) == []


def test_an_order_whose_spool_is_closed_before_its_sync(tmp_path, monkeypatch):
    """With power safety closing syncs what it leaves in the spool: the order itself cannot any more."""
    synced = []
    monkeypatch.setattr("exit_shim.journal.spool.sync_file", lambda fd: synced.append(os.fstat(fd).st_size))
    journal = Journal(tmp_path / "journal.db", sync="power")
    journal.append(intent(1))
    assert journal.flush()
    make_lasting = journal._spool.make_lasting

    def close_first(segment):
        monkeypatch.setattr(journal._spool, "make_lasting", make_lasting)
        journal.close()
        make_lasting(segment)

    monkeypatch.setattr(journal._spool, "make_lasting", close_first)
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        journal.append(intent(2))
    (left,) = spools(journal.path)
    assert synced[-1] == left.stat().st_size


def test_power_safety_is_chosen_in_code_or_by_the_environment(tmp_path, monkeypatch, caplog):
    """`sync` or EXIT_SHIM_SYNC; code outranks it, where an unknown word is an error; else it is told."""
    path = tmp_path / "journal.db"
    assert exit_shim.ExitShim(journal=path).journal.sync == "process"
    monkeypatch.setenv("EXIT_SHIM_SYNC", "Power")
    assert exit_shim.ExitShim(journal=path).journal.sync == "power"
    assert exit_shim.ExitShim(journal=path, sync="process").journal.sync == "process"
    with pytest.raises(ValueError, match=r"expected .process., .power. or None"):
        exit_shim.ExitShim(journal=path, sync="disk")
    monkeypatch.setenv("EXIT_SHIM_SYNC", "disk")
    assert exit_shim.ExitShim(journal=path).journal.sync == "process"
    assert "EXIT_SHIM_SYNC='disk'" in caplog.text


def test_an_intent_is_on_the_disk_before_the_order_leaves(tmp_path, monkeypatch):
    """With power safety the spool is synced between the append and the send, for intents alone."""
    done = []
    monkeypatch.setattr("exit_shim.journal.spool.sync_file", lambda fd: done.append(os.fstat(fd).st_size))
    journal = Journal(tmp_path / "journal.db", sync="power")
    seq = journal.append(intent(1))
    (file,) = spools(journal.path)
    assert done == [file.stat().st_size]
    journal.append(Outcome("accepted"), (journal.run_id, seq))
    assert len(done) == 1
    journal.close()


def test_a_guarded_order_counts_its_conflict(journal):
    """A verdict's reasons are counted by the place that they are about."""
    body = intent(5)
    journal.append(
        Intent(
            **{
                **{name: getattr(body, name) for name in body.__struct_fields__},
                "verdict": Verdict("warn", (Reason("OWNERSHIP_CONFLICT", {"module": "position_monitor"}),)),
            }
        )
    )
    assert journal.flush()
    (count,) = JournalReader(journal.path).read_counts()
    assert (count.orders, count.conflicts, count.state) == (1, 1, IN_DOUBT)


def test_an_outcome_that_comes_before_its_intent_is_found(journal):
    """While another process takes up what a locked close left, the run goes on and is moved first."""
    journal.open()
    assert journal.flush()
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as own:
        own.execute("BEGIN IMMEDIATE")
        seq = journal.append(intent(1))
        journal.close()
    with min(spools(journal.path)).open("rb") as taken:
        assert try_to_hold(taken.fileno())
        journal.append(Outcome("accepted"), (journal.run_id, seq))
        journal.close()
    (record,) = read_records(journal.path)
    assert record.outcome.result == "accepted"
    assert list(read_records(journal.path, RecordFilter(in_doubt=True))) == []
    assert flaws(journal.path) == [None]


def test_what_resolved_an_order_stays_as_long_as_the_order(tmp_path):
    """An order that stays keeps its resolution, which a later run wrote and which is old as well."""
    journal, later = Journal(tmp_path / "journal.db"), Journal(tmp_path / "journal.db")
    ordered(journal, 1, 2, outcome="unknown")
    journal.close()
    _, second = read_records(journal.path)
    later.append(Resolution(result="accepted"), (second.run_id, second.seq))
    later.close()
    prune(journal.path, before_ns=time.time_ns())
    first, second = read_records(journal.path)
    assert first.resolution is None
    assert second.resolution is not None
    later.append(Resolution(result="accepted"), (first.run_id, first.seq))
    later.close()
    prune(journal.path, before_ns=time.time_ns())
    assert list(read_records(journal.path)) == []


def test_a_run_that_is_pruned_while_it_is_verified_is_whole(journal, monkeypatch):
    """`exit-shim verify` does not take what was pruned after its first look for missing."""
    ordered(journal, *range(1, 6))
    journal.close()
    before = JournalReader(journal.path).read_runs()
    prune(journal.path, before_ns=sorted(event.ts for event in JournalReader(journal.path).read_events())[7])
    looks = iter([before])
    read_runs = JournalReader.read_runs
    monkeypatch.setattr(JournalReader, "read_runs", lambda self: next(looks, None) or read_runs(self))
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(journal.path))
    done = CliRunner().invoke(app, ["verify"])
    assert (done.exit_code, "complete" in done.output) == (0, True), done.output


@pytest.mark.parametrize("question", [JournalReader.LOST, LATEST_SWITCHES])
def test_what_is_asked_at_each_start_is_asked_of_an_index(journal, question):
    """However many events there are, rare ones are found without going through all."""
    ordered(journal, 1)
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.path)) as own:
        (plan, *_) = own.execute(f"EXPLAIN QUERY PLAN {question}").fetchall()
    assert "USING INDEX rare_events" in plan[3]


FIRST_READERS = """
import sys, threading
import msgspec
from exit_shim.guard.policy import Policy
from exit_shim.domain.events import Intent, Outcome
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)
ORDER = {"ts": 1, "door": "d", "operation": "cancel", "order": {"kind": "sl"}}
ORDER |= {"mode": "LEGACY", "account": "a"}
WHO = {"module": "m", "evidence": "stack", "chain": [["m", "chosen", "f", 1]]}
SAID = {"verdict": {"action": "warn", "reasons": [{"code": "A", "facts": {"b": "c"}}]}}
SAID |= {"targets": [{"kind": "sl"}], "attribution": WHO}
OUTCOME = {"result": "accepted", "chain": [["m", "chosen", "f", 1]]}

def read():
    start.wait()
    for event, body in {Intent: ORDER | SAID, Outcome: OUTCOME}.items():
        msgspec.json.decode(msgspec.json.encode(body), type=event)
    msgspec.convert({"modes": {"LEGACY": {"scopes": [{"symbols": ["A"]}]}}, "rules": {"A": {}}}, Policy)

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_many_threads_may_be_the_first_to_read():
    """Reading events for the first time in several threads at once does not crash the process."""
    for _ in range(10):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_READERS], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_records_are_narrowed_by_host_and_account(journal):
    """A journal answers the same filters as the database of many hosts."""
    journal.append(msgspec.structs.replace(intent(1), account="main"))
    journal.append(msgspec.structs.replace(intent(2), account="other"))
    journal.close()
    reader, host = JournalReader(journal.path), socket.gethostname()

    def times(**wanted):
        return [record.intent.ts for record in reader.read_records(RecordFilter(**wanted))]

    assert times(account="main") == [1]
    assert times(host=host) == [1, 2]
    assert times(host="elsewhere") == times(host=host, account="nobody") == []
    assert reader.read_values("account") == ["main", "other"]
    assert reader.read_values("host") == [host]
