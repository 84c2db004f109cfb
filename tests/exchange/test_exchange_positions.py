"""Positions, profit and commission to the last digit."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exit_shim.exchange.engine.numbers import fixed, money, plain, short
from exit_shim.exchange.engine.positions import Position

PRICES = st.decimals(min_value="0.0001", max_value="90000", places=4)
QUANTITIES = st.decimals(min_value="0.001", max_value="100", places=3)
FILLS = st.lists(st.tuples(st.sampled_from([1, -1]), QUANTITIES, PRICES), min_size=1, max_size=30)


def test_adding_averages_the_entry_and_reducing_keeps_it():
    """The entry is the quantity-weighted average of what opened the position."""
    position = Position("BTCUSDT", "BOTH")
    position.apply(Decimal(1), Decimal(100))
    position.apply(Decimal(3), Decimal(200))
    assert position.entry == 175
    assert position.apply(Decimal(-2), Decimal(180)) == 10
    assert (position.amount, position.entry) == (2, 175)


def test_a_short_earns_when_the_price_falls():
    """A short of two bought back 10 lower realises 20."""
    position = Position("BTCUSDT", "BOTH")
    position.apply(Decimal(-2), Decimal(100))
    assert position.unrealised(Decimal(90)) == 20
    assert position.apply(Decimal(2), Decimal(90)) == 20
    assert position == Position("BTCUSDT", "BOTH")


@given(FILLS, PRICES)
def test_no_digit_is_lost_however_a_position_is_traded(fills, last):
    """Realised profit over any series of fills, closed at the end, is exactly the sum of its cash flows."""
    position = Position("BTCUSDT", "BOTH")
    realised = cash = Decimal(0)
    for sign, quantity, price in fills:
        realised += position.apply(sign * quantity, price)
        cash -= sign * quantity * price
    rest = -position.amount
    realised += position.apply(rest, last)
    cash -= rest * last
    assert position.amount == 0
    assert realised == cash


@given(FILLS)
def test_cost_and_amount_never_disagree_in_sign(fills):
    """A long has a positive cost, a short a negative one, and flat none."""
    position = Position("BTCUSDT", "BOTH")
    for sign, quantity, price in fills:
        position.apply(sign * quantity, price)
        assert position.cost * position.amount >= 0
        assert (position.amount == 0) <= (position.cost == 0)


def test_a_position_can_be_written_down_and_read_back():
    """Positions are plain values: encoding and decoding gives an equal one."""
    position = Position("BTCUSDT", "BOTH", Decimal("-0.010"), Decimal("-600.1"), 5)
    assert msgspec.json.decode(msgspec.json.encode(position), type=Position) == position


def test_numbers_print_as_the_exchange_prints_them():
    """Fixed decimals, short and plain forms, never an exponent."""
    assert fixed(Decimal("1.1837"), 6) == "1.183700"
    assert (short(Decimal("1.183700")), short(Decimal(0)), short(Decimal(1000))) == (
        "1.1837",
        "0.0",
        "1000.0",
    )
    assert (plain(Decimal("4.90")), plain(Decimal("0.000")), plain(Decimal("1E+3"))) == ("4.9", "0", "1000")
    assert money(Decimal("0.000000005")) == Decimal("0.00000001")
