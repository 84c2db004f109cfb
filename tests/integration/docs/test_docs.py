"""The documents tell the truth: their tables against the code, their examples executed."""

import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest
from click.testing import CliRunner
from repository import ROOT

import exit_shim
from exit_shim import settings
from exit_shim.cli import app
from exit_shim.domain.attributions import Attribution, Evidence, Part
from exit_shim.domain.events import EVENT_NAMES, ExecutorStep, Intent, Record, Result
from exit_shim.domain.orders import KINDS, ExitOrder
from exit_shim.domain.reason_codes import ADVICE, REASONS
from exit_shim.domain.verdicts import Action
from exit_shim.executor.order_ids import CLOSE, HARD, MOVABLE, NATIVE_TRAIL, take_leg
from exit_shim.executor.protection import State
from exit_shim.journal import read_records

DOCS = ROOT / "docs"
README = ROOT / "README.md"
REFERENCE = DOCS / "reference"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("*/*.md"))]

NO_PYTHON = {
    "exit_shim.toml",
    "exit_shim.rules",  # the group of entry points
    *(
        "exit_shim.events",
        "exit_shim.events_other",
        "exit_shim.orders",
        "exit_shim.dashboard_orders",
        "exit_shim.runs",
    ),  # in PostgreSQL
}


def codes(page, heading):
    """The names in the first column of the table under a heading of a page of the reference."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    section = re.split(rf"^#+ {heading}\n", text, flags=re.MULTILINE)[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def output_of(command):
    """What a command prints, once it has ended with status 0."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (command, done.stderr[-2000:])
    return done.stdout


def blocks(path, language="python"):
    """The examples of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def test_every_event_of_the_journal_is_in_the_reference():
    """The table of events has what the journal can hold, and nothing else."""
    assert set(codes("events.md", "Events of the journal")) == set(EVENT_NAMES.values())


def test_every_field_of_a_record_is_in_the_reference():
    """The reference lists exactly the fields that a record prints."""
    record = Record(
        "run",
        1,
        Intent(
            ts=1,
            door="futures_create_order",
            operation="place",
            order=ExitOrder(kind="sl"),
            attribution=Attribution(module="m", evidence="stack"),
            mode="LEGACY",
        ),
    )
    assert sorted(codes("records.md", "Fields")) == sorted(record.flat())


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("Kinds", KINDS),
        ("Evidence", get_args(Evidence)),
        ("Parts", get_args(Part)),
        ("Verdicts", get_args(Action)),
        ("Outcomes", get_args(Result)),
    ],
)
def test_every_value_is_in_the_reference(heading, values):
    """The reference lists exactly the values that the code can record."""
    assert sorted(codes("records.md", heading)) == sorted(values)


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("States", get_args(State)),
        ("Steps", get_args(get_type_hints(ExecutorStep)["verb"])),
        ("Legs and client order ids", [*MOVABLE, HARD, NATIVE_TRAIL, CLOSE, take_leg(0), take_leg(1)]),
    ],
)
def test_every_word_of_the_executor_is_in_the_reference(heading, values):
    """The reference lists exactly the states, steps and legs that there are."""
    assert sorted(codes("executor.md", heading)) == sorted(values)


def test_every_rule_has_its_row():
    """Each reason code has its row in the reference: what it means and what to do."""
    text = (REFERENCE / "reasons.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE)) == sorted(REASONS) == sorted(ADVICE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_code(page):
    """What `python docs/from_code.py` writes is what stands on the pages."""
    text = page.read_text(encoding="utf-8")
    assert runpy.run_path(str(DOCS / "from_code.py"))["updated"](text) == text


def test_the_example_of_a_rule_works(tmp_path):
    """The rule on the page of reasons reports a stop that was moved far down, and nothing else."""
    (example,) = blocks(REFERENCE / "reasons.md")
    exec(compile(example, "reasons.md", "exec"), {})

    class Client:
        def futures_create_order(self, **params):
            return {"orderId": int(params["stopPrice"]), "status": "NEW"}

    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[])
    client = shim.wrap(Client())
    for price in (50_000, 49_000, 20_000):
        client.futures_create_order(
            symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=price, quantity=1, reduceOnly=True
        )
    shim.close()
    found = [
        str(reason)
        for record in read_records(tmp_path / "journal.db")
        for reason in record.reasons
        if reason.code == "TOO_FAR"
    ]
    assert found == ["TOO_FAR from=49000 to=20000"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_the_pages_are_there(page):
    """Each `exit-shim` command that a page shows, with its options, is one that the command line has."""
    context = click.Context(app)
    for shown in re.findall(
        r"(?:`|\$ |bin/|^)exit-shim ([^`|;)#\n]*)", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        name, *words = shown.split()
        if not name.startswith("--"):
            command = app.get_command(context, name)
            assert command is not None, name
            if isinstance(command, click.Group) and words and words[0] in command.commands:
                name, command = f"{name} {words[0]}", command.commands[words[0]]
            known = {option for parameter in command.params for option in parameter.opts}
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert options <= known, (name, options - known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_on_the_pages_are_settings(page):
    """Each EXIT_SHIM_ variable that a page names is in the table of settings."""
    named = set(re.findall(r"\bEXIT_SHIM_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= {setting.environment for setting in settings.SETTINGS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_on_the_pages_are_there(page):
    """Each file or folder of the repository that a page names exists."""
    named = re.findall(
        r"`((?:exit_shim|tests|benchmarks|docs|examples)/[\w/.]*)`", page.read_text(encoding="utf-8")
    )
    roots = [ROOT, Path(exit_shim.__file__).parents[1]]  # the package may be installed elsewhere
    assert [path for path in named if not any((root / path).exists() for root in roots)] == []


def test_pages_named_in_the_code_are_there():
    """Each page of the docs that a docstring or a help text names exists."""
    files = Path(exit_shim.__file__).parent.rglob("*.py")
    named = {name for file in files for name in re.findall(r"docs/[\w/-]+\.md", file.read_text("utf-8"))}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_on_the_pages_lead_somewhere(page):
    """Each link to a file of the repository, and to a heading in it, has its target."""
    for path, anchor in re.findall(
        r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")
    ):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            text = target.read_text(encoding="utf-8")
            if included := re.match(r"```{include} (\S+)", text):
                text = (target.parent / included[1]).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_on_the_pages_are_there(page):
    """Each module, class or function of the package that a page names can be imported."""
    # The names of spans and metrics are held by a test of their own.
    text = page.read_text(encoding="utf-8").partition("\n## Spans\n")[0]
    named = set(re.findall(r"`(exit_shim(?:\.[A-Za-z_]+)+)", text)) - NO_PYTHON
    assert [name for name in named if not is_there(name)] == []


def is_there(name):
    """Whether a dotted name leads to a module or to something in one."""
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return True


def test_the_map_of_rooms_is_the_listing():
    """The table in CONTRIBUTING has each folder of the package, and nothing else."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    package = Path(exit_shim.__file__).parent
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == folders


@pytest.mark.parametrize("example", blocks(DOCS / "explanation/limits.md"))
def test_the_known_limits_are_as_described(example):
    """Each snippet of the page of known limits runs and shows what it says."""
    exec(compile(example, "limits.md", "exec"), {})


@pytest.mark.parametrize("page", [README, DOCS / "how-to/own-clients.md"], ids=lambda page: page.name)
def test_the_examples_run(page, tmp_path, monkeypatch):
    """A page's Python examples run as they stand, one after the other."""

    class Client:
        def futures_create_order(self, **params):
            return {}

    monkeypatch.chdir(tmp_path)
    names = {"client": Client()}
    for example in blocks(page):
        exec(compile(textwrap.dedent(example), page.name, "exec"), names)
    assert exit_shim.unwrap(names["client"]).__class__ is Client
    if "shim" in names:
        names["shim"].close()


def test_the_tutorial_works_as_it_stands(tmp_path, monkeypatch):
    """A newcomer's half hour: each script and command of the tutorial, in its order."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    printed = ""
    for language, block in re.findall(r"```(python|console)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            (tmp_path / "one_stop.py").write_text(block)
            printed += output_of([sys.executable, "one_stop.py"])
            continue
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "))
            if words[0] == "export":
                monkeypatch.setenv(*words[1].split("=", 1))
            elif words[1] == "run":  # a bot has a process of its own
                printed += output_of([sys.executable, "-m", "exit_shim", *words[1:]])
            else:
                done = CliRunner().invoke(app, words[1:])
                assert done.exit_code == 0, (words, done.output)
                printed += done.stdout
    assert "65 exit orders by 6 modules" in printed
    assert "placed trailing BTCUSDT SELL TRAILING_STOP_MARKET" in printed
    assert re.search(r"place +sl +BTCUSDT +SELL +STOP_MARKET .* one_stop.py:\d+", printed)


def test_the_readme_shows_what_its_command_prints(monkeypatch):
    """Each line of the README's excerpt is one of the output's on 80 columns, though some are left out."""
    monkeypatch.setenv("COLUMNS", "80")
    excerpt = next(block for block in blocks(README, "text") if block.startswith("Who fights whom"))
    command = [*("run", "--local", "--mode", "EXIT_BRAIN_V3"), str(ROOT / "examples/legacy_bot/main.py")]
    printed = output_of([sys.executable, "-m", "exit_shim", *command]).splitlines()
    assert [line for line in excerpt.splitlines() if line != "…" and line not in printed] == []


def test_the_readme_is_short():
    """The README is one that is read to its end."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_what_survives_what_is_tested():
    """The table of faults names tests that are there, and each test of faults is in the table."""
    text = (DOCS / "explanation/survival.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    named = {name for line in table for name in re.findall(r"`(test_\w+)`", line.rpartition("| ")[2])}
    files = (ROOT / "tests/faults").glob("test_*.py")
    there = {
        name
        for file in files
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named == there


def test_the_supported_pythons_are_those_that_ci_tries():
    """The classifiers name the versions that `.ci/run` knows, no more and no fewer."""
    claimed = re.findall(r"Programming Language :: Python :: (3\.\d+)", (ROOT / "setup.cfg").read_text())
    (tried,) = re.findall(r"^supported=\((.*)\)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert claimed == tried.split()
