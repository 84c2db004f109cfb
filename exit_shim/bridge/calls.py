"""Carry out old requests about orders by those of today that keep their contract. Pure: generators.

A generator yields a `Request`, is sent its answer or a `Failure`, and returns the answer to the old request.
It calls an order missing only after asking both stores, and returns a list only if it read both.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from exit_shim.bridge.cancel_calls import STOPS_LEFT, cancel, cancel_all, cancel_listed
from exit_shim.bridge.find_calls import find, find_open
from exit_shim.bridge.known import KnownOrders
from exit_shim.bridge.list_calls import list_all, list_open
from exit_shim.bridge.plans import (
    Failure,
    HalfDoneError,
    Plan,
    Request,
    Routes,
    as_error,
    ask,
    failure_of,
    is_row,
)
from exit_shim.bridge.request_fields import as_json, listed_orders, symbol_in
from exit_shim.bridge.translate import is_conditional, to_algo, to_placed

__all__ = [
    "ALGO_ONLY",
    "COIN_MARGINED",
    "STOPS_LEFT",
    "USDT_MARGINED",
    "Failure",
    "HalfDoneError",
    "Plan",
    "Request",
    "Routes",
    "ask",
    "failure_of",
    "is_row",
    "plan_for",
]

ALGO_ONLY: Final = -4120
"""STOP_ORDER_SWITCH_ALGO: the exchange takes this type at the Algo Service only."""


def plan_for(
    known: KnownOrders, verb: str, path: str, params: dict[str, Any], *, routes: Routes | None = None
) -> Plan | None:
    """Return how to carry out an old request; None for one that goes out as it is.

    Args:
        known: The orders of the account.
        verb: The request's verb.
        path: Its path below the version.
        params: Its fields.
        routes: What the bridge carries out in this market; None: `USDT_MARGINED`.
    """
    bridge = (USDT_MARGINED if routes is None else routes).get((verb.lower(), path.strip("/")))
    if bridge in {place, place_if_refused} and not is_conditional(params):
        # Its client order id is remembered, so that one question about it suffices.
        known.learn_ordinary(symbol_in(params), params.get("newClientOrderId"))
        return None
    if bridge in {place_batch, place_batch_if_refused} and not any(
        map(is_conditional, listed_orders(params))
    ):
        return None
    return None if bridge is None else bridge(known, params)


# Placing


def place(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Place a conditional order at the Algo Service."""
    row = yield from ask("post", "algoOrder", to_algo(params))
    if not is_row(row):
        return row
    known.learn(row)
    return to_placed(row)


def place_batch(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Place a batch with conditional orders, which go one by one; the caller's order is kept."""
    orders, rest = listed_orders(params), {name: params[name] for name in params if name != "batchOrders"}
    answers: list[Any] = []
    while len(answers) < len(orders):
        ordinary = list(leading_ordinary(orders[len(answers) :]))
        if ordinary:
            answer = yield Request("post", "batchOrders", {**rest, "batchOrders": as_json(ordinary)})
            answers += batch_answers(answer, ordinary, answers)
        else:
            order = orders[len(answers)]
            answer = yield Request("post", "algoOrder", {**rest, **to_algo(order)})
            answers.append(one_answer(answer, known))
        if isinstance(answer, Failure) and answer.is_too_many:
            # Each further request makes a ban longer.
            answers += [as_error(answer)] * (len(orders) - len(answers))
    return answers


def place_if_refused(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Place a conditional order, at the Algo Service where the exchange takes it nowhere else."""
    answer = yield Request("post", "order", params)
    if not isinstance(answer, Failure):
        return answer
    if answer.code != ALGO_ONLY:
        raise answer.error
    return (yield from place(known, params))


def place_batch_if_refused(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Place a batch, and at the Algo Service what the exchange takes nowhere else."""
    answers = yield from ask("post", "batchOrders", params)
    rest = {name: params[name] for name in params if name != "batchOrders"}
    again: Any = None
    for place_, (order, answer) in enumerate(zip(listed_orders(params), answers, strict=False)):
        if is_row(answer) and answer.get("code") == ALGO_ONLY:
            if not (isinstance(again, Failure) and again.is_too_many):
                again = yield Request("post", "algoOrder", {**rest, **to_algo(order)})
            answers[place_] = one_answer(again, known)
    return answers


def leading_ordinary(orders: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the orders before the first conditional one."""
    for order in orders:
        if is_conditional(order):
            return
        yield order


def batch_answers(answer: Any, orders: list[Mapping[str, Any]], before: list[Any]) -> list[Any]:
    """Return the answers to the ordinary orders of a batch."""
    if isinstance(answer, Failure):
        if not before:
            raise answer.error
        return [as_error(answer)] * len(orders)
    return answer if isinstance(answer, list) and len(answer) == len(orders) else [answer] * len(orders)


def one_answer(answer: Any, known: KnownOrders) -> Any:
    """Return the answer to a conditional order of a batch; a refusal as a batch has it."""
    if isinstance(answer, Failure):
        return as_error(answer)
    if not is_row(answer):
        return answer
    known.learn(answer)
    return to_placed(answer)


USDT_MARGINED: Final[Routes] = {
    ("post", "order"): place,
    ("post", "batchOrders"): place_batch,
    ("get", "order"): find,
    ("get", "openOrder"): find_open,
    ("get", "openOrders"): list_open,
    ("get", "allOrders"): list_all,
    ("delete", "order"): cancel,
    ("delete", "batchOrders"): cancel_listed,
    ("delete", "allOpenOrders"): cancel_all,
}
"""The old requests that the bridge carries out, by verb and path below the version."""

COIN_MARGINED: Final[Routes] = {
    **USDT_MARGINED,
    ("post", "order"): place_if_refused,
    ("post", "batchOrders"): place_batch_if_refused,
}
"""Those of COIN-M, which followed on 2026-06-30: the Algo Service is asked where the order was refused."""
