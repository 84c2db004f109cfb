"""The sockets of python-binance that carry the user data stream, translated for bridged clients.

Up to 1.0.35 python-binance connects to an address that is silent since 2026-04-23; a bridged client's socket
is sent to the one that is not.
"""

import asyncio
import functools
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from exit_shim.bridge.stream import Missing, StreamTranslator
from exit_shim.clients.proxy import inside
from exit_shim.clients.twins import OVERRIDES, SEAM, Methods, bridge_of, plain_of
from exit_shim.runtime.internal_errors import InternalErrors

SOCKETS: Final = (
    ("binance.ws.keepalive_websocket", "KeepAliveWebsocket"),
    ("binance.streams", "KeepAliveWebsocket"),
)
"""Where the class is, in any release."""

STATE: Final = "_exit_shim_stream"
"""The attribute of a socket that holds what translates it."""

ROUTE: Final = "private/"
"""The part of the address that python-binance has since 1.0.36."""

_methods: dict[type, Methods] = {}


class Translated:
    """The events of one socket that the bot has not received yet."""

    def __init__(self, translator: StreamTranslator, internal_errors: InternalErrors) -> None:
        self.translator = translator
        self.internal_errors = internal_errors
        self.asking: dict[int, asyncio.Future[Any]] = {}
        self.waiting: deque[Any] = deque()


def socket_classes() -> list[type]:
    """Return the classes of sockets with a listen key, as far as they are imported."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in SOCKETS)
    return list(dict.fromkeys(kind for kind in found if isinstance(kind, type)))


def socket_methods(kind: type) -> Methods:
    """Return the replaced methods of a class of sockets; they change nothing for clients without bridge."""
    if kind not in _methods:
        makers = {"recv": translating, "connect": redirecting, "_build_path": building_path}
        originals = {name: getattr(kind, name) for name in makers if hasattr(kind, name)}
        _methods[kind] = {name: makers[name](original) for name, original in originals.items()}
        for name, original in originals.items():
            setattr(_methods[kind][name], OVERRIDES, original)
    return _methods[kind]


def translating(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `recv` of a socket that translates the stream of a bridged client, and no other."""

    @functools.wraps(original)
    async def recv(self: Any) -> Any:
        state = state_of(self)
        if state is None:
            return await original(self)
        while not state.waiting:
            # Not before what has arrived already is read: the end of the order may be in it.
            if state.translator.missing and is_read(self):
                await ask_for_missing(self, state)
                continue
            event = await original(self)
            if not isinstance(event, dict):
                return event
            state.waiting += translated(state, event)
        return state.waiting.popleft()

    return recv


def translated(state: Translated, event: dict[str, Any]) -> list[Any]:
    """Return what the bot gets in the place of an event; the event itself where it cannot be translated."""
    try:
        return [*state.translator.translate(event)]
    except Exception as error:  # noqa: BLE001 - the bot must not lose an event by it
        state.internal_errors.report("translate an event", error)
        return [event]


def is_read(socket: Any) -> bool:
    """Return whether a socket has nothing at hand that the bot has not received."""
    queue = vars(socket).get("_queue")
    return queue is None or bool(queue.empty())


async def ask_for_missing(socket: Any, state: Translated) -> None:
    """Ask the exchange, once, what became of an order whose end the stream never told."""
    missing = next(iter(state.translator.missing.values()))
    asking = state.asking.get(missing.algo_id)
    if asking is None:
        asking = state.asking[missing.algo_id] = asyncio.ensure_future(read_child(socket, state, missing))
    # A bot that waits for an event with a time limit ends this call, and not the question.
    child = await asyncio.shield(asking)
    # The event may have arrived meanwhile.
    if is_read(socket):
        del state.asking[missing.algo_id]
        try:
            state.waiting += state.translator.add_late(missing, child)
        except Exception as error:  # noqa: BLE001 - the stream goes on without it
            state.internal_errors.report("tell of an order whose end was missed", error)


async def read_child(socket: Any, state: Translated, missing: Missing) -> Any:
    """Return an order as `GET order` answers; None where it cannot be read."""
    question = {"symbol": missing.symbol, "orderId": missing.child_id}
    try:
        client = plain_of(inside(vars(socket).get("_client")))
        return await getattr(client, SEAM)("get", "order", True, data=question)
    except Exception as error:  # noqa: BLE001 - the stream goes on without it
        state.internal_errors.report("ask for an order whose end was missed", error)
        return None


def redirecting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `connect` of a socket that goes where Binance sends the user data of futures."""

    @functools.wraps(original)
    async def connect(self: Any) -> Any:
        if state_of(self) is not None and not self._url.endswith(ROUTE):
            self._url += ROUTE
            self._prefix = "ws?listenKey="
        return await original(self)

    return connect


def building_path(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `_build_path` of a socket, whose listen key is part of a query where it was redirected."""

    @functools.wraps(original)
    def _build_path(self: Any) -> Any:
        built = original(self)
        if self._prefix == "ws?listenKey=" and isinstance(self._path, str):
            self._path = self._path.replace("?", "&")
        return built

    return _build_path


def state_of(socket: Any) -> Translated | None:
    """Return what translates a socket; None for one that is not of futures, or of a client without bridge."""
    attributes = vars(socket)
    if STATE not in attributes:
        attributes[STATE] = None
        client = inside(attributes.get("_client"))
        bridge = bridge_of(client) if attributes.get("_keepalive_type") == "futures" else None
        if bridge is not None:
            with bridge.internal_errors.guarded("translate a stream"):
                translator = StreamTranslator(bridge.known_of(client))
                attributes[STATE] = Translated(translator, bridge.internal_errors)
    state: Translated | None = attributes[STATE]
    return state
