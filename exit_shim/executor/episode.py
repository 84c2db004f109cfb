"""What the executor knows of one position, from the moment it opens until it is flat."""

from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from exit_shim.executor.contract_rules import ContractRules
from exit_shim.executor.order_ids import HARD, OwnId, episode_key, is_take, read_id, take_leg
from exit_shim.executor.plan import ExitPlan, Levels, PlanError, Side, check_position, resolve
from exit_shim.guard.exchange_snapshot import OpenOrder, OpenPosition

ROUNDING: Final = Decimal("1e-7")
"""What an entry price differs by without a trade that adds to the position, as a part of it; below a tick."""


MOST_TAKES: Final = 20
"""The takes that are looked up for a position of unknown past; a plan with more of them is odd."""


class Doubt(NamedTuple):
    """An order whose request has no answer: it may rest.

    Attributes:
        name: Its client order id.
        since_ms: When it was sent.
        absences: How often the exchange said that there is no such order.
        has_rested: Whether it was listed, and is not any more: it has ended, and how is asked.
    """

    name: OwnId
    since_ms: int
    absences: int = 0
    has_rested: bool = False


class Refusal(NamedTuple):
    """The exchange's refusal of a leg's last order.

    Attributes:
        code: The exchange's code.
        message: Its text.
        until_ms: The leg is not tried again before that.
        tries: How often in a row it was refused.
    """

    code: int
    message: str
    until_ms: int
    tries: int = 1


class Episode(msgspec.Struct, kw_only=True):
    """Hold the state of one position's protection; only the executor's own pass changes it.

    Attributes:
        key: Names the episode in client order ids.
        account: The account's label.
        symbol: The symbol.
        position_side: As the exchange has it: BOTH, LONG or SHORT.
        side: The side that is held.
        entry: The average entry price.
        size: The size that was seen last.
        initial: The most that was held, with what takes had closed by then.
        plan: The plan in force; None where the router gave none yet.
        levels: Its price levels; None without a plan.
        risk: From the entry to the first hard stop; what R is a multiple of.
        extreme: The best price seen since the trail is active.
        is_trailing: Whether the trail is active.
        is_breakeven: Whether the breakeven leg has moved its stop.
        costs: Fees and funding of one unit, which breakeven adds to its level; None while not asked.
        taken: The quantity that each order of a take or trail has closed, by client order id.
        numbers: The number of the last order of each leg.
        began_ms: When the position opened or was found, in ms since the epoch.
        unverified: Takes that may have been done before this process knew the position, each with the number
            of the order to look up next.
        resting: What rests of the legs whose end is looked up: takes, trails and the hard stop.
        amended: The quantity and price that orders were last changed to, by the exchange's name of the order.
        doubts: Orders without an answer, by leg.
        refusals: Refused legs.
        is_over: Whether the exchange has shown that the position was flat since.
        is_widening: Whether the plan in force may move the hard stop away from the price.
        bare_since: Since when it lacks cover, in ms since the epoch; None while it is covered.
    """

    key: str
    account: str | None
    symbol: str
    position_side: str
    side: Side
    entry: Decimal
    size: Decimal
    initial: Decimal
    plan: ExitPlan | None = None
    levels: Levels | None = None
    risk: Decimal | None = None
    extreme: Decimal | None = None
    is_trailing: bool = False
    is_breakeven: bool = False
    costs: Decimal | None = None
    taken: dict[OwnId, Decimal] = msgspec.field(default_factory=dict)
    numbers: dict[str, int] = msgspec.field(default_factory=dict)
    began_ms: int = 0
    unverified: dict[str, int] = msgspec.field(default_factory=dict)
    resting: set[OwnId] = msgspec.field(default_factory=set)
    amended: dict[str, tuple[Decimal, Decimal]] = msgspec.field(default_factory=dict)
    doubts: dict[str, Doubt] = msgspec.field(default_factory=dict)
    refusals: dict[str, Refusal] = msgspec.field(default_factory=dict)
    is_over: bool = False
    is_widening: bool = False
    bare_since: int | None = None

    @property
    def is_hedged(self) -> bool:
        """Whether the account is in hedge mode."""
        return self.position_side != "BOTH"

    @property
    def direction(self) -> int:
        """1 for a long position, -1 for a short one."""
        return 1 if self.side == "LONG" else -1

    @property
    def exit_side(self) -> str:
        """The side of the orders that reduce it."""
        return "SELL" if self.side == "LONG" else "BUY"

    def owns(self, order: OpenOrder) -> OwnId | None:
        """Return the id of an order of this episode; None for any other order."""
        own = read_id(order.client_order_id)
        return own if own is not None and own.episode == self.key else None

    def next_id(self, leg: str) -> OwnId:
        """Return the id of the next order of a leg."""
        return OwnId(self.key, leg, self.numbers.get(leg, 0) + 1)

    def taken_by(self, leg: str) -> Decimal:
        """Return what the orders of a take or trail have closed."""
        return sum((amount for name, amount in self.taken.items() if name.leg == leg), Decimal(0))

    def is_in_doubt(self, leg: str) -> bool:
        """Return whether an order of a leg may rest; a trail that has ended may have done its part."""
        doubt = self.doubts.get(leg)
        return doubt is not None and not (doubt.has_rested and leg == HARD)

    def note_number(self, name: OwnId) -> None:
        """Take in that an order of this id exists or has existed."""
        self.numbers[name.leg] = max(name.number, self.numbers.get(name.leg, 0))

    def note_take(self, name: OwnId, executed: Decimal) -> None:
        """Take in how much of a take or a trail was filled."""
        self.taken[name] = executed
        breakeven = None if self.plan is None else self.plan.breakeven
        if is_take(name.leg) and breakeven is not None and breakeven.after == "first_take":
            self.is_breakeven = True

    def doubt_takes(self) -> None:
        """Take in that takes may have been done before this process knew the position."""
        self.unverified = {take_leg(index): 1 for index in range(MOST_TAKES)}

    def is_tighter(self, level: Decimal, than: Decimal) -> bool:
        """Return whether a stop at one level fires before a stop at another."""
        return self.direction * (level - than) > 0

    def is_crossed(self, level: Decimal, price: Decimal | None) -> bool:
        """Return whether the price is at a stop's level or beyond it."""
        return price is not None and self.direction * (price - level) <= 0

    def is_reached(self, level: Decimal, price: Decimal | None) -> bool:
        """Return whether the price is at a level in the position's favour, or beyond it."""
        return price is not None and self.direction * (price - level) >= 0


def begin(account: str | None, position: OpenPosition, *, key: str | None = None) -> Episode:
    """Return the state of a position that nothing is known of.

    Args:
        account: The account's label.
        position: The position, with an entry price.
        key: The key of its resting orders; None: a new one.
    """
    if position.entry is None:
        raise ValueError(f"the position of {position.symbol} has no entry price")
    return Episode(
        key=key
        or episode_key(account, position.symbol, position.position_side, position.side, position.updated),
        account=account,
        symbol=position.symbol,
        position_side=position.position_side,
        side=position.side,
        entry=position.entry,
        size=position.size,
        initial=position.size,
        began_ms=position.updated,
    )


def is_continued(episode: Episode, position: OpenPosition, orders: tuple[OpenOrder, ...]) -> bool:
    """Return whether a position is still that of the episode, and was not closed and opened anew."""
    if position.side != episode.side or episode.is_over:
        return False
    # A closePosition stop expires with its position.
    if any(order.close_position and episode.owns(order) for order in orders):
        return True
    # Only what adds to a position moves its entry price, but for rounding.
    entry = position.entry or Decimal(0)
    return abs(entry - episode.entry) <= ROUNDING * entry or position.size > episode.size


def follow(episode: Episode, position: OpenPosition) -> None:
    """Take in the size and entry price of the position."""
    episode.size = position.size
    # Called before the takes of the same read are taken in: the position's row may be older than theirs, and
    # what they have just closed would count twice.
    episode.initial = max(episode.initial, position.size + sum(episode.taken.values(), Decimal(0)))
    if position.entry is not None and position.entry != episode.entry:
        episode.entry = position.entry
        if episode.plan is not None:
            episode.levels = resolve(episode.plan, episode.entry, episode.risk)


def adopt_plan(episode: Episode, plan: ExitPlan, position: OpenPosition) -> bool:
    """Put a plan in force where it replaces the one there is; return whether it did.

    Raises:
        PlanError: The position cannot have this plan; the one in force stays.
    """
    current = episode.plan
    if current is not None and plan.plan_id == current.plan_id and plan.revision <= current.revision:
        return False
    if plan.symbol != episode.symbol or plan.position_side != episode.side:
        raise PlanError(
            f"it is for {plan.symbol} {plan.position_side}, the position is {episode.symbol} {episode.side}"
        )
    levels = resolve(plan, episode.entry, episode.risk)
    check_position(plan, levels, episode.entry, position.mark, position.liquidation, is_first=current is None)
    episode.plan, episode.levels, episode.risk = plan, levels, levels.risk
    episode.is_widening = current is not None and plan.may_widen
    return True


def liquidation_problem(episode: Episode, position: OpenPosition) -> str | None:
    """Return a sentence where the position would be liquidated before its hard stop; None elsewhere."""
    levels, liquidation = episode.levels, position.liquidation
    if levels is None or not liquidation or episode.is_tighter(levels.hard, liquidation):
        return None
    return (
        f"the hard stop at {levels.hard:f} is not before the liquidation price of {liquidation:f}, which has "
        "moved; add margin, or put the stop nearer"
    )


def watch_price(episode: Episode, price: Decimal | None) -> None:
    """Take in the price: it activates the trail, moves its best price, and arms breakeven."""
    plan, levels = episode.plan, episode.levels
    if plan is None or levels is None or price is None:
        return
    if plan.trail is not None and not plan.trail.native:
        if levels.activation is None or episode.is_reached(levels.activation, price):
            episode.is_trailing = True
        if episode.is_trailing and (episode.extreme is None or episode.is_tighter(price, episode.extreme)):
            episode.extreme = price
    if levels.breakeven_after is not None and episode.is_reached(levels.breakeven_after, price):
        episode.is_breakeven = True


def wake_price(episode: Episode, rules: ContractRules) -> Decimal | None:
    """Return the price in the position's favour at which there is something to do; None without one."""
    plan, levels = episode.plan, episode.levels
    if plan is None or levels is None:
        return None
    waits = []
    if levels.breakeven_after is not None and not episode.is_breakeven:
        waits.append(levels.breakeven_after)
    trail = plan.trail
    if trail is not None and not trail.native:
        if not episode.is_trailing and levels.activation is not None:
            waits.append(levels.activation)
        elif episode.extreme is not None:
            least = max(trail.min_step * episode.extreme, rules.tick)
            waits.append(episode.extreme + episode.direction * least)
    return min(waits, key=lambda level: episode.direction * level, default=None)
