"""The exit plan: what can be meant, what is refused, and where its levels are for a position."""

import pickle
from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exit_shim.executor import (
    Breakeven,
    ExitPlan,
    HardStop,
    Offset,
    PartialTake,
    PlanError,
    Trail,
    at_fraction,
    at_price,
    at_r,
)
from exit_shim.executor.plan import MOST_TAKES, check_position, exact, resolve

ENTRY = Decimal(60_000)
STOP = HardStop(at_fraction("0.02"))
HALF = PartialTake("0.5", at_r("1.5"))


def plan(*legs, side="LONG", **fields):
    return ExitPlan(symbol="BTCUSDT", position_side=side, legs=legs or (STOP,), **fields)


def problems_of(*legs, **fields):
    with pytest.raises(PlanError) as caught:
        plan(*legs, **fields)
    return caught.value.problems


def check(the_plan, *, price=ENTRY, liquidation=None, is_first=True):
    levels = resolve(the_plan, ENTRY)
    check_position(the_plan, levels, ENTRY, price, liquidation, is_first=is_first)
    return levels


# Exact numbers


@pytest.mark.parametrize("value", [0.5, True, None, b"1", [1]])
def test_only_exact_numbers_are_taken(value):
    """A float, a bool and what is no number at all are refused with the type that they have."""
    with pytest.raises(PlanError, match=f"is a {type(value).__name__}; expected Decimal, int or str"):
        exact(value)


@pytest.mark.parametrize("value", ["", "half", "NaN", "Infinity", "-inf", "1e21", "1e-21", Decimal("sNaN")])
def test_texts_without_a_usable_number_are_refused(value):
    """A text, or a Decimal, that is no finite number of a sensible size is refused."""
    with pytest.raises(PlanError, match=r"not a number|not a finite number|out of range"):
        exact(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**19), max_value=10**19, places=12))
def test_exact_numbers_keep_every_digit(number):
    """A number comes out as it went in, from a Decimal and from its text."""
    assert exact(number) == exact(str(number)) == number


# What a leg takes


def test_numbers_of_legs_become_decimals():
    """Texts and ints are converted, so that a plan is short to write and exact to compute with."""
    assert PartialTake("0.5", at_r("1.5")) == PartialTake(Decimal("0.5"), Offset(r=Decimal("1.5")))
    trail = Trail(callback="0.008", share=1, min_step="0.001")
    assert [type(one) for one in (trail.callback, trail.share, trail.min_step)] == [Decimal] * 3
    assert type(Offset(fraction="0.02").fraction) is Decimal


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Offset(fraction=0.02), "Offset.fraction: 0.02 is a float; expected Decimal, int or str"),
        (Offset, "expected one of price, fraction and r, got none"),
        (lambda: Offset(price=1, r=1), "expected one of price, fraction and r, got price, r"),
        (lambda: at_fraction(2), "the fraction 2 is 100 % or more; 0.02 is 2 %"),
        (lambda: at_fraction("-1"), "the fraction -1 is 100 % or more"),
        (lambda: at_price(0), "the price 0 is not above zero"),
        (lambda: HardStop("59000"), "HardStop.at is '59000'; expected Offset"),
        (lambda: HardStop(STOP.at, "MARK"), "HardStop.working_type is 'MARK'; expected 'MARK_PRICE' or"),
        (lambda: HardStop(STOP.at, price_protect=1), "HardStop.price_protect is 1; expected bool"),
        (lambda: PartialTake(0.5, HALF.at), "PartialTake.share: 0.5 is a float"),
        (lambda: PartialTake(None, HALF.at), "PartialTake.share: None is a NoneType"),
        (lambda: PartialTake("0.5", Decimal(61_000)), "PartialTake.at is Decimal('61000'); expected Offset"),
        (lambda: PartialTake("0.5", HALF.at, "yes"), "PartialTake.post_only is 'yes'; expected bool"),
        (lambda: Breakeven("tp1"), "Breakeven.after is 'tp1'; expected Offset or 'first_take'"),
        (lambda: Breakeven(Decimal(1)), "Breakeven.after is Decimal('1'); expected Offset or 'first_take'"),
        (lambda: Breakeven("first_take", "0.1"), "Breakeven.lock is '0.1'; expected Offset"),
        (lambda: Breakeven("first_take", include_costs=None), "Breakeven.include_costs is None"),
        (lambda: Trail(0.008), "Trail.callback: 0.008 is a float"),
        (lambda: Trail("0.008", 0.5), "Trail.share: 0.5 is a float"),
        (lambda: Trail("0.008", activation=1), "Trail.activation is 1; expected Offset or None"),
        (lambda: Trail("0.008", native="no"), "Trail.native is 'no'; expected bool"),
        (lambda: Trail("0.008", min_step=None), "Trail.min_step: None is a NoneType"),
    ],
)
def test_a_leg_refuses_values_of_a_wrong_type(make, message):
    """A leg made in code with a wrong value says which field, which value, and what was expected."""
    with pytest.raises(PlanError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"symbol": 5}, "ExitPlan.symbol is 5; expected str"),
        ({"symbol": "btcusdt"}, "the symbol 'btcusdt' is not in capitals"),
        ({"symbol": ""}, "the symbol '' is not in capitals"),
        ({"position_side": "BOTH"}, "ExitPlan.position_side is 'BOTH'; expected 'LONG' or 'SHORT'"),
        ({"basis": "rest"}, "ExitPlan.basis is 'rest'; expected 'initial' or 'remaining'"),
        ({"plan_id": ""}, "the plan_id '' has not 1 to 64 characters"),
        ({"plan_id": None}, "ExitPlan.plan_id is None; expected str"),
        ({"revision": 0}, "revision=0 is under 1"),
        ({"revision": True}, "ExitPlan.revision is True; expected int"),
        ({"revision": "2"}, "ExitPlan.revision is '2'; expected int"),
        ({"may_widen": 1}, "ExitPlan.may_widen is 1; expected bool"),
        ({"reason": 5}, "ExitPlan.reason is 5; expected str or None"),
        ({"expires_at": 1.8e12}, "ExitPlan.expires_at is 1800000000000.0; expected int or None"),
        ({"expires_at": 1_800_000_000}, "expected ms since the epoch, not seconds"),
        ({"created_at": 1_800_000_000}, "expected ms since the epoch, not seconds"),
        ({"legs": None}, "ExitPlan.legs is None; expected tuple"),
        ({"legs": STOP}, "ExitPlan.legs is HardStop"),
        ({"legs": (STOP, {"kind": "TP"})}, "the leg {'kind': 'TP'} is a dict; expected HardStop,"),
        ({"legs": (STOP, "TRAIL")}, "the leg 'TRAIL' is a str; expected HardStop, PartialTake,"),
    ],
)
def test_a_plan_refuses_fields_that_cannot_be_meant(fields, message):
    """A plan made in code with a wrong field says which, and does not fail later in the executor."""
    with pytest.raises(PlanError) as caught:
        ExitPlan(**{"symbol": "BTCUSDT", "position_side": "LONG", "legs": (STOP,), **fields})
    assert message in str(caught.value)


def test_legs_may_be_a_list():
    """A list of legs is taken as the tuple that a plan holds."""
    assert ExitPlan(symbol="BTCUSDT", position_side="LONG", legs=[STOP, HALF]).legs == (STOP, HALF)


# What a plan refuses


@pytest.mark.parametrize(
    ("legs", "message"),
    [
        ((HALF,), "no leg is a HardStop"),
        ((STOP, STOP), "2 legs are HardStop; expected 1 at most"),
        ((STOP, HALF, Breakeven("first_take"), Breakeven("first_take")), "2 legs are Breakeven"),
        ((STOP, Trail("0.01"), Trail("0.02")), "2 legs are Trail"),
        (
            (STOP, *[PartialTake("0.001", at_r(1))] * (MOST_TAKES + 1)),
            "21 legs are PartialTake; expected 20 at most",
        ),
        ((HardStop(at_r(1)),), "the hard stop is given in R"),
        ((HardStop(at_fraction(0)),), "the hard stop is 0 from the entry; expected above zero"),
        ((HardStop(at_fraction("-0.02")),), "the hard stop is -0.02 from the entry"),
        ((STOP, PartialTake(0, at_r(1))), "a take has the share 0"),
        ((STOP, PartialTake("1.1", at_r(1))), "a take has the share 1.1"),
        ((STOP, PartialTake(1, at_r(0))), "a take is 0 R from the entry"),
        ((STOP, PartialTake("0.6", at_r(1)), HALF), "takes and trail close 1.1 of the position"),
        ((STOP, HALF, Trail("0.01", "0.6")), "takes and trail close 1.1 of the position"),
        ((STOP, PartialTake(1, at_r(1)), Trail("0.01")), "leave the trail nothing"),
        ((STOP, Trail("0.01", 0)), "the trail has the share 0"),
        ((STOP, Trail(1)), "the trail's callback is 1; expected a fraction such as 0.008"),
        ((STOP, Trail("0.2", native=True)), "a native trail's callback is 0.2; the exchange takes"),
        ((STOP, Trail("0.01", min_step="0.01")), "the trail's min_step is 0.01"),
        ((STOP, Trail("0.01", activation=at_r(-1))), "the trail's activation is -1 R from the entry"),
        ((STOP, Breakeven("first_take")), "breakeven waits for the first take, and the plan has no take"),
        ((STOP, Breakeven(at_fraction(0))), "breakeven is after 0"),
        ((STOP, Breakeven(at_r(1), at_r(1))), "breakeven locks 1 R, which is not before 1 R"),
        ((STOP, Breakeven(at_price(61_000), at_price(61_500))), "which is not before 61000"),
    ],
)
def test_legs_that_cannot_be_meant_are_refused(legs, message):
    """Each contradiction in the legs is one sentence that names the leg and the number."""
    assert [message in problem for problem in problems_of(*legs)].count(True) == 1


def test_shares_of_the_rest_are_shares_of_what_is_left():
    """With basis "remaining", each take closes its share of what the takes before it leave."""
    half, quarter = PartialTake("0.5", at_r(1)), PartialTake("0.25", at_r(2))
    remaining = plan(STOP, half, half, quarter, Trail("0.01"), basis="remaining")
    assert remaining.take_shares == (Decimal("0.5"), Decimal("0.25"), Decimal("0.0625"))
    assert remaining.trail_share == Decimal("0.1875")
    initial = plan(STOP, half, quarter, Trail("0.01"))
    assert (initial.take_shares, initial.trail_share) == ((half.share, quarter.share), Decimal("0.25"))


def test_a_take_with_nothing_left_to_close_is_refused():
    """With basis "remaining", a take after one that closes all would never close anything."""
    problems = problems_of(STOP, PartialTake(1, at_r(1)), HALF, basis="remaining")
    assert problems == ("a take closes all that is left, and leaves the takes after it nothing",)


MISTAKES = {
    "symbol": ({"symbol": "btc"}, (), "the symbol"),
    "revision": ({"revision": -1}, (), "revision"),
    "expiry": ({"expires_at": 5}, (), "expires_at"),
    "stop": ({}, (HardStop(at_fraction("-0.5")),), "the hard stop"),
    "take": ({}, (PartialTake("-0.1", at_r(1)),), "a take has the share"),
    "take level": ({}, (PartialTake("0.1", at_fraction("-0.1")),), "a take is"),
    "trail": ({}, (Trail(callback=2),), "the trail's callback"),
    "breakeven": ({}, (Breakeven(at_r(-1), at_r(-2)),), "breakeven is after"),
}


@given(st.sets(st.sampled_from(sorted(MISTAKES)), min_size=1))
def test_a_refusal_names_every_problem(names):
    """However many things are wrong with a plan, its refusal has a sentence for each, and no other."""
    fields = {"symbol": "BTCUSDT", "position_side": "LONG"}
    legs = [] if "stop" in names else [STOP]
    for name in names:
        fields |= MISTAKES[name][0]
        legs += MISTAKES[name][1]
    with pytest.raises(PlanError) as caught:
        ExitPlan(legs=tuple(legs), **fields)
    starts = [MISTAKES[name][2] for name in names]
    assert len(caught.value.problems) == len(starts)
    assert all(any(problem.startswith(start) for problem in caught.value.problems) for start in starts)
    assert str(caught.value) == "the exit plan cannot be used: " + "; ".join(caught.value.problems)


def test_a_refusal_can_be_pickled():
    """The error keeps its problems on the way through a process pool."""
    error = PlanError(("one", "two"))
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


# Expiry and storage


def test_a_plan_ends_at_its_expiry():
    """A plan is expired from the very ms on, at time 0 of a test's clock not, and never without an expiry."""
    ends = 1_800_000_000_000
    assert [plan(expires_at=ends).is_expired(now) for now in (0, ends - 1, ends)] == [False, False, True]
    assert not plan().is_expired(ends)
    assert plan(expires_at=1_000_000_000_000).is_expired()


def test_a_plan_survives_being_written_as_json():
    """A plan with every kind of leg is the same after a way through JSON, without a float in between."""
    whole = plan(
        HardStop(at_price("58800.10"), "CONTRACT_PRICE", price_protect=True),
        PartialTake("0.3", at_fraction("0.012"), post_only=True),
        HALF,
        Breakeven("first_take", at_fraction("0.001"), include_costs=True),
        Trail("0.008", activation=at_r(1), native=True),
        revision=3,
        expires_at=1_800_000_000_000,
    )
    text = msgspec.json.encode(whole)
    assert msgspec.json.decode(text, type=ExitPlan) == whole
    assert b'"kind":"PARTIAL_TP","share":"0.3"' in text


def test_a_stored_plan_is_checked_as_it_is_read():
    """A plan on disk that cannot be meant is refused on reading, too."""
    with pytest.raises(msgspec.ValidationError, match="no leg is a HardStop"):
        msgspec.json.decode(b'{"symbol":"BTCUSDT","position_side":"LONG","legs":[]}', type=ExitPlan)


# Levels of a position

fractions = st.decimals("0.001", "0.5", places=4)
multiples = st.decimals("0.1", "5", places=2)
entries = st.decimals("0.01", "100000", places=4)


@given(entries, fractions, multiples, fractions, multiples)
def test_long_and_short_mirror_each_other(entry, stop, multiple, take, activation):
    """Each level of a SHORT lies as far from the entry as that of the LONG, on the other side."""
    # A SHORT cannot earn more than its entry price.
    assume(max(multiple, activation) * stop < 1)
    legs = (
        HardStop(at_fraction(stop)),
        PartialTake("0.3", at_r(multiple)),
        PartialTake("0.3", at_fraction(take)),
        Breakeven(at_fraction(take), at_fraction(take / 2)),
        Trail("0.01", activation=at_r(activation)),
    )
    long, short = (resolve(plan(*legs, side=side), entry) for side in ("LONG", "SHORT"))

    def distances(levels):
        values = (levels.hard, *levels.takes, levels.breakeven_after, levels.lock, levels.activation)
        return [value - entry for value in values]

    assert distances(long) == [-one for one in distances(short)]
    assert long.risk == short.risk == entry * stop
    assert long.hard < entry < min(*long.takes, long.lock, long.activation)


def test_r_is_the_distance_to_the_first_hard_stop():
    """A later revision that moves the stop leaves the levels in R where they were."""
    first = resolve(plan(STOP, HALF), ENTRY)
    assert (first.risk, first.takes) == (1200, (61_800,))
    tighter = plan(HardStop(at_fraction("0.005")), HALF)
    assert resolve(tighter, ENTRY, first.risk).takes == (61_800,)
    assert resolve(tighter, ENTRY).takes == (60_450,)


def test_r_needs_a_stop_at_a_loss():
    """A first plan whose stop is at a profit has no risk that a leg could be a multiple of."""
    with pytest.raises(PlanError, match="given in R, and the hard stop at 60100 is not at a loss"):
        resolve(plan(HardStop(at_price(60_100)), HALF), ENTRY)
    assert resolve(plan(HardStop(at_price(60_100)), HALF), ENTRY, Decimal(1200)).takes == (61_800,)
    assert resolve(plan(HardStop(at_price(60_100))), ENTRY).hard == 60_100


def test_a_level_below_zero_is_refused():
    """A SHORT cannot take at a price below zero."""
    with pytest.raises(PlanError, match="the take is -12000"):
        resolve(plan(HardStop(at_fraction("0.6")), PartialTake(1, at_r(2)), side="SHORT"), ENTRY)


def test_a_take_behind_the_hard_stop_is_refused():
    """A take that the hard stop lies beyond would close at a loss what the stop should."""
    with pytest.raises(PlanError, match="a take at 58000 is not beyond the hard stop at 58800"):
        resolve(plan(STOP, PartialTake(1, at_price(58_000))), ENTRY)


@pytest.mark.parametrize(("side", "level"), [("LONG", 60_500), ("SHORT", 59_500), ("LONG", 60_000)])
@pytest.mark.parametrize("price", [ENTRY, None])
def test_a_first_stop_on_the_wrong_side_is_refused(side, level, price):
    """A stop beyond the entry, with a price that has not got there or is not known, is a mistake."""
    with pytest.raises(PlanError, match=f"the hard stop at {level} is on the wrong side of a {side}"):
        check(plan(HardStop(at_price(level)), side=side), price=price)


@pytest.mark.parametrize(("side", "level", "price"), [("LONG", 60_500, 61_000), ("SHORT", 59_500, 59_000)])
def test_a_stop_may_lock_in_a_profit(side, level, price):
    """A stop between entry and price is on the right side, although it is not at a loss."""
    assert check(plan(HardStop(at_price(level)), side=side), price=Decimal(price)).hard == level


def test_a_stop_that_the_price_has_crossed_is_taken():
    """The plan says to be out there; the executor closes then."""
    assert check(plan(), price=Decimal(58_000)).hard == 58_800


@pytest.mark.parametrize(("side", "level"), [("LONG", 59_500), ("SHORT", 60_500)])
def test_a_take_at_a_loss_is_refused_in_a_first_plan(side, level):
    """A take on the losing side of the entry is a mistake, unless an earlier plan was in force."""
    wrong = plan(STOP, PartialTake(1, at_price(level)), side=side)
    with pytest.raises(PlanError, match=f"a take at {level} is on the wrong side of the entry at 60000"):
        check(wrong)
    check(wrong, is_first=False)


def test_a_breakeven_level_beyond_its_threshold_is_refused():
    """A stop that would be crossed as soon as it is due is refused, whatever units its levels are in."""
    with pytest.raises(PlanError, match="breakeven's stop at 60900 is not before its threshold at 60600"):
        check(plan(STOP, Breakeven(at_fraction("0.01"), at_price(60_900))))


@pytest.mark.parametrize(
    ("side", "liquidation", "is_refused"),
    [
        ("LONG", 58_000, False),
        ("LONG", 58_800, True),
        ("LONG", 59_500, True),
        ("SHORT", 62_000, False),
        ("SHORT", 61_200, True),
        ("SHORT", 60_500, True),
        ("LONG", 0, False),
        ("LONG", None, False),
    ],
)
def test_a_stop_beyond_liquidation_is_refused(side, liquidation, is_refused):
    """The hard stop must be strictly before the liquidation price, where there is one."""
    liquidation = None if liquidation is None else Decimal(liquidation)
    if not is_refused:
        check(plan(side=side), liquidation=liquidation)
        return
    with pytest.raises(PlanError, match=f"not before the liquidation price of {liquidation}"):
        check(plan(side=side), liquidation=liquidation)
