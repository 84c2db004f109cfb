"""Screens that a person can read: in real terminals of three widths, in pipes, with and without colour."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from terminals import RED, in_terminal, plain

BOT = Path(__file__).parents[2] / "examples" / "legacy_bot" / "main.py"

MODULES = {
    *("dynamic_trailing_rearm", "event_driven_executor", "exposure_guard"),
    *("hybrid_tpsl", "position_monitor", "trailing_stop_manager"),
}

FOUND = {
    "OWNERSHIP_CONFLICT": 62,
    "FOREIGN_CANCEL": 29,
    "DUPLICATE_EXIT": 14,
    "STRIPPED": 12,
    "STOP_WIDENED": 11,
}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder whose name needs quotes in a shell."""
    return tmp_path_factory.mktemp("state of a bot")


@pytest.fixture(scope="module")
def local_run(state):
    """What the example bot's run on a local exchange prints on a terminal of 80 columns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        arguments = ("run", "--local", "--mode", "EXIT_BRAIN_V3", BOT)
        status, text = in_terminal(
            *arguments, XDG_STATE_HOME=str(state), EXIT_SHIM_JOURNAL=None, TZ="UTC", EXIT_MODE=None
        )
    assert status == 0
    return text


@pytest.fixture
def journal(local_run, state, monkeypatch):
    """The journal of that run, which every command reads."""
    path = state / "exit_shim" / "local.db"
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(path))
    return path


def piped(*arguments, **variables):
    command = [sys.executable, "-m", "exit_shim", *map(str, arguments)]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_the_first_screen_fits(local_run):
    """The run's report has under 80 lines of 80 columns, the last aside; fights come first."""
    # The bot prints its own lines to stderr.
    *lines, next_line = plain(local_run).splitlines()
    assert len(lines) < 80
    assert max(map(len, lines[:-1])) <= 80
    assert lines[0] == "Who fights whom"
    assert re.match(
        "  9 \N{MULTIPLICATION SIGN} dynamic_trailing_rearm cancels position_monitor's, at run_cycle",
        lines[1],
    )
    found = dict(re.findall(r"(?m)^ +(\d+) ([A-Z]+_?[A-Z]+) ", plain(local_run)))
    numbers = {code: int(number) for number, code in found.items()}
    assert FOUND.items() <= numbers.items()
    assert "65 exit orders by 6 modules" in plain(local_run)
    assert next_line.startswith("Next: exit-shim ")


def test_a_local_run_knows_what_was_bare(local_run, journal):
    """Sizes are recorded, so each position's time without a stop is known, and through whom."""
    text = plain(local_run)
    assert "No position is open now." in text
    lines = text[text.index("Bare during the run") : text.index("By module")]
    symbols = re.findall(r"([A-Z]+USDT)  \d+ times, [\d.]+ m?s in all", lines)
    assert sorted(symbols) == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert len(re.findall(r"\d+\s+through\s+trailing_stop_manager", lines)) == 3
    bare = json.loads(piped("summary", "--run", "last", "--json"))["bare"]
    assert all(one["total_ns"] > 0 and not one["is_now"] for one in bare)


def test_the_next_command_works(local_run, state):
    """What the run ends with can be pasted into a shell, and tells of a position that was watched."""
    command = plain(local_run).splitlines()[-1].removeprefix("Next: ")
    program = f"{shlex.quote(sys.executable)} -m exit_shim"
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("exit-shim", program, 1)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 3}, done.stderr
    assert len(done.stdout.splitlines()) > 2


def test_after_a_local_run_a_missing_journal_is_no_dead_end(local_run, state, monkeypatch):
    """A bare `summary` names the journal of the local run, in a command that works."""
    monkeypatch.delenv("EXIT_SHIM_JOURNAL")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", "summary"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    said = done.stderr.partition("the last local run wrote ")[2]
    assert shlex.split(said)[-4:] == [
        "exit-shim",
        "summary",
        "--journal",
        str(state / "exit_shim" / "local.db"),
    ]


@pytest.mark.parametrize("columns", [80, 120, 200])
@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
@pytest.mark.parametrize("command", ["records", "summary --sites --run last"])
def test_tables_fit_a_terminal(journal, command, columns, variables):
    """No line is longer than the terminal is wide, and no module, id, place or time is cut."""
    status, text = in_terminal(*command.split(), columns=columns, **variables)
    lines = plain(text).splitlines()
    assert status == 0
    assert max(map(len, lines)) <= columns
    words = set(re.split(r"[\s,:=']+", plain(text)))
    assert words >= MODULES
    # A part of a name would be one that is cut.
    names = {word for word in words if any(word in name for name in MODULES) and "_" in word}
    assert names <= MODULES
    assert all(re.fullmatch(r"[a-z_]+\.py", word) for word in words if ".py" in word)
    assert (RED in text) is (not variables)


def test_records_show_whose_orders_a_cancel_took(journal):
    """Below its row on a narrow terminal, in red; beside it on a wide one; dropped columns are named."""
    _, narrow = in_terminal("records", "--reason", "STRIPPED", "--limit", "1", columns=80)
    row, below = plain(narrow).splitlines()[1:3]
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} +position_monitor +cancel +unknown +SOLUSDT +accepted", row)
    assert below.strip() == "of dynamic_trailing_rearm, hybrid_tpsl: FOREIGN_CANCEL STRIPPED"
    assert RED in narrow.splitlines()[2]
    # A cancel-all has no side and no type, so nothing is missed.
    assert "Not shown for lack of room: place; see" in plain(narrow)
    _, wide = in_terminal("records", "--reason", "STRIPPED", "--limit", "1", columns=200)
    assert len(wide.splitlines()) == 2
    _, many = in_terminal("records", columns=80)
    last = " ".join(plain(many).splitlines()[-2:])
    assert re.search(r"Not shown for lack of room: side, type, .*; see --json, or widen the terminal\.", last)


def test_a_pipe_gets_everything_unless_it_is_told_a_width(journal):
    """In a pipe no column is dropped and nothing is coloured; COLUMNS makes it as narrow as a terminal."""
    whole = piped("records")
    assert "\x1b" not in whole
    header = whole.splitlines()[0]
    assert header.split()[:2] == ["time", "(UTC)"]
    assert {"side", "type", "order", "place", "found"} <= set(header.split())
    assert len({line.index("BTCUSDT") for line in whole.splitlines() if " BTCUSDT " in line}) == 1
    assert max(map(len, piped("records", COLUMNS="80").splitlines())) <= 80


def test_a_table_that_is_too_narrow_for_its_names_breaks_between_cells(journal):
    """On 40 columns a row takes more lines, and every cell stays whole."""
    _, text = in_terminal("records", "--limit", "3", columns=40)
    assert max(map(len, plain(text).splitlines())) <= 40
    assert plain(text).count("position_monitor") == 3


def test_times_are_local_and_said_to_be(journal):
    """Local time by default, another zone by --tz or --utc; the header says which."""
    berlin = {"TZ": "Europe/Berlin"}
    local, utc = (piped("records", "--limit", "1", *more, **berlin) for more in ([], ["--utc"]))
    assert local.startswith("time (Europe/Berlin)")
    assert utc.startswith("time (UTC)")
    hours = [int(re.search(r" (\d\d):\d\d:\d\d\.", text)[1]) for text in (local, utc)]
    assert (hours[0] - hours[1]) % 24 in {1, 2}
    _, narrow = in_terminal("records", "--limit", "1", "--tz", "Asia/Tokyo")
    assert re.match(r"\d{4}-\d\d-\d\d JST  module", plain(narrow))


def test_rich_is_asked_for_where_it_is_missing(journal):
    """Without rich a terminal gets one line that names the package and the extra, status 1."""
    block = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "rich": raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv[1:] = ["records"]
from exit_shim.__main__ import main
main()
"""
    status, text = in_terminal(program=[sys.executable, "-c", block], stderr="terminal")
    assert (status, text) == (1, "Error: exit-shim's tables need rich: pip install 'exit_shim[cli]'\n")
