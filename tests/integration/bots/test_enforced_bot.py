"""The example bot under enforcement, with the market moving against it.

Held against the engine's own state, tick by tick, not against what the shim says.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import market_witness
import pytest
from click.testing import CliRunner
from repository import ROOT

from exit_shim.cli import app
from exit_shim.domain.events import DECODERS, ExecutorStep
from exit_shim.journal import JournalReader, read_records

# Each worker would run the bots of a fixture of its own.
pytestmark = pytest.mark.xdist_group("enforced bot")

SLOW = pytest.mark.slow
DENIALS = ["raise", pytest.param("return_none", marks=SLOW), pytest.param("simulate", marks=SLOW)]

LEGACY = {
    "position_monitor",
    "trailing_stop_manager",
    "hybrid_tpsl",
    "event_driven_executor",
    "dynamic_trailing_rearm",
    "exposure_guard",
}
OWNER = "exit_brain_executor"

POLICY = """
look_within_s = 10
level = "{level}"
mode = "EXIT_BRAIN_V3"
on_deny = "{denied}"
[modes.EXIT_BRAIN_V3]
unknown = "deny"
"""

MONITOR_ONLY = """
look_within_s = 10
level = "enforce"
mode = "EXIT_BRAIN_V3"
[modes.EXIT_BRAIN_V3]
legacy = []
monitors = [
    "position_monitor", "trailing_stop_manager", "hybrid_tpsl", "event_driven_executor",
    "dynamic_trailing_rearm", "exposure_guard",
]
takeover = ["monitors"]
"""

WITNESS = Path(market_witness.__file__)


class Run(NamedTuple):
    """One run of the bot and its owner.

    Attributes:
        seen: What the engine saw.
        records: The journal's records.
        steps: The executor's steps in the journal.
        log: What the bot logged.
        folder: Where its files are.
    """

    seen: dict
    records: list
    steps: list
    log: str
    folder: Path

    @property
    def modules(self):
        """The module that placed each order, by the exchange's id."""
        return {
            str(number): record.intent.attribution.module
            for record in self.records
            if record.intent.operation == "place" and record.outcome is not None
            for number in (record.outcome.algo_id, record.outcome.order_id)
            if number is not None
        }

    def sender_of(self, cause):
        """Return the module whose request a position lost its cover by; None for a price."""
        if "algoId" not in cause:
            # Only the bot's modules send a cancel-all.
            return None if "price" in cause else "a module of the bot"
        for record in self.records:
            ids = {str(target.algo_id) for target in record.intent.targets}
            is_cancel = record.intent.operation == "cancel" and record.outcome.result == "accepted"
            if is_cancel and cause["algoId"] in ids:
                return record.intent.attribution.module
        return None


def run_bot(folder, policy, *options):
    """Run the bot and its owner under a policy."""
    folder.mkdir()
    out, journal = folder / "out.json", folder / "journal.db"
    (folder / "policy.toml").write_text(policy)
    script = ROOT / "examples" / "exit_brain" / "main.py"
    done = subprocess.run(
        [sys.executable, WITNESS, script, out, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={
            **os.environ,
            "EXIT_SHIM_JOURNAL": str(journal),
            "EXIT_SHIM_POLICY": str(folder / "policy.toml"),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    events = JournalReader(journal).read_events()
    decode = DECODERS[ExecutorStep].decode
    steps = [decode(event.body) for event in events if event.event == "executor_step"]
    return Run(json.loads(out.read_text()), list(read_records(journal)), steps, done.stderr, folder)


def told_of(records, symbol):
    """What was recorded of a symbol, with when: which call bared its position, and what the guard saw."""
    about = [r for r in records if symbol in str(r.intent)]
    return "\n".join(
        f"{(r.intent.ts - about[0].intent.ts) / 1e6:8.1f} ms {r.intent.attribution.module} "
        f"{r.intent.operation} {r.intent.order.type} {r.intent.order.quantity} "
        f"{[target.algo_id for target in r.intent.targets]} {r.outcome} {r.reasons}"
        for r in about
    )


@pytest.fixture(scope="module")
def warned(tmp_path_factory):
    return run_bot(tmp_path_factory.mktemp("bot") / "warn", POLICY.format(level="warn", denied="raise"))


@pytest.fixture(scope="module", params=DENIALS)
def enforced(request, tmp_path_factory):
    policy = POLICY.format(level="enforce", denied=request.param)
    return run_bot(tmp_path_factory.mktemp("bot") / "enforce", policy, "--hold-the-close")


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    """The bot with its legacy modules as monitors: they may look, and not place."""
    return run_bot(tmp_path_factory.mktemp("bot") / "monitor", MONITOR_ONLY, "--hold-the-close")


@pytest.fixture(scope="module")
def taken_over(tmp_path_factory):
    """The bot whose enforcement is switched on while its modules' orders rest beside the owner's."""
    policy = POLICY.format(level="enforce", denied="raise")
    return run_bot(tmp_path_factory.mktemp("bot") / "late", policy, "--start-off", "--hold-the-close")


def check_protected(run):
    """From the owner's first protection on, at no instant was more of a position open than stops cover."""
    seen, records = run.seen, run.records
    bare = [spell for spell in seen["spells"] if spell["is_protected"]]
    assert bare == [], told_of(records, bare[0]["symbol"])
    # Before it the policy holds nothing back, so one legacy module may take another's stop away.
    assert {run.sender_of(spell["cause"]) for spell in seen["spells"]} <= LEGACY | {"a module of the bot"}
    assert seen["ticks"] > 100
    assert seen["moved"]["BTCUSDT"] < 0 < seen["moved"]["SOLUSDT"]
    assert seen["held"] == []  # closing at market went through
    assert seen["troubles"] == 0


def test_every_position_was_protected_throughout(enforced):
    """Every position is covered at every instant from the owner's first stop on."""
    check_protected(enforced)


def test_only_the_owners_orders_rest(enforced):
    """While positions are open no legacy order rests, and at the end only the one placed by hand does."""
    seen, modules = enforced.seen, enforced.modules
    by_hand = seen["by_hand"]
    assert by_hand not in modules
    assert {modules[number] for number in seen["rested"] if number != by_hand} == {OWNER}
    assert seen["resting"] == [by_hand]


def test_each_legacy_attempt_is_an_event_with_its_reason(enforced):
    """Each exit that a legacy module tried to place is recorded: denied, or let out with the reason."""
    records = [r for r in enforced.records if r.intent.attribution.module in LEGACY]
    # A module that cannot cancel the old stop may not ask for the new one.
    assert {r.intent.attribution.module for r in records} == LEGACY
    placed = [r for r in records if r.intent.operation == "place"]
    assert {r.intent.attribution.module for r in placed} >= {"event_driven_executor", "hybrid_tpsl"}
    for record in placed:
        codes = {reason.code for reason in record.reasons}
        assert codes & {"OWNERSHIP_CONFLICT", "UNKNOWN_MODULE"}
        if record.outcome.result not in {"denied", "simulated"}:
            assert record.intent.order.type == "MARKET" or "PROTECTIVE_OVERRIDE" in codes


def check_alive(run):
    """Each legacy module went through all its rounds: denials are answered, and what it watches is logged."""
    assert "a module failed, carrying on" not in run.log
    assert re.findall(r"\[main\] round (\d)", run.log) == ["0", "1", "2", "3"]
    assert re.search(r"\[hybrid_tpsl\] \w+: somebody took my take-profit away", run.log)
    assert "[position_monitor] flat" in run.log


def test_the_legacy_modules_work_on(enforced):
    """Whatever a denied module gets, it runs on, and so do its alerts."""
    check_alive(enforced)


def test_monitors_work_on(monitored):
    """Legacy modules that are monitors only are answered with simulated orders, and watch on."""
    check_alive(monitored)
    check_protected(monitored)
    results = {
        record.outcome.result
        for record in monitored.records
        if record.intent.attribution.module in LEGACY and record.intent.operation == "place"
    }
    assert "simulated" in results
    assert "denied" not in results


def test_the_owner_is_never_held_back(enforced):
    """What the owner asks for goes out, for nothing of the policy is against it; its steps say why."""
    owned = [record for record in enforced.records if record.intent.attribution.module == OWNER]
    assert owned
    assert {record.intent.verdict.action for record in owned} == {"allow"}
    # Beside a legacy module's stop its own may be a double, or farther away, for a moment.
    assert {reason.code for r in owned for reason in r.reasons} <= {"DUPLICATE_EXIT", "STOP_WIDENED"}
    placed = {record.intent.order.client_order_id for record in owned if record.intent.operation == "place"}
    assert placed <= {step.client_order_id for step in enforced.steps}


def test_what_rests_is_taken_over(taken_over):
    """Once the policy is enforced, the owner cancels what legacy modules have resting beside its stops."""
    seen, modules = taken_over.seen, taken_over.modules
    assert seen["switched"]
    left = {modules[number] for number in seen["rested"] if number != seen["by_hand"]}
    # An order of a module that is on no list stays.
    assert OWNER in left
    assert left <= {OWNER, "exposure_guard"}
    takeovers = [step for step in taken_over.steps if step.why.startswith("taken over")]
    assert {modules[step.order_id] for step in takeovers} <= LEGACY
    # What a legacy module cancels itself before the switch is in force is not left to be taken over.
    assert takeovers
    assert seen["resting"] == [seen["by_hand"]]


@pytest.mark.parametrize("run", ["warned", "taken_over"])
def test_what_others_take_away_is_replaced(run, request):
    """What modules that are not held back strip, the owner replaces; it strips nothing itself."""
    run = request.getfixturevalue(run)
    for spell in run.seen["spells"]:
        assert run.sender_of(spell["cause"]) in LEGACY | {"a module of the bot"}
        assert "ended_by" in spell


def attempts(records):
    """What was held back, as far as two runs of the bot can be compared."""
    return {
        (r.intent.attribution.module, r.intent.operation, r.intent.order.kind)
        for r in records
        if r.outcome is not None and r.outcome.result in {"denied", "simulated"}
    }


def test_whatif_on_the_warn_journal_predicted_every_one(warned, enforced):
    """What was held back is what `whatif` said of the journal that was recorded while nothing was."""
    before = warned.folder / "journal.db"
    done = CliRunner().invoke(
        app, ["whatif", "--policy", str(enforced.folder / "policy.toml"), "--from", str(before), "--json"]
    )
    predicted = {(row["module"], row["operation"], row["kind"]) for row in json.loads(done.output)["by"]}
    happened = attempts(enforced.records)
    assert happened
    places = {one for one in happened if one[1] == "place"}
    assert places <= predicted
    # What a module cancels depends on what rests: the owner's closePosition stop is one that they look for.
    assert {one[0] for one in happened} <= {one[0] for one in predicted}


def test_without_enforcement_the_same_bot_strips_its_positions(warned):
    """The comparison means something: while the guard only warned, positions were bare at some instants."""
    assert not attempts(warned.records)
    assert warned.seen["spells"]
