"""The conditional orders of portfolio margin, which moved from um/conditional to um/algo on 2026-04-28. Pure.

They had a shape of their own: a `strategyId`, and `newClientStrategyId` in the place of a client order id.
The methods of python-binance for them answer 404 since. Facts: Binance's documentation of portfolio margin.
"""

from collections.abc import Mapping
from typing import Any, Final

from exit_shim.bridge.calls import Plan, Request, Routes, ask, is_row
from exit_shim.bridge.known import KnownOrders
from exit_shim.bridge.request_fields import plain, under_new_names

ALGO_NAMES: Final[Mapping[str, str]] = {
    "strategyType": "type",
    "stopPrice": "triggerPrice",
    "newClientStrategyId": "clientAlgoId",
    "activationPrice": "activatePrice",
}
"""The fields of an order to place that have another name at um/algo."""

STRATEGY_NAMES: Final[Mapping[str, str]] = {
    "algoId": "strategyId",
    "clientAlgoId": "newClientStrategyId",
    "algoStatus": "strategyStatus",
    "orderType": "strategyType",
    "quantity": "origQty",
    "triggerPrice": "stopPrice",
    "callbackRate": "priceRate",
    "createTime": "bookTime",
    "actualOrderId": "orderId",
}
"""The fields of an order of um/algo that had another name at um/conditional."""


def place(_: KnownOrders, params: dict[str, Any]) -> Plan:
    """Place a conditional order."""
    fields = {**under_new_names(params, ALGO_NAMES), "algoType": "CONDITIONAL"}
    row = yield from ask("post", "um/algo/order", fields)
    return to_strategy(row)


def cancel(_: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel a conditional order, and return it as it was."""
    row = yield Request("get", "um/algo/algoOrder", reference(params))
    answer = yield from ask("delete", "um/algo/order", reference(params))
    # A cancel does not wait for what only its answer needs.
    shown = row if is_row(row) else answer
    return {**to_strategy(shown), "strategyStatus": "CANCELED"} if is_row(shown) else shown


def cancel_all(_: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel all conditional orders of a symbol."""
    return (yield from ask("delete", "um/algo/allOpenOrders", params))


def find(_: KnownOrders, params: dict[str, Any]) -> Plan:
    """Find a conditional order."""
    return to_strategy((yield from ask("get", "um/algo/algoOrder", reference(params))))


def list_open(_: KnownOrders, params: dict[str, Any]) -> Plan:
    """List the conditional orders that wait."""
    return [to_strategy(row) for row in (yield from ask("get", "um/algo/openOrders", params))]


def list_all(_: KnownOrders, params: dict[str, Any]) -> Plan:
    """List all conditional orders."""
    question = {"algoId" if name == "strategyId" else name: value for name, value in params.items()}
    return [to_strategy(row) for row in (yield from ask("get", "um/algo/allOrders", question))]


def reference(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that name an order at um/algo."""
    names = {"strategyId": "algoId", "newClientStrategyId": "clientAlgoId"}
    return {**plain(params), **{names[name]: params[name] for name in names if params.get(name) is not None}}


def to_strategy(row: Any) -> Any:
    """Return an order of um/algo as um/conditional had it; what is no row comes back as it is."""
    if not is_row(row):
        return row
    return {STRATEGY_NAMES.get(name, name): value for name, value in row.items() if name != "algoType"}


PORTFOLIO_MARGIN: Final[Routes] = {
    ("post", "um/conditional/order"): place,
    ("delete", "um/conditional/order"): cancel,
    ("delete", "um/conditional/allOpenOrders"): cancel_all,
    ("get", "um/conditional/openOrder"): find,
    ("get", "um/conditional/orderHistory"): find,
    ("get", "um/conditional/openOrders"): list_open,
    ("get", "um/conditional/allOrders"): list_all,
}
"""The old requests that the bridge carries out, by verb and path below the version."""
