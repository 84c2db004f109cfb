"""Rules on what a cancel takes away. Pure, given the book."""

from decimal import Decimal

from exit_shim.book import Live, Near, number
from exit_shim.records import Target
from exit_shim.rules.books import named
from exit_shim.rules.case import Case
from exit_shim.rules.owners import is_own


def foreign(case: Case) -> list[Target]:
    """What a cancel takes of others, as far as it is known who placed what."""
    if case.intent != "cancel":
        return []
    return [
        target
        for target in case.targets
        if target.module is not None
        and not is_own(case.standings, target, case.order.symbol, case.who, case.mode)
    ]


def foreign_cancel(case: Case) -> str | None:
    """A module cancels what another placed; an owner may."""
    taken = foreign(case)
    if not taken or case.standing.role == "owner":
        return None
    whose = ",".join(sorted({str(target.module) for target in taken}))
    return f"module={case.who.module} of={whose} orders={len(taken)}{named(taken[0])}"


def stripped(case: Case) -> str | None:
    """A cancel takes a live stop away that no other live stops of the position make up for."""
    if case.intent != "cancel":
        return None
    for live in case.near.taken:
        if live.is_protective and not left_beside(case.near, live):
            return f"position_side={live.spot.position_side} side={live.spot.side}{named(live.target)}"
    return None


def left_beside(near: Near, stop: Live) -> bool:
    """Whether other live stops, not taken too, cover what this one did, as far as sizes are known.

    In hedge mode a stop on more than the position is refused when it fires, and covers nothing.
    """
    gone, around = set(map(id, near.taken)), near.around[stop.spot]
    left = [
        live for live in around.beside if live.is_protective and id(live) not in gone and not live.in_doubt
    ]
    if any(live.close_position for live in left):
        return True
    size = around.size
    needed = number(stop.quantity) if size is None else size
    if needed is None:
        return bool(left)
    quantities = [number(live.quantity) or Decimal(0) for live in left]
    if size and stop.spot.position_side != "BOTH":
        quantities = [quantity for quantity in quantities if quantity <= size]
    return sum(quantities, Decimal(0)) >= needed
