"""Rules that compare an exit with the live exits of its position. Pure, given the book."""

from decimal import Decimal
from typing import Final

from exit_shim.domain.events import Target
from exit_shim.domain.orders import PROTECTIVE_TYPES
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.book import rests
from exit_shim.guard.rules.context import NANOSECONDS, RuleContext, RuleResult

CHURN_TIMES: Final = 6
CHURN_WITHIN_S: Final = 60.0
WIDENED_WITHIN_S: Final = 60.0


def duplicate_exit(context: RuleContext) -> RuleResult:
    """Find another module's live exit of the same kind that guards the same position."""
    if context.operation != "place" or not rests(context.order):
        return None
    for live in context.book.beside:
        if live.target.kind == context.order.kind and live.target.module != context.who.module:
            return {"other": live.target.module, "kind": context.order.kind, **id_fact(live.target)}
    return None


def oversized(context: RuleContext) -> RuleResult:
    """Find live exits of one kind that add up to more than the position, with this one."""
    size = context.book.size
    if size is None or context.operation != "place" or not rests(context.order):
        return None
    quantity = to_decimal(context.order.quantity)
    if quantity is None:
        return None
    resting = [
        to_decimal(live.quantity) or Decimal(0)
        for live in context.book.beside
        if live.target.kind == context.order.kind and not live.in_doubt
    ]
    total = sum(resting, quantity)
    return {"total": total, "position": size} if total > size else None


def churn(context: RuleContext) -> RuleResult:
    """Find an exit that its module places again and again."""
    if context.operation != "place" or not rests(context.order):
        return None
    settings = context.rule("CHURN")
    times, within = settings.times or CHURN_TIMES, settings.within_s or CHURN_WITHIN_S
    since = context.now - int(within * NANOSECONDS)
    before = context.book.placed_at
    if len(before) + 1 < times or before[1 - times] < since:
        return None
    return {"times": times, "within_s": f"{within:g}"}


def stop_widened(context: RuleContext) -> RuleResult:
    """Find a stop that is farther from the price than the one that its position had a moment ago."""
    last, order = context.book.last_stop, context.order
    if last is None or context.operation != "place" or order.type not in PROTECTIVE_TYPES:
        return None
    if order.trigger_price is None or order.trigger_price == last.trigger:
        return None
    trigger, before = to_decimal(order.trigger_price), to_decimal(last.trigger)
    if trigger is None or before is None:
        return None
    within = context.rule("STOP_WIDENED").within_s or WIDENED_WITHIN_S
    is_live = any(live.is_protective and live.trigger == last.trigger for live in context.book.beside)
    if not is_live and context.now - last.ts > within * NANOSECONDS:
        return None
    farther = before - trigger if order.side == "SELL" else trigger - before
    return {"from": last.trigger, "to": trigger, "before": last.module} if farther > 0 else None


def id_fact(target: Target) -> dict[str, object]:
    """Return the id of an order, as a fact."""
    for field in ("algo_id", "order_id", "client_order_id"):
        if (number := getattr(target, field)) is not None:
            return {field: number}
    return {}
