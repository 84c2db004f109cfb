"""How the fields of a call become an exit order and its kind."""

import enum
from decimal import Decimal

import pytest

from exit_shim.domain.orders import kind_of, may_be_exit, read_order


class OrderType(str, enum.Enum):
    STOP = "STOP_MARKET"


class Unreadable:
    def __str__(self):
        raise RuntimeError("no text for you")

    def __bool__(self):
        return True


SELL = {"symbol": "BTCUSDT", "side": "SELL"}

EXITS = [
    ({**SELL, "type": "STOP_MARKET", "closePosition": True}, "sl"),
    ({**SELL, "type": "STOP_MARKET", "closePosition": "true"}, "sl"),
    ({**SELL, "type": "stop", "reduceOnly": "TRUE"}, "sl"),
    ({**SELL, "type": OrderType.STOP, "reduceOnly": True}, "sl"),
    ({**SELL, "type": "TAKE_PROFIT_MARKET", "closePosition": True}, "tp"),
    ({**SELL, "type": "TAKE_PROFIT", "reduceOnly": True, "quantity": 1}, "tp"),
    ({**SELL, "type": "TRAILING_STOP_MARKET", "reduceOnly": True}, "trailing"),
    ({**SELL, "type": "MARKET", "reduceOnly": True, "quantity": 1}, "close"),
    ({**SELL, "type": "MARKET", "positionSide": "LONG"}, "close"),
    ({"side": "BUY", "type": "MARKET", "positionSide": "short"}, "close"),
    ({**SELL, "type": "LIMIT", "reduceOnly": "true", "price": 1}, "other_exit"),
    ({**SELL, "type": "STOP_MARKET", "positionSide": "LONG"}, "sl"),
    ({"closePosition": True}, "other_exit"),
    ({**SELL, "type": "STOP_MARKET", "quantity": 1}, "conditional"),
    ({**SELL, "type": "TRAILING_STOP_MARKET", "positionSide": "BOTH"}, "conditional"),
]

ENTRIES = [
    {**SELL, "type": "MARKET", "quantity": 1},
    {**SELL, "type": "LIMIT", "quantity": 1, "price": 1, "reduceOnly": "false"},
    {**SELL, "type": "LIMIT", "reduceOnly": False, "closePosition": "false"},
    {**SELL, "type": "MARKET", "positionSide": "SHORT"},
    {"side": "BUY", "type": "STOP_MARKET", "positionSide": "LONG", "quantity": 1},
    {"type": None},
    {},
]


@pytest.mark.parametrize(("params", "kind"), EXITS)
def test_an_exit_is_told_by_its_fields(params, kind):
    """Reduce-only, close position, hedge mode's closing side or a trigger make an exit; its type the kind."""
    assert may_be_exit(params, {})
    order = read_order(params)
    assert order is not None
    assert order.kind == kind


@pytest.mark.parametrize("params", ENTRIES)
def test_an_entry_is_no_exit(params):
    """What may open a position, and waits for no trigger, is not read as an exit."""
    assert read_order(params) is None


def test_the_quick_look_never_misses_an_exit():
    """Every order that the full reading calls an exit passes the quick look that entries are let out by."""
    values = {
        "type": ["MARKET", "LIMIT", "STOP_MARKET", "take_profit", None, 7],
        "side": ["BUY", "sell", None],
        "positionSide": ["LONG", "SHORT", "BOTH", "", None],
        "reduceOnly": [True, "true", False, "false", None],
        "closePosition": [True, "TRUE", False, None],
    }
    cases = [{}]
    for name, choices in values.items():
        cases = [{**case, name: choice} for case in cases for choice in choices]
    missed = [case for case in cases if read_order(case) is not None and not may_be_exit(case, {})]
    assert missed == []
    assert sum(read_order(case) is not None for case in cases) > 100


def test_a_declared_kind_outranks_the_fields():
    """What the caller says an order is makes it an exit, whatever its fields show."""
    order = read_order({**SELL, "type": "MARKET", "quantity": 0.001}, "breakeven")
    assert order is not None
    assert order.kind == "breakeven"


@pytest.mark.parametrize(
    ("spelling", "field"),
    [
        ("stopPrice", "trigger_price"),
        ("triggerPrice", "trigger_price"),
        ("activationPrice", "activation_price"),
        ("activatePrice", "activation_price"),
        ("newClientOrderId", "client_order_id"),
        ("clientAlgoId", "client_order_id"),
    ],
)
def test_both_spellings_are_read(spelling, field):
    """The old endpoint's names and the algo service's end up in the same recorded field."""
    order = read_order({**SELL, "type": "STOP_MARKET", "closePosition": True, spelling: "61.5"})
    assert getattr(order, field) == "61.5"


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (95000.0, "95000.0"),
        (1e-05, "1e-05"),
        (Decimal("0.10"), "0.10"),
        ("abc", "abc"),
        (["x"], "['x']"),
        ("9" * 500, "9" * 64),
        (None, None),
        (Unreadable(), "<Unreadable>"),
    ],
)
def test_odd_values_are_recorded_as_what_goes_out(value, recorded):
    """Malformed fields never raise: they are recorded as the text that the client would send, cut short."""
    order = read_order({**SELL, "type": "STOP_MARKET", "closePosition": True, "quantity": value})
    assert order is not None
    assert order.quantity == recorded


def test_fields_outside_the_allow_list_are_not_recorded():
    """Headers, request parameters and whatever else rides along leave no trace in the order."""
    order = read_order(
        {**SELL, "closePosition": True, "headers": {"X-MBX-APIKEY": "planted"}, "signature": "planted"}
    )
    assert "planted" not in repr(order)


def test_partial_and_breakeven_are_never_guessed():
    """Whether a quantity is a part, or a trigger the entry price, does not stand in the order."""
    kinds = {kind_of({"type": kind, "reduce_only": True}) for kind in ("TAKE_PROFIT_MARKET", "STOP_MARKET")}
    assert kinds == {"tp", "sl"}
