"""Carry out old questions for lists of orders. Pure: generators.

A list is returned only if that of each store was read.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from exit_shim.bridge.find_calls import is_forgotten, stop_of, with_child
from exit_shim.bridge.known import KnownOrders
from exit_shim.bridge.plans import ALGO_ORDERS, Failure, Plan, Request, ask, ask_algos, find_algo, is_row
from exit_shim.bridge.request_fields import number_in, plain, symbol_in, time_of
from exit_shim.bridge.translate import FIRED, is_filled, to_order
from exit_shim.domain.orders import upper

LARGEST_LIMIT: Final = 1_000
USUAL_LIMIT: Final = 500
WEEK_MS: Final = 7 * 24 * 3_600_000
"""The longest time that one question for a list may span."""

MOST_WEEKS: Final = 13
"""The exchange shows orders of the last 90 days."""


class Rows(NamedTuple):
    """The rows of both stores that an old list is made of.

    Attributes:
        algos: Those of the Algo Service.
        orders: The ordinary ones.
        begun: The time of the first one that the list may have, in milliseconds; 0 for any.
        first: The id of the first conditional one that it may have; 0 for any.
    """

    algos: list[Any]
    orders: list[Any]
    begun: int = 0
    first: int = 0


def list_open(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """List the open orders of both stores, by their time."""
    # What fires in between is seen at least once: it leaves the first list for the second.
    algos = yield from ask_algos(known, "openAlgoOrders", params)
    orders = yield from ask("get", "openOrders", params)
    if not (isinstance(algos, list) and isinstance(orders, list)):
        return orders
    for row in algos:
        known.learn(row)
    shown, joined = [], set()
    for order in orders:
        stop = yield from stop_of(known, params, order)
        if stop is not None:
            joined.add(stop.algo_id)
        shown.append(order if stop is None else to_order(stop.row, order))
    stops = [to_order(row) for row in algos if row.get("algoId") not in joined]
    return sorted([*shown, *stops], key=time_of)


def list_all(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """List the orders of both stores, those that became another one as one, by their time."""
    if not params.get("symbol"):
        return (yield from ask("get", "allOrders", params))
    first, limit = number_in(params, "orderId"), number_in(params, "limit") or USUAL_LIMIT
    rows = yield from (read_newest(known, params) if first is None else read_from(known, params, first))
    if not isinstance(rows, Rows):
        return rows
    merged = yield from merge(known, params, rows)
    page = merged[-limit:] if first is None else merged[:limit]
    listed = []
    for order, row in page:
        listed.append(order if row is None else (yield from as_listed(known, row, order)))
    return listed


def read_newest(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Read the newest orders of both stores."""
    algos = yield from ask_algos(known, "allAlgoOrders", widest(params))
    # Pairs become one, so that the newest rows of one store alone may be too few.
    orders = yield from ask("get", "allOrders", widest(params) if algos else params)
    if not (isinstance(algos, list) and isinstance(orders, list)):
        return orders
    return Rows(algos, orders, number_in(params, "startTime") or 0)


def read_from(known: KnownOrders, params: dict[str, Any], first: int) -> Plan:
    """Read the orders of both stores from one on."""
    stop = known.find(first, None) or known.find(first - 1, None)
    is_of_stop = first >= ALGO_ORDERS or (stop is not None and first - stop.algo_id in {0, 1})
    return (yield from (read_from_stop if is_of_stop else read_from_order)(known, params, first))


def read_from_stop(known: KnownOrders, params: dict[str, Any], first: int) -> Plan:
    """Read the orders from a conditional one on, or from the one after it."""
    question = {name: value for name, value in widest(params).items() if name != "orderId"}
    algos = yield from ask_algos(known, "allAlgoOrders", {**question, "algoId": first})
    if not isinstance(algos, list):
        return algos
    # A bot that reads page by page asks for the id after the last one that it has.
    before = yield from find_algo(params, {"algoId": first - 1})
    if isinstance(before, Failure) and not before.is_not_there:
        raise before.error
    oldest = algos[0] if isinstance(before, Failure) and algos else before
    if isinstance(oldest, Failure):
        return []
    begun = int(oldest.get("createTime") or 0)
    # Of one millisecond the ordinary orders come first.
    orders = yield from ask_from(known, "allOrders", question, begun + 1)
    return Rows(algos, orders, begun, first)


def read_from_order(known: KnownOrders, params: dict[str, Any], first: int) -> Plan:
    """Read the orders from an ordinary one on, or from the one after it."""
    orders = yield from ask("get", "allOrders", widest(params))
    if not isinstance(orders, list):
        return orders
    question = {name: value for name, value in widest(params).items() if name != "orderId"}
    # A bot that reads page by page asks for the id after the last one that it has.
    before = yield Request(
        "get", "order", {**plain(params), "symbol": symbol_in(params), "orderId": first - 1}
    )
    if not isinstance(before, Failure):
        begun = time_of(before)
    elif not before.is_not_there:
        raise before.error
    elif orders and orders[0].get("orderId") == first:
        begun = time_of(orders[0])
    else:
        begun = yield from time_before(question, first)
    if begun:
        algos = yield from ask_from(known, "allAlgoOrders", question, begun)
    else:
        algos = yield from ask_algos(known, "allAlgoOrders", question)
    return Rows(algos, orders, begun)


def time_before(question: Mapping[str, Any], first: int) -> Plan:
    """Return when the last of the newest ordinary orders before an id was placed; 0 where there is none."""
    newest = yield from ask("get", "allOrders", question)
    return max((time_of(order) for order in newest if int(order.get("orderId") or 0) < first), default=0)


def ask_from(known: KnownOrders, path: str, question: Mapping[str, Any], begun: int) -> Plan:
    """Ask for a list from a time on, week by week as the exchange allows, until a page is full."""
    rows: list[Any] = []
    for _ in range(MOST_WEEKS):
        times = {"startTime": begun} if "startTime" not in question else {}
        fields = {**question, **times}
        rows += yield from (
            ask("get", path, fields) if path == "allOrders" else ask_algos(known, path, fields)
        )
        begun += WEEK_MS
        if not times or len(rows) >= LARGEST_LIMIT or begun > known.now_ms():
            break
    return rows


def widest(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question for a list with the largest page; one costs as much as a small one."""
    return {**params, "limit": LARGEST_LIMIT}


def merge(known: KnownOrders, params: dict[str, Any], rows: Rows) -> Plan:
    """Return the orders by their time: each with its row at the Algo Service, or with None."""
    for row in rows.algos:
        known.learn(row)
    children: dict[int, Any] = {}
    merged: list[tuple[Any, Any]] = []
    for order in rows.orders:
        stop = yield from stop_of(known, params, order)
        if stop is None:
            merged.append((order, None))
        else:
            children[stop.algo_id] = order
            if stop.algo_id >= rows.first:
                merged.append((order, stop.row))
    merged += [(None, row) for row in rows.algos if row.get("algoId") not in children]
    return sorted((pair for pair in merged if placed_at(pair) >= rows.begun), key=place_in_list)


def place_in_list(pair: tuple[Any, Any]) -> tuple[int, bool, int]:
    """Return what a list of all orders is sorted by, so that pages of it neither overlap nor leave gaps."""
    order, row = pair
    order_id = order.get("orderId") if row is None else row.get("algoId")
    return placed_at(pair), row is not None, int(order_id or 0)


def placed_at(pair: tuple[Any, Any]) -> int:
    """Return when an order was placed that has perhaps a row at the Algo Service."""
    order, row = pair
    return time_of(order) if row is None else int(row.get("createTime") or 0)


def as_listed(known: KnownOrders, row: Mapping[str, Any], child: Mapping[str, Any] | None) -> Plan:
    """Return a conditional order as `GET allOrders` has it since 2026-08-05."""
    is_past = upper(row.get("algoStatus")) == "FINISHED" and not is_filled(row) and is_forgotten(known, row)
    if child is not None or is_past or upper(row.get("algoStatus")) not in FIRED:
        order = to_order(row, child)
    else:
        order = yield from with_child(known, row)
    return {**order, "cumBase": "0", "pair": row.get("symbol")} if is_row(order) else order
