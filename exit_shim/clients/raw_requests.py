"""Bind the methods of transports: order requests go through the gateway, other requests do not."""

import sys
from types import CoroutineType
from typing import Any, Final, cast

from exit_shim.attribution.attribute import CarriedFrame, declared
from exit_shim.attribution.propagation import copy_frames
from exit_shim.clients.proxy import ANNOTATIONS, BaseProxy, BoundDoor, CallHandler
from exit_shim.clients.raw_http import METHOD_WRAPPERS, is_transport_module
from exit_shim.clients.registry import is_library_module
from exit_shim.clients.seams import FORWARDED, ForwardingMethod, Origin
from exit_shim.domain.attributions import Frame
from exit_shim.domain.doors import Door

BRIDGE_ROOM: Final = "exit_shim.bridge."
THIS_ROOM: Final = "exit_shim.clients."

SDK_COMMON: Final = "binance_common."
"""The package through which all SDKs of Binance's send, also those without doors of their own."""

API: Final = "api"
"""The text that every order path contains, or the base address of its session."""

REPEATS: Final = "resolve_redirects"
"""The function of requests that sends a request again, where the exchange redirects it."""


class BoundRequest(BoundDoor):
    """Wrap the method of a transport that sends a request."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the transport's own docstring shows
        door, gateway, bound_at, method = self._self_binding
        # The session shows what a request of aiohttp does not: its default headers and address.
        asked = gateway.asked(door, (method.__self__, *args), kwargs)
        if asked is None:
            return method(*args, **kwargs)
        frame = sys._getframe().f_back  # noqa: SLF001
        if is_sent_by_library(frame):
            return method(*args, **kwargs)
        if gateway.is_entry(asked.door, asked.params):
            result = method(*args, **kwargs)
            if type(result) is CoroutineType:
                gateway.count_entry_coroutine()
            return result
        if asked.library in METHOD_WRAPPERS:
            method = METHOD_WRAPPERS[asked.library](method)
        return gateway.call(asked, method, args, kwargs, frame, bound_at)


class BoundShortcut(ForwardingMethod):
    """Wrap a method that forwards to the one that sends, such as `post`."""

    def __init__(self, method: Any, gateway: CallHandler, frame: Frame | None) -> None:
        # Most requests are about no order, and copying a whole stack takes a tenth of a request's time.
        BaseProxy.__init__(self, method)
        self._self_gateway = gateway
        self._self_fetched = Origin(declared.get(), nearest_of_bot(gateway, frame))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the transport's own docstring shows
        if may_be_order(self.__wrapped__, args, kwargs):
            return super().__call__(*args, **kwargs)
        return self.__wrapped__(*args, **kwargs)


for _class in (BoundRequest, BoundShortcut):
    _class.__annotations__ = cast("Any", ANNOTATIONS)


def nearest_of_bot(gateway: CallHandler, frame: Frame | None) -> Any:
    """Return a copy of the frame if it is the bot's; of all frames outwards if it passes the call on."""
    site = gateway.site(frame)
    if frame is None or site is None or site.role is None:
        return None
    if site.code is None or site.code is not frame.f_code:
        return copy_frames(frame)
    return CarriedFrame(site.code, frame.f_lineno, frame.f_lasti, frame.f_globals, None)


def may_be_order(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return False only where a request certainly goes to no order path."""
    session = method.__self__
    try:
        base = getattr(session, "base_url", None) or getattr(session, "_base_url", None)
        if base and API in str(base):
            return True
    except Exception:  # noqa: BLE001 - a bot's own class may raise anything; its address is not known then
        return True
    urls = (*args[:2], kwargs.get("url"), kwargs.get("str_or_url"))
    return any(API in url if isinstance(url, str) else type(url).__name__ == "URL" for url in urls)


def bind_request(method: Any, door: Door, gateway: CallHandler, frame: Frame | None) -> Any:
    """Return a transport's method wrapped as a door, attributed to the code at `frame`."""
    if not hasattr(method, "__self__"):
        # Somebody has put a static method there, which shows no session.
        return method
    name = None if frame is None else frame.f_globals.get("__name__")
    is_inside = is_transport_module(name)
    if door.payload == FORWARDED:
        return method if is_inside or is_inner_module(name) else BoundShortcut(method, gateway, frame)
    if is_inside and frame is not None and frame.f_code.co_name == REPEATS:
        return method
    bound = BoundRequest(method)
    # What the transport fetches itself it calls at once.
    bound_at = None if is_inside else gateway.site(frame)
    bound._self_binding = door, gateway, bound_at, method  # noqa: SLF001 - wrapt's prefix for its own
    return bound


def is_inner_module(name: object) -> bool:
    """Return whether a module's requests belong to a call that is recorded already."""
    return is_library_module(name) or str(name).startswith(BRIDGE_ROOM)


def is_sent_by_library(frame: Frame | None) -> bool:
    """Return whether a client library sent the request, whose own doors have seen it."""
    while frame is not None and is_passed_on(frame.f_globals.get("__name__")):
        frame = frame.f_back
    return frame is not None and is_inner_module(frame.f_globals.get("__name__"))


def is_passed_on(name: object) -> bool:
    """Return whether a module's code stands between who sends a request and its transport."""
    return is_transport_module(name) or str(name).startswith((THIS_ROOM, SDK_COMMON))
