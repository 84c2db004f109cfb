"""What counts as cover, to the letter: the table of docs/explanation/cover.md, one case a row."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from exit_shim.domain.orders import read_order
from exit_shim.domain.reason_codes import GAPS
from exit_shim.guard.cover import find_gap, is_priced_through, strips
from exit_shim.guard.exchange_snapshot import OpenOrder, OpenPosition, Snapshot

D = Decimal


def position(amount="0.03", side="BOTH", mark=60000, liquidation=0):
    return OpenPosition("BTCUSDT", side, D(amount), mark=D(mark), liquidation=D(liquidation))


def stop(trigger=57000, quantity=None, side="BOTH", exit_side="SELL", **more):
    fields = {
        "type": "STOP_MARKET",
        "working_type": "CONTRACT_PRICE",
        "is_active": True,
        "algo_id": 7,
        **more,
    }
    return OpenOrder(
        symbol="BTCUSDT",
        side=exit_side,
        position_side=side,
        quantity=None if quantity is None else D(quantity),
        trigger=None if trigger is None else D(trigger),
        close_position=quantity is None,
        reduce_only=side == "BOTH",
        **fields,
    )


def trailing(quantity="0.03", **more):
    return stop(None, quantity, type="TRAILING_STOP_MARKET", **more)


def gap_of(positions, resting, last=60000, within=0.5, foreign=()):
    found = Snapshot(tuple(positions), (*resting, *foreign), last=None if last is None else D(last))
    return find_gap(found, "BTCUSDT", lambda order: order not in foreign, within)


LONG, SHORT = position(side="LONG"), position("-0.03", side="SHORT")

CASES = {
    "no_position": ([], [stop()]),
    "no_owners_stop": ([position()], []),
    "stop_limit": ([position()], [stop(type="STOP")]),
    "not_active": ([position()], [trailing(is_active=False)]),
    "already_crossed": ([position()], [stop(60000)]),
    "too_far": ([position()], [stop(1200)]),
    "beyond_liquidation": ([position(liquidation=58000)], [stop(57000)]),
    "no_trigger": ([position()], [stop(None)]),
    "no_price": ([position(mark=0)], [stop(working_type="MARK_PRICE")]),
    "quantity_short": ([position()], [stop(quantity="0.02"), stop(quantity="0.009")]),
    "no_close_position": ([LONG], [stop(quantity="0.03", side="LONG")]),
    "no_liquidation": ([position()._replace(liquidation=None)], [stop()]),
    "price_protected": ([position()], [stop(price_protect=True)]),
}


@pytest.mark.parametrize("because", CASES)
def test_each_way_in_which_a_position_is_not_covered(because):
    """The gap is named by the word that the docs explain."""
    gap = gap_of(*CASES[because])
    assert gap is not None
    assert gap.because == because


COVERED = {
    "the whole position": ([position()], [stop()]),
    "30 % away": ([position()], [stop(42000)]),
    "a short one": ([position("-0.03")], [stop(63000, exit_side="BUY")]),
    "quantities add up one-way": ([position()], [stop(quantity="0.02"), stop(quantity="0.02")]),
    "short of liquidation": ([position(liquidation=56000)], [stop(57000)]),
    "an active trailing stop": ([position()], [trailing(callback_rate=D(2))]),
    "on the mark": ([position(mark=60000)], [stop(59990, working_type="MARK_PRICE")]),
    "both positions of hedge mode": (
        [LONG, SHORT],
        [stop(side="LONG"), stop(63000, side="SHORT", exit_side="BUY")],
    ),
}


@pytest.mark.parametrize("case", COVERED)
def test_what_covers(case):
    """Owners' stops at market that surely fire close the whole position."""
    assert gap_of(*COVERED[case]) is None


def test_each_stop_is_measured_by_its_own_price():
    """The last price for CONTRACT_PRICE, the mark for MARK_PRICE; without a last price the mark for both."""
    marked, last = stop(59900, working_type="MARK_PRICE"), stop(59900)
    held = [position(mark=59800)]
    assert gap_of(held, [marked], last=60000).because == "already_crossed"
    assert gap_of(held, [last], last=60000) is None
    assert gap_of(held, [last], last=None).because == "already_crossed"


def test_a_trailing_stop_without_its_rate_is_taken_for_the_widest():
    """20 % below the price must be short of liquidation, unless the row says a narrower rate."""
    held = [position(liquidation=50000)]
    assert gap_of(held, [trailing()]).because == "beyond_liquidation"
    assert gap_of(held, [trailing(callback_rate=D(5))]) is None


def test_one_uncovered_position_of_a_symbol_is_enough():
    """In hedge mode the other position's missing stop lets the order out, too."""
    gap = gap_of([LONG, SHORT], [stop(side="LONG")])
    assert gap == ("no_owners_stop", {"position_side": "SHORT"})


@pytest.mark.parametrize("quantities", [["0.03"], ["0.01", "0.02"], ["0.04"], ["0.02", "0.02", "0.02"]])
def test_in_hedge_mode_only_close_position_covers(quantities):
    """Stops on a quantity do not, whatever they add up to: each is refused on more than is left."""
    parts = [stop(quantity=quantity, side="LONG", algo_id=n) for n, quantity in enumerate(quantities)]
    assert gap_of([LONG], parts).because == "no_close_position"
    assert gap_of([LONG], [*parts, stop(side="LONG")]) is None


@pytest.mark.parametrize("kind", ["STOP_MARKET", "TAKE_PROFIT_MARKET", "LIMIT"])
def test_other_exits_do_not_take_cover_away(kind):
    """Beside them closePosition covers in hedge mode, and a quantity in one-way mode, which cuts it."""
    smaller = stop(59000, quantity="0.01", side="LONG", type=kind, algo_id=8)
    assert gap_of([LONG], [stop(side="LONG")], foreign=[smaller]) is None
    one_way = smaller._replace(position_side="BOTH", reduce_only=True)
    assert gap_of([position()], [stop(quantity="0.03")], foreign=[one_way]) is None


def test_a_cancel_strips_only_what_was_covered():
    """It bares a position that anybody's stops covered, and that no other stops cover."""
    own, other, part = stop(algo_id=1), stop(56000, algo_id=2), stop(quantity="0.01", algo_id=3)

    def stripped(*resting, is_open=True):
        found = Snapshot((position(),) if is_open else (), resting, last=D(60000))
        return strips(found, "BTCUSDT", lambda order: order.algo_id == 1, 0.5)

    assert stripped(own)
    assert stripped(own, part)
    assert not stripped(own, other)
    assert not stripped(part._replace(algo_id=1))
    assert not stripped(own, is_open=False)


def test_a_cancel_strips_nothing_where_the_other_position_is_bare():
    """In hedge mode it may make room for that one's stop, which a caller that is denied would not place."""
    found = Snapshot((LONG, SHORT), (stop(side="LONG", algo_id=1),), last=D(60000))
    assert not strips(found, "BTCUSDT", lambda _: True, 0.5)
    both = found._replace(resting=(*found.resting, stop(63000, side="SHORT", exit_side="BUY", algo_id=2)))
    assert strips(both, "BTCUSDT", lambda order: order.algo_id == 1, 0.5)


@pytest.mark.parametrize(
    ("left", "is_stripped"),
    [
        ([(58000, "0.03")], False),
        ([(58000, "0.02")], True),
        ([(58000, "0.04")], True),
        ([(59000, "0.03"), (58000, "0.03")], False),
        ([(59000, "0.01"), (58000, "0.02")], False),
        ([(59000, "0.01"), (58000, "0.03")], True),
        ([], True),
    ],
)
def test_an_owner_may_make_room_in_hedge_mode(left, is_stripped):
    """Its cancel of a closePosition stop strips nothing where stops on quantities close all, in turn."""
    parts = [
        stop(price, quantity=quantity, side="LONG", algo_id=n) for n, (price, quantity) in enumerate(left, 2)
    ]
    found = Snapshot((LONG,), (stop(side="LONG", algo_id=1), *parts), last=D(60000))

    def stripped(**sender):
        return strips(found, "BTCUSDT", lambda order: order.algo_id == 1, 0.5, **sender)

    assert stripped(is_owners=True) is is_stripped
    assert stripped()


@pytest.mark.parametrize(
    ("side", "price", "through"),
    [("SELL", 60000, True), ("SELL", 60001, False), ("BUY", 60000, True), ("BUY", 59999, False)],
)
def test_a_limit_through_the_market_closes_at_once(side, price, through):
    """A SELL at the mark or below it, a BUY at the mark or above it."""
    order = read_order(
        {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "price": price, "reduceOnly": "true"}
    )
    assert is_priced_through(order, D(price), Snapshot((position(),), (), last=D(60000))) is through


def test_the_docs_explain_each_gap():
    """docs/explanation/cover.md has a row, and `explain` a sentence, for each word of `because`."""
    text = Path("docs/explanation/cover.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`\w+`.*?) \|", text, re.MULTILINE))))
    assert set(CASES) <= set(GAPS) == rows & set(GAPS)
