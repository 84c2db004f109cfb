"""What the commands load: the budgets of benchmarks/commands.py are kept by what is not imported."""

import subprocess
import sys

import click
import pytest
from bots import STOP, FakeClient

import exit_shim
from exit_shim.cli import COMMANDS, app
from exit_shim.cli.tables import split_columns

HEAVY = {
    "aiohttp",
    "asyncio",
    "binance",
    "email",
    "exit_shim.clients.proxy",
    "exit_shim.configuration",
    "exit_shim.exchange",
    "exit_shim.gateway",
    "exit_shim.guard.judge",
    "exit_shim.guard.policy.load",
    "exit_shim.journal.log_writer",
    "exit_shim.resolving",
    "exit_shim.shim",
    "exit_shim.sinks",
    "exit_shim.testing",
    "importlib.metadata",
    "logging",
    "psycopg",
    "requests",
    "lzma",
    "rich.progress",
    "shutil",
    "socket",
    "ssl",
    "structlog",
    "tempfile",
    "tomllib",
    "urllib.request",
    "wrapt",
}
"""None of these is needed to read a journal."""

RUN = "from exit_shim.__main__ import main; main()"

REPORT = """
import atexit, sys
sys.path[:] = {path!r}
atexit.register(lambda: print("loaded:", *sys.modules, file=sys.stderr))
"""


def loaded(code, *arguments):
    """Run code as a command and return the modules that it has loaded at its end."""
    # Without `site`, which loads what the packages installed beside want at every start of Python.
    done = subprocess.run(
        [sys.executable, "-S", "-c", REPORT.format(path=sys.path) + code, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.rpartition("loaded:")[2].split())


@pytest.fixture
def order():
    """Record a stop, and return its client order id."""
    client = exit_shim.wrap(FakeClient())
    with exit_shim.attributed("position_monitor"):
        client.futures_create_order(**STOP, newClientOrderId="mine")
    exit_shim.shim.default_shim().journal.close()
    return "mine"


def test_help_loads_no_command():
    """Of the package --help loads four small modules, and besides them little but click."""
    of_click = loaded("import click")
    modules = loaded(RUN, "--help")
    assert {name for name in modules if name.startswith("exit_shim")} == {
        "exit_shim",
        "exit_shim.__main__",
        "exit_shim.cli",
        "exit_shim.cli.group",
        "exit_shim.cli.output",
        "exit_shim.runtime",
        "exit_shim.runtime.lazy_names",
    }
    # click asks shutil for the width of the terminal.
    of_shutil = {"lzma", "shutil"}
    assert modules & (HEAVY | {"msgspec", "rich", "sqlite3", "json"}) <= of_shutil
    others = {name for name in modules - of_click if not name.startswith(("exit_shim", "click"))}
    assert len(others) < 20, sorted(others)


@pytest.mark.parametrize(
    "command",
    ["summary", "summary --json", "records", "records --json", "records --module no", "explain mine"],
)
def test_reading_the_journal_loads_nothing_else(order, command):
    """No network, no client library, no guard and no logging; in a pipe no rich either."""
    modules = loaded(RUN, *command.split())
    assert modules & (HEAVY | {"rich"}) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_help(name):
    """The list is printed without loading the commands, so it repeats their first lines."""
    command = app.get_command(click.Context(app), name)
    assert command.name == name
    assert command.help.partition("\n")[0] == COMMANDS[name]
    # On 80 columns with the longest name in front.
    assert len(COMMANDS[name]) <= 80 - len("  reconcile  ")


def test_commands_are_listed_in_order():
    """They stand in the order of the alphabet, as click lists them."""
    assert app.list_commands(click.Context(app)) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("widths", "limit", "groups"),
    [
        ([10, 10, 10], 34, [[0, 1, 2]]),
        ([10, 10, 10], 33, [[0, 1], [2]]),
        ([10, 10, 9, 9], 23, [[0, 1], [2, 3]]),
        ([50, 10, 60], 20, [[0], [1], [2]]),
        ([10, 900], 40, [[0], [1]]),
        ([7], 3, [[0]]),
    ],
)
def test_columns_are_split_where_the_line_ends(widths, limit, groups):
    """Each group fits its line with its indent; a column that is too wide has one of its own."""
    assert [list(group) for group in split_columns(range(len(widths)), widths, limit)] == groups
