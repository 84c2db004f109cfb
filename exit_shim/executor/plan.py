"""What a user wants for the exits of one position: a plan of legs, in exact numbers. Pure."""

import time
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec

Side = Literal["LONG", "SHORT"]
"""The side of the position that is held, in one-way mode too."""

Basis = Literal["initial", "remaining"]
"""What the share of a take is a share of: all that was entered, or what the takes before it leave."""

WorkingType = Literal["MARK_PRICE", "CONTRACT_PRICE"]

Number: TypeAlias = Decimal | int | str
"""An exact number; a float is refused, since 0.1 is not exact in it."""

LONGEST_NAME: Final = 64

COSTLY_FRACTION: Final = Decimal(1)
"""A fraction of this or more is taken for a per cent by mistake: 2 instead of 0.02."""


class PlanError(ValueError):
    """Raised for a plan that cannot be meant; `problems` has one sentence for each thing wrong."""

    def __init__(self, problems: tuple[str, ...] | str) -> None:
        self.problems = (problems,) if isinstance(problems, str) else problems
        super().__init__("the exit plan cannot be used: " + "; ".join(self.problems))


def exact(value: Number) -> Decimal:
    """Return a finite exact number.

    Raises:
        PlanError: The value is a float, or no number.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise PlanError(f"{value!r} is a {type(value).__name__}; expected Decimal, int or str")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise PlanError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise PlanError(f"{value!r} is not a finite number")
    return number


class Offset(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Name a price level: by itself, or by its distance from the entry price. Exactly one is given.

    A distance counts against the position for a hard stop, and in its favour everywhere else.

    Attributes:
        price: The level itself, in the quote asset.
        fraction: The distance as a fraction of the entry price: 0.02 is 2 %.
        r: The distance as a multiple of the initial risk, which is from the entry to the first hard stop.
    """

    price: Decimal | None = None
    fraction: Decimal | None = None
    r: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse none or two of the three, and a fraction that is a per cent by mistake."""
        amounts = {name: getattr(self, name) for name in ("price", "fraction", "r")}
        chosen = {name: amount for name, amount in amounts.items() if amount is not None}
        if len(chosen) != 1:
            raise PlanError(f"expected one of price, fraction and r, got {', '.join(chosen) or 'none'}")
        if self.price is not None and self.price <= 0:
            raise PlanError(f"the price {self.price} is not above zero")
        if self.fraction is not None and abs(self.fraction) >= COSTLY_FRACTION:
            raise PlanError(f"the fraction {self.fraction} is 100 % or more; 0.02 is 2 %")

    def level(self, entry: Decimal, direction: int, risk: Decimal | None) -> Decimal:
        """Return the price at this distance.

        Args:
            entry: The entry price.
            direction: 1 where the level is above the entry for a positive distance, -1 where below.
            risk: The initial risk in the quote asset; None where there is none yet.

        Raises:
            PlanError: The distance is in R, and there is no risk yet.
        """
        if self.price is not None:
            return self.price
        if self.fraction is not None:
            return entry * (1 + direction * self.fraction)
        if risk is None or self.r is None:
            raise PlanError("a hard stop cannot be given in R: R is the distance to the hard stop")
        return entry + direction * self.r * risk

    def __str__(self) -> str:
        if self.price is not None:
            return f"{self.price:f}"
        return f"{self.fraction:%}" if self.fraction is not None else f"{self.r:f} R"


def at_price(price: Number) -> Offset:
    """Return the level at a price in the quote asset."""
    return Offset(price=exact(price))


def at_fraction(fraction: Number) -> Offset:
    """Return the level at a fraction of the entry price from it; "0.02" is 2 %."""
    return Offset(fraction=exact(fraction))


def at_r(multiple: Number) -> Offset:
    """Return the level at a multiple of the initial risk from the entry price."""
    return Offset(r=exact(multiple))


BREAK_EVEN: Final = Offset(fraction=Decimal(0))


class HardStop(msgspec.Struct, frozen=True, omit_defaults=True):
    """Close the whole position at a level: a STOP_MARKET that always rests at the exchange.

    Attributes:
        at: The level; a distance counts against the position.
        working_type: The price that triggers it.
        price_protect: Whether it waits where mark price and last price are far apart, which may delay it.
    """

    kind: ClassVar[str] = "HARD_SL"

    at: Offset
    working_type: WorkingType = "MARK_PRICE"
    price_protect: bool = False


class PartialTake(msgspec.Struct, frozen=True, omit_defaults=True):
    """Close a share of the position at a profit: a LIMIT order, which can be moved in place.

    Attributes:
        share: How much of the position: 0.5 is half. Of what, the plan's `basis` says.
        at: The level; a distance counts in favour of the position.
        post_only: Whether it may only add to the order book (GTX), never trade at once.
    """

    kind: ClassVar[str] = "PARTIAL_TP"

    share: Decimal
    at: Offset
    post_only: bool = False


class Breakeven(msgspec.Struct, frozen=True, omit_defaults=True):
    """Move the stop of all that is left once the position has earned enough.

    Attributes:
        after: The level of the mark price that moves it, or "first_take": once a take was filled.
        lock: The level that it moves to; the default is the entry price, a distance locks in a profit.
        include_costs: Whether the fees of entry and exit, and the funding paid, are added to `lock`.
    """

    kind: ClassVar[str] = "BREAKEVEN"

    after: Offset | Literal["first_take"]
    lock: Offset = BREAK_EVEN
    include_costs: bool = False


class Trail(msgspec.Struct, frozen=True, omit_defaults=True):
    """Follow the best price at a distance, and close when the price comes back by that much.

    Attributes:
        callback: The distance as a fraction of the best price: 0.008 is 0.8 %.
        share: How much of the position it closes; None: all that the takes leave.
        activation: The level from which it follows; None: from the start.
        native: Whether it is the exchange's TRAILING_STOP_MARKET, which goes on without us, or a STOP_MARKET
            that the executor moves. A native one is never replaced, since its best price would be lost.
        min_step: By which fraction of its price a managed stop moves at least; fewer requests, later stop.
    """

    kind: ClassVar[str] = "TRAIL"

    callback: Decimal
    share: Decimal | None = None
    activation: Offset | None = None
    native: bool = False
    min_step: Decimal = Decimal("0.0005")


Leg: TypeAlias = HardStop | PartialTake | Breakeven | Trail

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
        if problems := tuple(find_problems(self)):
            raise PlanError(problems)

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
        return self.expires_at is not None and (now_ms or time.time_ns() // 1_000_000) >= self.expires_at


def find_problems(plan: ExitPlan) -> list[str]:
    """Return what is wrong with a plan, a sentence each."""
    problems = []
    if not plan.symbol or plan.symbol != plan.symbol.upper():
        problems.append(f"the symbol {plan.symbol!r} is not in capitals, such as 'BTCUSDT'")
    if plan.position_side not in {"LONG", "SHORT"}:
        problems.append(f"position_side={plan.position_side!r} is neither 'LONG' nor 'SHORT'")
    if not 0 < len(plan.plan_id) <= LONGEST_NAME:
        problems.append(f"the plan_id {plan.plan_id!r} has not 1 to {LONGEST_NAME} characters")
    if plan.revision < 1:
        problems.append(f"revision={plan.revision} is under 1")
    for kind, most in ((HardStop, 1), (Breakeven, 1), (Trail, 1)):
        number = sum(isinstance(leg, kind) for leg in plan.legs)
        if number > most:
            problems.append(f"{number} legs are {kind.__name__}; expected one")
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
        PlanError: A level is at or below zero, or on the wrong side of the entry.
    """
    ahead = plan.direction
    hard = plan.hard_stop.at.level(entry, -ahead, None)
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
        PlanError: The hard stop is on the wrong side, or not before the liquidation price.
    """
    ahead = plan.direction
    # A level between entry and price locks in a profit; one that the price has crossed by now is closed at.
    is_behind_price = price is None or ahead * (price - levels.hard) > 0
    if ahead * (entry - levels.hard) <= 0 and not is_behind_price:
        raise PlanError(f"the hard stop at {levels.hard:f} is on the wrong side of a {plan.position_side}")
    for level in levels.takes:
        if is_first and ahead * (level - entry) <= 0:
            raise PlanError(f"a take at {level:f} is on the wrong side of the entry at {entry:f}")
    if liquidation and ahead * (levels.hard - liquidation) <= 0:
        raise PlanError(
            f"the hard stop at {levels.hard:f} is not before the liquidation price of {liquidation:f}; "
            "put it nearer, or lower the leverage"
        )


def _named(levels: Levels) -> list[tuple[str, Decimal]]:
    named: list[tuple[str, Decimal | None]] = [
        ("hard stop", levels.hard),
        *(("take", level) for level in levels.takes),
        ("breakeven threshold", levels.breakeven_after),
        ("breakeven level", levels.lock),
        ("activation price", levels.activation),
    ]
    return [(name, level) for name, level in named if level is not None]
