"""The transparent proxy around a client, and the bound methods that its doors hand out."""

import copy
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CoroutineType, MethodType
from typing import Any, Protocol, TypeVar, cast

import wrapt

from exit_shim.attribution.stack import CallSite, without_code
from exit_shim.clients.registry import is_library_module
from exit_shim.clients.support import ClientSupport
from exit_shim.clients.twins import plain_of
from exit_shim.clients.unpickling import shim_here, wrap_unpickled
from exit_shim.domain.attributions import Frame, FrameFinder
from exit_shim.domain.doors import Door, DoorCall
from exit_shim.runtime.internal_errors import InternalErrors

# wrapt 2 keeps __iter__ out of its base class: a client that cannot be iterated must not look as if it could.
BaseProxy: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)

C = TypeVar("C")


class CallHandler(Protocol):
    """Carry out the calls of doors; the gateway does."""

    finder: FrameFinder
    internal_errors: InternalErrors
    count_entry_coroutine: Callable[[], Any]

    def is_entry(self, door: Door, params: Mapping[str, Any]) -> bool:
        """Return whether a call certainly carries no exit, and count it."""

    def asked(self, door: Door, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DoorCall | None:
        """Return what a call asks for in Binance's terms; None for no order."""

    def call(
        self,
        asked: DoorCall,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        frame: Frame | None,
        bound_at: CallSite | None,
    ) -> Any:
        """Carry out one call for the code at `frame`; returns or raises what the method does."""

    def site(self, frame: Frame | None) -> CallSite | None:
        """Return the place that asks, for a call that comes without a stack."""

    def unreadable(self, error: Exception) -> CallSite | None:
        """Report a stack that cannot be read."""


def _annotate(wrapper: Any, annotations: Any) -> None:
    wrapper.__wrapped__.__annotations__ = annotations


# Asked of a class that has none, Python puts an empty dict on that class, which would then show through
# wrapt's own attribute for all its objects.
ANNOTATIONS = property(lambda wrapper: wrapper.__wrapped__.__annotations__, _annotate)
"""The annotations of what is wrapped, if it has any."""


class BoundDoor(BaseProxy):  # type: ignore[misc]
    """Stand for a door's bound method: it looks like the client's own, and calls go through the gateway."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the client's own docstring shows
        door, gateway, bound_at, method = self._self_binding
        if gateway.is_entry(door, kwargs):
            result = method(*args, **kwargs)
            if type(result) is CoroutineType:
                gateway.count_entry_coroutine()
            return result
        # The walk for who asked begins behind this very frame. There may be none: a call from C, such as a
        # thread's target or an atexit callback.
        try:
            frame: Frame | None = sys._getframe(1)  # noqa: SLF001
        except ValueError:
            frame = None
        return gateway.call(DoorCall(door, kwargs), method, args, kwargs, frame, bound_at)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __copy__(self) -> "BoundDoor":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        door, gateway, _, method = self._self_binding
        return bind_door(copy.deepcopy(method, memo), door, gateway, sys._getframe())  # noqa: SLF001

    def __reduce_ex__(self, protocol: Any) -> Any:
        door, gateway, bound_at, method = self._self_binding
        doors = picklable_doors((door,), gateway.internal_errors)
        return bind_unpickled, (method, doors, without_code(bound_at))


class BoundParsingDoor(BoundDoor):
    """Stand for a door whose calls must be parsed first: a raw request, or an adapter's method."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the client's own docstring shows
        door, gateway, bound_at, method = self._self_binding
        asked = gateway.asked(door, args, kwargs)
        if asked is None:
            return method(*args, **kwargs)
        if gateway.is_entry(asked.door, asked.params):
            result = method(*args, **kwargs)
            if type(result) is CoroutineType:
                gateway.count_entry_coroutine()
            return result
        return gateway.call(asked, method, args, kwargs, sys._getframe().f_back, bound_at)  # noqa: SLF001


def bind_door(method: Any, door: Door, gateway: CallHandler, frame: Frame | None) -> Any:
    """Return a client's method as the bound method of a door, for the code at `frame`."""
    if type(method) is not MethodType:
        if issubclass(type(method), BoundDoor):  # another layer's: taken over, not doubled
            method = method.__wrapped__
        if not callable(method):
            return method
    if door.routes is None:
        bound = (BoundDoor if door.parse is None else BoundParsingDoor)(method)
    elif is_library_frame(frame):
        # A library's raw request on itself is the inside of another door, or of a method that is none.
        return method
    else:
        bound = BoundParsingDoor(method)
    try:  # here, not in a method of the gateway: each call counts on the path of entries
        bound_at: CallSite | None = gateway.finder.find(frame)
    except Exception as error:  # noqa: BLE001 - an unreadable stack costs the evidence, not the order
        bound_at = gateway.unreadable(error)
    bound._self_binding = door, gateway, bound_at, method  # noqa: SLF001 - wrapt's prefix for its own
    return bound


def rebind_at(bound: Any, bound_at: CallSite) -> None:
    """Have a door's bound method count as fetched at another place in the code; nothing for other methods."""
    if issubclass(type(bound), BoundDoor):
        door, gateway, _, method = bound._self_binding  # noqa: SLF001
        bound._self_binding = door, gateway, bound_at, method  # noqa: SLF001


def is_library_frame(frame: Frame | None) -> bool:
    """Return whether the code that fetches a method is a client library's; frames of ours are skipped."""
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("exit_shim."):
        frame = frame.f_back
    return frame is not None and is_library_module(frame.f_globals.get("__name__"))


class DoorAttribute:
    """Hand out a door's method as an attribute of the proxy class; absent where the client has none."""

    __slots__ = ("_door", "_name")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._name = door.method

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        if proxy is None:
            return self
        method = getattr(proxy.__wrapped__, self._name)
        try:
            frame: Frame | None = sys._getframe(1)  # noqa: SLF001
        except ValueError:  # fetched from C
            frame = None
        return bind_door(method, self._door, proxy._self_gateway, frame)  # noqa: SLF001

    def __set__(self, proxy: Any, value: Any) -> None:
        setattr(proxy.__wrapped__, self._name, value)

    def __delete__(self, proxy: Any) -> None:
        delattr(proxy.__wrapped__, self._name)


class PartAttribute:
    """Hand out a client that a client holds, wrapped like it; the same one each time."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        if proxy is None:
            return self
        part = getattr(proxy.__wrapped__, self._name)
        wrapped = proxy._self_parts.get(self._name)  # noqa: SLF001
        if wrapped is None or plain_of(wrapped.__wrapped__) is not part:
            wrapped = proxy._self_gateway.owner.wrap(part)  # noqa: SLF001
            proxy._self_parts[self._name] = wrapped  # noqa: SLF001
        return wrapped

    def __set__(self, proxy: Any, value: Any) -> None:
        setattr(proxy.__wrapped__, self._name, value)

    def __delete__(self, proxy: Any) -> None:
        delattr(proxy.__wrapped__, self._name)


class ClientProxy(BaseProxy):  # type: ignore[misc]
    """Wrap a client: the doors of its library are intercepted, all else stays on wrapt's own path in C."""

    _self_doors = cast("tuple[Door, ...]", ())  # an annotation would show as the client's

    def __init__(self, client: Any, gateway: CallHandler) -> None:
        super().__init__(client)
        self._self_gateway = gateway
        self._self_parts: dict[str, Any] = {}

    def __copy__(self) -> "ClientProxy":
        return type(self)(copy.copy(self.__wrapped__), self._self_gateway)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientProxy":
        return type(self)(copy.deepcopy(self.__wrapped__, memo), self._self_gateway)

    def __reduce_ex__(self, protocol: Any) -> Any:
        doors = picklable_doors(self._self_doors, self._self_gateway.internal_errors)
        return wrap_unpickled, (self.__wrapped__, doors)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


class NotAContextManagerError(AttributeError, TypeError):
    """Say that `with` was given no context manager: a TypeError, in Python 3.10 an AttributeError."""


class ContextAttribute:
    """Provide `__enter__` and the like on the proxy class; absent where the client has none."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        if proxy is None:
            return self._function  # contextlib's stacks ask the class
        client, name = proxy.__wrapped__, self._function.__name__
        if not hasattr(client, name):
            kind = type(client).__name__
            raise NotAContextManagerError(f"{kind!r} object is no context manager: it has no {name}")
        return MethodType(self._function, proxy)


def __enter__(proxy: Any) -> Any:  # noqa: N807 - its name is what is looked up
    return _proxy_for(proxy, proxy.__wrapped__.__enter__())


def __exit__(proxy: Any, *error: Any) -> Any:  # noqa: N807
    return proxy.__wrapped__.__exit__(*error)


async def __aenter__(proxy: Any) -> Any:  # noqa: N807
    return _proxy_for(proxy, await proxy.__wrapped__.__aenter__())


async def __aexit__(proxy: Any, *error: Any) -> Any:  # noqa: N807
    return await proxy.__wrapped__.__aexit__(*error)


def _proxy_for(proxy: Any, entered: Any) -> Any:
    """Return the proxy where entering a context handed back the client inside it."""
    return proxy if entered is proxy.__wrapped__ else entered


for _function in (__enter__, __exit__, __aenter__, __aexit__):
    setattr(ClientProxy, _function.__name__, ContextAttribute(_function))

for _class in (BoundDoor, BoundParsingDoor, ClientProxy):
    _class.__annotations__ = cast("Any", ANNOTATIONS)

# Python 3.13 adds these to a class; the client's own class has its own.
for _name in {"__firstlineno__", "__static_attributes__"} & vars(ClientProxy).keys():
    delattr(ClientProxy, _name)

_classes: dict[str, type[ClientProxy]] = {}


def proxy_class(library: ClientSupport, declared: Sequence[Door] = ()) -> type[ClientProxy]:
    """Return the proxy class for clients of a library.

    Args:
        library: The library whose doors it has.
        declared: Doors besides those, or instead of one of the same name.
    """
    if library.name not in _classes:
        parts = {name: PartAttribute(name) for name in library.parts}
        _classes[library.name] = _make_class(ClientProxy, library.doors, **parts)
    base = _classes[library.name]
    if not declared:
        return base
    rows = {door.method: door for door in declared}
    return _make_class(base, rows.values(), _self_doors=tuple(rows.values()))


def _make_class(base: type[ClientProxy], doors: Iterable[Door], **attributes: Any) -> type[ClientProxy]:
    attributes.update({door.method: DoorAttribute(door) for door in doors}, __annotations__=ANNOTATIONS)
    return type("ClientProxy", (base,), attributes)


def declared_doors(client: object) -> tuple[Door, ...]:
    """Return the doors that were declared when `client` was wrapped; none for what is no proxy."""
    return type(client)._self_doors if issubclass(type(client), ClientProxy) else ()  # type: ignore[attr-defined]  # noqa: SLF001


def bind_unpickled(method: Any, doors: Sequence[Door], bound_at: CallSite | None = None) -> Any:
    """Bind a method that was pickled as a door's, in the process where it arrived.

    Args:
        method: The client's own method.
        doors: The door; empty where it could not be pickled.
        bound_at: Who fetched it; in a process of a pool there may be no other trace of the bot.
    """
    shim = shim_here() if doors else None
    if shim is None:
        return method
    bound = bind_door(method, doors[0], shim.gateway, sys._getframe().f_back)  # noqa: SLF001
    if bound_at is not None:
        rebind_at(bound, bound_at)
    return bound


def picklable_doors(doors: Iterable[Door], internal_errors: InternalErrors) -> tuple[Door, ...]:
    """Return the doors that can be pickled; one that cannot must not keep the client from being pickled."""
    picklable = []
    for door in doors:
        try:
            pickle.dumps(door)
        except Exception as error:  # noqa: BLE001, PERF203 - pickle raises what it likes
            step = f"pickle the door {door.method}, whose `parse` must be a module's function"
            internal_errors.report(step, error)
        else:
            picklable.append(door)
    return tuple(picklable)


def inside(client: Any) -> Any:
    """Return what lies inside the proxies of ours around a client."""
    while issubclass(type(client), ClientProxy):
        client = client.__wrapped__
    return client


def unwrap(client: C) -> C:
    """Return the client that was given to `wrap`; what is no proxy comes back as it is.

    Another library's proxy, or an adapter, that stands between two of ours is such a client: only what lies
    directly inside a proxy of ours is taken out of it. The methods of a bridged client are python-binance's
    own again.
    """
    return plain_of(inside(client))  # type: ignore[no-any-return]
