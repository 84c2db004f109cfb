"""Damage: what can still be read is read, what cannot is said, and no order waits for it."""

import contextlib
import os
import random
import sqlite3

import harm
import pytest

import exit_shim
from exit_shim.domain.events import Outcome
from exit_shim.journal import (
    Journal,
    JournalError,
    JournalReader,
    RecordFilter,
    examine,
    prune,
    read_records,
    verify_run,
)
from exit_shim.journal.line_format import parse
from exit_shim.journal.spool import spools

FLIPS = 25


@pytest.fixture
def orders(client, path, quiet):
    """Place so many orders and close, or leave the spool of a run that died."""

    def place(times, *, dead=False):
        shim = exit_shim.ExitShim(journal=path, sinks=[])
        if dead:
            shim.journal.tend = lambda: None
        wrapped = exit_shim.wrap(client, shim=shim)
        for _ in range(times):
            wrapped.futures_create_order(**harm.EXIT)
        if dead:
            shim.journal._spool.close_files()
        shim.close()

    return place


def look_at_everything(path):
    """Ask the journal for all that it has; a JournalError is an answer, anything else is not."""
    questions = (
        lambda: list(read_records(path)),
        lambda: [
            verify_run(run, JournalReader(path).read_events(run_id=run.run_id))
            for run in JournalReader(path).read_runs()
        ],
        lambda: JournalReader(path).read_counts(),
        lambda: JournalReader(path).read_counts(since_ns=1),
        lambda: JournalReader(path).read_stacks(),
        lambda: JournalReader(path).count_lost(),
        lambda: list(read_records(path, RecordFilter(named="x"))),
        lambda: prune(path, before_ns=1),
        lambda: examine(path),
    )
    answered = 0
    for ask in questions:
        with contextlib.suppress(JournalError):
            ask()
            answered += 1
    return answered


def damage(data, chance, how):
    """Some bits flipped, or the end cut off, or a piece of nothing."""
    spoilt = bytearray(data)
    if how == "flipped bits":
        for _ in range(chance.choice((1, 3, 40))):
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    elif how == "truncated":
        del spoilt[chance.randrange(1, len(spoilt)) :]
    else:
        at = chance.randrange(len(spoilt))
        spoilt[at : at + 4096] = bytes(min(4096, len(spoilt) - at))
    return bytes(spoilt)


@pytest.mark.parametrize("how", ["flipped bits", "truncated", "zeroes"])
def test_a_damaged_database(exchange, path, orders, tmp_path, client, how):
    """Whatever is wrong inside the file, reading it says so or answers, and a bot's events wait beside it."""
    orders(40)
    whole, chance, answers, moved = path.read_bytes(), random.Random(how), [], []
    for number in range(FLIPS):
        spoilt = tmp_path / f"{number}" / "journal.db"
        spoilt.parent.mkdir()
        spoilt.write_bytes(damage(whole, chance, how))
        answers.append(look_at_everything(spoilt))
        told = []
        journal = Journal(spoilt, told.append)
        (record, *_) = read_records(path)
        journal.append(Outcome("accepted"), (journal.run_id, journal.append(record.intent)))
        moved.append(journal.flush())
        assert moved[-1] or told or journal.health().last_error
        journal.close()
        beside = [line.event for spool in spools(spoilt) for line in parse(spool.read_bytes())]
        assert beside[:3] == ([] if moved[-1] else ["run_started", "intent", "outcome"])
    assert min(answers) < 9 or how == "flipped bits"
    assert not all(moved)
    harm.reckon(exchange, path)


def test_what_verify_finds_of_flipped_bits(path, orders):
    """Any one bit flipped in an event's text, its number, its time or its link is found and named."""
    orders(10)
    for column in ("seq", "ts", "event", "about", "body", "link"):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as own:
            (before,) = own.execute(f"SELECT {column} FROM events WHERE pos = 5").fetchone()
            if before is None:
                continue
            after = before ^ 64 if isinstance(before, int) else type(before)(before[:-1]) + other(before[-1:])
            own.execute(f"UPDATE events SET {column} = ? WHERE pos = 5", (after,))
            (flaw,) = harm.flaws(path)
            assert flaw.pos == 5, column
            own.execute(f"UPDATE events SET {column} = ? WHERE pos = 5", (before,))
    assert harm.flaws(path) == []


def other(last):
    """The same with one bit flipped."""
    return bytes([last[0] ^ 1]) if isinstance(last, bytes) else chr(ord(last) ^ 1)


@pytest.mark.parametrize("how", ["flipped bits", "truncated", "zeroes"])
def test_a_damaged_spool_of_a_dead_run(exchange, path, orders, how):
    """Of a damaged spool every whole line is taken, unchanged, and what is not whole is counted as lost."""
    orders(25, dead=True)
    (spool,) = spools(path)
    whole, chance = spool.read_bytes(), random.Random(how)
    bodies = {line.seq: line for line in parse(whole)}
    for number in range(FLIPS):
        spool.write_bytes(damage(whole, chance, how))
        left = spool.read_bytes() + b"\n"  # a line may be whole but for its end
        survivors = [line for line in parse(left) if line is not None]
        list(read_records(path))
        events = [event for event in JournalReader(path).read_events() if event.event != "lost"]
        assert [event.line for event in events] == survivors
        assert all(bodies[line.seq] == line for line in survivors)
        assert harm.flaws(path) == []
        assert not spools(path)
        spoilt = number >= 0 and len(survivors) < len(bodies)
        assert JournalReader(path).count_lost() >= (spoilt and how != "truncated")
        if JournalReader(path).count_lost():
            assert " lost: the journal" in "".join(summary_of(path))
        for name in ("", "-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)


def summary_of(path):
    """What `exit-shim summary` prints, in this process."""
    from click.testing import CliRunner  # noqa: PLC0415

    from exit_shim.cli import app  # noqa: PLC0415

    return (
        CliRunner(env={"EXIT_SHIM_JOURNAL": str(path)})
        .invoke(app, ["summary"], catch_exceptions=False)
        .output
    )


def test_a_header_that_breaks_under_a_running_bot(exchange, path, client, quiet):
    """With the database's header gone orders go out and wait beside it, and are moved once it is back."""
    shim = exit_shim.ExitShim(journal=path, sinks=[])
    wrapped = exit_shim.wrap(client, shim=shim)
    wrapped.futures_create_order(**harm.EXIT)
    shim.close()
    with path.open("r+b") as file:
        header = file.read(100)
        file.seek(0)
        file.write(os.urandom(100))
    for _ in range(20):
        wrapped.futures_create_order(**harm.EXIT)
    assert not shim.journal.flush()
    health = shim.summary()["journal"]
    assert health["waiting"] == 40
    assert "not a database" in health["last_error"]
    for words in (("summary",), ("records",), ("verify",), ("doctor",)):
        assert str(path) in harm.command(path, *words)
    with path.open("r+b") as file:
        file.write(header)
    shim.close()
    assert len(harm.reckon(exchange, path)) == 21


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
def test_a_tail_cut_off_under_a_running_bot(exchange, path, name):
    """A database or WAL that is cut in use costs what was in it, never an order, and never a hang."""
    script = """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        place(client, 30)
        shim.journal.flush()
        say(); hear()
        place(client, 30)
        time.sleep(0.2)
        shim.close()
    """
    with harm.bot(script, exchange, path) as process:
        harm.heard(process)
        os.truncate(path.with_name(name), path.with_name(name).stat().st_size // 2)
        harm.told(process)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(harm.arrived(exchange)) == 60
    look_at_everything(path)


def test_a_spool_that_cannot_be_read(exchange, path, orders):
    """One file that cannot be read does not keep those of other runs from being taken up."""
    orders(2, dead=True)
    (spool,) = spools(path)
    os.mkfifo(spool.with_name("20200101T000000-00000000.1.spool"))
    (spool.with_name("20200101T000000-00000001.1.spool")).mkdir()
    spool.with_name("x.\u00b2.spool").touch()
    assert len(list(read_records(path))) == 2
    assert prune(path, before_ns=1).events == 0
