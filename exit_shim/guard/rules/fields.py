"""Rules on an order's own fields: what can open, what is refused, what is ignored. Pure.

Facts: Binance's USDⓈ-M pages New Order, New Algo Order and error codes (up to 2026-10-23), and what
python-binance 1.0.37 sends for them.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from exit_shim.clients.registry import is_library_door
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    FIELDS,
    ExitOrder,
    closes_hedge_side,
    opens_hedge_side,
    upper,
)
from exit_shim.guard.rules.context import RuleContext, RuleResult

KNOWN: Final = frozenset(FIELDS) | {
    "algoType", "conditional", "goodTillDate", "icebergQty", "isIsolated", "newOrderRespType", "priceMatch",
    "priceProtect", "priceRate", "recvWindow", "requests_params", "selfTradePreventionMode", "signature",
    "timestamp", "strategyId", "sideEffectType", "data", "signed", "method", "path", "version",
    "orderId", "origClientOrderId", "modifyId", "pair",
}  # fmt: skip
"""The fields of a placing call that Binance or python-binance reads."""

TRAILING: Final = "TRAILING_STOP_MARKET"
WHOLE: Final = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})
"""The types that may close a whole position."""

BATCHES: Final = "batch"


def naked_exit(context: RuleContext) -> RuleResult:
    """Find an order that is meant to close, while nothing keeps it from opening the other side."""
    # The code says so, by `attributed(kind=…)` or `submit_exit_order`. In one-way mode `reduceOnly` or
    # `closePosition` keeps an order from opening; in hedge mode its position side does.
    order = context.order
    if context.operation != "place" or order.kind in {"conditional", "unknown"}:
        return None
    if order.close_position or order.reduce_only or closes_hedge_side(order.side, order.position_side):
        return None
    if opens_hedge_side(order.side, order.position_side):
        return {"side": order.side, "position_side": order.position_side}
    return {"missing": "reduceOnly"} if order.side is not None else None


def refused_params(context: RuleContext) -> RuleResult:
    """Find a combination of fields that the exchange is known to refuse."""
    if context.operation != "place":
        return None
    order, params = context.order, context.params or {}
    if order.close_position and (result := refused_whole(context)) is not None:
        return result
    if order.position_side in {"LONG", "SHORT"} and params.get("reduceOnly") is not None:
        return {"fields": "reduceOnly,positionSide", "error": -1106}
    if needs_position_side(context):
        return {"missing": "positionSide", "error": -4061}
    if BATCHES in context.door and not context.is_bridged:
        return refused_in_batch(params)
    return missing_field(order)


def refused_whole(context: RuleContext) -> RuleResult:
    """Find what the exchange refuses beside closePosition."""
    order, params = context.order, context.params or {}
    if order.type is not None and order.type not in WHOLE:
        return {"fields": "closePosition,type", "type": order.type, "error": -4136}
    if params.get("reduceOnly") is not None:
        return {"fields": "closePosition,reduceOnly", "error": -1106}
    if order.quantity is not None:
        return {"fields": "closePosition,quantity", "error": -4137}
    if opens_hedge_side(order.side, order.position_side):
        return {
            "fields": "closePosition,positionSide",
            "side": order.side,
            "position_side": order.position_side,
        }
    return None


def missing_field(order: ExitOrder) -> RuleResult:
    """Find a conditional order that lacks what its type must have."""
    if order.type == TRAILING:
        return {"missing": "callbackRate", "error": -1102} if order.callback_rate is None else None
    if order.type in CONDITIONAL_KINDS and order.trigger_price is None:
        return {"missing": "triggerPrice", "error": -1102}
    return None


def refused_in_batch(params: Mapping[str, Any]) -> RuleResult:
    """Find what an order of a batch must not have: a bool, or a conditional type."""
    # The client writes a bool as no JSON, and routes no conditional order of a batch.
    for name, value in params.items():
        if type(value) is bool:
            return {"field": name, "value": value, "error": -1130}
    kind = upper(params.get("type"))
    return {"field": "type", "type": kind, "error": -4120} if kind in CONDITIONAL_KINDS else None


def needs_position_side(context: RuleContext) -> bool:
    """Return whether an order names no position side, though the account is known to be in hedge mode."""
    return context.book.is_hedged and context.order.position_side not in {"LONG", "SHORT"}


def ignored_param(context: RuleContext) -> RuleResult:
    """Find a field that is dropped without a word, so that the order is not what was meant."""
    if context.operation != "place" or context.params is None:
        return None
    params, conditional = context.params, context.order.type in CONDITIONAL_KINDS
    if context.is_bridged:
        conditional = False
    if conditional and "activationPrice" in params and "activatePrice" not in params:
        return {"field": "activationPrice", "meant": "activatePrice"}
    if conditional and "newClientOrderId" in params and BATCHES not in context.door:
        return {"field": "newClientOrderId", "meant": "clientAlgoId"}
    if context.door.endswith("create_algo_order") and "stopPrice" in params:
        return {"field": "stopPrice", "meant": "triggerPrice"}
    if params.keys() <= KNOWN or not is_library_door(context.door):  # an adapter's fields are its own
        return None
    unknown = next(name for name in params if name not in KNOWN)
    near = difflib.get_close_matches(str(unknown), list(KNOWN), n=1, cutoff=0.6)
    return {"field": unknown, "meant": near[0] if near else None}
