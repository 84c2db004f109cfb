"""The executor's requests to the exchange: described here, sent by whoever runs them, sync or async."""

from collections.abc import Callable, Generator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias, TypeVar

from exit_shim.clients.registry import support_of
from exit_shim.executor.episode import Episode
from exit_shim.executor.order_ids import BREAKEVEN, CLOSE, HARD, HARD_QUANTITY, is_take
from exit_shim.executor.steps import Amend, Cancel, Close, LookUp, Place, Step


class Request(NamedTuple):
    """One request: a read or command of the client's library, and its fields.

    Attributes:
        name: A name of the library's `reads` or `commands`.
        params: The fields.
        kind: What an order is for, in the record; None of a read.
        why: Why it is sent, in the record.
    """

    name: str
    params: Mapping[str, Any]
    kind: str | None = None
    why: str | None = None

    @property
    def changes(self) -> bool:
        """Whether it changes something at the exchange."""
        return self.name in {"place", "amend", "cancel", "cancel_algo"}


T = TypeVar("T")

Requests: TypeAlias = Generator[tuple[Request, ...], list[Any], T]
"""A conversation with the exchange.

Yields requests that may be sent at once, and is sent their answers in the same order; the answer to a request
that failed is its exception.
"""


def method_for(client: Any, request: Request) -> Callable[..., Any]:
    """Return the client's method that sends a request.

    Raises:
        AttributeError: This release of the library has no such method.
    """
    library = support_of(client)
    method: Callable[..., Any] = getattr(
        client, library.commands.get(request.name) or library.reads[request.name]
    )
    return method


def send(request: Request) -> Requests[Any]:
    """Yield one request, and return its answer.

    Raises:
        Exception: What the client raised.
    """
    (answer,) = yield (request,)
    if isinstance(answer, Exception):
        raise answer
    return answer


def text(amount: Decimal) -> str:
    """Return an amount as it goes out, without zeros at its end."""
    written = f"{amount:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def kind_of_leg(leg: str) -> str:
    """Return what the orders of a leg are for, in the words of the records."""
    if is_take(leg):
        return "partial_tp"
    return {HARD: "sl", HARD_QUANTITY: "sl", BREAKEVEN: "breakeven", CLOSE: "close"}.get(leg, "trailing")


def place(episode: Episode, step: Place, *, has_algo_orders: bool) -> Request:
    """Return the request that places an order."""
    params = _common(episode) | {"type": step.type}
    is_conditional = step.type != "LIMIT"
    params["clientAlgoId" if is_conditional and has_algo_orders else "newClientOrderId"] = str(step.name)
    if step.quantity is None:
        params["closePosition"] = "true"
    else:
        params["quantity"] = text(step.quantity)
        if not episode.is_hedged:
            params["reduceOnly"] = "true"
    if step.trigger is not None:
        params["stopPrice" if step.callback is None else "activatePrice"] = text(step.trigger)
    if step.callback is not None:
        params["callbackRate"] = text(step.callback * 100)
    if is_conditional:
        params["workingType"] = step.working_type
        if step.price_protect:
            params["priceProtect"] = "TRUE"
    if step.price is not None:
        params |= {"price": text(step.price), "timeInForce": "GTX" if step.post_only else "GTC"}
    return Request("place", params, kind_of_leg(step.leg), explain(episode, step))


def close(episode: Episode, step: Close, size: Decimal) -> Request:
    """Return the request that closes so much of a position at the market now."""
    params = _common(episode) | {"type": "MARKET", "quantity": text(size), "newOrderRespType": "RESULT"}
    params["newClientOrderId"] = str(step.name)
    if not episode.is_hedged:
        params["reduceOnly"] = "true"
    return Request("place", params, "close", explain(episode, step))


def close_within(episode: Episode, step: Close, size: Decimal, price: Decimal) -> Request:
    """Return the request that closes what the order book has up to a price."""
    request = close(episode, step, size)
    params = {**request.params, "type": "LIMIT", "timeInForce": "IOC", "price": text(price)}
    return request._replace(params=params)


def amend(episode: Episode, step: Amend) -> Request:
    """Return the request that changes a LIMIT order in place."""
    params = {"symbol": step.order.symbol, "orderId": step.order.order_id, "side": step.order.side}
    params |= {"quantity": text(step.quantity), "price": text(step.price)}
    return Request("amend", params, kind_of_leg(step.leg), explain(episode, step))


def cancel(step: Cancel) -> Request:
    """Return the request that cancels an order."""
    order = step.order
    if order.store == "conditional":
        return Request("cancel_algo", {"symbol": order.symbol, "algoId": order.algo_id}, why=step.why)
    return Request("cancel", {"symbol": order.symbol, "orderId": order.order_id}, why=step.why)


def find(step: LookUp, symbol: str) -> Request:
    """Return the request that asks for an order by its id."""
    if is_take(step.leg) or step.leg == CLOSE:
        return Request("find", {"symbol": symbol, "origClientOrderId": str(step.name)})
    return Request("find_algo", {"symbol": symbol, "clientAlgoId": str(step.name)})


def _common(episode: Episode) -> dict[str, Any]:
    params: dict[str, Any] = {"symbol": episode.symbol, "side": episode.exit_side}
    if episode.is_hedged:
        params["positionSide"] = episode.position_side
    return params


def explain(episode: Episode, step: Step) -> str:
    """Return why a step is done, with the plan that it is of."""
    plan = episode.plan
    prefix = "" if plan is None else f"plan {plan.plan_id} r{plan.revision}, "
    return f"{prefix}{step.leg}: {step.why}"
