"""Carry out old cancels. Pure: generators. It calls an order missing only after asking both stores."""

from collections.abc import Generator, Mapping
from typing import Any, Final

from exit_shim.bridge.find_calls import find_conditional
from exit_shim.bridge.known import KnownOrders, KnownStop
from exit_shim.bridge.plans import (
    ALGO_ORDERS,
    NOT_THERE,
    Failure,
    HalfDoneError,
    Plan,
    Request,
    as_error,
    ask,
    failure_of,
    find_algo,
)
from exit_shim.bridge.request_fields import id_lists, ids_in, listed_ids, plain, symbol_in
from exit_shim.bridge.translate import FIRED, to_order, to_placed
from exit_shim.domain.orders import upper

STOPS_LEFT: Final = "the ordinary orders were cancelled, the conditional ones were not"
CHILD_LEFT: Final = "all orders were cancelled, but perhaps one that fired meanwhile"

LISTS: Final = frozenset({"orderidlist", "origclientorderidlist"})


def cancel(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel an order by an id, in whichever store it is."""
    order_id, _ = ids_in(params)
    stop = known_stop(known, params)
    if stop is None and order_id is not None and order_id >= ALGO_ORDERS:
        stop = yield from find_stop(known, params)
    if stop is not None:
        answer = yield from try_cancel_stop(known, params, stop)
        if not isinstance(answer, Failure):
            return answer
        # Another order may bear the name by now, but none the id.
        if order_id is not None or not answer.is_not_there:
            raise answer.error
    answer = yield Request("delete", "order", params)
    if not isinstance(answer, Failure):
        return answer
    if not answer.is_not_there:
        raise answer.error
    found = yield from find_stop(known, params)
    if found is None or found is stop:
        raise answer.error
    return (yield from cancel_stop(known, params, found))


def known_stop(known: KnownOrders, params: Mapping[str, Any]) -> KnownStop | None:
    """Return the known conditional order that a cancel names; by name only one that may live."""
    order_id, name = ids_in(params)
    stop = known.find(order_id, name, symbol_in(params))
    if stop is None or stop.symbol != symbol_in(params):
        return None
    return stop if order_id is not None or not stop.is_dead else None


def find_stop(known: KnownOrders, params: dict[str, Any]) -> Generator[Request, Any, KnownStop | None]:
    """Ask the Algo Service for an order that may live; None where it has none of the symbol."""
    row = yield from find_conditional(params)
    stop = None if row is None else known.learn(row)
    return None if stop is None or stop.is_dead else stop


def cancel_stop(known: KnownOrders, params: dict[str, Any], stop: KnownStop) -> Plan:
    """Cancel a conditional order; where it has fired, what it became."""
    answer = yield from try_cancel_stop(known, params, stop)
    if isinstance(answer, Failure):
        raise answer.error
    return answer


def try_cancel_stop(known: KnownOrders, params: dict[str, Any], stop: KnownStop) -> Plan:
    """Cancel a conditional order, or what it became; a `Failure` where that did not work."""
    answer = yield Request("delete", "algoOrder", {**plain(params), "algoId": stop.algo_id})
    if not isinstance(answer, Failure):
        known.learn({**stop.row, "algoStatus": "CANCELED"})
        return to_placed(stop.row, "CANCELED")
    if not answer.is_not_there:
        return answer
    row = yield from find_algo({**params, "symbol": stop.symbol}, {"algoId": stop.algo_id})
    if isinstance(row, Failure):
        if not row.is_not_there:
            return row
        row = stop.row
    known.learn(row)
    if stop.child_id is None or upper(row.get("algoStatus")) not in FIRED:
        return answer
    child = {**plain(params), "symbol": stop.symbol, "orderId": stop.child_id}
    cancelled = yield Request("delete", "order", child)
    return cancelled if isinstance(cancelled, Failure) else to_order(row, cancelled)


def cancel_listed(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel orders by lists of ids: ordinary ones in one request, conditional ones one by one."""
    wanted = list(listed_ids(params))
    rest = {name: params[name] for name in params if name.lower() not in LISTS}
    single = {**plain(rest), "symbol": rest.get("symbol")}
    stops = [place for place, (key, value) in enumerate(wanted) if known_stop(known, {**single, key: value})]
    ordinary = [place for place in range(len(wanted)) if place not in stops]
    answers: dict[int, Any] = {}
    if ordinary:
        lists = params if not stops else id_lists(rest, wanted, ordinary)
        answer = yield from ask("delete", "batchOrders", lists)
        answers = dict(zip(ordinary, answer, strict=False)) if isinstance(answer, list) else {}
    for place, (key, value) in enumerate(wanted):
        if place in stops or is_not_there(answers.get(place)):
            answers[place] = yield from cancel_element(known, {**single, key: value})
    return [answers.get(place) for place in range(len(wanted))]


def cancel_element(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel one order of a list, in which a refusal is an element."""
    try:
        return (yield from cancel(known, params))
    except Exception as error:  # noqa: BLE001 - in such a list a refusal is an element
        return as_error(failure_of(error))


def is_not_there(element: Any) -> bool:
    """Return whether an element of a list says that there is no such order."""
    return isinstance(element, Mapping) and element.get("code") in NOT_THERE


def cancel_all(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel all orders of a symbol: the ordinary ones first, so that stops guard longest."""
    symbol = symbol_in(params)
    done = yield from ask("delete", "allOpenOrders", params)
    answer = yield Request("delete", "algoOpenOrders", params)
    has_no_stops = isinstance(answer, Failure) and answer.is_no_store and not known.has_stops
    if isinstance(answer, Failure) and not has_no_stops:
        raise HalfDoneError(answer.error, STOPS_LEFT)
    # Orders of an earlier life of the bot are not known.
    is_needed = known.has_limit_stops(symbol) or not known.was_cleared(symbol)
    if is_needed and not has_no_stops:
        # One that fired in between may rest as a LIMIT order by now.
        again = yield Request("delete", "allOpenOrders", params)
        if isinstance(again, Failure):
            raise HalfDoneError(again.error, CHILD_LEFT)
    known.clear(symbol)
    return done
