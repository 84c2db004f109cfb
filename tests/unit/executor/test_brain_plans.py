"""Plans of hand-made exit brains: read one to one, or refused with a reason."""

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exit_shim.executor import (
    BrainReading,
    Breakeven,
    HardStop,
    PartialTake,
    PlanError,
    Trail,
    at_fraction,
    at_price,
    at_r,
    read_brain_plan,
)

ENTRY = Decimal(60_000)
NOON = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
NOON_MS = 1_795_867_200_000


class ExitKind(str, Enum):
    """As brains have it."""

    TP = "TP"
    SL = "SL"
    TRAIL = "TRAIL"
    EMERGENCY = "EMERGENCY"
    PARTIAL = "PARTIAL"
    BREAKEVEN = "BREAKEVEN"
    HEDGE = "HEDGE"


@dataclass
class ExitLeg:
    """As brains have it."""

    kind: ExitKind
    size_pct: float | None = 1.0
    trigger_price: float | None = None
    trigger_pct: float | None = None
    trail_callback: float | None = None
    priority: int = 0
    condition: str = "IMMEDIATE"
    reason: str = ""
    r_multiple: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class BrainPlan:
    """As brains have it."""

    legs: list[ExitLeg]
    symbol: str = "BTCUSDT"
    strategy_id: str = "STANDARD_LADDER"
    source: str = "EXIT_BRAIN_V3"
    reason: str = "3 legs"
    confidence: float = 0.75
    created_at: Any = NOON
    expires_at: Any = None


STOP = ExitLeg(ExitKind.SL, trigger_pct=-0.025)


def take(**fields):
    return ExitLeg(ExitKind.TP, **{"size_pct": 0.25, "trigger_pct": 0.015, **fields})


def read(*legs, side="LONG", entry=ENTRY, reading=None, **fields):
    return read_brain_plan(BrainPlan(list(legs), **fields), side, entry, reading)


def problems_of(*legs, **fields):
    with pytest.raises(PlanError) as caught:
        read(*legs, **fields)
    return caught.value.problems


LADDER = (
    take(r_multiple=0.6),
    take(trigger_pct=0.03, priority=1),
    ExitLeg(ExitKind.TRAIL, 0.5, trigger_pct=0.06, trail_callback=0.015, priority=2),
    STOP,
)


@pytest.mark.parametrize("side", ["LONG", "SHORT"])
@pytest.mark.parametrize("form", ["object", "dict"])
def test_a_ladder_is_read_one_to_one(side, form):
    """Takes, a trail with its activation and the stop become ours, from objects and from dicts."""
    brain_plan = BrainPlan(list(LADDER), expires_at=NOON + timedelta(hours=24))
    plan = read_brain_plan(brain_plan if form == "object" else asdict(brain_plan), side)
    assert plan.legs == (
        HardStop(at_fraction("0.025")),
        PartialTake("0.25", at_fraction("0.015")),
        PartialTake("0.25", at_fraction("0.03")),
        Trail("0.015", "0.5", at_fraction("0.06")),
    )
    assert (plan.symbol, plan.position_side, plan.strategy_id) == ("BTCUSDT", side, "STANDARD_LADDER")
    assert (plan.source, plan.reason) == ("EXIT_BRAIN_V3", "3 legs")
    assert (plan.created_at, plan.expires_at, plan.revision) == (NOON_MS, NOON_MS + 86_400_000, NOON_MS)
    assert plan.plan_id.startswith("STANDARD_LADDER@")


def test_kinds_are_read_as_text_too():
    """A brain that stores its kinds as text, in any case, is read like one with an enum."""
    stop, partial = (
        {"kind": "sl", "trigger_price": 59_000.1},
        {"kind": "PARTIAL", "size_pct": 0.5, "r_multiple": 1},
    )
    plan = read_brain_plan({"symbol": "BTCUSDT", "legs": [stop, partial]}, "LONG")
    assert plan.legs == (HardStop(at_price("59000.1")), PartialTake("0.5", at_r(1)))
    assert (plan.created_at, plan.revision, plan.plan_id[:6]) == (None, 1, "brain@")


def test_takes_are_in_the_order_of_their_priority():
    """The order matters where a share is one of what is left; errors count as the brain lists the legs."""
    late, early = take(size_pct=0.5, trigger_pct=0.02, priority=5), take(size_pct=0.2)
    assert [one.share for one in read(STOP, late, early).takes] == [Decimal("0.2"), Decimal("0.5")]
    (problem,) = problems_of(STOP, take(size_pct=2, priority=9), early)
    assert problem.startswith("leg 2 (TP): ")


def test_breakeven_is_read():
    """A breakeven leg waits for its trigger, else for the first take, and locks in what its metadata says."""
    with_trigger = ExitLeg(ExitKind.BREAKEVEN, r_multiple=1.0, metadata={"lock_pct": 0.001})
    assert read(STOP, with_trigger).breakeven == Breakeven(at_r(1), at_fraction("0.001"))
    plain = ExitLeg(ExitKind.BREAKEVEN, metadata=None)
    assert read(STOP, take(), plain).breakeven == Breakeven("first_take")


# Stops


def test_the_nearer_of_two_stops_is_the_hard_stop():
    """If both rested, the nearer would close everything first: a wider one lets the loss grow."""
    wider, nearer = ExitLeg(ExitKind.EMERGENCY, trigger_pct=-0.05), STOP
    assert read(wider, nearer).legs == (HardStop(at_fraction("0.025")),)
    for side, price, expected in (
        ("LONG", 59_000.0, at_price(59_000)),
        ("LONG", 58_000.0, at_fraction("0.025")),
        ("SHORT", 61_000.0, at_price(61_000)),
        ("SHORT", 62_000.0, at_fraction("0.025")),
    ):
        by_price = ExitLeg(ExitKind.EMERGENCY, trigger_price=price)
        assert read(STOP, by_price, side=side).hard_stop.at == expected
    (problem,) = problems_of(STOP, by_price, entry=None)
    assert problem == "two stops are in different units, and the entry price is not known"


def test_two_stops_by_price_need_no_entry_price():
    """The nearer of two prices is the higher one for a LONG, the lower one for a SHORT."""
    stops = [ExitLeg(ExitKind.SL, trigger_price=price) for price in (59_000.0, 58_000.0)]
    assert read(*stops, entry=None).hard_stop.at == at_price(59_000)
    assert read(*stops, entry=None, side="SHORT").hard_stop.at == at_price(58_000)


@pytest.mark.parametrize(("side", "level"), [("LONG", 60_120), ("SHORT", 59_880)])
def test_a_stop_at_a_profit_becomes_a_price(side, level):
    """A brain locks in a profit with a positive trigger_pct; it needs the entry price."""
    lock = ExitLeg(ExitKind.SL, trigger_pct=0.002)
    assert read(lock, side=side).hard_stop.at == at_price(level)
    (problem,) = problems_of(lock, side=side, entry=None)
    assert problem == "leg 1 (SL): trigger_pct 0.002 is at a profit, which needs the entry price"


def test_a_plan_without_a_stop_needs_a_default():
    """What brains ship without a stop is refused, unless the user has set one for such plans."""
    assert problems_of(take()) == ("no leg is SL or EMERGENCY; set hard_stop_default for plans without one",)
    reading = BrainReading(hard_stop_default=at_fraction("0.03"))
    assert read(take(), reading=reading).hard_stop.at == at_fraction("0.03")
    assert read(take(), STOP, reading=reading).hard_stop.at == at_fraction("0.025")


def test_the_default_does_not_hide_a_broken_stop():
    """A stop that cannot be read is refused, not replaced by the default."""
    reading = BrainReading(hard_stop_default=at_fraction("0.03"))
    (problem,) = problems_of(ExitLeg(ExitKind.SL), reading=reading)
    assert problem == "leg 1 (SL): it has no trigger; expected trigger_price or trigger_pct"


# What is refused


@pytest.mark.parametrize(
    ("leg", "message"),
    [
        (ExitLeg(ExitKind.HEDGE), "leg 2 (HEDGE) has no kind that can be kept"),
        (ExitLeg(None), "leg 2 (NONE) has no kind that can be kept"),
        (
            take(condition="CONDITIONAL"),
            "leg 2 (TP) has the condition 'CONDITIONAL', which only the brain knows",
        ),
        (ExitLeg(ExitKind.EMERGENCY), "leg 2 (EMERGENCY): it has no trigger, so it asks to close now"),
        (
            ExitLeg(ExitKind.SL, 0.5, trigger_pct=-0.01),
            "leg 2 (SL): it stops 0.5 of the position; a hard stop",
        ),
        (ExitLeg(ExitKind.SL, r_multiple=-1), "given in R"),
        (take(trigger_pct=None), "leg 2 (TP): it has no trigger, so it asks to close now"),
        (take(trigger_pct=3.0), "leg 2 (TP): the fraction 3.0 is 100 % or more; 0.02 is 2 %"),
        (take(size_pct=25.0), "leg 2 (TP): size_pct 25.0 is more than the position; 0.5 is half of it"),
        (take(size_pct=None), "leg 2 (TP): it has no size_pct; expected a share such as 0.5"),
        (take(size_pct="a quarter"), "leg 2 (TP): 'a quarter' is not a number"),
        (take(size_pct=[0.5]), "leg 2 (TP): [0.5] is a list; expected a number"),
        (take(size_pct=float("nan")), "is not a finite number"),
        (take(size_pct=True), "leg 2 (TP): True is a bool"),
        (take(trigger_price=61_000.0), "leg 2 (TP): it has a trigger_price and a trigger_pct; expected one"),
        (take(size_pct=0.0), "a take has the share 0"),
        (take(trigger_pct=-0.01), "a take is -1% from the entry; expected above zero"),
        (ExitLeg(ExitKind.TRAIL), "leg 2 (TRAIL): it has no trail_callback; expected a fraction such as"),
        (ExitLeg(ExitKind.TRAIL, trail_callback=1.5), "leg 2 (TRAIL): trail_callback 1.5 is 150"),
        (ExitLeg(ExitKind.TRAIL, trail_callback=0.8), "leg 2 (TRAIL): trail_callback 0.8 is 80"),
        (ExitLeg(ExitKind.TRAIL, trail_callback=-0.01), "the trail's callback is -0.01"),
        (ExitLeg(ExitKind.BREAKEVEN), "breakeven waits for the first take, and the plan has no take"),
    ],
)
def test_a_leg_that_cannot_be_kept_is_refused(leg, message):
    """Mixed units, unknown kinds, foreign conditions and orders to close now are refused with the leg."""
    assert [message in problem for problem in problems_of(STOP, leg)].count(True) >= 1


def test_every_leg_with_a_problem_is_named():
    """A refusal names each leg that cannot be kept."""
    problems = problems_of(ExitLeg(ExitKind.SL), take(trigger_pct=3.0), take(size_pct=25.0))
    assert [problem[:10] for problem in problems] == ["leg 1 (SL)", "leg 2 (TP)", "leg 3 (TP)"]


@pytest.mark.parametrize("legs", [None, "SL", {"kind": "SL"}, 5])
def test_legs_must_be_a_list(legs):
    """A plan without a list of legs is refused, not crashed on."""
    with pytest.raises(PlanError, match="expected a list of legs"):
        read_brain_plan({"symbol": "BTCUSDT", "legs": legs}, "LONG")


# Floats


@pytest.mark.parametrize("parts", [3, 6, 7, 11, 13])
def test_equal_parts_are_the_whole_position(parts):
    """Six sixths are one position, although no float is a sixth."""
    legs = [take(size_pct=1 / parts, trigger_pct=0.01 * place) for place in range(1, parts + 1)]
    assert sum(read(STOP, *legs).take_shares) == 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=3))
def test_what_the_takes_leave_is_all_of_it(parts):
    """A trail over 1.0 minus the takes, computed in floats, closes exactly the rest."""
    sizes = [part / 100 for part in parts]
    trail = ExitLeg(ExitKind.TRAIL, 1.0 - sum(sizes), trail_callback=0.01)
    plan = read(STOP, *(take(size_pct=size) for size in sizes), trail)
    assert sum(plan.take_shares) + plan.trail_share == 1
    assert plan.take_shares == tuple(Decimal(part) / 100 for part in parts)


@given(st.integers(1, 9999), st.integers(1, 40))
def test_a_float_is_read_as_it_was_meant(basis_points, multiple):
    """A product of floats is read as the product of the decimals that were written."""
    plan = read(STOP, take(trigger_pct=(basis_points / 1e5) * multiple / 10))
    assert plan.takes[0].at.fraction == Decimal(basis_points) * multiple / 1_000_000


# Times


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(timezone(timedelta(hours=5))),
        "2026-11-28T12:00:00Z",
        "2026-11-28T13:00:00+01:00",
        NOON_MS // 1000,
        NOON_MS / 1000,
        NOON_MS,
    ],
)
def test_times_are_read_in_the_forms_that_brains_use(value):
    """Datetimes, their texts, seconds and ms are one time; a datetime without a zone is in UTC."""
    plan = read(STOP, expires_at=value)
    assert plan.expires_at == NOON_MS
    assert [plan.is_expired(now) for now in (NOON_MS - 1, NOON_MS)] == [False, True]


@pytest.mark.parametrize("value", ["tomorrow", [1], True])
def test_a_time_that_cannot_be_read_is_refused(value):
    """An expiry that cannot be read is not taken for none."""
    with pytest.raises(PlanError, match="expires_at"):
        read(STOP, expires_at=value)


# Identity


def test_equal_exits_are_the_same_plan():
    """A plan made again at another time is the same plan, one with another level is not."""
    ids = [
        read(STOP, take(trigger_pct=level), created_at=made).plan_id
        for level, made in ((0.015, NOON), (0.015, NOON + timedelta(hours=1)), (0.02, NOON))
    ]
    assert ids[0] == ids[1] != ids[2]
    assert len(read(STOP, strategy_id="s" * 200).plan_id) == 64


odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**30),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        [[], {}, b"x", NOON, object(), ExitKind.TP, Decimal("NaN"), "SL", "TRAIL", "0.01", -0.02]
    ),
)
odd_legs = st.dictionaries(
    st.sampled_from([*ExitLeg.__dataclass_fields__]), odd_values, max_size=len(ExitLeg.__dataclass_fields__)
)


@given(
    st.dictionaries(st.sampled_from([*BrainPlan.__dataclass_fields__]), odd_values),
    st.lists(st.one_of(odd_legs, odd_values), max_size=3),
    st.sampled_from([None, ENTRY]),
)
def test_nothing_but_a_refusal_comes_of_an_odd_plan(fields, legs, entry):
    """Whatever a brain puts into its fields, the plan is read or refused; nothing else is raised."""
    brain_plan = {"symbol": "BTCUSDT", **fields, "legs": [asdict(STOP), *legs]}
    try:
        plan = read_brain_plan(brain_plan, "LONG", entry)
    except PlanError:
        return
    assert plan.hard_stop
