"""All that the shim knows of python-binance: its classes, methods and attributes, in any of its releases.

Facts: Binance's documentation of the futures APIs, and the code of python-binance up to 1.0.37.
"""

import asyncio
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from types import CodeType, FunctionType
from typing import Any, Final

from exit_shim import errors
from exit_shim.clients.hosts import host_of
from exit_shim.clients.python_binance_doors import DOORS, HOSTS, METHODS, market_of
from exit_shim.clients.sessions import (
    aiohttp_options,
    is_genuine_code,
    loaded,
    really_sends,
    requests_options,
    session_settings,
)
from exit_shim.clients.support import ApiError, ClientSupport, CodeStep
from exit_shim.domain.doors import Door
from exit_shim.domain.orders import CONDITIONAL_KINDS, upper
from exit_shim.domain.verdicts import DENIED_CODE, Reason
from exit_shim.runtime.methods import is_coroutine_method

# Modules and classes

PREFIX: Final = "binance."

# Binance's own connectors, such as binance-futures-connector, install a package `binance` too.
MODULES: Final = frozenset(
    {
        *("async_client", "base_client", "client", "depthcache", "enums", "exceptions", "helpers"),
        *("streams", "threaded_stream", "ws"),
        "websockets",  # up to 0.7
    }
)
"""The names below `binance` that are python-binance's, in any release."""

# While the package is being imported its classes are not in it yet, and after a reload it has the old ones.
# In older releases both are in binance.client.
CLASSES: Final = (
    ("binance", "Client"),
    ("binance", "AsyncClient"),
    ("binance.client", "Client"),
    ("binance.client", "AsyncClient"),
    ("binance.async_client", "AsyncClient"),
)


def owns_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of python-binance."""
    return isinstance(name, str) and name.startswith(PREFIX) and name.split(".", 2)[1] in MODULES


def client_classes() -> list[type]:
    """Return python-binance's client classes, as far as they are imported."""
    classes = (loaded(module, name) for module, name in CLASSES)
    return list(dict.fromkeys(kind for kind in classes if type(kind) is type))


def is_async(client: object) -> bool:
    """Return whether a client's methods are awaited, whatever one of them looks like."""
    listing = getattr(type(client), READS["orders"], None)
    return listing is not None and is_coroutine_method(listing)


# Releases


def sends_stops_where_accepted(client_class: type, method: str = "futures_create_order") -> bool:
    """Return whether a client class sends conditional orders to the Algo Service.

    Since 2025-12-09 Binance takes them nowhere else and answers -4120; python-binance sends them there
    since 1.0.33, those of its WebSocket API since 1.0.34.
    """
    return "clientAlgoId" in _constants(getattr(client_class, method, None))


def has_algo_orders(method: Any) -> bool:
    """Return whether a method sends conditional orders to the Algo Service; only old releases do not."""
    function = getattr(method, "__func__", method)
    if not owns_module(getattr(function, "__module__", None)) or not hasattr(function, "__code__"):
        return True
    return "clientAlgoId" in _constants(function)


def hears_user_stream(manager_class: type) -> bool:
    """Return whether a socket manager asks for the futures user stream where Binance still sends it.

    Since 2026-04-23 the old address is connected and silent; python-binance has the new one since 1.0.36.
    """
    methods = (getattr(manager_class, name, None) for name in ("futures_user_socket", "futures_socket"))
    return any("private/" in _constants(method) for method in methods)


def missing_doors(client_class: type) -> list[str]:
    """Return the methods of the door table that a client class does not have; older releases have fewer."""
    return sorted(door.method for door in METHODS if not hasattr(client_class, door.method))


def _constants(function: object) -> tuple[Any, ...]:
    # A method that uses an endpoint or a field names it among its constants.
    return getattr(getattr(function, "__code__", None), "co_consts", ())


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

# Nothing that a bot may have put there, no connection, loop or answer, and not `verbose`, which logs headers.
COPIED: Final = (
    *("API_KEY", "API_SECRET", "PRIVATE_KEY", "TIME_UNIT", "_is_rsa"),
    *("demo", "testnet", "timestamp_offset", "tld"),
)
"""The attributes that a clone takes over, besides the constants of the class."""


class PythonBinanceClone:
    """Ask the exchange in the place of a python-binance client; see `ClientClone`."""

    __slots__ = ("_attributes", "_class", "_session", "host", "offset_ms")

    def __init__(self, client: Any) -> None:
        self._class = sys.modules["binance.client"].Client
        uses_aiohttp = is_coroutine_method(type(client)._request)  # noqa: SLF001
        attributes, constants = vars(client), [name for name in dir(self._class) if name.isupper()]
        options = attributes.get("_requests_params") or {}
        proxy, session = attributes.get("https_proxy"), attributes["session"]
        self._attributes: dict[str, Any] = {
            name: getattr(client, name) for name in (*constants, *COPIED) if hasattr(client, name)
        }
        self._attributes["_requests_params"] = dict(requests_options(options, proxy, is_async=uses_aiohttp))
        self._session = dict(session_settings(session, is_async=uses_aiohttp))
        self.offset_ms = int(attributes.get("timestamp_offset") or 0)
        self.host = host_of(str(client._create_futures_api_uri("")))  # noqa: SLF001

    def client(self) -> Any:
        """Make a sync client; nothing is sent."""
        # Not by `__init__`, which makes an event loop, and pings in old releases.
        client = self._class.__new__(self._class)
        vars(client).update(self._attributes, response=None, verbose=False)
        client.session = client._init_session()  # noqa: SLF001
        for name, value in self._session.items():
            setattr(client.session, name, value)
        return without_bridge(client)

    def async_client(self) -> Any:
        """Make an async client for the running event loop; nothing is sent."""
        kind = sys.modules["binance"].AsyncClient
        client = kind.__new__(kind)
        options = self._attributes["_requests_params"]
        proxies = options.get("proxies") or self._session.get("proxies") or {}
        vars(client).update(
            self._attributes,
            response=None,
            verbose=False,
            loop=asyncio.get_running_loop(),
            https_proxy=proxies.get("https") or proxies.get("http"),
            _requests_params=dict(aiohttp_options(options, self._session)),
            _session_params={"trust_env": self._session["trust_env"]},
        )
        client.session = client._init_session()  # noqa: SLF001
        return without_bridge(client)

    def get(self, client: Any, prefix: str, path: str, params: Mapping[str, Any]) -> Any:
        """Send one signed GET with a client from `client()`."""
        name = HOSTS[prefix[:5]]
        request = getattr(client, name, None)
        if request is None:
            raise NotImplementedError(f"this python-binance has no {name}")
        return request("get", path, signed=True, data=dict(params))

    def why_no_user_stream(self, address: str | None) -> str | None:
        """Return why the account's user data stream cannot be had; None where it can be tried."""
        from binance import BinanceSocketManager  # noqa: PLC0415 - it is there: the client is genuine

        if not hears_user_stream(BinanceSocketManager):
            return (
                f"python-binance {version('python-binance')} connects to an address at which Binance has "
                "sent no user data since 2026-04-23: install 1.0.36 or later"
            )
        if address is None and not self._is_at_home:
            return (
                f"the client asks {self.host}, which is none of python-binance's own hosts: say where its "
                'stream is, by watch(client, stream="wss://…/")'
            )
        return None

    @property
    def _is_at_home(self) -> bool:
        """Return whether the host is one of python-binance's own, to which its other addresses belong."""
        attributes = self._attributes
        name = "TESTNET_" if attributes.get("testnet") else "DEMO_" if attributes.get("demo") else ""
        address = str(getattr(self._class, f"FUTURES_{name}URL", ""))
        return host_of(address.format(attributes.get("tld"))) == self.host

    def user_stream(self, client: Any, address: str | None, most_waiting: int) -> Any:
        """Return the socket of the user data stream, not connected yet."""
        return _socket_manager(client, address, most_waiting).futures_user_socket()

    def mark_prices(self, client: Any, address: str | None, most_waiting: int) -> Any:
        """Return the socket of the mark prices of all symbols, once a second; not connected yet."""
        return _socket_manager(client, address, most_waiting).all_mark_price_socket(fast=True)


def without_bridge(client: Any) -> Any:
    """Return a cloned client with python-binance's own methods, where its class is bridged."""
    from exit_shim.clients.twins import plain_of  # noqa: PLC0415 - twins know this module

    return plain_of(client)


def _socket_manager(client: Any, address: str | None, most_waiting: int) -> Any:
    """Return what makes sockets, for an address of one's own where there is one."""
    from binance import BinanceSocketManager  # noqa: PLC0415 - it is there: the client is genuine

    manager = BinanceSocketManager(client, max_queue_size=most_waiting)
    if address is not None:
        for name in ("FSTREAM_URL", "FSTREAM_TESTNET_URL", "FSTREAM_DEMO_URL"):
            setattr(manager, name, address.rstrip("/") + "/")
    return manager


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
    client_classes=client_classes,
    doors=DOORS,
    place_order="futures_create_order",
    market_of=market_of,
    key_field="API_KEY",
    address_field="FUTURES_URL",
    address_flags=("testnet", "demo"),
    address_of=address_of,
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
