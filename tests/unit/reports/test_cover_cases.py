"""The cover of a position, case by case: what histories at random once got wrong."""

import itertools
from decimal import Decimal

import msgspec
import pytest

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import (
    EVENT_NAMES,
    ExchangeUpdate,
    Intent,
    Outcome,
    PositionSeen,
    Record,
    RunEnded,
    Target,
)
from exit_shim.domain.orders import ExitOrder
from exit_shim.journal import StoredEvent
from exit_shim.reports.lives import number
from exit_shim.reports.position_cover import SECOND_NS
from exit_shim.reports.timeline import Timeline

START = 1_800_000_000 * SECOND_NS
ABOUT = {"account": "mine", "symbol": "BTCUSDT"}


class Story:
    """Orders and facts of one symbol, each some seconds after the start."""

    def __init__(self):
        self.timeline = Timeline()
        self.numbers = itertools.count(1)

    def order(self, at, operation, result="accepted", *, algo_id=None, targets=(), error_code=None, **order):
        """An order that was answered at once."""
        intent = Intent(
            ts=START + int(at * SECOND_NS),
            door="futures_create_order",
            operation=operation,
            order=ExitOrder(**{"kind": "sl", "symbol": "BTCUSDT", **order}),
            attribution=Attribution(module=order.pop("module", "brain"), evidence="context"),
            mode="LEGACY",
            account="mine",
            targets=targets,
        )
        outcome = Outcome(result, algo_id=algo_id, error_code=error_code)
        self.timeline.take_record(Record("run", next(self.numbers), intent, outcome))

    def place(self, at, algo_id, result="accepted", **order):
        """A stop that closes the whole long position."""
        stop = {"side": "SELL", "type": "STOP_MARKET", "trigger_price": "50000", "close_position": True}
        self.order(at, "place", result, algo_id=algo_id, **{**stop, **order})

    def cancel(self, at, algo_id, result="accepted", **more):
        """A cancel of a stop."""
        self.order(at, "cancel", result, targets=(Target(kind="sl", algo_id=algo_id),), **more)

    def fact(self, at, event):
        """Something that the exchange told."""
        body = msgspec.json.encode(event).decode()
        ts = START + int(at * SECOND_NS)
        number_ = next(self.numbers)
        self.timeline.take_fact(
            StoredEvent("run", number_, number_, ts, EVENT_NAMES[type(event)], None, body, b"")
        )

    def list(self, at, amount="1", exits=(), guarded="0", asked=None, **more):
        """A reading of the poller."""
        asked_ns = START + int((at if asked is None else asked) * SECOND_NS)
        seen = {"exits": tuple(map(str, exits)), "guarded": guarded} if amount != "0" else {}
        fields = {"position_side": "BOTH", "source": "poller", "again_s": 60.0, **seen, **more}
        self.fact(at, PositionSeen(**ABOUT, amount=amount, asked=asked_ns, **fields))

    def hear(self, at, amount):
        """An event of the stream about the position."""
        self.fact(
            at, PositionSeen(**ABOUT, position_side="BOTH", amount=amount, source="stream", again_s=60.0)
        )

    def update(self, at, status, algo_id, order_type="STOP_MARKET", **more):
        """An event of the stream about a stop."""
        fields = {"side": "SELL", "position_side": "BOTH", "store": "conditional", "kind": "sl"}
        fields = {"source": "stream", **fields, **more}
        self.fact(
            at,
            ExchangeUpdate(**ABOUT, status=status, type=order_type, algo_id=algo_id, **fields),
        )

    def at(self, seconds):
        """The state some seconds after the start."""
        self.timeline.advance(START + int(seconds * SECOND_NS))
        (state,) = self.timeline.positions()
        return state

    def cover(self, seconds):
        """The cover some seconds after the start, with why it is unknown."""
        state = self.at(seconds)
        return state.cover if state.doubt is None else f"{state.cover}: {state.doubt}"


@pytest.fixture
def story():
    return Story()


def test_a_name_that_is_used_again_is_another_order(story):
    """The old stop is gone, and its quantity does not count for the new one."""
    story.list(0)
    whole = {"close_position": False, "client_order_id": "again"}
    story.place(1, 11, quantity="1", **whole)
    assert story.cover(2) == "covered"
    story.place(3, 12, quantity="0.4", **whole)
    assert story.cover(4) == "partly"
    assert [life.name for life in story.at(5).exits] == ["12"]


def test_stops_of_the_other_side_outlive_a_list_without_them(story):
    """In one-way mode a position that turns may have had its stop all along."""
    story.list(0, amount="-1")
    story.place(1, 11)
    story.list(5, amount="-1")
    assert story.cover(6) == "bare"
    story.hear(7, "1")
    assert story.cover(8) == "covered"


def test_a_turned_position_without_a_list_of_its_side_is_unknown(story):
    """What rests on the other side was listed nowhere."""
    story.list(0, amount="-1")
    story.hear(1, "1")
    assert story.cover(2) == "unknown: not_listed"


def test_of_two_readers_the_later_question_counts(story):
    """The slower one of two programs that look brings what was before the other one looked."""
    story.list(0, exits=[11], guarded="1")
    story.list(62, asked=62)
    story.list(63, exits=[11], guarded="1", asked=60)
    assert story.cover(64) == "bare"
    assert story.at(64).seen_ns == START + 62 * SECOND_NS
    story.list(70, amount="0")
    story.list(71, asked=69)
    assert story.cover(72) == "flat"


def test_an_outdated_reading_brings_no_stop_back(story):
    """A program that has just begun to look tells of each stop in its first list, here one that is gone."""
    story.place(0, 11)
    story.list(1, exits=[11], guarded="1")
    story.list(62, asked=62)
    story.update(63, "NEW", 11, source="watch")
    story.list(63, exits=[11], guarded="1", asked=60)
    assert story.cover(64) == "bare"
    assert story.at(64).last_stop.module == "brain"


def test_a_reading_after_the_clock_was_set_back_counts(story):
    """It was asked for earlier by a clock that was wrong, and is no older one."""
    story.list(100)
    story.list(98, exits=[11], guarded="1")
    assert story.cover(101) == "covered"


def test_a_list_that_was_asked_for_before_a_cancel_says_nothing(story):
    """The slow answer still has the stop."""
    story.list(0, exits=[11], guarded="1")
    story.place(-5, 11)
    story.cancel(3, 11)
    story.list(4, exits=[11], guarded="1", asked=2.5)
    assert story.cover(5) == "bare"


def test_a_stop_limit_that_was_triggered_stops_nothing(story):
    """It rests as a LIMIT order now."""
    story.place(0, 11, type="STOP", price="49900", quantity="1", close_position=False)
    story.list(3, exits=[11], guarded="1")
    assert story.cover(4) == "covered"
    story.update(5, "TRIGGERED", 11, "STOP", became=77)
    assert story.cover(6) == "bare"


def test_a_stop_that_fires_leaves_no_bare_position(story):
    """Until the position is seen again nobody knows; refused by the exchange, the position is bare."""
    story.place(0, 11)
    story.list(3, exits=[11], guarded="1")
    story.update(4, "TRIGGERING", 11)
    assert story.cover(5) == "unknown: resized"
    story.update(6, "REJECTED", 11)
    assert story.cover(7) == "bare"
    assert story.at(7).last_stop.end == "expired"


def test_a_close_through_the_shim_is_no_strip(story):
    """Cancel and close leave an unknown position; a part closed leaves the rest as covered as it was."""
    story.place(0, 11)
    story.list(3, exits=[11], guarded="1")
    story.order(4, "place", kind="close", side="SELL", type="MARKET", quantity="0.4", reduce_only=True)
    assert (story.cover(5), story.at(5).amount) == ("covered", Decimal("0.6"))
    story.cancel(6, 11)
    story.order(6, "place", kind="close", side="SELL", type="MARKET", quantity="0.6", reduce_only=True)
    assert story.cover(7) == "unknown: resized"
    story.list(8, amount="0")
    assert story.cover(9) == "flat"


def test_a_cancel_without_an_answer_may_still_arrive(story):
    """A list right after it proves nothing; one much later does."""
    story.place(0, 11)
    story.list(3, exits=[11], guarded="1")
    story.cancel(4, 11, "unknown")
    assert story.cover(5) == "unknown: in_doubt"
    story.list(6, exits=[11], guarded="1")
    assert story.cover(7) == "unknown: in_doubt"
    story.list(20, exits=[11], guarded="1")
    assert story.cover(21) == "covered"


def test_a_cancel_that_finds_nothing_puts_the_stop_in_doubt(story):
    """The exchange says that there is no such order (-2011)."""
    story.place(0, 11)
    story.list(3, exits=[11], guarded="1")
    story.cancel(4, 11, "rejected", error_code=-2011)
    assert story.cover(5) == "unknown: in_doubt"


def test_a_stop_too_large_covers_nothing_in_hedge_mode(story):
    """The exchange refuses it when it fires; in one-way mode it is cut to the position."""
    stop = {"quantity": "2", "close_position": False}
    story.list(0)
    story.place(1, 11, **stop)
    assert story.cover(2) == "covered"
    hedged = Story()
    hedged.list(0, position_side="LONG")
    hedged.place(1, 11, position_side="LONG", **stop)
    assert hedged.cover(2) == "bare"


def test_what_nobody_looks_at_any_more_is_unknown(story):
    """A run that ended sees nothing from then on, and one that was killed not for long."""
    story.list(0)
    assert story.cover(149) == "bare"
    assert story.cover(151) == "unknown: not_seen_since"
    ended = Story()
    ended.list(0)
    ended.fact(5, RunEnded(3))
    assert ended.cover(4.9) == "bare"
    assert ended.cover(6) == "unknown: not_seen_since"


def test_who_is_named_took_the_stop_that_bared_it(story):
    """A stop that was replaced before is not the one that is missed now."""
    story.list(0)
    story.place(1, 11)
    story.place(2, 12)
    story.cancel(3, 11)
    story.list(4, amount="5", exits=[12], guarded="5")
    story.cancel(6, 12)
    state = story.at(7)
    assert (state.cover, state.last_stop.name, state.last_stop.ended_by.seq) == ("bare", "12", 6)


@pytest.mark.parametrize("written", ["abc", "NaN", "Infinity", "1e999999999", ""])
def test_an_amount_that_is_no_number_is_not_flat(story, written):
    """A damaged journal makes a position unknown."""
    story.list(0, amount=written)
    assert story.cover(1).startswith("unknown")
    assert number(written) is None
