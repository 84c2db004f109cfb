"""Cover: whether live stops surely close the whole of a position. Pure.

docs/explanation/cover.md states the same to the letter. Facts: Binance's USDⓈ-M pages New Algo Order and
Position Information V3, and how hedge mode refuses an order on more than the position.
"""

from collections.abc import Callable, Iterator
from decimal import Context, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, NamedTuple

from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.verdicts import Facts
from exit_shim.guard.exchange_snapshot import TRAILING, OpenOrder, OpenPosition, Snapshot
from exit_shim.guard.live_exits import PROTECTIVE_TYPES

STOP_LIMIT: Final = "STOP"
ON_MARK: Final = "MARK_PRICE"

MAX_CALLBACK: Final = Decimal(20)
"""Percent; the widest callback rate that Binance takes since 2026-10-23, for a row that does not say one."""

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
    exits = (order for order in snapshot.resting if held.is_guarded_by(order))
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
    return find_shortfall(held, sure)


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


def find_shortfall(held: OpenPosition, stops: list[OpenOrder]) -> Gap | None:
    """Return why stops on a quantity do not close all of a position; None where they do.

    In one-way mode they add up: reduceOnly cuts what is more than the position.
    """
    total = sum((stop.quantity or Decimal(0) for stop in stops), Decimal(0))
    size = abs(held.amount)
    if total >= size and held.position_side == "BOTH":
        return None
    # In hedge mode the exchange refuses a stop on more than is left when it fires. What is left then depends
    # on every exit of anybody that fills before, in parts too, so nothing short of closePosition is sure.
    because = "quantity_short" if held.position_side == "BOTH" else "no_close_position"
    return Gap(because, {"position_side": held.position_side, "size": str(size), "stops": str(total)})


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
