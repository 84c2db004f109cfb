"""The filters that the commands share, and what they say where nothing is left."""

import csv
import io
import json
from datetime import datetime, timedelta, timezone

import pytest
from bots import STOP, FakeClient
from click.testing import CliRunner

import exit_shim
from exit_shim.cli import app
from exit_shim.cli.clock import Clock
from exit_shim.cli.csv_rows import harmless


def run(*arguments, status=0):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == status, done.output
    return done


def lines(*arguments):
    return [json.loads(line) for line in run("records", "--json", *arguments).stdout.splitlines()]


@pytest.fixture
def two_runs(tmp_path):
    """Two runs in one journal, then one without an order; a module of the second begins like a formula."""
    path = tmp_path / "two.db"
    orders = [("position_monitor", "BTCUSDT"), ("=cmd|'/c calc'!A1", "ETHUSDT")]
    for account, (module, symbol) in zip(("first", "second"), orders, strict=True):
        shim = exit_shim.ExitShim(sinks=[], journal=path, account=account)
        client = shim.wrap(FakeClient())
        for wanted in (symbol, "SOLUSDT"):
            with exit_shim.attributed(module):
                client.futures_create_order(**{**STOP, "symbol": wanted})
        shim.close()
    idle = exit_shim.ExitShim(sinks=[], journal=path)
    idle.journal.open()
    idle.close()
    return path


def test_each_filter_narrows(two_runs):
    """By run, account, symbol, module, kind, outcome, reason, time and number; all of them with --journal."""
    where = ("--journal", two_runs)
    every = lines(*where)
    assert len(every) == 4
    assert lines(*where, "--run", "last") == every[2:]
    assert lines(*where, "--run", every[0]["run_id"]) == every[:2]
    assert lines(*where, "--account", every[0]["account"]) == every[:2]
    assert lines(*where, "--symbol", "solusdt", "--module", "position_monitor") == every[1:2]
    assert lines(*where, "--kind", "SL", "--outcome", "accepted") == every
    assert lines(*where, "--kind", "tp") == lines(*where, "--outcome", "in-doubt") == []
    found = [line for line in every if any("DUPLICATE_EXIT" in reason for reason in line["reasons"])]
    assert lines(*where, "--reason", "duplicate_exit") == found
    assert lines(*where, "--limit", "3") == every[1:]
    assert lines(*where, "--limit", "1", "--run", every[0]["run_id"]) == every[1:2]
    third = datetime.fromtimestamp(every[2]["ts"] / 1e9, timezone.utc) - timedelta(microseconds=5)
    assert lines(*where, "--until", third.isoformat()) == every[:2]
    assert lines(*where, "--since", third.isoformat()) == every[2:]


def test_a_summary_is_narrowed_as_records_are(two_runs):
    """The numbers of a summary are those of the records that the same filters leave."""
    told = json.loads(run("summary", "--journal", two_runs, "--json", "--symbol", "SOLUSDT").stdout)
    assert told["total_orders"] == 2
    assert told["orders_by_module"] == {"position_monitor": 1, "=cmd|'/c calc'!A1": 1}
    whole = json.loads(run("summary", "--journal", two_runs, "--json").stdout)
    assert {"total_orders", "sites", "fights", "findings", "in_doubt", "cover", "bare"} <= whole.keys()


@pytest.mark.parametrize("command", ["records", "summary"])
def test_no_text_is_a_formula_in_a_spreadsheet(two_runs, command):
    """CSV has a row an order or place, and a cell that begins like a formula has a ' in front."""
    text = run(command, "--journal", two_runs, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["module"] for row in rows} == {"position_monitor", "'=cmd|'/c calc'!A1"}
    assert len(rows) == (4 if command == "records" else 2)
    assert "exclude each other" in run(command, "--csv", "--json", status=2).output


def test_what_begins_like_a_formula():
    """Equals, plus, minus, at, tab and carriage return; a number of ours stays one."""
    assert [harmless(text) for text in ("=1", "+1", "-1", "@a", "\ta", "\ra")] == [
        *("'=1", "'+1", "'-1", "'@a", r"'\ta", r"'\ra"),
    ]
    assert [harmless(value) for value in (-1, "a=1", "")] == [-1, "a=1", ""]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reason", "STRIPED"], "--reason 'STRIPED' matches no order"),
        (["--run", "none"], "--run 'none' matches no order"),
        (["--account", "frist"], "did you mean first"),
        (["--kind", "tp", "--limit", "5"], "matches --kind 'tp'; remove or widen a filter"),
    ],
)
@pytest.mark.parametrize("command", ["records", "summary"])
def test_an_empty_answer_says_why(two_runs, command, arguments, said):
    """The filter that fits nothing is named, with the nearest existing word; on stderr, and no error."""
    done = run(command, "--journal", two_runs, "--json", *arguments)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "traling"], "--kind 'traling' is invalid (did you mean trailing?)"),
        (["--outcome", "acepted"], "did you mean accepted?"),
        (["--host", "h"], "--host needs --from"),
        (
            ["--tz", "Europe/Berln"],
            "'Europe/Berln' is not a time zone; expected a name such as Europe/Berlin",
        ),
        (["--tz", "/etc/passwd"], "is not a time zone"),
        (["--tz", "Asia/Tokyo", "--utc"], "--utc and --tz exclude each other"),
        (["--from", "postgresql://h/d", "--journal", "j.db"], "--journal and --from exclude each other"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, said):
    """A word that no order can have ends the command with the words that there are."""
    assert said in run("records", *arguments, status=2).output


def test_a_journal_that_is_named_wins_over_the_environment(two_runs, monkeypatch):
    """--journal is read though EXIT_SHIM_FROM names a database."""
    monkeypatch.setenv("EXIT_SHIM_FROM", "postgresql://nobody@127.0.0.1:1/none")
    assert len(lines("--journal", two_runs)) == 4


def test_a_time_without_a_zone_is_of_the_chosen_one():
    """The same text is another moment in another zone, and one that names a zone is not."""
    east = Clock(timezone(timedelta(hours=9)), "east")
    west = Clock(timezone(timedelta(hours=-3)), "west")
    assert east.read("2026-07-01T09:00") - west.read("2026-06-30T21:00") == 0
    assert east.read("2026-07-01T09:00Z") == west.read("2026-07-01T09:00+00:00")
    assert east.stamp(east.read("2026-07-01T09:00:00.250")) == "2026-07-01 09:00:00.250"
    assert east.column([0]).text(0) == "1970-01-01 09:00:00.000"


def test_completion_knows_commands_and_options(monkeypatch):
    """What the shell's completion asks for is answered: commands, and the options of each."""
    answers = {}
    for words, asked in (("exit-shim su", "1"), ("exit-shim records --out", "2")):
        monkeypatch.setenv("_EXIT_SHIM_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", asked)
        answers[asked] = CliRunner().invoke(app, [], prog_name="exit-shim").output
    assert answers == {"1": "plain,summary\n", "2": "plain,--outcome\n"}
