"""--from: the same answers from the central database as from the journal, over many hosts."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from made import fill, order, ship

from exit_shim.cli import app
from exit_shim.domain.events import ExecutorStep
from exit_shim.journal import Journal, JournalReader, RecordFilter, read_records, verify_run
from exit_shim.sinks.postgres.queries import PostgresReader


def cli(*arguments, path, dsn=None, status=0):
    """Run a command on a journal or, with a DSN, on the central database; return what it prints."""
    done = CliRunner().invoke(app, arguments, env={"EXIT_SHIM_JOURNAL": str(path), "EXIT_SHIM_FROM": dsn})
    assert done.exit_code == status, done.output
    return done.stdout if status == 0 else done.output


def raise_it(error):
    raise error


def step(number, leg):
    """A step of an executor, of an episode of its own for each number."""
    episode = f"episode{number}"
    return ExecutorStep(
        account="main",
        symbol="BTCUSDT",
        position_side="BOTH",
        episode=episode,
        verb="place",
        leg=leg,
        why="it is missing",
        client_order_id=f"xs-{episode}-{leg}-1",
        plan_id="swing",
        revision=1,
        state={"side": "LONG", "began_ms": "1795929282935"},
    )


@pytest.fixture
def shipped(central, path):
    """A journal of three runs, all of it shipped; where the database is."""
    for number in range(3):
        fill(path, 45, first=100 * number)
        journal = Journal(path, raise_it)
        for leg in ("hs", "t1"):
            journal.append(step(number, leg))
        journal.close()
    ship(path, central.writer)
    return central.reader


@pytest.mark.parametrize(
    "command",
    [
        "summary",
        "summary --json",
        "summary --since 1h",
        "records",
        "records --json",
        "records --json --module position_monitor --symbol ethusdt",
        "records --json --since 2h",
        "records --json --since 2040-01-01",
        "explain x-7",
        "explain 1003",
        "explain 1003 --json",
        "explain 5015 --json",
        "explain xs-episode1-hs-1",
        "explain episode2 --json",
        "records --steps",
        "records --steps --json --symbol btcusdt",
        "verify",
        "verify --json",
    ],
)
def test_a_command_says_the_same_from_the_database(shipped, path, command):
    """The output from the central database is that from the journal, to the byte."""
    there = cli(*command.split(), path=path, dsn=shipped)
    assert there == cli(*command.split(), path=path)
    assert bool(there) == ("2040" not in command)


@pytest.mark.parametrize("field", ["module", "symbol", "host", "account"])
def test_a_filter_that_fits_nothing_is_named(shipped, path, field):
    """What the database has is listed beside it, as `records` does of a journal."""
    seen = sorted(map(str, PostgresReader(shipped).read_values(field)))
    runner = CliRunner(env={"EXIT_SHIM_FROM": shipped})
    done = runner.invoke(app, ["records", f"--{field}", "nosuch", "--json"])
    name = "NOSUCH" if field == "symbol" else "nosuch"
    assert done.output.startswith(f"--{field} {name!r} matches no order in the database")
    assert all(value in done.output for value in seen[:10])


def test_whatif_says_the_same_from_the_database(shipped, path, tmp_path):
    """A policy is taken through the history of all hosts as through the journal's."""
    (tmp_path / "new.toml").write_text('level = "enforce"\n')
    command = ["whatif", "--policy", str(tmp_path / "new.toml"), "--mode", "EXIT_BRAIN_V3", "--json"]
    there = json.loads(cli(*command, path=path, dsn=shipped))
    assert there == json.loads(cli(*command, path=path))
    assert there["orders"] == 135
    assert there["denied"] + there["overridden"] > 0


def test_what_is_in_doubt_is_the_same(shipped, path):
    """Orders without a proof, those of a run, and one by its name: the same from both, resolutions too."""
    run_id = next(read_records(path)).run_id
    for narrowed in ({"in_doubt": True}, {"run_id": run_id}, {"named": f"{run_id}:9"}, {"named": "nothing"}):
        wanted = RecordFilter(**narrowed)
        assert list(PostgresReader(shipped).read_records(wanted)) == list(read_records(path, wanted))
    assert any(record.resolution for record in PostgresReader(shipped).read_records())
    assert any(
        record.findings for record in PostgresReader(shipped).read_records(RecordFilter(run_id=run_id))
    )
    assert PostgresReader(shipped).read_counts() == JournalReader(path).read_counts()
    assert set(PostgresReader(shipped).read_stacks()) == set(JournalReader(path).read_stacks())
    assert list(PostgresReader(shipped).read_events()) == list(JournalReader(path).read_events())
    assert list(PostgresReader(shipped).read_events(run_id=run_id, after_pos=3, limit=4)) == list(
        JournalReader(path).read_events(run_id=run_id, after_pos=3, limit=4)
    )


def test_two_hosts_in_one_database(central, tmp_path, monkeypatch):
    """The journals of two hosts are read as one, and can be told apart by host and account."""
    for host in ("alpha", "beta"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        fill(tmp_path / f"{host}.db", 10)
        ship(tmp_path / f"{host}.db", central.writer)
    every = cli("records", "--json", path=tmp_path / "none.db", dsn=central.reader)
    alpha = cli("records", "--json", "--host", "alpha", path=tmp_path / "none.db", dsn=central.reader)
    assert (every.count("\n"), alpha.count("\n")) == (20, 10)
    assert alpha == cli("records", "--json", path=tmp_path / "alpha.db")
    nobody = cli("records", "--account", "key-00000000", path=tmp_path / "none.db", dsn=central.reader)
    assert nobody.count("\n") == 1
    hosts = {run["host"] for run in json.loads(cli("verify", "--json", path="none", dsn=central.reader))}
    assert hosts == {"alpha", "beta"}
    cli("records", "--host", "alpha", path=tmp_path / "alpha.db", status=2)


def test_a_flaw_in_the_database_is_named_there(central, shipped, path):
    """What was changed centrally is named from there, while the journal is whole."""
    central.run(
        "UPDATE exit_shim.events SET body = replace(body, 'BTC', 'ETH') WHERE seq = 11 AND event = 'intent'"
    )
    assert "intent changed" in cli("verify", path=path, dsn=shipped, status=1)
    cli("verify", path=path)


def test_a_database_that_is_not_there_is_said_in_one_line(path):
    """Reading from where nothing listens ends with a sentence and status 1."""
    command = [sys.executable, "-m", "exit_shim", "summary", "--from", "postgresql://u@127.0.0.1:1/d"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: postgresql://127.0.0.1:1/d cannot be reached: ")
    assert done.stderr.count("\n") == 1


def test_a_run_that_goes_on_while_it_is_verified_is_whole(path):
    """Events that come between the look at a run and the look at its events are no flaw."""
    own = Journal(path)
    order(own, 1)
    own.flush()
    (run,) = JournalReader(path).read_runs()
    order(own, 2)
    own.flush()
    assert verify_run(run, JournalReader(path).read_events(run_id=run.run_id)) is None
    own.close()
