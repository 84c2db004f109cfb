"""What a user wants for the exits of one position: a plan of legs, in exact numbers. Pure."""

import time
from decimal import Decimal
from typing import Final, Literal, get_args

import msgspec

from exit_shim.executor.exact import NONE, Number, PlanError, exact, refuse, wrong_types, wrong_words
from exit_shim.executor.legs import Breakeven, HardStop, Leg, PartialTake, Trail, WorkingType
from exit_shim.executor.offset import Offset, at_fraction, at_price, at_r

__all__ = [
    "Basis",
    "Breakeven",
    "ExitPlan",
    "HardStop",
    "Leg",
    "Levels",
    "Number",
    "Offset",
    "PartialTake",
    "PlanError",
    "Side",
    "Trail",
    "WorkingType",
    "at_fraction",
    "at_price",
    "at_r",
    "check_position",
    "exact",
    "resolve",
]

Side = Literal["LONG", "SHORT"]
"""The side of the position that is held, in one-way mode too."""

Basis = Literal["initial", "remaining"]
"""What the share of a take is a share of: all that was entered, or what the takes before it leave."""

LONGEST_NAME: Final = 64

MOST_TAKES: Final = 20
"""After a restart, the executor looks up each take that may have been done."""

FIRST_MS: Final = 10**12
"""Times are in ms since the epoch; a smaller number, before September 2001, is in seconds by mistake."""

SMALLEST_NATIVE, LARGEST_NATIVE = Decimal("0.001"), Decimal("0.1")
"""What Binance takes as callbackRate: 0.1 to 10 per cent."""


class ExitPlan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say how one position is to be left.

    Attributes:
        symbol: Such as "BTCUSDT".
        position_side: The side of the position.
        legs: One `HardStop`; any number of `PartialTake`; at most one `Breakeven` and one `Trail`.
        plan_id: Names the plan in records.
        revision: Counts its versions: only a higher one replaces a plan that is in force.
        basis: What the shares of takes are shares of.
        may_widen: Whether this revision may move the hard stop away from the price.
        strategy_id: Whose plan it is, for records.
        source: What made it, for records.
        reason: Why, for records.
        created_at: When it was made, in ms since the epoch; None where that is not known.
        expires_at: When it ends, in ms since the epoch; its stops stay, its takes are placed no more.

    Raises:
        PlanError: The plan cannot be meant; every problem is named.
    """

    symbol: str
    position_side: Side
    legs: tuple[Leg, ...]
    plan_id: str = "plan"
    revision: int = 1
    basis: Basis = "initial"
    may_widen: bool = False
    strategy_id: str | None = None
    source: str | None = None
    reason: str | None = None
    created_at: int | None = None
    expires_at: int | None = None

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be meant."""
        legs: object = self.legs
        if isinstance(legs, list):
            msgspec.structs.force_setattr(self, "legs", tuple(legs))
        # Later checks compute with the fields, and need their types.
        refuse(_type_problems(self))
        refuse(find_problems(self))

    @property
    def hard_stop(self) -> HardStop:
        """Its hard stop."""
        return next(leg for leg in self.legs if isinstance(leg, HardStop))

    @property
    def takes(self) -> tuple[PartialTake, ...]:
        """Its takes, in the order of the plan."""
        return tuple(leg for leg in self.legs if isinstance(leg, PartialTake))

    @property
    def breakeven(self) -> Breakeven | None:
        """Its breakeven leg."""
        return next((leg for leg in self.legs if isinstance(leg, Breakeven)), None)

    @property
    def trail(self) -> Trail | None:
        """Its trail."""
        return next((leg for leg in self.legs if isinstance(leg, Trail)), None)

    @property
    def direction(self) -> int:
        """1 for a long position, which earns as the price rises; -1 for a short one."""
        return 1 if self.position_side == "LONG" else -1

    @property
    def take_shares(self) -> tuple[Decimal, ...]:
        """The shares of its takes, each of all that was entered."""
        if self.basis == "initial":
            return tuple(take.share for take in self.takes)
        shares: list[Decimal] = []
        for take in self.takes:
            shares.append(take.share * (1 - sum(shares)))
        return tuple(shares)

    @property
    def trail_share(self) -> Decimal:
        """The share of all that was entered that its trail closes; 0 without one."""
        if self.trail is None:
            return Decimal(0)
        return 1 - sum(self.take_shares, Decimal(0)) if self.trail.share is None else self.trail.share

    def is_expired(self, now_ms: int | None = None) -> bool:
        """Return whether the plan has ended."""
        if self.expires_at is None:
            return False
        return (time.time_ns() // 1_000_000 if now_ms is None else now_ms) >= self.expires_at


def _type_problems(plan: ExitPlan) -> list[str]:
    texts = ("strategy_id", "source", "reason")
    times = ("created_at", "expires_at")
    problems = wrong_types(
        plan,
        {
            **dict.fromkeys(("symbol", "plan_id"), str),
            **dict.fromkeys(texts, (str, NONE)),
            "revision": int,
            **dict.fromkeys(times, (int, NONE)),
            "may_widen": bool,
            "legs": tuple,
        },
    )
    problems += wrong_words(plan, {"position_side": get_args(Side), "basis": get_args(Basis)})
    legs: object = plan.legs
    return problems + [
        f"the leg {leg!r} is a {type(leg).__name__}; expected HardStop, PartialTake, Breakeven or Trail"
        for leg in (legs if isinstance(legs, tuple) else ())
        if not isinstance(leg, Leg)
    ]


def find_problems(plan: ExitPlan) -> list[str]:
    """Return what is wrong with a plan whose fields have the right types, a sentence each."""
    problems = []
    if not plan.symbol or plan.symbol != plan.symbol.upper():
        problems.append(f"the symbol {plan.symbol!r} is not in capitals, such as 'BTCUSDT'")
    if not 0 < len(plan.plan_id) <= LONGEST_NAME:
        problems.append(f"the plan_id {plan.plan_id!r} has not 1 to {LONGEST_NAME} characters")
    if plan.revision < 1:
        problems.append(f"revision={plan.revision} is under 1")
    for name in ("created_at", "expires_at"):
        time_ms = getattr(plan, name)
        if time_ms is not None and time_ms < FIRST_MS:
            problems.append(f"{name}={time_ms} is before 2001; expected ms since the epoch, not seconds")
    for kind, most in ((HardStop, 1), (Breakeven, 1), (Trail, 1), (PartialTake, MOST_TAKES)):
        number = sum(isinstance(leg, kind) for leg in plan.legs)
        if number > most:
            problems.append(f"{number} legs are {kind.__name__}; expected {most} at most")
    if not any(isinstance(leg, HardStop) for leg in plan.legs):
        problems.append("no leg is a HardStop; a position must always have one")
        return problems
    return problems + find_leg_problems(plan)


def find_leg_problems(plan: ExitPlan) -> list[str]:
    """Return what is wrong with the legs of a plan that has a hard stop."""
    problems = []
    stop = plan.hard_stop.at
    if stop.r is not None:
        problems.append("the hard stop is given in R, which is the distance to it")
    if stop.fraction is not None and stop.fraction <= 0:
        problems.append(f"the hard stop is {stop.fraction} from the entry; expected above zero")
    for take in plan.takes:
        if not 0 < take.share <= 1:
            problems.append(f"a take has the share {take.share}; expected above 0 and at most 1")
        if _is_behind(take.at):
            problems.append(f"a take is {take.at} from the entry; expected above zero")
    if 0 in plan.take_shares[1:]:
        problems.append("a take closes all that is left, and leaves the takes after it nothing")
    total = sum(plan.take_shares) + (plan.trail_share if plan.trail and plan.trail.share else 0)
    if total > 1:
        problems.append(f"takes and trail close {total} of the position; expected at most 1")
    return [*problems, *_trail_problems(plan), *_breakeven_problems(plan)]


def _trail_problems(plan: ExitPlan) -> list[str]:
    trail, problems = plan.trail, []
    if trail is None:
        return []
    if not 0 < trail.callback < 1:
        problems.append(f"the trail's callback is {trail.callback}; expected a fraction such as 0.008")
    if trail.native and not SMALLEST_NATIVE <= trail.callback <= LARGEST_NATIVE:
        problems.append(f"a native trail's callback is {trail.callback}; the exchange takes 0.001 to 0.1")
    if trail.share is not None and not 0 < trail.share <= 1:
        problems.append(f"the trail has the share {trail.share}; expected above 0 and at most 1")
    if trail.share is None and sum(plan.take_shares) >= 1:
        problems.append("the takes close the whole position, and leave the trail nothing")
    if not 0 <= trail.min_step < trail.callback:
        problems.append(f"the trail's min_step is {trail.min_step}; expected 0 or more, below the callback")
    if trail.activation is not None and _is_behind(trail.activation):
        problems.append(f"the trail's activation is {trail.activation} from the entry; expected above zero")
    return problems


def _breakeven_problems(plan: ExitPlan) -> list[str]:
    breakeven = plan.breakeven
    if breakeven is None:
        return []
    if isinstance(breakeven.after, str):
        return [] if plan.takes else ["breakeven waits for the first take, and the plan has no take"]
    problems = []
    if _is_behind(breakeven.after):
        problems.append(f"breakeven is after {breakeven.after} from the entry; expected above zero")
    if _is_same_unit_and_reaches(breakeven.lock, breakeven.after, plan.direction):
        problems.append(f"breakeven locks {breakeven.lock}, which is not before {breakeven.after}")
    return problems


def _is_behind(at: Offset) -> bool:
    distance = at.fraction if at.fraction is not None else at.r
    return distance is not None and distance <= 0


def _is_same_unit_and_reaches(lock: Offset, after: Offset, direction: int) -> bool:
    for name, sign in (("fraction", 1), ("r", 1), ("price", direction)):
        low, high = getattr(lock, name), getattr(after, name)
        if low is not None and high is not None:
            return bool(sign * low >= sign * high)
    return False


class Levels(msgspec.Struct, frozen=True):
    """The prices of a plan's legs for one position.

    Attributes:
        hard: Of the hard stop.
        takes: Of the takes, in the order of the plan.
        breakeven_after: That moves the stop; None without such a level.
        lock: That the stop moves to; None without a breakeven leg.
        activation: Of the trail; None where it follows from the start.
        risk: From the entry to the first hard stop.
    """

    hard: Decimal
    takes: tuple[Decimal, ...]
    breakeven_after: Decimal | None
    lock: Decimal | None
    activation: Decimal | None
    risk: Decimal


def resolve(plan: ExitPlan, entry: Decimal, risk: Decimal | None = None) -> Levels:
    """Return the price levels of a plan for a position.

    Args:
        plan: The plan.
        entry: The entry price of the position.
        risk: The initial risk, where an earlier revision has set it; None: this plan sets it.

    Raises:
        PlanError: A level is at or below zero, a take is not beyond the hard stop, or R has no meaning.
    """
    ahead = plan.direction
    hard = plan.hard_stop.at.level(entry, -ahead, None)
    if risk is None and ahead * (entry - hard) <= 0 and _is_in_r(plan):
        raise PlanError(
            f"a leg is given in R, and the hard stop at {hard:f} is not at a loss from the entry at {entry:f}"
        )
    risk = abs(entry - hard) if risk is None else risk
    breakeven, trail = plan.breakeven, plan.trail
    after = breakeven.after if breakeven is not None else None
    levels = Levels(
        hard,
        tuple(take.at.level(entry, ahead, risk) for take in plan.takes),
        after.level(entry, ahead, risk) if isinstance(after, Offset) else None,
        None if breakeven is None else breakeven.lock.level(entry, ahead, risk),
        None if trail is None or trail.activation is None else trail.activation.level(entry, ahead, risk),
        risk,
    )
    problems = [f"the {name} is {level:f}" for name, level in _named(levels) if level <= 0]
    problems += [
        f"a take at {level:f} is not beyond the hard stop at {hard:f}"
        for level in levels.takes
        if ahead * (level - hard) <= 0
    ]
    if problems:
        raise PlanError(tuple(problems))
    return levels


def check_position(
    plan: ExitPlan,
    levels: Levels,
    entry: Decimal,
    price: Decimal | None,
    liquidation: Decimal | None,
    *,
    is_first: bool,
) -> None:
    """Refuse a plan that a position cannot have.

    Args:
        plan: The plan.
        levels: Its levels for the position.
        entry: The entry price.
        price: The price now; None where it is not known.
        liquidation: The liquidation price; None or 0 where no price liquidates it.
        is_first: Whether the position has no plan yet: a later one may stop at a profit.

    Raises:
        PlanError: A level is on the wrong side, or the hard stop is not before the liquidation price.
    """
    ahead = plan.direction
    # A level between entry and price locks in a profit; one that the price has crossed by now is closed at.
    is_behind_price = price is not None and ahead * (price - levels.hard) > 0
    if ahead * (entry - levels.hard) <= 0 and not is_behind_price:
        raise PlanError(f"the hard stop at {levels.hard:f} is on the wrong side of a {plan.position_side}")
    for level in levels.takes:
        if is_first and ahead * (level - entry) <= 0:
            raise PlanError(f"a take at {level:f} is on the wrong side of the entry at {entry:f}")
    after, lock = levels.breakeven_after, levels.lock
    if after is not None and lock is not None and ahead * (after - lock) <= 0:
        raise PlanError(f"breakeven's stop at {lock:f} is not before its threshold at {after:f}")
    if liquidation and ahead * (levels.hard - liquidation) <= 0:
        raise PlanError(
            f"the hard stop at {levels.hard:f} is not before the liquidation price of {liquidation:f}; "
            "put it nearer, or lower the leverage"
        )


def _is_in_r(plan: ExitPlan) -> bool:
    breakeven, trail = plan.breakeven, plan.trail
    offsets = [
        *(take.at for take in plan.takes),
        *((breakeven.after, breakeven.lock) if breakeven is not None else ()),
        *((trail.activation,) if trail is not None else ()),
    ]
    return any(isinstance(offset, Offset) and offset.r is not None for offset in offsets)


def _named(levels: Levels) -> list[tuple[str, Decimal]]:
    named: list[tuple[str, Decimal | None]] = [
        ("hard stop", levels.hard),
        *(("take", level) for level in levels.takes),
        ("breakeven threshold", levels.breakeven_after),
        ("breakeven level", levels.lock),
        ("activation price", levels.activation),
    ]
    return [(name, level) for name, level in named if level is not None]
