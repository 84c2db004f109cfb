"""Decide whether live stops surely close the whole of every open position of a symbol: cover. Pure.

`find_gap` returns why they do not. docs/explanation/cover.md states the same to the letter. The facts are
those of Binance's USDⓈ-M pages New Algo Order and Position Information V3.
"""

from collections.abc import Callable, Iterator
from decimal import Context, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, NamedTuple

from exit_shim.domain.orders import PROTECTIVE_TYPES, ExitOrder
from exit_shim.domain.verdicts import Facts
from exit_shim.guard.exchange_snapshot import TRAILING, OpenOrder, OpenPosition, Snapshot

STOP_LIMIT: Final = "STOP"
ON_MARK: Final = "MARK_PRICE"

MAX_CALLBACK: Final = Decimal(20)
"""Percent; the widest callback rate that Binance takes since 2026-10-23, for a row that does not say one."""

EXACT: Final = Context(prec=80, traps=[InvalidOperation])
"""The decimal context of all comparisons; the bot's own may round, or raise."""

OrderFilter = Callable[[OpenOrder], bool]

NO_FACTS: Final[Facts] = MappingProxyType({})


class Gap(NamedTuple):
    """The reason why a position is not surely covered.

    Attributes:
        because: One word of `exit_shim.domain.reason_codes.GAPS`.
        facts: What it is about, by short names.
    """

    because: str
    facts: Facts = NO_FACTS


def find_gap(
    snapshot: Snapshot, symbol: str | None, counts: OrderFilter, within: float, *, in_turn: bool = False
) -> Gap | None:
    """Return why the open positions of a symbol are not surely covered; None where they all are.

    Args:
        snapshot: What rests and is open.
        symbol: The symbol.
        counts: Returns whether a stop may cover, by who placed it.
        within: How far from the price a trigger may be, as a share of the price.
        in_turn: Whether stops on a quantity cover in hedge mode too, where each finds enough left.
    """
    positions = [position for position in snapshot.positions if position.symbol == symbol and position.amount]
    # Nobody knows which way an order for a flat symbol is meant to guard.
    if not positions:
        return Gap("no_position")
    # Both positions of a symbol in hedge mode must be covered: a caller that stops at the first denial may
    # have meant to guard the other one next.
    gaps = (find_gap_of(position, snapshot, counts, within, in_turn=in_turn) for position in positions)
    return next((gap for gap in gaps if gap is not None), None)


def find_gap_of(
    position: OpenPosition, snapshot: Snapshot, counts: OrderFilter, within: float, *, in_turn: bool
) -> Gap | None:
    """Return why one position is not surely covered; None where it is."""
    stops = [stop for stop in stops_of(position, snapshot) if counts(stop)]
    flaws = [find_flaw(stop, position, snapshot.last, within) for stop in stops]
    sure = [stop for stop, flaw in zip(stops, flaws, strict=True) if flaw is None]
    if any(stop.close_position for stop in sure):
        return None
    if sure:
        return None if in_turn and close_in_turn(position, sure) else find_shortfall(position, sure)
    facts = {"position_side": position.position_side}
    if flaws and flaws[0] is not None:
        return Gap(flaws[0], {**facts, "order": stops[0].name})
    return Gap("no_owners_stop", facts)


def covering(
    snapshot: Snapshot, symbol: str | None, counts: OrderFilter, within: float
) -> Iterator[OpenOrder]:
    """Yield the stops that surely close some of a symbol's positions."""
    for position in snapshot.positions:
        if position.symbol == symbol:
            for stop in stops_of(position, snapshot):
                if counts(stop) and find_flaw(stop, position, snapshot.last, within) is None:
                    yield stop


def stops_of(position: OpenPosition, snapshot: Snapshot) -> Iterator[OpenOrder]:
    """Yield the stops that can only reduce a position, whoever placed them."""
    for order in snapshot.resting:
        if order.type in PROTECTIVE_TYPES and position.is_guarded_by(order):
            yield order


def find_flaw(stop: OpenOrder, position: OpenPosition, last: Decimal | None, within: float) -> str | None:
    """Return what keeps a stop from surely closing its part of a position; None for nothing."""
    if stop.type == STOP_LIMIT:
        return "stop_limit"  # in a gap it rests unfilled
    if not stop.is_active:
        return "not_active"
    if stop.price_protect:
        return "price_protected"
    # The price that triggers the stop; without the last price the mark price for both kinds.
    price = position.mark if stop.working_type == ON_MARK or last is None else last
    if not price:
        return "no_price"
    trigger = farthest_trigger(stop, position, price)
    return find_trigger_flaw(trigger, position, price, within) if trigger else "no_trigger"


def farthest_trigger(stop: OpenOrder, position: OpenPosition, price: Decimal) -> Decimal | None:
    """Return the price at which a stop fires; of a trailing stop the farthest at which it can."""
    if stop.type != TRAILING:
        return stop.trigger
    rate = (MAX_CALLBACK if stop.callback_rate is None else stop.callback_rate) / 100
    return price * (1 - rate if position.amount > 0 else 1 + rate)


def find_trigger_flaw(trigger: Decimal, position: OpenPosition, price: Decimal, within: float) -> str | None:
    """Return what is wrong with where a stop triggers; None for nothing."""
    is_long, liquidation = position.amount > 0, position.liquidation
    if (trigger >= price) if is_long else (trigger <= price):
        return "already_crossed"
    if abs(trigger - price) > Decimal(str(within)) * price:
        return "too_far"
    # Liquidation goes by the mark price, whichever price triggers the stop.
    if liquidation is None:
        return "no_liquidation"
    if liquidation > 0 and ((trigger <= liquidation) if is_long else (trigger >= liquidation)):
        return "beyond_liquidation"
    return None


def find_shortfall(position: OpenPosition, stops: list[OpenOrder]) -> Gap | None:
    """Return why stops on a quantity do not close all of a position; None where they do."""
    total = sum((stop.quantity or Decimal(0) for stop in stops), Decimal(0))
    size, is_hedged = abs(position.amount), position.position_side != "BOTH"
    # In one-way mode they add up: reduceOnly cuts what is more than the position.
    if total >= size and not is_hedged:
        return None
    # In hedge mode the exchange refuses a stop on more than is left when it fires. What is left then depends
    # on every exit of anybody that fills before, in parts too, so nothing short of closePosition is sure.
    because = "no_close_position" if is_hedged else "quantity_short"
    return Gap(because, {"position_side": position.position_side, "size": str(size), "stops": str(total)})


def close_in_turn(position: OpenPosition, stops: list[OpenOrder]) -> bool:
    """Return whether stops close all of a position as they fire, if one on more than is left is refused."""
    # Where a trailing stop fires among the others is not known.
    if any(stop.type == TRAILING or stop.trigger is None for stop in stops):
        return False
    left = abs(position.amount)
    for stop in sorted(stops, key=lambda stop: stop.trigger or 0, reverse=position.amount > 0):
        if stop.quantity is not None and stop.quantity <= left:
            left -= stop.quantity
    return not left


def strips(
    snapshot: Snapshot, symbol: str | None, removes: OrderFilter, within: float, *, is_owners: bool = False
) -> bool:
    """Return whether a cancel bares a position: stops of anybody cover its symbol before, and not afterwards.

    Args:
        snapshot: What rests and is open.
        symbol: The symbol that the cancel is about.
        removes: Returns whether the cancel removes an order.
        within: As for `find_gap`.
        is_owners: Whether an owner sends it.
    """
    # Where the symbol's other position is bare already, the cancel may make room for its stop.
    if find_gap(snapshot, symbol, is_anybodys, within) is not None:
        return False
    rest = snapshot._replace(resting=tuple(order for order in snapshot.resting if not removes(order)))
    # In hedge mode an owner could never replace a closePosition stop else: a second one is refused.
    return find_gap(rest, symbol, is_anybodys, within, in_turn=is_owners) is not None


def is_anybodys(_: OpenOrder) -> bool:
    """Count every stop."""
    return True


def is_priced_through(order: ExitOrder, price: Decimal | None, snapshot: Snapshot) -> bool:
    """Return whether a LIMIT exit, or a change of one, would fill at once at the mark or the last price.

    Args:
        order: The exit; a change names no type, and only LIMIT orders can be changed.
        price: The price that it asks for.
        snapshot: What rests and is open on its symbol.
    """
    if order.type not in {"LIMIT", None} or price is None:
        return False
    marks = (position.mark for position in snapshot.positions if position.symbol == order.symbol)
    prices = [market for market in (*marks, snapshot.last) if market is not None]
    return any(price <= market if order.side == "SELL" else price >= market for market in prices)
