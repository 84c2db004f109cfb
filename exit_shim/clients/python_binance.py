"""All that the shim knows of python-binance: its classes, methods and attributes, in any of its releases.

Facts: Binance's documentation of the futures APIs, and the code of python-binance up to 1.0.37.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, Final

from exit_shim import errors
from exit_shim.clients.python_binance_clone import PythonBinanceClone
from exit_shim.clients.python_binance_doors import DOORS, market_of
from exit_shim.clients.python_binance_releases import CLASSES, has_algo_orders, owns_module
from exit_shim.clients.sessions import is_genuine_code, loaded, really_sends
from exit_shim.clients.support import ApiError, ClientSupport, CodeStep
from exit_shim.domain.doors import Door
from exit_shim.domain.orders import CONDITIONAL_KINDS, upper
from exit_shim.domain.verdicts import DENIED_CODE, Reason
from exit_shim.runtime.methods import is_coroutine_method


def client_classes() -> list[type]:
    """Return python-binance's client classes, as far as they are imported."""
    classes = (loaded(module, name) for module, name in CLASSES)
    return list(dict.fromkeys(kind for kind in classes if type(kind) is type))


def is_async(client: object) -> bool:
    """Return whether a client's methods are awaited, whatever one of them looks like."""
    listing = getattr(type(client), READS["orders"], None)
    return listing is not None and is_coroutine_method(listing)


# Client order ids


def fix_client_order_ids(door: Door, method: Any, params: dict[str, Any]) -> None:
    """Set the client order ids that a genuine client is about to invent, so that each order has a name.

    Args:
        door: The door of the method; one that places orders.
        method: A bound method.
        params: The fields of the call, which are changed.
    """
    if type(method.__func__) is not FunctionType:
        return
    # Same field, prefix and generator as the client's own, read from this method's code: releases differ.
    fields = generated_ids(method.__func__.__code__, method.__func__.__module__)
    if not fields:
        return
    client = method.__self__
    for order in door.batch(params) if door.payload == "batch" else (params,):
        field = _id_field(fields, {**order, **door.implies}.get("type"))
        if field is not None and field not in order and isinstance(order, dict):
            order[field] = client.CONTRACT_ORDER_PREFIX + client.uuid22()


@functools.lru_cache(maxsize=64)
def generated_ids(code: CodeType, module: str) -> frozenset[str]:
    """Return the fields for which a method of this code, if it is genuine, invents a client order id."""
    if "uuid22" not in code.co_names or not owns_module(module):
        return frozenset()
    return frozenset({"clientAlgoId", "newClientOrderId"}.intersection(map(str, code.co_consts)))


def _id_field(fields: frozenset[str], order_type: object) -> str | None:
    # Since 1.0.33 conditional types go to the algo endpoint.
    is_conditional = "newClientOrderId" not in fields or upper(order_type) in CONDITIONAL_KINDS
    if "clientAlgoId" in fields and is_conditional:
        return "clientAlgoId"
    return "newClientOrderId" if "newClientOrderId" in fields else None


# Accounts


def address_of(attributes: Mapping[str, Any], kind: type) -> object:
    """Return the address for USDⓈ-M futures as python-binance chooses it."""
    for flag, name in (("testnet", "FUTURES_TESTNET_URL"), ("demo", "FUTURES_DEMO_URL")):
        # A release without such an address ignores the flag.
        url = attributes.get(name) or getattr(kind, name, None)
        if attributes.get(flag) and url is not None:
            return url
    return attributes.get("FUTURES_URL") or getattr(kind, "FUTURES_URL", None)


# Clones

SENDING: Final = (
    "_request",
    "_request_futures_api",
    "_create_futures_api_uri",
    "_handle_response",
    "_get_request_kwargs",
    "_generate_signature",
)
"""The methods that make a client send to an exchange; a subclass may have replaced one."""


def can_be_cloned(client: Any) -> bool:
    """Return whether a client is python-binance's own and really sends; not a mock, a fake or an adapter."""
    kind = type(client)
    try:
        return (
            any(owns_module(base.__module__) for base in kind.__mro__)
            and not any(name in vars(client) for name in SENDING)
            and all(is_genuine_code(getattr(kind, name), owns_module) for name in SENDING)
            and really_sends(vars(client)["session"])
        )
    except (AttributeError, KeyError, TypeError):
        return False


def refresh_clone(clone: Any, bots: Any) -> None:
    """Give a cloned client the clock offset of the bot's, and no last answer."""
    clone.timestamp_offset = getattr(bots, "timestamp_offset", 0)
    clone.response = None


def close(client: Any) -> None:
    """Close the connections of a cloned sync client."""
    client.session.close()


# Reading the exchange

READS: Final = {
    "orders": "futures_get_open_orders",
    "algos": "futures_get_open_algo_orders",
    "positions": "futures_position_information",
    "last": "futures_symbol_ticker",
}
"""The methods of a snapshot's reads."""

COMMANDS: Final = {
    "place": "futures_create_order",
    "amend": "futures_modify_order",
    "cancel": "futures_cancel_order",
    "cancel_algo": "futures_cancel_algo_order",
    "find": "futures_get_order",
    "find_algo": "futures_get_algo_order",
    "rules": "futures_exchange_info",
    "mark": "futures_mark_price",
    "commission": "futures_commission_rate",
    "income": "futures_income_history",
    "time": "futures_time",
    "test": "futures_create_test_order",
}
"""The methods that the executor needs."""


def read_without_method(client: Any, name: str) -> Callable[..., Any] | None:
    """Return what lists the Algo Service's orders with a release without a method for that, before 1.0.33."""
    request = getattr(client, "_request_futures_api", None)
    if name != "algos" or request is None:
        return None
    return lambda **params: request("get", "openAlgoOrders", True, data=params)


def time_limit(seconds: float) -> dict[str, Any]:
    """Return the keyword arguments that limit how long a sync client waits for an answer."""
    return {"requests_params": {"timeout": seconds}}


def last_answer(client: object) -> Any:
    """Return the response that a client got last; None where there is none."""
    return getattr(client, "__dict__", {}).get("response")


# Failures

REQUESTS: Final = frozenset({"_request", "request"})
"""The methods that send and read the answer: over HTTP, and over WebSocket."""

BEFORE_REQUEST: Final = frozenset({"_get_request_kwargs", "_ensure_ws_connection"})
"""The methods that those call before they send."""


def read_api_error(error: BaseException) -> ApiError | None:
    """Return what a `BinanceAPIException` says of the exchange's answer; None for any other error."""
    kind = loaded("binance.exceptions", "BinanceAPIException")
    if not isinstance(kind, type) or not isinstance(error, kind):
        return None
    return ApiError(*(getattr(error, name, None) for name in ("code", "status_code", "message")))


def is_before_send(steps: Sequence[CodeStep]) -> bool:
    """Return whether a genuine client raised before it sent, as for parameters that it cannot read."""
    functions = {step.function for step in steps}
    return (
        bool(steps)
        and owns_module(steps[0].module)
        and (REQUESTS.isdisjoint(functions) or not BEFORE_REQUEST.isdisjoint(functions))
    )


@functools.lru_cache(maxsize=1)
def _denial_class() -> type[errors.ExitOrderDenied]:
    from binance.exceptions import BinanceAPIException  # noqa: PLC0415 - only a denial needs it

    # Of the base's own name, since that is what stands in a bot's log and in the docs.
    class ExitOrderDenied(errors.ExitOrderDenied, BinanceAPIException):  # type: ignore[misc]
        __module__, __qualname__ = "exit_shim", "ExitOrderDenied"
        __doc__ = errors.ExitOrderDenied.__doc__

        def __init__(self, message: str, reasons: tuple[Reason, ...] = (), code: int = DENIED_CODE) -> None:
            BinanceAPIException.__init__(self, None, 400, json.dumps({"code": code, "msg": message}))
            self.reasons = reasons

        def __reduce__(self) -> tuple[object, tuple[str, tuple[Reason, ...], int]]:
            return denial, (self.message, self.reasons, self.code)

    return ExitOrderDenied


def denial(message: str, reasons: tuple[Reason, ...] = (), code: int = DENIED_CODE) -> errors.ExitOrderDenied:
    """Make the exception of a denied order, which is a `BinanceAPIException` too."""
    return _denial_class()(message, reasons, code)


PYTHON_BINANCE: Final = ClientSupport(
    name="python-binance",
    package="binance",
    owns_module=owns_module,
    owns_class=owns_module,
    client_classes=client_classes,
    doors=DOORS,
    place_order="futures_create_order",
    market_of=market_of,
    key_field="API_KEY",
    address_field="FUTURES_URL",
    address_flags=("testnet", "demo"),
    address_of=address_of,
    tested_with="1.0.0 to 1.0.37",
    fix_client_order_ids=fix_client_order_ids,
    has_algo_orders=has_algo_orders,
    is_async=is_async,
    can_be_cloned=can_be_cloned,
    clone=PythonBinanceClone,
    reads=READS,
    commands=COMMANDS,
    read_without_method=read_without_method,
    time_limit=time_limit,
    last_answer=last_answer,
    refresh_clone=refresh_clone,
    close=close,
    read_api_error=read_api_error,
    is_before_send=is_before_send,
    denial=denial,
)
