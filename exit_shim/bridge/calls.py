"""Old requests about orders as the requests of today that keep their contract. Pure: generators of requests.

A generator yields a `Request`, is sent its answer or a `Failure`, and returns the answer to the old request.
"Not there" is never said on one store's word, and no list is half a list.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from exit_shim.bridge.known import KnownOrders, KnownStop
from exit_shim.bridge.request_fields import (
    algo_reference,
    as_json,
    id_lists,
    ids_in,
    listed_ids,
    listed_orders,
    number_in,
    plain,
    symbol_in,
    time_of,
)
from exit_shim.bridge.translate import FIRED, is_conditional, to_algo, to_order, to_placed
from exit_shim.domain.orders import upper

ALGO_ONLY: Final = -4120
"""STOP_ORDER_SWITCH_ALGO: the exchange takes this type at the Algo Service only."""

NO_SUCH_PATH: Final = -5000

NOT_THERE: Final = frozenset({-2011, -2013})
"""The codes with which Binance says that a store has no such order: to a cancel, to a question."""

ALGO_ORDERS: Final = 10**15
"""Algo ids seen are above, order ids far below; Binance promises neither. It only says whom to ask first."""


STOPS_LEFT: Final = "the ordinary orders were cancelled, the conditional ones were not"


class Request(NamedTuple):
    """A request to the futures API; `params` are its fields."""

    verb: str
    path: str
    params: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.verb.upper()} {self.path}"


class Failure(NamedTuple):
    """A request that raised: the exception, and the exchange's code in it."""

    error: Exception
    code: object = None

    @property
    def is_no_store(self) -> bool:
        """Whether the exchange has no such path, as a market has that did not move its conditional orders."""
        return self.code == NO_SUCH_PATH

    @property
    def is_not_there(self) -> bool:
        """Whether the store that was asked has no such order."""
        return self.code in NOT_THERE


class HalfDoneError(Exception):
    """Wrap the failure of a later request, with what the earlier ones did."""

    def __init__(self, error: Exception, done: str) -> None:
        super().__init__(done)
        self.error = error
        self.done = done


Answer: TypeAlias = Any
Plan: TypeAlias = Generator[Request, Any, Answer]
Bridge: TypeAlias = Callable[[KnownOrders, dict[str, Any]], Plan]
Routes: TypeAlias = Mapping[tuple[str, str], Bridge]


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
        known.learn_ordinary(params.get("newClientOrderId"))
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
            answers.append(
                one_answer((yield Request("post", "algoOrder", {**rest, **to_algo(order)})), known)
            )
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
    for place_, (order, answer) in enumerate(zip(listed_orders(params), answers, strict=False)):
        if is_row(answer) and answer.get("code") == ALGO_ONLY:
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


def as_error(failure: Failure) -> dict[str, Any]:
    """Return a failure as a batch has it; -1007 for one that leaves the order in doubt."""
    if type(failure.code) is int and failure.code:
        return {"code": failure.code, "msg": str(getattr(failure.error, "message", failure.error))}
    return {"code": -1007, "msg": "Timeout waiting for response from backend server. Send status unknown."}


# Asking


def find(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Find an order by an id, in both stores."""
    order_id, name = ids_in(params)
    stop = known.find(order_id, name)
    if stop is not None and stop.symbol == symbol_in(params):
        return (yield from show_stop(known, params, stop.algo_id))
    if name is not None and known.is_ordinary(name):
        return (yield from ask("get", "order", params))
    if order_id is not None and order_id >= ALGO_ORDERS:
        return (yield from find_in_both(known, params, ("algo", "order")))
    return (yield from find_in_both(known, params, ("order", "algo")))


def find_in_both(known: KnownOrders, params: dict[str, Any], stores: Sequence[str]) -> Plan:
    """Ask the stores one after the other; the first one's word stands where neither has the order."""
    failures: list[Failure] = []
    for store in stores:
        question = params if store == "order" else algo_reference(params)
        answer = yield Request("get", "order" if store == "order" else "algoOrder", question)
        if not isinstance(answer, Failure):
            return (yield from show(known, params, answer, store))
        if not (answer.is_not_there or answer.is_no_store):
            raise answer.error
        failures.append(answer)
    raise failures[stores.index("order")].error


def show(known: KnownOrders, params: dict[str, Any], row: Any, store: str) -> Plan:
    """Return an order that a store has shown, as `GET order` answered it."""
    if store == "algo":
        if not is_row(row) or row.get("symbol") != symbol_in(params):
            return (yield from ask("get", "order", params))
        known.learn(row)
        return (yield from with_child(known, row))
    if not is_row(row) or row.get("type") not in {"MARKET", "LIMIT"} or "orderId" in params:
        return row
    # The order that a conditional one became has its client order id.
    answer = yield Request("get", "algoOrder", {**plain(params), "clientAlgoId": row.get("clientOrderId")})
    if isinstance(answer, Failure):
        if not (answer.is_not_there or answer.is_no_store):
            raise answer.error
        known.learn_ordinary(row.get("clientOrderId"))
        return row
    known.learn(answer)
    return to_order(answer, row) if str(answer.get("actualOrderId")) == str(row.get("orderId")) else row


def show_stop(known: KnownOrders, params: dict[str, Any], algo_id: int) -> Plan:
    """Return a known conditional order, or what became of it."""
    row = yield from ask("get", "algoOrder", {**plain(params), "algoId": algo_id})
    known.learn(row)
    return (yield from with_child(known, row))


def with_child(known: KnownOrders, row: Mapping[str, Any]) -> Plan:
    """Return a conditional order with the state of the order that it became."""
    stop = known.learn(row)
    if upper(row.get("algoStatus")) not in FIRED or stop is None or stop.child_id is None:
        return to_order(row)
    question = {"symbol": row.get("symbol"), "orderId": stop.child_id}
    child = yield Request("get", "order", question)
    if isinstance(child, Failure):
        if not child.is_not_there:
            raise child.error
        return to_order(row)
    return to_order(row, child)


def find_open(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Find an open order by an id, in both stores."""
    order_id, name = ids_in(params)
    stop = known.find(order_id, name)
    if stop is None and not (order_id is not None and order_id >= ALGO_ORDERS):
        answer = yield Request("get", "openOrder", params)
        if not isinstance(answer, Failure):
            return answer
        if not answer.is_not_there:
            raise answer.error
    order = yield from find(known, params)
    if is_row(order) and order.get("status") in {"NEW", "PARTIALLY_FILLED"}:
        return order
    return (yield from ask("get", "openOrder", params))


def list_open(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """List the open orders of both stores, by their time."""
    # What fires in between is seen at least once: it leaves the first list for the second.
    algos = yield from ask_algos(known, "get", "openAlgoOrders", params)
    orders = yield from ask("get", "openOrders", params)
    if not (isinstance(algos, list) and isinstance(orders, list)):
        return orders
    for row in algos:
        known.learn(row)
    resting = {order.get("clientOrderId") for order in orders}
    stops = [to_order(row) for row in algos if row.get("clientAlgoId") not in resting]
    return sorted([*(renamed(known, order) for order in orders), *stops], key=time_of)


def renamed(known: KnownOrders, order: dict[str, Any]) -> dict[str, Any]:
    """Return an order under the id that the bot knows, where it is what a conditional order became."""
    stop = known.find(None, order.get("clientOrderId"))
    if stop is None or order.get("type") not in {"MARKET", "LIMIT"}:
        return order
    return to_order(stop.row, order)


def list_all(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """List the orders of both stores, those that became another one as one, by their time."""
    first = number_in(params, "orderId")
    orders = yield from ask("get", "allOrders", params)
    if not params.get("symbol") or not isinstance(orders, list):
        return orders
    question = {name: params[name] for name in params if name != "orderId"}
    algos = yield from ask_algos(known, "get", "allAlgoOrders", question)
    for row in algos:
        known.learn(row)
    children = {str(order.get("orderId")): order for order in orders}
    stops = [as_listed(row, children.get(str(row.get("actualOrderId") or ""))) for row in algos]
    became = {str(row.get("actualOrderId")) for row in algos if row.get("actualOrderId")}
    merged = sorted(
        [*(order for order in orders if str(order.get("orderId")) not in became), *stops], key=time_of
    )
    limit = number_in(params, "limit") or 500
    if first is None:
        return merged[-limit:]
    begun = next((time_of(order) for order in merged if order.get("orderId") == first), None)
    return [order for order in merged if begun is None or time_of(order) >= begun][:limit]


def as_listed(row: Mapping[str, Any], child: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a conditional order as `GET allOrders` has it since 2026-08-05."""
    return {**to_order(row, child), "cumBase": "0", "pair": row.get("symbol")}


# Cancelling


def cancel(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel an order by an id, in whichever store it is."""
    order_id, name = ids_in(params)
    stop = known.find(order_id, name)
    if stop is not None and stop.symbol == symbol_in(params):
        return (yield from cancel_stop(known, params, stop))
    if order_id is not None and order_id >= ALGO_ORDERS:
        found = yield from find_stop(known, params)
        if found is not None:
            return (yield from cancel_stop(known, params, found))
    answer = yield Request("delete", "order", params)
    if not isinstance(answer, Failure):
        return answer
    if not answer.is_not_there or (name is not None and known.is_ordinary(name)):
        raise answer.error
    found = yield from find_stop(known, params)
    if found is None:
        raise answer.error
    return (yield from cancel_stop(known, params, found))


def find_stop(known: KnownOrders, params: dict[str, Any]) -> Generator[Request, Any, KnownStop | None]:
    """Ask the Algo Service for an order; None where it has none of the symbol."""
    answer = yield Request("get", "algoOrder", algo_reference(params))
    if isinstance(answer, Failure):
        if not (answer.is_not_there or answer.is_no_store):
            raise answer.error
        return None
    return known.learn(answer) if is_row(answer) and answer.get("symbol") == symbol_in(params) else None


def cancel_stop(known: KnownOrders, params: dict[str, Any], stop: KnownStop) -> Plan:
    """Cancel a conditional order; where it has fired, what it became."""
    answer = yield Request("delete", "algoOrder", {**plain(params), "algoId": stop.algo_id})
    if not isinstance(answer, Failure):
        known.learn({**stop.row, "algoStatus": "CANCELED"})
        return to_placed(stop.row, "CANCELED")
    if not answer.is_not_there:
        raise answer.error
    row = yield Request("get", "algoOrder", {**plain(params), "algoId": stop.algo_id})
    if isinstance(row, Failure):
        raise answer.error
    known.learn(row)
    if stop.child_id is None or upper(row.get("algoStatus")) not in FIRED:
        raise answer.error
    cancelled = yield Request(
        "delete", "order", {**plain(params), "symbol": stop.symbol, "orderId": stop.child_id}
    )
    if isinstance(cancelled, Failure):
        raise cancelled.error
    return to_order(row, cancelled)


def cancel_listed(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel orders by lists of ids: ordinary ones in one request, conditional ones one by one."""
    wanted = list(listed_ids(params))
    rest = {
        name: params[name] for name in params if name.lower() not in {"orderidlist", "origclientorderidlist"}
    }
    stops = {
        place: stop for place, (key, value) in enumerate(wanted) if (stop := known_stop(known, key, value))
    }
    ordinary = [place for place in range(len(wanted)) if place not in stops]
    answers: dict[int, Any] = {}
    if ordinary:
        answer = yield Request(
            "delete", "batchOrders", params if not stops else id_lists(rest, wanted, ordinary)
        )
        if isinstance(answer, Failure):
            raise answer.error
        answers = dict(zip(ordinary, answer, strict=False)) if isinstance(answer, list) else {}
    for place in range(len(wanted)):
        row = answers.get(place)
        if place in stops or (isinstance(row, Mapping) and row.get("code") in NOT_THERE):
            key, value = wanted[place]
            try:
                answers[place] = yield from cancel(
                    known, {**plain(rest), "symbol": rest.get("symbol"), key: value}
                )
            except Exception as error:  # noqa: BLE001 - in such a list a refusal is an element
                answers[place] = row if row is not None else as_error(failure_of(error))
    return [answers.get(place) for place in range(len(wanted))]


def cancel_all(known: KnownOrders, params: dict[str, Any]) -> Plan:
    """Cancel all orders of a symbol: the ordinary ones first, so that stops guard longest."""
    done = yield from ask("delete", "allOpenOrders", params)
    answer = yield Request("delete", "algoOpenOrders", params)
    if isinstance(answer, Failure) and not (answer.is_no_store and not known.has_stops):
        raise HalfDoneError(answer.error, STOPS_LEFT)
    if known.has_limit_stops(symbol_in(params)):
        # One that fired in between may rest as a LIMIT order by now.
        again = yield Request("delete", "allOpenOrders", params)
        if isinstance(again, Failure):
            raise HalfDoneError(
                again.error, "all orders were cancelled, but perhaps one that fired meanwhile"
            )
    return done


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


def ask(verb: str, path: str, params: Mapping[str, Any]) -> Plan:
    """Send one request, and raise what it raises."""
    answer = yield Request(verb, path, params)
    if isinstance(answer, Failure):
        raise answer.error
    return answer


def ask_algos(known: KnownOrders, verb: str, path: str, params: Mapping[str, Any]) -> Plan:
    """Ask the Algo Service for a list; an empty one in a market that has none, and none of its orders."""
    answer = yield Request(verb, path, params)
    if not isinstance(answer, Failure):
        return answer
    if answer.is_no_store and not known.has_stops:
        return []
    raise answer.error


def failure_of(error: Exception) -> Failure:
    """Return an exception as a failure."""
    return Failure(error, getattr(error, "code", None))


def is_row(answer: Any) -> bool:
    """Return whether an answer is one row, and no list."""
    return isinstance(answer, Mapping)


def known_stop(known: KnownOrders, field: str, value: Any) -> KnownStop | None:
    """Return the known conditional order of an id in a list."""
    order_id, name = ids_in({field: value})
    return known.find(order_id, name)
