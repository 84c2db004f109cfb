"""The methods of python-binance that the bridge replaces, in any release, sync and async."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.bridge.calls import COIN_MARGINED, USDT_MARGINED, Plan, Request, Routes, plan_for
from exit_shim.bridge.cautions import Cautions, with_prefix
from exit_shim.bridge.known import KnownOrders
from exit_shim.bridge.portfolio import PORTFOLIO_MARGIN
from exit_shim.bridge.sockets import socket_classes, socket_methods
from exit_shim.bridge.steps import Steps, run, run_async
from exit_shim.bridge.translate import is_conditional
from exit_shim.clients.patching import ClassMethod, Replacements
from exit_shim.clients.python_binance import client_classes
from exit_shim.clients.twins import (
    ASYNC_WEBSOCKET_SEAM,
    BRIDGE,
    BRIDGES,
    COIN_SEAM,
    CREATE,
    CREATE_BY_WEBSOCKET,
    OVERRIDES,
    PORTFOLIO_SEAM,
    SEAM,
    WEBSOCKET_SEAM,
    Methods,
    library_class,
    original_of,
)
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.methods import is_coroutine_method

MARKETS: Final[Mapping[str, Routes]] = {
    SEAM: USDT_MARGINED,
    COIN_SEAM: COIN_MARGINED,
    PORTFOLIO_SEAM: PORTFOLIO_MARGIN,
}
"""What the bridge carries out, by the method that sends the requests of a market."""

ADDRESSES: Final[Mapping[str, str]] = {
    SEAM: "FUTURES_URL",
    COIN_SEAM: "FUTURES_COIN_URL",
    PORTFOLIO_SEAM: "PAPI_URL",
}
"""The attribute with the address of a market."""

NEEDS_PARAMS: Final = frozenset({"batchOrders"})
"""The paths whose fields python-binance sends in the URL, for which newer releases have a parameter."""

OLD_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "order.place": ("post", "order"),
    "order.cancel": ("delete", "order"),
    "order.status": ("get", "order"),
}
"""The methods of Binance's WebSocket API about orders, and the requests that do the same."""

COMMANDS: Final[Mapping[tuple[str, str], str]] = {
    **{request: command for command, request in OLD_COMMANDS.items()},
    ("post", "algoOrder"): "algoOrder.place",
    ("delete", "algoOrder"): "algoOrder.cancel",
}
"""The requests that the WebSocket API can do; it has no question about conditional orders."""

Account = tuple[object, object]


class OldCall(NamedTuple):
    """A call that the bridge carries out: its plan, and what sends one request of it."""

    plan: Plan
    send: Callable[[Request], Any]


Reader = Callable[..., OldCall | None]
"""Reads the arguments of a replaced method; None for a call that goes out as it is."""


class Bridge:
    """Make the replaced methods, and keep what they know of each account.

    Args:
        internal_errors: Takes failures of the bridge itself; the bot gets the exchange's own answer then.
        warn: Takes what the owner of the bot should know, once: text and fields.
    """

    def __init__(self, internal_errors: InternalErrors, warn: Callable[..., object]) -> None:
        self.internal_errors = internal_errors
        self.warn = with_prefix(warn)
        self._known: dict[Account, KnownOrders] = {}
        self.cautions = Cautions(self.warn)
        self._methods: dict[type, Methods] = {}

    def methods_for(self, kind: type) -> Methods:
        """Return the replaced methods of the library's class that a client class is or inherits from."""
        if self not in BRIDGES:
            BRIDGES.append(self)
        owner = library_class(kind)
        made = self._methods.get(owner)
        # Somebody may have patched the class since.
        if made is None or not all(is_over(method, owner, name) for name, method in made.items()):
            made = self._methods[owner] = self._make_methods(owner)
        return made

    def replacements(self) -> Replacements:
        """Return the methods to replace for `install`: of the client classes, and of their sockets."""
        clients = {
            ClassMethod(kind, name): method
            for kind in client_classes()
            for name, method in self.methods_for(kind).items()
        }
        return {**clients, **socket_replacements()}

    def known_of(self, client: Any, seam: str = SEAM) -> KnownOrders:
        """Return what is known of the orders of a client's account, in the market of one of its methods."""
        address = getattr(client, ADDRESSES[seam], None)
        return self._known.setdefault((getattr(client, "API_KEY", None), str(address)), KnownOrders())

    def _make_methods(self, kind: type) -> Methods:
        originals = {name: original_of(kind, name) for name in MARKETS}
        methods: dict[str, Any] = {
            name: self._bridged(original, self._rest_reader(original, name))
            for name, original in originals.items()
            if original is not None
        }
        is_async = is_coroutine_method(originals[SEAM])
        websocket = ASYNC_WEBSOCKET_SEAM if is_async else WEBSOCKET_SEAM
        original = original_of(kind, websocket)
        if original is not None:
            methods[websocket] = self._bridged(original, self._websocket_reader(original, originals[SEAM]))
        # A release that knows the Algo Service throws the caller's client order id away.
        for name, create in CREATES[is_async].items():
            method = original_of(kind, name)
            if knows_algo_orders(method):
                methods[name] = create(method)
        for method in methods.values():
            setattr(method, OVERRIDES, method.__wrapped__)
            setattr(method, BRIDGE, self)
        return methods

    def _bridged(self, original: Callable[..., Any], read: Reader) -> Callable[..., Any]:
        """Return a method that carries out old calls, and sends all others as they are."""
        bridge = self

        @functools.wraps(original)
        def request(client: Any, *args: Any, **kwargs: Any) -> Any:
            call = read(client, *args, **kwargs)
            if call is None:
                return original(client, *args, **kwargs)
            as_asked = functools.partial(original, client, *args, **kwargs)
            return run(Steps(bridge, call.plan), call.send, as_asked)

        @functools.wraps(original)
        async def request_async(client: Any, *args: Any, **kwargs: Any) -> Any:
            call = read(client, *args, **kwargs)
            if call is None:
                return await original(client, *args, **kwargs)
            as_asked = functools.partial(original, client, *args, **kwargs)
            return await run_async(Steps(bridge, call.plan), call.send, as_asked)

        return request_async if is_coroutine_method(original) else request

    def _rest_reader(self, original: Callable[..., Any], seam: str) -> Reader:
        """Return what reads the arguments of a method that sends the requests of a market."""

        def read(
            client: Any, method: str, path: str, signed: bool = False, *args: Any, **kwargs: Any
        ) -> OldCall | None:
            plan = self.plan(client, seam, method, path, kwargs.get("data")) if signed else None
            if plan is None:
                return None
            return OldCall(
                plan,
                lambda step: original(client, step.verb, step.path, True, *args, **fields_of(step, kwargs)),
            )

        return read

    def _websocket_reader(self, original: Callable[..., Any], rest: Callable[..., Any]) -> Reader:
        """Return what reads the arguments of the method that sends to the WebSocket API."""

        def read(client: Any, method: str, signed: bool, params: Any) -> OldCall | None:
            old = OLD_COMMANDS.get(method) if signed else None
            plan = None if old is None else self.plan(client, SEAM, *old, params)
            if plan is None:
                return None

            def send(step: Request) -> Any:
                command = COMMANDS.get((step.verb, step.path))
                if command is None:
                    return rest(client, step.verb, step.path, True, data=dict(step.params))
                return original(client, command, True, dict(step.params))

            return OldCall(plan, send)

        return read

    def plan(self, client: Any, seam: str, verb: str, path: str, params: Any) -> Plan | None:
        """Return how to carry out a request of a client; None for one that goes out as it is."""
        if not isinstance(params, dict) and params is not None:
            return None
        with self.internal_errors.guarded("watch what a bridged bot does"):
            self.cautions.heed(client, str(verb).lower(), str(path).strip("/"))
        try:
            known = self.known_of(client, seam)
            return plan_for(known, str(verb), str(path), dict(params or {}), routes=MARKETS[seam])
        except Exception as error:  # noqa: BLE001 - what cannot be read goes out as it is
            self.internal_errors.report("bridge a request", error)
            return None


def socket_replacements() -> Replacements:
    """Return the methods to replace on the classes of sockets, as far as they are imported."""
    return {
        ClassMethod(kind, name): method
        for kind in socket_classes()
        for name, method in socket_methods(kind).items()
    }


def is_over(method: Callable[..., Any], kind: type, name: str) -> bool:
    """Return whether a replaced method stands for the one that a class has today."""
    return getattr(method, OVERRIDES) is original_of(kind, name)


def knows_algo_orders(method: object) -> bool:
    """Return whether a method sends conditional orders to the Algo Service itself."""
    return "clientAlgoId" in getattr(getattr(method, "__code__", None), "co_consts", ())


def fields_of(step: Request, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a request, with fields of its own: python-binance changes them."""
    rest = {name: value for name, value in kwargs.items() if name not in {"data", "force_params"}}
    if step.path in NEEDS_PARAMS and "force_params" in kwargs:
        rest["force_params"] = kwargs["force_params"]
    return {**rest, "data": dict(step.params)}


# Placing, as it was before python-binance knew the Algo Service. The code of each method says that it invents
# the client order id; see `generated_ids`.


def sync_create(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `futures_create_order` of a sync client."""

    @functools.wraps(original)
    def futures_create_order(self: Any, **params: Any) -> Any:
        if not is_conditional(params):
            return original(self, **params)
        if "newClientOrderId" not in params:
            params["newClientOrderId"] = self.CONTRACT_ORDER_PREFIX + self.uuid22()
        return self._request_futures_api("post", "order", True, data=params)

    return futures_create_order


def async_create(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `futures_create_order` of an async client."""

    @functools.wraps(original)
    async def futures_create_order(self: Any, **params: Any) -> Any:
        if not is_conditional(params):
            return await original(self, **params)
        if "newClientOrderId" not in params:
            params["newClientOrderId"] = self.CONTRACT_ORDER_PREFIX + self.uuid22()
        return await self._request_futures_api("post", "order", True, data=params)

    return futures_create_order


def sync_create_by_websocket(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `ws_futures_create_order` of a sync client."""

    @functools.wraps(original)
    def ws_futures_create_order(self: Any, **params: Any) -> Any:
        if not is_conditional(params):
            return original(self, **params)
        if "newClientOrderId" not in params:
            params["newClientOrderId"] = self.CONTRACT_ORDER_PREFIX + self.uuid22()
        return self._ws_futures_api_request_sync("order.place", True, params)

    return ws_futures_create_order


def async_create_by_websocket(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `ws_futures_create_order` of an async client."""

    @functools.wraps(original)
    async def ws_futures_create_order(self: Any, **params: Any) -> Any:
        if not is_conditional(params):
            return await original(self, **params)
        if "newClientOrderId" not in params:
            params["newClientOrderId"] = self.CONTRACT_ORDER_PREFIX + self.uuid22()
        return await self._ws_futures_api_request("order.place", True, params)

    return ws_futures_create_order


CREATES: Final = {
    False: {CREATE: sync_create, CREATE_BY_WEBSOCKET: sync_create_by_websocket},
    True: {CREATE: async_create, CREATE_BY_WEBSOCKET: async_create_by_websocket},
}
"""What makes the methods, by whether the client is async."""
