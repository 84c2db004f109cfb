"""Rules on what a cancel removes. Pure, given the book."""

from decimal import Decimal

from exit_shim.clients.registry import cancel_all_door
from exit_shim.domain.events import Target
from exit_shim.domain.orders import COUNTDOWN
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.book import BookContext
from exit_shim.guard.live_exits import LiveExit
from exit_shim.guard.rules.books import id_fact
from exit_shim.guard.rules.context import RuleContext, RuleResult
from exit_shim.guard.rules.owners import is_own


def find_foreign(context: RuleContext) -> list[Target]:
    """Return what a cancel removes of others, as far as it is known who placed what."""
    if context.operation != "cancel":
        return []
    return [
        target
        for target in context.targets
        if target.module is not None
        and not is_own(context.compiled_policy, target, context.order.symbol, context.who, context.mode)
    ]


def foreign_cancel(context: RuleContext) -> RuleResult:
    """Find a cancel of what another module placed; an owner may cancel it."""
    targets = find_foreign(context)
    if not targets or context.grant.role == "owner":
        return None
    modules = ",".join(sorted({str(target.module) for target in targets}))
    return {"module": context.who.module, "of": modules, "orders": len(targets), **id_fact(targets[0])}


def stripped(context: RuleContext) -> RuleResult:
    """Find a cancel of a live stop that no other live stops of its position make up for."""
    if context.operation != "cancel":
        return None
    for live in context.book.removed:
        if live.is_protective and not is_replaced(context.book, live):
            position = live.position
            return {"position_side": position.position_side, "side": position.side, **id_fact(live.target)}
    return None


def futile_cancel(context: RuleContext) -> RuleResult:
    """Find a cancel-all that reaches no exit, while exits of its symbol rest in the other store."""
    exits = [live for live in context.book.out_of_reach if not live.in_doubt]
    # A countdown cancels nothing yet.
    if context.store is None or context.targets or not exits or context.order.type == COUNTDOWN:
        return None
    instead = cancel_all_door(context.door, exits[0].store)
    return {"store": context.store, "resting_elsewhere": len(exits), "instead": instead}


def is_replaced(book: BookContext, stop: LiveExit) -> bool:
    """Return whether the stops that are left close what a removed one did, as far as sizes are known."""
    removed, around = set(map(id, book.removed)), book.around[stop.position]
    left = [
        live for live in around.beside if live.is_protective and id(live) not in removed and not live.in_doubt
    ]
    if any(live.close_position for live in left):
        return True
    size = around.size
    needed = to_decimal(stop.quantity) if size is None else size
    if needed is None:
        return bool(left)
    quantities = [to_decimal(live.quantity) or Decimal(0) for live in left]
    # In hedge mode the exchange refuses a stop on more than the position when it fires.
    if size and stop.position.position_side != "BOTH":
        quantities = [quantity for quantity in quantities if quantity <= size]
    return sum(quantities, Decimal(0)) >= needed
