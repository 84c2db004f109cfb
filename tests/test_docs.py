"""The documents tell the truth: their tables against the code, their examples executed."""

import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest

import exit_shim
from exit_shim.domain import reason_codes, verdicts
from exit_shim.domain.attributions import Attribution, Evidence, Part
from exit_shim.domain.events import Intent, Record, Result
from exit_shim.domain.orders import KINDS, ExitOrder
from exit_shim.journal.line_format import EVENTS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"


def codes(heading):
    """The names in the first column of the table under a heading of the reference."""
    section = (DOCS / "reference.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def blocks(path):
    """The Python examples of a page."""
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


def test_every_event_of_the_journal_is_in_the_reference():
    """The table of events has what the journal can hold, and nothing else."""
    assert set(codes("Events of the journal")) == EVENTS


def test_every_field_of_a_record_is_in_the_reference():
    """The reference lists exactly the fields that a record prints, in their order."""
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
    assert sorted(codes("Fields")) == sorted(record.flat())


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("Kinds", KINDS),
        ("Evidence", get_args(Evidence)),
        ("Parts", get_args(Part)),
        ("Verdicts", get_args(verdicts.Action)),
        ("Outcomes", get_args(Result)),
    ],
)
def test_every_value_is_in_the_reference(heading, values):
    """The reference lists exactly the values that the code can record."""
    assert sorted(codes(heading)) == sorted(values)


def test_every_rule_has_its_row():
    """Each reason code has its row in docs/rules.md: what it means and what to do."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "rules.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(reason_codes.REASONS)


@pytest.mark.parametrize("example", blocks(DOCS / "limits.md"))
def test_the_known_limits_are_as_described(example):
    """Each snippet of the page of known limits runs and shows what it says."""
    exec(compile(example, "limits.md", "exec"), {})


def test_the_readmes_examples_run(tmp_path, monkeypatch):
    """The README's Python examples run as they stand, one after the other."""

    class Client:
        def futures_create_order(self, **params):
            return {}

    monkeypatch.chdir(tmp_path)
    names = {"client": Client()}
    for example in blocks(README):
        exec(compile(textwrap.dedent(example), "README.md", "exec"), names)
    assert exit_shim.unwrap(names["client"]).__class__ is Client
    names["shim"].close()


def test_what_survives_what_is_tested():
    """The table of faults names tests that are there, and each test of faults is in the table."""
    table = [line for line in (DOCS / "survival.md").read_text().splitlines() if line.startswith("| ")]
    named = {name for line in table for name in re.findall(r"`(test_\w+)`", line.rpartition("| ")[2])}
    files = (Path(__file__).parent / "faults").glob("test_*.py")
    there = {
        name
        for file in files
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert named == there


def test_the_supported_pythons_are_those_that_ci_tries():
    """The classifiers name the versions that `.ci/run` knows, no more and no fewer."""
    claimed = re.findall(r"Programming Language :: Python :: (3\.\d+)", (ROOT / "setup.cfg").read_text())
    (tried,) = re.findall(r"^supported=\((.*)\)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert claimed == tried.split()
