"""Rules that hold an exit against the live exits of the same position. Pure, given the book."""

from decimal import Decimal
from typing import Final

from exit_shim.domain.events import Target
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.book import rests
from exit_shim.guard.live_exits import PROTECTIVE_TYPES
from exit_shim.guard.rules.context import NANOSECONDS, Found, RuleContext

CHURN_TIMES: Final = 6
CHURN_WITHIN_S: Final = 60.0
WIDENED_WITHIN_S: Final = 60.0


def duplicate_exit(case: RuleContext) -> Found:
    """Another module's live exit of the same kind guards the same position."""
    if case.operation != "place" or not rests(case.order):
        return None
    for live in case.near.beside:
        if live.target.kind == case.order.kind and live.target.module != case.who.module:
            return {"other": live.target.module, "kind": case.order.kind, **named(live.target)}
    return None


def oversized(case: RuleContext) -> Found:
    """Live exits of one kind, this one included, add up to more than the position, whose size was seen."""
    size = case.near.size
    if size is None or case.operation != "place" or not rests(case.order):
        return None
    quantity = to_decimal(case.order.quantity)
    if quantity is None:
        return None
    resting = [
        to_decimal(live.quantity) or Decimal(0)
        for live in case.near.beside
        if live.target.kind == case.order.kind and not live.in_doubt
    ]
    total = sum(resting, quantity)
    return {"total": total, "position": size} if total > size else None


def churn(case: RuleContext) -> Found:
    """The same exit was placed again and again."""
    if case.operation != "place" or not rests(case.order):
        return None
    said = case.rule("CHURN")
    times, within = said.times or CHURN_TIMES, said.within_s or CHURN_WITHIN_S
    since = case.now - int(within * NANOSECONDS)
    before = case.near.placed_at
    if len(before) + 1 < times or before[1 - times] < since:
        return None
    return {"times": times, "within_s": f"{within:g}"}


def stop_widened(case: RuleContext) -> Found:
    """A stop is placed farther from the price than the one that the position had a moment ago."""
    last, order = case.near.last_stop, case.order
    if last is None or case.operation != "place" or order.type not in PROTECTIVE_TYPES:
        return None
    if order.trigger_price is None or order.trigger_price == last.trigger:
        return None
    trigger, before = to_decimal(order.trigger_price), to_decimal(last.trigger)
    if trigger is None or before is None:
        return None
    within = case.rule("STOP_WIDENED").within_s or WIDENED_WITHIN_S
    still = any(live.is_protective and live.trigger == last.trigger for live in case.near.beside)
    if not still and case.now - last.ts > within * NANOSECONDS:
        return None
    farther = before - trigger if order.side == "SELL" else trigger - before
    return {"from": last.trigger, "to": trigger, "before": last.module} if farther > 0 else None


def named(target: Target) -> dict[str, object]:
    """Return the id of an order, as a fact."""
    for field in ("algo_id", "order_id", "client_order_id"):
        if (found := getattr(target, field)) is not None:
            return {field: found}
    return {}
