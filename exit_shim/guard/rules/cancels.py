"""Rules on what a cancel takes away. Pure, given the book."""

from decimal import Decimal

from exit_shim.clients.registry import cancel_all_door
from exit_shim.domain.events import Target
from exit_shim.domain.orders import COUNTDOWN
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.book import BookContext
from exit_shim.guard.live_exits import LiveExit
from exit_shim.guard.rules.books import named
from exit_shim.guard.rules.context import Found, RuleContext
from exit_shim.guard.rules.owners import is_own


def foreign(case: RuleContext) -> list[Target]:
    """What a cancel takes of others, as far as it is known who placed what."""
    if case.operation != "cancel":
        return []
    return [
        target
        for target in case.targets
        if target.module is not None
        and not is_own(case.compiled_policy, target, case.order.symbol, case.who, case.mode)
    ]


def foreign_cancel(case: RuleContext) -> Found:
    """A module cancels what another placed; an owner may."""
    taken = foreign(case)
    if not taken or case.standing.role == "owner":
        return None
    whose = ",".join(sorted({str(target.module) for target in taken}))
    return {"module": case.who.module, "of": whose, "orders": len(taken), **named(taken[0])}


def stripped(case: RuleContext) -> Found:
    """A cancel takes a live stop away that no other live stops of the position make up for."""
    if case.operation != "cancel":
        return None
    for live in case.near.removed:
        if live.is_protective and not left_beside(case.near, live):
            position = live.position
            return {"position_side": position.position_side, "side": position.side, **named(live.target)}
    return None


def futile_cancel(case: RuleContext) -> Found:
    """A cancel-all reaches no exit, while exits of its symbol rest in the other store.

    A countdown cancels nothing yet, so there is nothing to say of it.
    """
    elsewhere = [live for live in case.near.out_of_reach if not live.in_doubt]
    if case.store is None or case.targets or not elsewhere or case.order.type == COUNTDOWN:
        return None
    other = elsewhere[0].store
    instead = cancel_all_door(case.door, other)
    return {"store": case.store, "resting_elsewhere": len(elsewhere), "instead": instead}


def left_beside(near: BookContext, stop: LiveExit) -> bool:
    """Whether other live stops, not taken too, cover what this one did, as far as sizes are known.

    In hedge mode a stop on more than the position is refused when it fires, and covers nothing.
    """
    gone, around = set(map(id, near.removed)), near.around[stop.position]
    left = [
        live for live in around.beside if live.is_protective and id(live) not in gone and not live.in_doubt
    ]
    if any(live.close_position for live in left):
        return True
    size = around.size
    needed = to_decimal(stop.quantity) if size is None else size
    if needed is None:
        return bool(left)
    quantities = [to_decimal(live.quantity) or Decimal(0) for live in left]
    if size and stop.position.position_side != "BOTH":
        quantities = [quantity for quantity in quantities if quantity <= size]
    return sum(quantities, Decimal(0)) >= needed
