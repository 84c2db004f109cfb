"""Place an exit order in the name of a module, without relying on the stack."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from exit_shim.attribution.attribute import attributed
from exit_shim.clients.proxy import BoundDoor, CallHandler
from exit_shim.clients.registry import DOOR_NAMES, support_of
from exit_shim.domain.doors import Door, DoorCall
from exit_shim.runtime.methods import is_coroutine_method
from exit_shim.runtime.scrubbing import scrub, secrets_of

Method = Callable[..., Any]


class Submission(NamedTuple):
    """Hold an exit order, and who places it."""

    module_name: str
    order_kind: str
    order_params: Mapping[str, Any]
    explanation: str | None


async def submit(gateway: CallHandler | None, client: Any, submission: Submission) -> Any:
    """Place an order with a client that is not wrapped; return or raise what the client does.

    Args:
        gateway: What the order goes through; None where the shim is disabled.
        client: A sync client, which is called on a worker thread, or an async one.
        submission: The order, sent as it is.

    Raises:
        TypeError: The client is of another library than python-binance.
    """
    library = support_of(client)
    if not library.place_order:
        raise TypeError(
            f"submit_exit_order takes a client of python-binance, not one of {library.name}: use "
            f'`with exit_shim.attributed("{submission.module_name}")` around the client\'s own call'
        )
    door = DOOR_NAMES[library.place_order]
    method = getattr(client, door.method)
    # An installed class has the door itself here.
    if issubclass(type(method), BoundDoor):
        method = method.__wrapped__
    is_async = is_coroutine_method(method)
    place = method if gateway is None else through(gateway, door, method)
    params = submission.order_params
    with attributed(submission.module_name, kind=submission.order_kind, explanation=submission.explanation):
        placing = place(**params) if is_async else await asyncio.to_thread(place, **params)
        return await placing if inspect.isawaitable(placing) else placing


def through(gateway: CallHandler, door: Door, method: Method) -> Method:
    """Return a function that calls a client's method through the gateway."""
    site = gateway.site(sys._getframe())  # noqa: SLF001 - as `inspect.currentframe`, without its check

    def place(**params: Any) -> Any:
        return gateway.call(DoorCall(door, params), method, (), params, None, site)

    return place


def other_symbol(client: Any, symbol: str, order_params: Mapping[str, Any]) -> dict[str, str] | None:
    """Return both symbols, without credentials, where an order is for another one than was said."""
    sent = getattr(order_params, "get", {"symbol": symbol}.get)("symbol")
    if sent == symbol:
        return None
    hidden = secrets_of(client, {})
    return {"told": scrub(str(symbol), hidden), "sent": scrub(str(sent), hidden)}
