"""The doors of Binance's official SDK, and Binance's fields in the arguments of its methods.

Facts: the code of binance-sdk-derivatives-trading-usds-futures 18.1.0 and binance-common 4.7.0.
"""

import functools
import inspect
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from types import FunctionType
from typing import Any, Final

from exit_shim.clients.binance_routes import route_of, websocket_route_of
from exit_shim.clients.sessions import loaded
from exit_shim.clients.twins import inside_doors
from exit_shim.domain.doors import Door, DoorCall

PACKAGE: Final = "binance_sdk_derivatives_trading_usds_futures"

REST: Final = f"{PACKAGE}.rest_api.rest_api", "DerivativesTradingUsdsFuturesRestAPI"
WEBSOCKET: Final = f"{PACKAGE}.websocket_api.websocket_api", "DerivativesTradingUsdsFuturesWebSocketAPI"
"""The module and name of each class with order methods."""

REST_ROUTES: Final[Mapping[str, tuple[str, str]]] = {
    "new_order": ("POST", "/fapi/v1/order"),
    "new_algo_order": ("POST", "/fapi/v1/algoOrder"),
    "test_order": ("POST", "/fapi/v1/order/test"),
    "place_multiple_orders": ("POST", "/fapi/v1/batchOrders"),
    "modify_order": ("PUT", "/fapi/v1/order"),
    "modify_multiple_orders": ("PUT", "/fapi/v1/batchOrders"),
    "cancel_order": ("DELETE", "/fapi/v1/order"),
    "cancel_algo_order": ("DELETE", "/fapi/v1/algoOrder"),
    "cancel_multiple_orders": ("DELETE", "/fapi/v1/batchOrders"),
    "cancel_all_open_orders": ("DELETE", "/fapi/v1/allOpenOrders"),
    "cancel_all_algo_open_orders": ("DELETE", "/fapi/v1/algoOpenOrders"),
    "auto_cancel_all_open_orders": ("POST", "/fapi/v1/countdownCancelAll"),
    "query_order": ("GET", "/fapi/v1/order"),
    "query_algo_order": ("GET", "/fapi/v1/algoOrder"),
    "query_current_open_order": ("GET", "/fapi/v1/openOrder"),
}
"""What each method of the REST class sends."""

WEBSOCKET_ROUTES: Final[Mapping[str, str]] = {
    "new_order": "order.place",
    "new_algo_order": "algoOrder.place",
    "modify_order": "order.modify",
    "cancel_order": "order.cancel",
    "cancel_algo_order": "algoOrder.cancel",
}
"""What each method of the WebSocket API's class sends."""

EMPTY: Final[tuple[object, ...]] = ({}, [])


def parse_rest_call(name: str, /, *args: Any, **kwargs: Any) -> DoorCall | None:
    """Read a call of a method of the REST class."""
    row = route_of(*REST_ROUTES[name])
    return None if row is None else DoorCall(row, wire_fields(named_arguments(REST, name, args, kwargs)))


def parse_websocket_call(name: str, /, *args: Any, **kwargs: Any) -> DoorCall | None:
    """Read a call of a method of the WebSocket API's class."""
    row = websocket_route_of(WEBSOCKET_ROUTES[name])
    return None if row is None else DoorCall(row, wire_fields(named_arguments(WEBSOCKET, name, args, kwargs)))


def parse_request(
    endpoint: object, method: object, query_params: object = None, body_params: object = None
) -> DoorCall | None:
    """Read a signed request; None for one that is about no order."""
    if not isinstance(endpoint, str) or not isinstance(method, str):
        return None
    row = route_of(method, endpoint)
    if row is None:
        return None
    # The body is signed and sent along with the query.
    tables = [table for table in (query_params, body_params) if isinstance(table, Mapping)]
    return DoorCall(row, {name: value for table in tables for name, value in wire_fields(table).items()})


def parse_message(payload: object, *_: Any, **__: Any) -> DoorCall | None:
    """Read a signed message of the WebSocket API; None for one that is about no order."""
    params = payload.get("params") if isinstance(payload, Mapping) else None
    if not isinstance(payload, Mapping) or not isinstance(params, Mapping):
        return None
    row = websocket_route_of(str(payload.get("method")))
    return None if row is None else DoorCall(row, wire_fields(params))


REST_DOORS: Final[tuple[Door, ...]] = (
    *(Door(name, parse=functools.partial(parse_rest_call, name)) for name in REST_ROUTES),
    Door("send_signed_request", parse=parse_request),
)

WEBSOCKET_DOORS: Final[tuple[Door, ...]] = (
    *(Door(name, parse=functools.partial(parse_websocket_call, name)) for name in WEBSOCKET_ROUTES),
    Door("send_signed_message", parse=parse_message),
)


def named_arguments(
    owner: tuple[str, str], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by the names of the method's parameters."""
    return {**dict(zip(parameters_of(owner, name), args, strict=False)), **kwargs}


def parameters_of(owner: tuple[str, str], name: str) -> tuple[str, ...]:
    """Return the names of a method's positional parameters after `self`; none where it cannot be seen."""
    try:
        function = inside_doors(inspect.getattr_static(loaded(*owner), name))
    except AttributeError:
        return ()
    if type(function) is not FunctionType:
        return ()
    code = function.__code__
    return code.co_varnames[1 : code.co_argcount]


def wire_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields under the names and with the texts that the SDK sends; it leaves out empty ones."""
    return {
        wire_name(str(name)): wire_value(value)
        for name, value in fields.items()
        if value is not None and value not in EMPTY
    }


@functools.lru_cache(maxsize=256)
def wire_name(name: str) -> str:
    """Return a field's name in camelCase; one without an underscore stays as it is."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def wire_value(value: Any) -> Any:
    """Return a value as the SDK sends it; lists and tables stay such."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (float, Decimal)):
        return str(value) if isinstance(value, float) else format(value, "f")
    if isinstance(value, (list, tuple)):
        return [wire_value(item) for item in value]
    # A model of pydantic's has its fields there.
    table = value if isinstance(value, Mapping) else getattr(value, "__dict__", None)
    return wire_fields(table) if isinstance(table, Mapping) and not isinstance(value, str) else value
