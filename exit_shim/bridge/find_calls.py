"""Carry out old questions about one order. Pure: generators.

It calls an order missing only after asking both stores. A name leads to the order that rests under it, else
to the newest one that bore it.
"""

from collections.abc import Mapping
from typing import Any, Final

from exit_shim.bridge.known import BECOME_LIMIT, WAITING, KnownOrders, KnownStop
from exit_shim.bridge.plans import ALGO_ORDERS, Failure, Plan, Request, ask, find_algo, is_row
from exit_shim.bridge.request_fields import algo_reference, ids_in, plain, symbol_in, time_of
from exit_shim.bridge.translate import FIRED, is_filled, to_order
from exit_shim.domain.orders import upper

OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})

CHILDREN: Final = frozenset({"MARKET", "LIMIT"})
"""The types of the orders that conditional ones become."""

FORGOTTEN_MS: Final = 3 * 24 * 3_600_000
"""The exchange forgets an order that ended unfilled after three days."""


def find(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Find an order by an id, in both stores."""
    order_id, name = ids_in(params)
    if name is not None:
        return (yield from find_by_name(known, params, name))
    stop = known.find(order_id, None)
    if stop is not None and stop.symbol == symbol_in(params):
        return (yield from show_stop(known, params, stop))
    if order_id is not None and order_id >= ALGO_ORDERS:
        row = yield from find_conditional(params)
        return (yield from ask("get", "order", params) if row is None else with_child(known, row))
    order = yield from find_ordinary(params)
    if not isinstance(order, Failure):
        return order
    row = yield from find_conditional(params)
    if row is None:
        raise order.error
    return (yield from with_child(known, row))


def find_by_name(known: KnownOrders, params: dict[str, Any], name: str) -> Plan:
    """Find the order that rests under a client order id, else the newest one that bore it."""
    order: Any = None
    stop = known.find(None, name, symbol_in(params))
    if stop is None:
        order = yield from find_ordinary(params)
        if not isinstance(order, Failure) and not may_share_its_name(known, order):
            return order
    row = yield from find_conditional(params, is_last_word=not is_row(order))
    if row is None and stop is not None:
        # An order of another symbol bears the name by now.
        row = yield from find_conditional({**params, "orderId": stop.algo_id})
    if row is not None:
        known.learn(row)
        if waits(row) and not is_open(order):
            return to_order(row)
    if order is None:
        order = yield from find_ordinary(params)
    return (yield from show_newest(known, row, order))


def may_share_its_name(known: KnownOrders, order: Any) -> bool:
    """Return whether a conditional order may bear the name of an ordinary one that was found."""
    if not is_row(order) or order.get("type") not in CHILDREN:
        return False
    return not (is_open(order) and known.is_ordinary(order.get("symbol"), order.get("clientOrderId")))


def show_newest(known: KnownOrders, row: Any, order: Any) -> Plan:
    """Return one of two orders of a name: the conditional one, the ordinary one, or both as one."""
    if isinstance(order, Failure):
        if row is None:
            raise order.error
        return (yield from with_child(known, row))
    if not is_row(order):
        return order
    if row is None:
        known.learn_ordinary(order.get("symbol"), order.get("clientOrderId"))
    elif str(row.get("actualOrderId")) == str(order.get("orderId")):
        return to_order(row, order)
    elif not is_open(order) and time_of(order) <= int(row.get("createTime") or 0):
        return (yield from with_child(known, row))
    stop = known.find(order.get("orderId"), None)
    return order if stop is None else to_order(stop.row, order)


def find_ordinary(params: dict[str, Any]) -> Plan:
    """Ask the store of ordinary orders for one; a `Failure` where it has none."""
    answer = yield Request("get", "order", params)
    if isinstance(answer, Failure) and not answer.is_not_there:
        raise answer.error
    return answer


def find_conditional(params: dict[str, Any], *, is_last_word: bool = True) -> Plan:
    """Ask the Algo Service for an order; None where it has none of the symbol.

    Args:
        params: The old request.
        is_last_word: Whether the bot would be told that there is no such order.
    """
    if is_last_word:
        answer = yield from find_algo(params, algo_reference(params))
    else:
        answer = yield Request("get", "algoOrder", {**plain(params), **algo_reference(params)})
    if isinstance(answer, Failure):
        if not (answer.is_not_there or answer.is_no_store):
            raise answer.error
        return None
    return answer if is_row(answer) and answer.get("symbol") == symbol_in(params) else None


def show_stop(known: KnownOrders, params: dict[str, Any], stop: KnownStop) -> Plan:
    """Return a known conditional order, or what became of it."""
    row = yield from find_algo(params, {"algoId": stop.algo_id})
    if isinstance(row, Failure):
        if not row.is_not_there or stop.child_id is None:
            raise row.error
        row = stop.row
    return (yield from with_child(known, row))


def with_child(known: KnownOrders, row: Mapping[str, Any]) -> Plan:
    """Return a conditional order with the state of the order that it became."""
    stop = known.learn(row)
    if upper(row.get("algoStatus")) not in FIRED or stop is None or stop.child_id is None:
        return to_order(row)
    child = yield Request("get", "order", {"symbol": row.get("symbol"), "orderId": stop.child_id})
    if not isinstance(child, Failure):
        return to_order(row, child)
    if not child.is_not_there or is_in_doubt(known, row):
        raise child.error
    # One that is triggered and not finished is about to be readable.
    ended = {**row, "algoStatus": "FINISHED"} if is_forgotten(known, row) else row
    return {**to_order(ended), "algoStatus": row.get("algoStatus")}


def is_in_doubt(known: KnownOrders, row: Mapping[str, Any]) -> bool:
    """Return whether nobody can say how an order ended while its child cannot be read."""
    is_finished = upper(row.get("algoStatus")) == "FINISHED"
    return is_finished and not is_filled(row) and not is_forgotten(known, row)


def is_forgotten(known: KnownOrders, row: Mapping[str, Any]) -> bool:
    """Return whether a conditional order ended so long ago that the exchange has forgotten its child."""
    return known.now_ms() - int(row.get("updateTime") or 0) > FORGOTTEN_MS


def stop_of(known: KnownOrders, params: Mapping[str, Any], order: Any) -> Plan:
    """Return the known conditional order that became a listed one; None for an order of its own."""
    stop = known.find(order.get("orderId"), None)
    if stop is not None:
        return stop
    stop = known.find(None, order.get("clientOrderId"), order.get("symbol"))
    if stop is None or not may_be_child(stop, order):
        return None
    row = yield Request("get", "algoOrder", {**plain(params), "algoId": stop.algo_id})
    if isinstance(row, Failure):
        if row.is_not_there:
            return None
        raise row.error
    known.learn(row)
    return stop if stop.child_id == order.get("orderId") else None


def may_be_child(stop: KnownStop, order: Mapping[str, Any]) -> bool:
    """Return whether a conditional order may have become an ordinary one of its name."""
    becomes = "LIMIT" if stop.row.get("orderType") in BECOME_LIMIT else "MARKET"
    is_later = time_of(order) >= int(stop.row.get("createTime") or 0)
    has_no_child = stop.child_id is None and upper(stop.row.get("algoStatus")) in WAITING | FIRED
    return has_no_child and is_later and order.get("type") == becomes


def find_open(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Find an open order by an id, in both stores."""
    order_id, name = ids_in(params)
    stop = known.find(order_id, name, symbol_in(params))
    if stop is None and not (order_id is not None and order_id >= ALGO_ORDERS):
        answer = yield Request("get", "openOrder", params)
        if not isinstance(answer, Failure):
            return answer
        if not answer.is_not_there:
            raise answer.error
    order = yield from find(known, params)
    if is_open(order):
        return order
    return (yield from ask("get", "openOrder", params))


def is_open(order: Any) -> bool:
    """Return whether an answer is an order that rests."""
    return is_row(order) and order.get("status") in OPEN


def waits(row: Mapping[str, Any]) -> bool:
    """Return whether a conditional order waits for its trigger."""
    return upper(row.get("algoStatus")) in WAITING
