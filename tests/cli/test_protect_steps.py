"""What the commands show of an exit executor's steps, and what becomes of these in the journal."""

import io
import json
import re
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

import exit_shim
from exit_shim.cli import app
from exit_shim.cli.clock import UTC_CLOCK
from exit_shim.cli.filters import select
from exit_shim.cli.protect_view import ProtectView, TableView
from exit_shim.domain.events import ExecutorStep, Switch
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.executor import (
    Breakeven,
    ExitExecutor,
    ExitPlan,
    HardStop,
    PartialTake,
    Trail,
    at_fraction,
    at_r,
)
from exit_shim.executor.protection import Protection
from exit_shim.feeds.other_processes import turn
from exit_shim.journal import Journal, JournalReader, prune, read_records
from exit_shim.sinks.log import LogSink
from exit_shim.testing import FakeClient, LocalExchange

PLAN = ExitPlan(
    symbol="BTCUSDT",
    position_side="LONG",
    legs=(HardStop(at_fraction("0.02")), PartialTake("0.5", at_r("1.5")), Breakeven("first_take")),
    plan_id="swing",
    revision=3,
)

TRAILING = ExitPlan(
    symbol="BTCUSDT",
    position_side="LONG",
    legs=(HardStop(at_fraction("0.02")), Trail("0.008")),
    plan_id="trailing",
)

LATER_NS = 2**62
"""A moment after all that a test records."""


class Desk:
    """An executor with a position in this process, and its journal."""

    def __init__(self, folder, plan=PLAN):
        self.journal = folder / "journal.db"
        self.shim = exit_shim.ExitShim(journal=self.journal, sinks=[])
        self.exchange = LocalExchange()
        self.client = FakeClient(exchange=self.exchange)
        self.client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.1)
        self.executor = ExitExecutor(self.client, lambda _: plan, shim=self.shim, stream=False)

    def settle(self):
        """Do passes until nothing is left to do."""
        for _ in range(10):
            protections = self.executor.protect()
            if not any(one.steps for one in protections):
                return protections
        raise AssertionError(protections)

    def run(self, *words):
        """What a command prints, with this journal."""
        assert self.shim.flush()
        done = CliRunner(env={"EXIT_SHIM_JOURNAL": str(self.journal)}).invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.stdout

    def steps(self):
        """The recorded steps, oldest first."""
        assert self.shim.flush()
        return [one.step for one in JournalReader(self.journal).read_steps()]


@pytest.fixture
def desk(tmp_path):
    own = Desk(tmp_path)
    yield own
    own.executor.stop()
    own.shim.close()


def test_explain_shows_plan_leg_and_the_steps_around(desk):
    """An order of the executor comes with its plan, leg, reason, and the step before and after."""
    desk.settle()
    (hard,) = [one for one in desk.steps() if one.leg == "hs"]
    told = desk.run("explain", hard.client_order_id)
    assert f"step      place hs, plan swing r3, episode {hard.episode}" in told
    assert "because   plan swing r3, hs: the position has no hard stop" in told
    assert re.search(r"before    \S+ \S+ plan: the router gave it", told)
    assert re.search(rf"after     \S+ \S+ .*xs-{hard.episode}-t1-1", told)
    (line,) = desk.run("explain", "--json", hard.client_order_id).splitlines()
    steps = json.loads(line)["steps"]
    assert (steps["step"]["verb"], steps["before"]["verb"]) == ("place", "plan")


def test_explain_knows_the_step_of_a_cancel(tmp_path):
    """A cancel of a stop that was moved is explained by the step that cancelled it."""
    desk = Desk(tmp_path, TRAILING)
    try:
        desk.settle()
        desk.exchange.set_mark("BTCUSDT", 60_600)
        desk.settle()
        (cancel,) = [one for one in desk.steps() if one.verb == "cancel"]
        assert "step      cancel tr, plan trailing r1" in desk.run("explain", cancel.client_order_id)
    finally:
        desk.executor.stop()
        desk.shim.close()


def test_explain_of_a_step_without_an_order_and_of_an_episode(desk):
    """What was written down and never sent is shown; an episode lists all its steps."""
    desk.settle()
    episode = desk.steps()[0].episode
    sent = "xs-aaaaaaaa-hs-1"
    step = ExecutorStep(
        symbol="ETHUSDT",
        position_side="BOTH",
        episode="aaaaaaaa",
        verb="place",
        why="died before it left",
        client_order_id=sent,
    )
    desk.shim.recorder.record(step)
    assert "died before it left" in desk.run("explain", sent)
    told = desk.run("explain", episode)
    assert (len(told.splitlines()), "ETHUSDT" in told) == (1 + len(desk.steps()) - 1, False)


def test_orders_of_others_have_no_steps(desk):
    """An order that is not the executor's is explained as before."""
    desk.settle()
    client = desk.shim.wrap(desk.client)
    with exit_shim.attributed("hand"):
        client.futures_create_order(
            symbol="BTCUSDT",
            side="SELL",
            type="STOP_MARKET",
            stopPrice=50_000,
            quantity=0.01,
            reduceOnly=True,
        )
    desk.shim.flush()
    *_, last = read_records(desk.journal)
    told = desk.run("explain", f"{last.run_id}:{last.seq}")
    assert "  step " not in told
    assert json.loads(desk.run("explain", "--json", f"{last.run_id}:{last.seq}"))["steps"] is None


def test_summary_has_a_line_for_each_position(desk):
    """The last step of each position, with plan and reason; as JSON too."""
    desk.settle()
    told = desk.run("summary")
    assert re.search(
        r"^BTCUSDT +BOTH +swing r3 +\S+ \S+ +\S+ \S+ place t1 +the plan takes", told, re.MULTILINE
    )
    (position,) = json.loads(desk.run("summary", "--json"))["positions"]
    assert (position["symbol"], position["plan_id"], position["verb"]) == ("BTCUSDT", "swing", "place")


def test_records_lists_steps(desk):
    """Each step with its reason, narrowed by symbol; the orders themselves stay as they were."""
    desk.settle()
    told = desk.run("records", "--steps", "--symbol", "btcusdt")
    assert re.search(
        r"place +hs +58800\.\d +whole position +swing r3 +xs-\S+-hs-1 +the position has no", told
    )
    assert desk.run("records", "--steps", "--symbol", "ETHUSDT") == ""
    lines = [json.loads(line) for line in desk.run("records", "--steps", "--json").splitlines()]
    assert {line["event"] for line in lines} == {"executor_step"}
    assert {line["operation"] for line in map(json.loads, desk.run("records", "--json").splitlines())} == {
        "place"
    }
    done = CliRunner(env={"EXIT_SHIM_JOURNAL": str(desk.journal)}).invoke(
        app, ["records", "--steps", "--module", "m"]
    )
    assert (done.exit_code, "--steps takes --account, --run, --since, --symbol" in done.output) == (2, True)


def test_tail_prints_steps_as_they_happen(desk, monkeypatch):
    """A step comes before the order that it sends, once."""
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(desk.journal))
    from exit_shim.cli import tail  # noqa: PLC0415 - loaded when it is used

    rounds = iter(range(3))

    def sleep(_):
        desk.settle()
        desk.shim.flush()
        if next(rounds, None) is None:
            raise KeyboardInterrupt

    said = []
    # Of this module alone: other threads sleep too.
    monkeypatch.setattr(tail, "time", SimpleNamespace(sleep=sleep, time_ns=time.time_ns))
    monkeypatch.setattr(tail, "say", lambda line, **_: said.append(line))
    desk.shim.flush()
    with pytest.raises(KeyboardInterrupt):
        tail.Follower(select(UTC_CLOCK), as_json=False).follow()
    hard = [line for line in said if "-hs-1" in line]
    assert len(hard) == 1
    assert re.search(r"BTCUSDT  BOTH  place  hs  58800\.\d  whole position  swing r3", hard[0])
    assert any("accepted" in line for line in said[said.index(hard[0]) + 1 :])


def test_steps_are_logged(caplog):
    """Each step is a line with its reason; a closing is a warning."""
    caplog.set_level("INFO", "exit_shim")
    sink = LogSink()
    step = ExecutorStep(
        symbol="BTCUSDT",
        position_side="BOTH",
        episode="aaaaaaaa",
        verb="place",
        leg="hs",
        why="the position has no hard stop",
        trigger="58800",
    )
    close = ExecutorStep(symbol="BTCUSDT", position_side="BOTH", episode="aaaaaaaa", verb="close", why="late")
    for event in (step, close):
        sink.on(RecordedEvent("run", 1, event))
    first, second = caplog.records[-2:]
    assert first.levelname == "INFO"
    assert 'place hs symbol=BTCUSDT position_side=BOTH why="the position has no hard stop"' in first.message
    assert "trigger=58800" in first.message
    assert (second.levelname, " close " in second.message) == ("WARNING", True)


def test_prune_keeps_what_a_restart_needs(desk):
    """The last step of an open position stays, and that is said; once it is flat all can go."""
    desk.settle()
    desk.shim.flush()
    kept = prune(desk.journal, before_ns=LATER_NS)
    assert (kept.in_force, [one.leg for one in desk.steps()][-1]) == (1, "t1")
    desk.client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.1, reduceOnly="true"
    )
    desk.settle()
    desk.shim.flush()
    assert prune(desk.journal, before_ns=LATER_NS).in_force == 0
    assert desk.steps() == []


def test_prune_keeps_the_switches_in_force(tmp_path):
    """A pause stays in force; what was switched back or replaced is deleted."""
    path = tmp_path / "journal.db"
    for switch in (
        Switch(by="a", protect="pause", symbol="BTCUSDT"),
        Switch(by="b", protect="pause", symbol="ETHUSDT"),
        Switch(by="c", protect="resume", symbol="ETHUSDT"),
        Switch(by="d", enforce="off"),
        Switch(by="e", enforce="on"),
        Switch(by="f", mode="LEGACY"),
        Switch(by="g", mode=""),
    ):
        journal = Journal(path, problem)
        turn(journal, switch)
        journal.close()
    kept = prune(path, before_ns=LATER_NS)
    bodies = [json.loads(one.body) for one in JournalReader(path).read_events() if one.event == "switch"]
    assert (kept.in_force, [body["by"] for body in bodies]) == (1, ["a"])


def problem(error):
    raise error


def test_an_executor_in_a_bot_follows_a_pause_by_another_process(desk):
    """The switch reaches it through the journal, has a pass done soon, and is lifted the same way."""
    desk.settle()
    (take,) = desk.exchange.open_orders()
    other = Journal(desk.journal, problem)
    turn(other, Switch(by="ops", protect="pause", symbol="BTCUSDT"))
    desk.shim.process_feed.run_once()
    assert desk.executor.agenda.wait_s() == 0
    desk.client.futures_cancel_order(symbol="BTCUSDT", orderId=take["orderId"])
    (paused,) = desk.executor.protect()
    assert (paused.state, paused.guarded, desk.exchange.open_orders()) == ("HANDS_OFF", paused.size, [])
    turn(other, Switch(by="ops", protect="resume", symbol="BTCUSDT"))
    other.close()
    desk.shim.process_feed.run_once()
    desk.settle()
    assert len(desk.exchange.open_orders()) == 1


def test_a_pause_in_code_is_an_event(desk):
    """`pause` and `resume` of an executor are recorded as those of the command."""
    desk.executor.pause("BTCUSDT")
    assert desk.executor.protect()[0].state == "HANDS_OFF"
    desk.executor.resume("BTCUSDT")
    assert desk.executor.protect()[0].state != "HANDS_OFF"
    desk.shim.flush()
    events = [one.body for one in JournalReader(desk.journal).read_events() if one.event == "switch"]
    assert ['"protect":"pause"' in events[0], '"protect":"resume"' in events[1]] == [True, True]
    with pytest.raises(ValueError, match="give both or neither"):
        desk.shim.switch(protect="pause")


def test_a_position_without_a_plan_records_nothing(tmp_path):
    """Looking at it again and again leaves no trace in the journal."""
    desk = Desk(tmp_path)
    executor = ExitExecutor(desk.client, lambda _: None, shim=desk.shim, stream=False)
    try:
        states = {one.state for _ in range(3) for one in executor.protect()}
        assert (states, desk.steps()) == ({"NO_PLAN"}, [])
    finally:
        executor.stop()
        desk.shim.close()


BARE = Protection(
    account="main",
    symbol="1000PEPEUSDT",
    position_side="SHORT",
    state="UNPROTECTED",
    size=PLAN.take_shares[0] * 10,
    plan_id="a-plan-with-a-long-name@12345678",
    revision=1,
    problem="the hard stop was refused: -2021 Order would immediately trigger.",
    bare_since=1,
)


def test_the_table_fits_80_columns(monkeypatch):
    """Symbol, side, state, guard and bare time stand whole; what comes next wraps."""
    monkeypatch.setenv("COLUMNS", "80")
    view = TableView(has_plans=True, is_dry_run=False, as_json=False, paused=set())
    view.show([BARE], ("the clock is 3.2 s behind the exchange's: set it, or requests are refused",))
    console = Console(file=io.StringIO(), width=80)
    console.print(view.render())
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("1000PEPEUSDT" in line and "SHORT" in line and "UNPROTECTED" in line for line in lines)
    assert any("1 position, 1 to look at; Ctrl-C stops" in line for line in lines)
    assert any("the clock is 3.2 s behind" in line for line in lines)


def test_a_line_for_each_change_and_no_other(capsys):
    """The same state is printed once; a change, and the end of a position, each once more."""
    view = ProtectView(has_plans=True, is_dry_run=False, as_json=False, paused=set())
    for _ in range(3):
        view.show([BARE], ())
    view.show([], ())
    lines = capsys.readouterr().out.splitlines()
    assert ["UNPROTECTED" in lines[0], "FLAT" in lines[1], len(lines)] == [True, True, 2]
    assert "the hard stop was refused: -2021" in lines[0]


def test_what_cannot_be_read_is_said_once(capsys):
    """A problem of the whole account is printed when it begins and when it ends."""
    view = ProtectView(has_plans=True, is_dry_run=False, as_json=False, paused=set())
    for problems in (("the clock is off",), ("the clock is off",), ()):
        view.show([], problems)
    assert capsys.readouterr().err.splitlines() == [
        "the clock is off; it is tried again",
        "the exchange answers again, and key and clock are right",
    ]
