"""Cover: whether live stops surely close the whole of a position. Pure.

docs/explanation/cover.md states the same to the letter. Facts: Binance's USDⓈ-M pages New Algo Order and
Position Information V3, and how hedge mode refuses an order on more than the position.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from decimal import Context, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, NamedTuple

from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.verdicts import Facts
from exit_shim.guard.book import PROTECTIVE_TYPES
from exit_shim.guard.exchange_snapshot import TRAILING, OpenOrder, OpenPosition, Snapshot

STOP_LIMIT: Final = "STOP"
ON_MARK: Final = "MARK_PRICE"

MAX_CALLBACK: Final = Decimal(20)
"""Percent; the widest callback rate that Binance takes since 2026-10-23, for a row that does not say one."""

FILL_IN_PARTS: Final = frozenset({"LIMIT", "STOP", "TAKE_PROFIT"})
"""The types that rest as limit orders, now or once they fire: any part of them may fill."""

MAX_STOPS: Final = 4
MAX_OTHERS: Final = 8
MAX_TRIED: Final = 400
"""Exits on a quantity whose every order of firing is tried, and what may be left then. With more of them
nothing is sure: the order waits."""

EXACT: Final = Context(prec=80, traps=[InvalidOperation])
"""The bot's own context may round, and raise."""

Counts = Callable[[OpenOrder], bool]

NO_FACTS: Final[Facts] = MappingProxyType({})


class Gap(NamedTuple):
    """Why a position is not surely covered: one word of `GAPS`, and facts."""

    because: str
    facts: Facts = NO_FACTS


def find_gap(snapshot: Snapshot, symbol: str | None, counts: Counts, within: float) -> Gap | None:
    """Return why the open positions of a symbol are not surely covered; None where they all are.

    Both positions of a symbol in hedge mode must be: a caller that stops at the first denial may have meant
    to guard the other one next. A flat symbol is not covered.

    Args:
        snapshot: What rests and is open.
        symbol: Which.
        counts: Whether a stop is of somebody whose stops count.
        within: How far from the price a trigger may be, as a share of the price.
    """
    positions = [held for held in snapshot.positions if held.symbol == symbol and held.amount]
    if not positions:
        return Gap("no_position")
    gaps = (find_gap_of(held, snapshot, counts, within) for held in positions)
    return next((gap for gap in gaps if gap is not None), None)


def find_gap_of(held: OpenPosition, snapshot: Snapshot, counts: Counts, within: float) -> Gap | None:
    """Return why one position is not surely covered; None where it is."""
    exits = [order for order in snapshot.resting if held.is_guarded_by(order)]
    stops = [order for order in exits if order.type in PROTECTIVE_TYPES and counts(order)]
    flaws = [flaw_of(stop, held, snapshot.last, within) for stop in stops]
    sure = [stop for stop, flaw in zip(stops, flaws, strict=True) if flaw is None]
    side = {"position_side": held.position_side}
    if any(stop.close_position for stop in sure):
        return None
    if not sure:
        if flaws and flaws[0] is not None:
            return Gap(flaws[0], {**side, "order": stops[0].name})
        return Gap("no_owners_stop", side)
    others = [order for order in exits if order not in sure]
    return find_shortfall(held, sure, others)


def covering(snapshot: Snapshot, symbol: str | None, counts: Counts, within: float) -> Iterator[OpenOrder]:
    """Yield the stops that surely close some of a symbol's positions."""
    for held in snapshot.positions:
        for order in snapshot.resting:
            is_stop = order.type in PROTECTIVE_TYPES and held.symbol == symbol and held.is_guarded_by(order)
            if is_stop and counts(order) and flaw_of(order, held, snapshot.last, within) is None:
                yield order


def flaw_of(stop: OpenOrder, held: OpenPosition, last: Decimal | None, within: float) -> str | None:
    """Return what keeps a stop from surely closing its part of a position; None for nothing.

    A stop on the contract price is measured by the last price, one on the mark price by the mark; where the
    last price is not known, both by the mark. Liquidation goes by the mark for both.
    """
    if stop.type == STOP_LIMIT:
        return "stop_limit"  # in a gap it rests unfilled
    if not stop.is_active:
        return "not_active"
    if stop.price_protect:
        return "price_protected"
    price = held.mark if stop.working_type == ON_MARK or last is None else last
    if not price:
        return "no_price"
    trigger = trigger_of(stop, held, price)
    return flaw_of_trigger(trigger, held, price, within) if trigger else "no_trigger"


def trigger_of(stop: OpenOrder, held: OpenPosition, price: Decimal) -> Decimal | None:
    """Return the price at which a stop fires; of a trailing one the farthest at which it can."""
    if stop.type != TRAILING:
        return stop.trigger
    rate = (MAX_CALLBACK if stop.callback_rate is None else stop.callback_rate) / 100
    return price * (1 - rate if held.amount > 0 else 1 + rate)


def flaw_of_trigger(trigger: Decimal, held: OpenPosition, price: Decimal, within: float) -> str | None:
    """Return what is wrong with where a stop triggers; None for nothing."""
    falls, liquidation = held.amount > 0, held.liquidation
    if (trigger >= price) if falls else (trigger <= price):
        return "already_crossed"
    if abs(trigger - price) > Decimal(str(within)) * price:
        return "too_far"
    if liquidation is None:
        return "no_liquidation"
    if liquidation > 0 and ((trigger <= liquidation) if falls else (trigger >= liquidation)):
        return "beyond_liquidation"
    return None


def find_shortfall(held: OpenPosition, stops: list[OpenOrder], others: list[OpenOrder]) -> Gap | None:
    """Return why stops on a quantity do not close all of a position; None where they do.

    One-way: reduceOnly cuts what is more than the position, so they add up. Hedge mode refuses a stop on
    more than is left when it fires, whatever exits of anybody have filled before it, in parts too.
    """
    size, total = abs(held.amount), sum((stop.quantity or Decimal(0) for stop in stops), Decimal(0))
    facts = {"position_side": held.position_side, "size": str(size), "stops": str(total)}
    if total < size:
        return Gap("quantity_short", facts)
    if held.position_side == "BOTH":
        return None
    if any(order.type in FILL_IN_PARTS for order in others):
        return Gap("larger_than_left", facts)
    quantities = [stop.quantity or Decimal(0) for stop in stops]
    before = [order.quantity for order in others if not order.close_position]
    if len(stops) > MAX_STOPS or len(before) > MAX_OTHERS or None in before:
        return Gap("too_many_exits", facts)
    taken = sums(quantity for quantity in before if quantity is not None)
    tried = [closes_all(size, order, taken) for order in itertools.permutations(quantities)]
    if None in tried:
        return Gap("too_many_exits", facts)
    return None if all(tried) else Gap("larger_than_left", facts)


def closes_all(size: Decimal, quantities: Iterable[Decimal], taken: frozenset[Decimal]) -> bool | None:
    """Return whether stops that fire in this order close a hedge position, with others filling in between.

    None where that takes too long to tell: the order waits.

    Args:
        size: Of the position.
        quantities: Of the stops.
        taken: What others may have closed before any of them.
    """
    left = less(frozenset({size}), taken)
    for quantity in quantities:
        if len(left) * len(taken) > MAX_TRIED:
            return None
        left = less(frozenset(rest - quantity if quantity <= rest else rest for rest in left), taken)
    return left == {Decimal(0)}


def less(left: frozenset[Decimal], taken: frozenset[Decimal]) -> frozenset[Decimal]:
    """Return what may be left of a position after others took some, none, or were refused."""
    return frozenset(rest - part for rest in left for part in taken if part <= rest)


def sums(quantities: Iterable[Decimal]) -> frozenset[Decimal]:
    """Return what any of some quantities add up to, zero for none of them included."""
    found = frozenset({Decimal(0)})
    for quantity in quantities:
        found |= {one + quantity for one in found}
    return found


def strips(snapshot: Snapshot, symbol: str | None, taken: Counts, within: float) -> bool:
    """Return whether a cancel bares a position: stops of anybody cover its symbol before, and not afterwards.

    Where the symbol's other position is bare already, the cancel may make room for its stop.
    """
    after = snapshot._replace(resting=tuple(order for order in snapshot.resting if not taken(order)))
    if find_gap(snapshot, symbol, anybodys, within) is not None:
        return False
    return find_gap(after, symbol, anybodys, within) is not None


def anybodys(_: OpenOrder) -> bool:
    """Count every stop."""
    return True


def is_priced_through(order: ExitOrder, price: Decimal | None, snapshot: Snapshot) -> bool:
    """Return whether a LIMIT exit, or a change of one, would fill at once at the mark or the last price.

    Args:
        order: The exit; a change names no type, and only LIMIT orders can be changed.
        price: What it asks for.
        snapshot: What rests and is open on its symbol.
    """
    if order.type not in {"LIMIT", None} or price is None:
        return False
    prices = [held.mark for held in snapshot.positions if held.symbol == order.symbol] + [snapshot.last]
    return any(
        known is not None and (price <= known if order.side == "SELL" else price >= known) for known in prices
    )
