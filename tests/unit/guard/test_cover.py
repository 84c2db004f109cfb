"""What counts as cover, to the letter: the table of docs/explanation/cover.md, one case a row."""

import itertools
import random
import re
from decimal import Decimal
from pathlib import Path

import pytest

from exit_shim.domain.orders import read_order
from exit_shim.domain.reason_codes import GAPS
from exit_shim.guard.cover import closes_all, find_gap, is_priced_through, strips, sums
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
    "larger_than_left": ([LONG], [stop(quantity="0.04", side="LONG")]),
    "too_many_exits": ([LONG], [stop(quantity="0.006", side="LONG", algo_id=n) for n in range(5)]),
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
    "hedge mode, one after the other": (
        [LONG],
        [stop(quantity="0.01", side="LONG"), stop(56000, quantity="0.02", side="LONG")],
    ),
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


@pytest.mark.parametrize("kind", ["STOP_MARKET", "TAKE_PROFIT_MARKET", "LIMIT"])
def test_in_hedge_mode_a_smaller_exit_of_anybody_can_undo_a_larger_stop(kind):
    """After it has filled the owner's stop is on more than is left, and is refused; one-way cuts it."""
    smaller = stop(59000, quantity="0.01", side="LONG", type=kind, algo_id=8)
    own = stop(quantity="0.03", side="LONG")
    assert gap_of([LONG], [own], foreign=[smaller]).because == "larger_than_left"
    assert gap_of([LONG], [stop(side="LONG")], foreign=[smaller]) is None
    one_way = smaller._replace(position_side="BOTH", reduce_only=True)
    assert gap_of([position()], [stop(quantity="0.03")], foreign=[one_way]) is None


def test_in_hedge_mode_any_part_of_a_limit_may_fill():
    """Beside a resting LIMIT a stop on the quantity may be refused; one with closePosition is not."""
    limit = stop(66000, quantity="0.03", side="LONG", type="LIMIT", algo_id=8)
    assert gap_of([LONG], [stop(quantity="0.03", side="LONG")], foreign=[limit]).because == "larger_than_left"
    assert gap_of([LONG], [stop(side="LONG")], foreign=[limit]) is None


def fire(size, order):
    """What is left of a hedge position after exits fire in this order."""
    for quantity in order:
        size -= quantity if quantity <= size else 0
    return size


def test_what_is_sure_in_hedge_mode_holds_in_every_order_of_firing():
    """300 random sets of stops and other exits, each against every order in which they can fire (seed 5)."""
    draw = random.Random(5)
    sure = 0
    for _ in range(300):
        size = draw.randint(1, 5)
        stops = [draw.randint(1, 3) for _ in range(draw.randint(1, 3))]
        others = [draw.randint(1, 3) for _ in range(draw.randint(0, 2))]
        taken = sums(map(D, others))
        said = all(closes_all(D(size), map(D, order), taken) for order in itertools.permutations(stops))
        subsets = itertools.chain.from_iterable(
            itertools.combinations(others, n) for n in range(len(others) + 1)
        )
        left = {fire(size, order) for some in subsets for order in itertools.permutations((*stops, *some))}
        if said:
            sure += 1
            assert left == {0}, (size, stops, others)
    assert sure > 30


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
