"""What the page is told: held against the exchange at random, and where orders are answered late or never."""

import collections
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from timeline_histories import World, jumping

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import (
    EVENT_NAMES,
    ExecutorStep,
    GuardFinding,
    Intent,
    Lost,
    OrderFindings,
    Outcome,
    Resolution,
    Switch,
    Target,
)
from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.verdicts import Reason
from exit_shim.journal import Journal, JournalReader, RecordFilter, StoredEvent
from exit_shim.reports.page.broadcast import MOST_TICKS, Broadcast
from exit_shim.reports.page.live_state import MOST_DOUBTS, MOST_ENDED, MOST_FEED, MOST_PENDING, LiveState
from exit_shim.reports.page.source_follower import SourceFollower
from exit_shim.reports.page.views import state_view

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


class WatchedWorld(World):
    """A history that a page follows from its beginning, and that a new page takes up now and then."""

    state = None

    def claims(self):
        assert self.shim.flush()
        reader, now = JournalReader(self.path), time.time_ns()
        if self.state is None:
            self.follower, self.state = SourceFollower(reader), LiveState(HOUR, RecordFilter())
            self.follower.skip_to_end()
            self.state.load(reader, now, self.follower.place_of)
        self.state.take(self.follower.read_new(), now)
        fresh, follower = LiveState(HOUR, RecordFilter()), SourceFollower(reader)
        follower.skip_to_end()
        fresh.load(reader, now, follower.place_of)
        return {way: self.covers(state) for way, state in {"followed": self.state, "taken up": fresh}.items()}

    @staticmethod
    def covers(state):
        return {
            (each.position.symbol, each.position.position_side): each.cover
            for each in state.positions()
            if each.seen_ns is not None
        }


def test_a_page_claims_no_cover_that_is_not(pytestconfig):
    """A page that followed a bot, and one that took its record up, say what the exchange has, or unknown."""
    tally = collections.Counter()
    with jumping():
        for seed in range(pytestconfig.getoption("histories")):
            with tempfile.TemporaryDirectory() as folder:
                world = WatchedWorld(seed, Path(folder), tally)
                try:
                    for _ in range(25):
                        world.step()
                finally:
                    world.close()
    assert tally["followed seen WRONG"] == tally["taken up seen WRONG"] == 0
    assert tally["followed seen right"] > 2 * tally["followed seen unknown"]
    assert tally["taken up seen right"] > 2 * tally["taken up seen unknown"]


def test_what_comes_while_a_record_is_taken_up_counts_once(tmp_path):
    """What is written between finding the runs' ends and reading is neither missed nor taken twice."""
    path = tmp_path / "journal.db"
    journal = Journal(path)
    write_some(journal, 1)
    reader = JournalReader(path)
    follower, state = SourceFollower(reader), LiveState(HOUR, RecordFilter())
    follower.skip_to_end()
    write_some(journal, 2)
    state.load(reader, time.time_ns(), follower.place_of)
    write_some(journal, 3)
    journal.close()
    for _ in range(2):
        state.take(follower.read_new(), time.time_ns())
    assert len(state.steps) == 3
    assert [life.name for each in state.positions() for life in each.exits] == ["1", "2", "3"]


def write_some(journal, number):
    """Append an order with its answer, and a step."""
    seq = journal.append(msgspec.structs.replace(intent(name=f"n{number}"), ts=time.time_ns()))
    journal.append(Outcome(result="accepted", algo_id=number), (journal.run_id, seq))
    step = {"symbol": "BTCUSDT", "position_side": "BOTH", "episode": "e"}
    journal.append(ExecutorStep(verb="note", why="because", **step))
    assert journal.flush()


class Tape:
    """Events of one run, made by hand, and the state that takes them."""

    def __init__(self):
        self.now = 1_000 * HOUR
        self.state = LiveState(HOUR, RecordFilter())
        self.seq = 0

    def take(self, event, about=None):
        """Take an event; return its number."""
        self.seq += 1
        self.now += SECOND // 100
        if isinstance(event, Intent):
            event = msgspec.structs.replace(event, ts=self.now)
        body = msgspec.json.encode(event).decode()
        about = None if about is None else f"run:{about}"
        stored = StoredEvent("run", self.seq, self.seq, self.now, EVENT_NAMES[type(event)], about, body, b"")
        self.state.take([stored], self.now)
        return self.seq

    def wait(self, seconds):
        self.now += seconds * SECOND
        self.state.tidy(self.now)

    def exits(self):
        return [(life.module, life.is_in_doubt) for each in self.state.positions() for life in each.exits]


def intent(operation="place", module="brain", name="a", targets=(), **fields):
    return Intent(
        ts=0,
        door="futures_create_order",
        operation=operation,
        order=ExitOrder(
            kind="sl",
            symbol="BTCUSDT",
            side="SELL",
            position_side="BOTH",
            type="STOP_MARKET",
            close_position=True,
            client_order_id=name,
            **fields,
        ),
        attribution=Attribution(module=module, evidence="stack"),
        mode="LEGACY",
        targets=targets,
    )


@pytest.fixture
def tape():
    return Tape()


def test_an_order_without_an_answer_is_in_doubt_until_it_is_known(tape):
    """After 15 s it is shown as in doubt; its late answer, or a resolution, ends that."""
    late, gone = tape.take(intent(name="late")), tape.take(intent(name="gone"))
    tape.wait(5)
    assert (len(tape.state.doubts), tape.exits()) == (0, [])
    tape.wait(11)
    assert (len(tape.state.doubts), tape.exits()) == (2, [("brain", True), ("brain", True)])
    tape.take(Outcome(result="accepted", algo_id=7), about=late)
    tape.take(Resolution(result="not_there"), about=gone)
    assert (len(tape.state.doubts), tape.exits()) == (0, [("brain", False)])


def test_a_cancel_in_doubt_leaves_a_doubt_on_what_it_is_about(tape):
    """An unanswered cancel makes an exit doubtful; a resolution says whether it rests, and who took it."""
    tape.take(Outcome(result="accepted", algo_id=7), about=tape.take(intent()))
    target = Target(kind="sl", module="brain", algo_id=7)
    for result, left in [("not_there", [("brain", False)]), ("accepted", [])]:
        cancel = tape.take(intent("cancel", "rearm", targets=(target,)))
        tape.take(Outcome(result="unknown"), about=cancel)
        assert tape.exits() == [("brain", True)]
        tape.take(Resolution(result=result), about=cancel)
        assert tape.exits() == left
    (life,) = tape.state.ended
    assert life.ended_by.module == "rearm"
    assert [item.codes for item in tape.state.feed.values()] == [("SETTLED",), ("TAKEN",)]


def test_findings_come_to_the_line_of_their_order(tape):
    """A foreign cancel is one line of the feed, which takes on the reasons that come later."""
    cancel = tape.take(intent("cancel", "rearm", targets=(Target(kind="sl", module="brain", algo_id=7),)))
    tape.take(Outcome(result="accepted"), about=cancel)
    tape.take(OrderFindings((Reason("FOREIGN_CANCEL"), Reason("STRIPPED"))), about=cancel)
    (item,) = tape.state.feed.values()
    assert (item.text, item.level) == ("rearm cancelled brain's stop loss", "alarm")
    assert item.codes == ("FOREIGN_CANCEL", "STRIPPED")


def test_other_events_are_lines_and_facts(tape):
    """Lost events, switches, findings without an order and the executor's steps are shown."""
    step = {"symbol": "BTCUSDT", "position_side": "BOTH", "episode": "e", "plan_id": "swing", "revision": 2}
    tape.take(Lost("the disk was full", 3))
    tape.take(Switch(by="anna", mode="EXIT_BRAIN_V3", enforce="on"))
    tape.take(GuardFinding(Reason("STRIPPED", {"within_s": "5"}), symbol="BTCUSDT"))
    tape.take(
        ExecutorStep(
            verb="place", why="the position has no stop", leg="hs", state={"is_trailing": "1"}, **step
        )
    )
    assert (tape.state.lost, tape.state.mode, tape.state.enforce) == (3, "EXIT_BRAIN_V3", "on")
    assert [item.codes[0] for item in tape.state.feed.values()] == ["LOST", "SWITCH", "STRIPPED"]
    assert tape.state.feed.popitem()[1].where == "no new stop within 5 s"
    assert [stored.step.verb for stored in tape.state.steps] == ["place"]
    shown = state_view(tape.state, lambda *_: None, "a tape", HOUR)
    assert [(plan["plan"], plan["stage"]) for plan in shown["plans"]] == [("plan swing r2", "trailing")]
    tape.take(ExecutorStep(verb="end", why="it is flat", **step))
    assert len(tape.state.episodes) == 0


def test_what_is_kept_is_bounded(tape):
    """However many orders are placed, cancelled, doubted and forgotten, no list grows beyond its bound."""
    broadcast = Broadcast(tape.state, lambda *_: None, "a tape", HOUR)
    for number in range(400):
        order = tape.take(intent(name=f"n{number}"))
        tape.take(Outcome(result="accepted", algo_id=number + 1), about=order)
        target = Target(kind="sl", module="brain", algo_id=number + 1)
        cancel = tape.take(intent("cancel", "rearm", targets=(target,)))
        tape.take(Outcome(result="accepted"), about=cancel)
        tape.take(intent(name=f"unanswered{number}"))
        broadcast.publish()
    tape.wait(20)
    state = tape.state
    assert (len(state.feed), len(state.pending)) == (MOST_FEED, 0)
    assert len(state.doubts) == 400 < MOST_DOUBTS < MOST_PENDING
    assert len(state.ended) == 400 < MOST_ENDED
    assert broadcast.number > MOST_TICKS == len(broadcast._ticks)
    tape.wait(3601)
    assert (len(state.ended), len(state.spans), tape.exits()) == (0, 0, [])
    assert state.timeline._positions == {}
