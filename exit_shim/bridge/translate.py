"""Translate fields between orders as they were before 2025-12-09 and those of the Algo Service. Pure.

Facts: Binance's change log of 2025-12-09, and its documentation of `algoOrder`.
"""

from collections.abc import Mapping
from typing import Any, Final

from exit_shim.bridge.request_fields import under_new_names
from exit_shim.domain.orders import CONDITIONAL_KINDS, upper

ALGO_NAMES: Final[Mapping[str, str]] = {
    "stopPrice": "triggerPrice",
    "newClientOrderId": "clientAlgoId",
    "activationPrice": "activatePrice",
}
"""The fields of an order to place that have another name at the Algo Service."""

STATUSES: Final[Mapping[str, str]] = {
    "NEW": "NEW",
    "TRIGGERING": "NEW",
    "CANCELED": "CANCELED",
    "EXPIRED": "EXPIRED",
    "REJECTED": "EXPIRED",
}
"""The status that an order had before the migration, by its `algoStatus`, before it has become another order.

A trigger that the exchange refused let the order expire.
"""

FIRED: Final = frozenset({"TRIGGERED", "FINISHED"})
"""The statuses of an order that became another one, whose state is its own."""

TRAILING: Final = "TRAILING_STOP_MARKET"

KEPT: Final = (
    *("timeInForce", "reduceOnly", "closePosition", "side", "positionSide", "workingType", "priceProtect"),
    *("priceMatch", "selfTradePreventionMode", "goodTillDate"),
)
"""The fields of an order that have the same name and meaning at both."""

OF_CHILD: Final = (
    *("status", "type", "price", "origQty", "timeInForce"),
    *("avgPrice", "executedQty", "cumQuote", "cumQty", "updateTime"),
)
"""The fields that the order tells which a conditional one became."""


def is_conditional(params: Mapping[str, Any]) -> bool:
    """Return whether an order to place is one that Binance takes at the Algo Service only."""
    return upper(params.get("type") or "") in CONDITIONAL_KINDS


def to_algo(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an order to place as the Algo Service takes them."""
    return {**under_new_names(params, ALGO_NAMES), "algoType": "CONDITIONAL"}


def to_order(row: Mapping[str, Any], child: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an order as `GET order` answered it.

    Args:
        row: The order as the Algo Service shows it.
        child: The order that it became, as `GET order` answers it; None where there is none.
    """
    order = {**_head(row), "avgPrice": "0.00000", "cumQuote": "0.00000", "time": row.get("createTime")}
    if child is not None:
        order |= {name: child[name] for name in OF_CHILD if name in child}
        order["actualOrderId"] = str(child.get("orderId"))
    elif upper(row.get("algoStatus")) in FIRED:
        order |= _without_child(row)
    return {**order, **_today(row)}


def to_placed(row: Mapping[str, Any], status: str | None = None) -> dict[str, Any]:
    """Return an order as the answers to placing and cancelling an ordinary order show it today.

    Args:
        row: The order as the Algo Service shows it.
        status: Its status; None: what the row says.
    """
    order = _head(row)
    order["cumQty"] = order["executedQty"]
    if status is not None:
        order["status"] = status
    return {**order, **_today(row)}


def _head(row: Mapping[str, Any]) -> dict[str, Any]:
    kind = row.get("orderType")
    order = {
        "orderId": row.get("algoId"),
        "symbol": row.get("symbol"),
        "status": STATUSES.get(upper(row.get("algoStatus")), "NEW"),
        "clientOrderId": row.get("clientAlgoId"),
        "price": row.get("price") or "0",
        "origQty": row.get("quantity") or "0",
        "executedQty": "0",
        "type": kind,
        "origType": kind,
        "stopPrice": row.get("triggerPrice") or "0",
        **{name: row[name] for name in KEPT if name in row},
        "updateTime": row.get("updateTime"),
    }
    if kind == TRAILING:
        order["activatePrice"] = row.get("activatePrice") or "0"
        order["priceRate"] = row.get("callbackRate")
    return order


def _without_child(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an order whose child cannot be read, by the word of the Algo Service."""
    done = str(row.get("actualQty") or "0")
    if upper(row.get("algoStatus")) == "FINISHED":
        return {"status": "FILLED" if is_filled(row) else "EXPIRED", "executedQty": done}
    return {"status": "PARTIALLY_FILLED" if is_filled(row) else "NEW", "executedQty": done}


def is_filled(row: Mapping[str, Any]) -> bool:
    """Return whether the Algo Service says that something of an order was filled."""
    return str(row.get("actualQty") or "0").strip("0.") != ""


def _today(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the Algo Service, for bots that have learnt to read them."""
    names = ("algoId", "clientAlgoId", "algoStatus", "triggerPrice")
    return {name: row[name] for name in names if name in row}
