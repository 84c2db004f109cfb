"""The page "From LEGACY to enforced in an afternoon", followed word by word on the local exchange."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

from exit_shim.domain.events import DECODERS, ExecutorStep
from exit_shim.journal import JournalReader, RecordFilter, read_records

pytestmark = pytest.mark.xdist_group("enforcing docs")  # whose workers share what a fixture has run

PAGE = (ROOT / "docs/how-to/enforcing.md").read_text()


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory):
    """All of the page's files and commands in one folder; the output of each command."""
    folder = tmp_path_factory.mktemp("afternoon")
    (folder / "examples").symlink_to(ROOT / "examples")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for name in ("EXIT_MODE", "EXIT_SHIM_POLICY"):
        environment.pop(name, None)
    said = []
    for kind, block in re.findall(r"```(toml|console)\n(.*?)```", PAGE, re.DOTALL):
        if kind == "toml":
            name = re.match(r"# (\S+)", block)[1]
            (folder / name).write_text(block)
            continue
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "))
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                environment[name] = value
                continue
            assert words[0] == "exit-shim"
            done = subprocess.run(
                [sys.executable, "-m", "exit_shim", *words[1:]],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
                env=environment,
                timeout=120,
            )
            assert done.returncode == 0, (line, done.stderr[-2000:])
            said.append((line, done.stdout))
    return folder, said


def outputs(afternoon, word):
    return [output for line, output in afternoon[1] if f"exit-shim {word}" in line]


def test_every_command_of_the_page_works(afternoon):
    """Each ends with status 0, and the page has them all."""
    assert len(afternoon[1]) >= 11


def test_it_begins_with_watching(afternoon):
    """In LEGACY nothing conflicts; the summary names the modules."""
    assert "0 ownership conflicts" in outputs(afternoon, "summary")[0]
    assert "trailing_stop_manager" in outputs(afternoon, "summary")[0]


def test_the_policy_warns_first(afternoon):
    """The second run has the conflicts and the stranger, and nothing held back."""
    runs = list(dict.fromkeys(record.run_id for record in read_records(afternoon[0] / "afternoon.db")))
    second = list(read_records(afternoon[0] / "afternoon.db", RecordFilter(run_id=runs[1])))
    codes = {reason.code for record in second for reason in record.reasons}
    assert {"OWNERSHIP_CONFLICT", "UNKNOWN_MODULE"} <= codes
    assert not [r for r in second if r.outcome and r.outcome.result in {"denied", "simulated"}]


def test_whatif_tells_beforehand(afternoon):
    """It names modules, rules and symbols."""
    (told,) = outputs(afternoon, "whatif")
    assert re.search(r"(?m)^position_monitor\n(  .*\n)*?  denied +OWNERSHIP_CONFLICT +place", told)
    assert "would be denied" in told


def test_enforcing_holds_back(afternoon):
    """The last run has simulated orders of legacy modules."""
    assert "simulated" in outputs(afternoon, "summary")[1]


def test_the_executor_held_the_exits(afternoon):
    """In the last run every position got its hard stop, and the steps say by which plan."""
    runs = list(dict.fromkeys(record.run_id for record in read_records(afternoon[0] / "afternoon.db")))
    decode = DECODERS[ExecutorStep].decode
    steps = [
        decode(event.body)
        for event in JournalReader(afternoon[0] / "afternoon.db").read_events()
        if (event.event, event.run_id) == ("executor_step", runs[-1])
    ]
    stops = [step for step in steps if (step.verb, step.leg) == ("place", "hs")]
    assert {step.symbol for step in stops} == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert {(step.plan_id, step.revision) for step in stops} == {("plan", 1)}


def test_the_plan_of_the_page_is_the_examples():
    """The page shows the function that examples/exit_brain runs with."""
    (shown,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    run = (ROOT / "examples/exit_brain/exit_brain_executor.py").read_text()
    first, second = (
        next(ast.unparse(node) for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
        for text in (shown, run)
    )
    assert first == second


def test_the_switches_are_in_the_journal(afternoon):
    """Who turned them, and what they were turned to."""
    switches = [
        event
        for event in JournalReader(afternoon[0] / "afternoon.db").read_events()
        if event.event == "switch"
    ]
    assert len(switches) == 4
    assert [event for event in switches if '"by":"the desk","enforce":"off"' in event.body]
    assert outputs(afternoon, "enforce")[1] == "off\n"
