"""The transparent proxy around a client, and the method objects that its doors hand out."""

import copy
import pickle
import sys
from collections.abc import Callable, Sequence
from types import CoroutineType, MethodType
from typing import Any, TypeVar, cast

import wrapt

from exit_shim.attribution.stack import Frame, Site, portable
from exit_shim.clients.doors import DOORS, Door, DoorCall
from exit_shim.clients.python_binance import is_own_module
from exit_shim.gateway.gateway import Gateway

# wrapt 2 keeps __iter__ out of its base class: a client that cannot be iterated must not look as if it could.
_Base: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)

C = TypeVar("C")


def _annotate(wrapper: Any, annotations: Any) -> None:
    wrapper.__wrapped__.__annotations__ = annotations


ANNOTATIONS = property(lambda wrapper: wrapper.__wrapped__.__annotations__, _annotate)
"""What is inside has them, or not. Asked of a class that has none, Python puts an empty dict on that class,
which would then show through wrapt's own attribute for all its objects."""


class BoundDoor(_Base):  # type: ignore[misc]
    """A door's bound method: to every eye the client's own, but called it goes through the gateway.

    The walk for who asked begins behind this very frame, where there may be none: a call from C, such as a
    thread's target or an atexit callback.
    """

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the client's own docstring shows
        door, gateway, bound_at, method = self._self_way
        if gateway.is_entry(door, kwargs):
            result = method(*args, **kwargs)
            if type(result) is CoroutineType:
                gateway.count_entry_coroutine()
            return result
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
        door, gateway, _, method = self._self_way
        return bound_door(copy.deepcopy(method, memo), door, gateway, sys._getframe())  # noqa: SLF001

    def __reduce_ex__(self, protocol: Any) -> Any:
        door, gateway, bound_at, method = self._self_way
        return bound_again, (method, travelling((door,), gateway), portable(bound_at))


class BoundReadingDoor(BoundDoor):
    """A door whose calls say in their own way what they ask for: a raw request, an adapter's method."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the client's own docstring shows
        door, gateway, bound_at, method = self._self_way
        asked = gateway.asked(door, args, kwargs)
        if asked is None:
            return method(*args, **kwargs)
        if gateway.is_entry(*asked):
            result = method(*args, **kwargs)
            if type(result) is CoroutineType:
                gateway.count_entry_coroutine()
            return result
        return gateway.call(asked, method, args, kwargs, sys._getframe().f_back, bound_at)  # noqa: SLF001


def bound_door(method: Any, door: Door, gateway: Gateway, frame: Frame | None) -> Any:
    """Hand out `method` as the door's to the code at `frame`.

    What another layer handed out is taken over, not doubled. A raw request that python-binance makes on
    itself is the inside of another door, or of a method that is none.
    """
    if type(method) is not MethodType:
        if issubclass(type(method), BoundDoor):
            method = method.__wrapped__
        if not callable(method):
            return method
    if door.routes is None:
        bound = (BoundDoor if door.parse is None else BoundReadingDoor)(method)
    elif is_clients_own(frame):
        return method
    else:
        bound = BoundReadingDoor(method)
    try:  # here, not in a method of the gateway's: each call tells on the path of entries
        bound_at: Site | None = gateway.finder.find(frame)
    except Exception as error:  # noqa: BLE001 - an unreadable stack costs the evidence, not the order
        bound_at = gateway.unreadable(error)
    bound._self_way = door, gateway, bound_at, method  # noqa: SLF001 - wrapt's prefix for its own
    return bound


def is_clients_own(frame: Frame | None) -> bool:
    """Whether the code that fetches a method is python-binance's; `frame` and the like of it are ours."""
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("exit_shim."):
        frame = frame.f_back
    return frame is not None and is_own_module(frame.f_globals.get("__name__"))


class DoorAttribute:
    """One row of the door table as an attribute of the proxy class; absent where the client has none."""

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
        return bound_door(method, self._door, proxy._self_gateway, frame)  # noqa: SLF001

    def __set__(self, proxy: Any, value: Any) -> None:
        setattr(proxy.__wrapped__, self._name, value)

    def __delete__(self, proxy: Any) -> None:
        delattr(proxy.__wrapped__, self._name)


class ClientProxy(_Base):  # type: ignore[misc]
    """The client, with the doors of the table intercepted; all else stays on wrapt's own path in C."""

    _self_doors = cast("tuple[Door, ...]", ())  # an annotation would show as the client's

    def __init__(self, client: Any, gateway: Gateway) -> None:
        super().__init__(client)
        self._self_gateway = gateway

    def __copy__(self) -> "ClientProxy":
        return type(self)(copy.copy(self.__wrapped__), self._self_gateway)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientProxy":
        return type(self)(copy.deepcopy(self.__wrapped__, memo), self._self_gateway)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return wrap_again, (self.__wrapped__, travelling(self._self_doors, self._self_gateway))

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


class NoContextError(AttributeError, TypeError):
    """What `with` raises for what is no context manager: TypeError, but AttributeError in Python 3.10."""


class ContextAttribute:
    """`__enter__` or one of its kin, as an attribute of the proxy class; absent where the client has none."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        if proxy is None:
            return self._function  # contextlib's stacks ask the class
        client, name = proxy.__wrapped__, self._function.__name__
        if not hasattr(client, name):
            raise NoContextError(f"{type(client).__name__!r} object is no context manager: it has no {name}")
        return MethodType(self._function, proxy)


def __enter__(proxy: Any) -> Any:  # noqa: N807 - its name is what is looked up
    return _entered(proxy, proxy.__wrapped__.__enter__())


def __exit__(proxy: Any, *error: Any) -> Any:  # noqa: N807
    return proxy.__wrapped__.__exit__(*error)


async def __aenter__(proxy: Any) -> Any:  # noqa: N807
    return _entered(proxy, await proxy.__wrapped__.__aenter__())


async def __aexit__(proxy: Any, *error: Any) -> Any:  # noqa: N807
    return await proxy.__wrapped__.__aexit__(*error)


def _entered(proxy: Any, entered: Any) -> Any:
    """Entering a context hands back the proxy, not the client inside it."""
    return proxy if entered is proxy.__wrapped__ else entered


for _function in (__enter__, __exit__, __aenter__, __aexit__):
    setattr(ClientProxy, _function.__name__, ContextAttribute(_function))

for _door in DOORS:
    setattr(ClientProxy, _door.method, DoorAttribute(_door))

for _class in (BoundDoor, BoundReadingDoor, ClientProxy):
    _class.__annotations__ = cast("Any", ANNOTATIONS)

for _name in {"__firstlineno__", "__static_attributes__"} & vars(ClientProxy).keys():  # Python 3.13
    delattr(ClientProxy, _name)  # the client's own class has its own


def proxy_class(doors: Sequence[Door]) -> type[ClientProxy]:
    """The proxy class that has `doors` besides those of the table, or instead of one of the same name."""
    if not doors:
        return ClientProxy
    rows = {door.method: door for door in doors}
    attributes = {name: DoorAttribute(door) for name, door in rows.items()}
    own = {"_self_doors": tuple(rows.values()), "__annotations__": ANNOTATIONS}
    return type("ClientProxy", (ClientProxy,), {**attributes, **own})


def own_doors(client: object) -> tuple[Door, ...]:
    """The doors that were declared when `client` was wrapped; none for what is no proxy."""
    return type(client)._self_doors if issubclass(type(client), ClientProxy) else ()  # type: ignore[attr-defined]  # noqa: SLF001


def travelling(doors: Sequence[Door], gateway: Gateway) -> tuple[Door, ...]:
    """Those that can be pickled; one that cannot, with a lambda in it, must not keep the client from it."""
    found = []
    for door in doors:
        try:
            pickle.dumps(door)
        except Exception as error:  # noqa: BLE001, PERF203 - pickle raises what it likes
            step = f"pickle the door {door.method}, whose `parse` must be a module's function"
            gateway.internal_errors.report(step, error)
        else:
            found.append(door)
    return tuple(found)


def wrap_again(client: C, doors: Sequence[Door] = ()) -> C:
    """Unpickle: around the client that arrived, in the process where it arrived."""
    from exit_shim.shim import default_shim  # noqa: PLC0415 - only the other side of a pickle needs it

    return default_shim().wrap(client, doors=doors)


def bound_again(method: Any, doors: Sequence[Door], bound_at: Site | None = None) -> Any:
    """Unpickle a door's method; `doors` is its row, or empty where that could not come along.

    Who fetched it comes along: in a process of a pool there may be no other trace of the bot.
    """
    from exit_shim.configuration import is_disabled  # noqa: PLC0415 - as above
    from exit_shim.shim import default_shim  # noqa: PLC0415

    if not doors or is_disabled():
        return method
    bound = bound_door(method, doors[0], default_shim().gateway, sys._getframe().f_back)  # noqa: SLF001
    if bound_at is not None and issubclass(type(bound), BoundDoor):
        door, gateway, _, method = bound._self_way  # noqa: SLF001
        bound._self_way = door, gateway, bound_at, method  # noqa: SLF001
    return bound


def unwrap(client: C) -> C:
    """The client that was given to `wrap`; what is no proxy comes back as it is.

    Another library's proxy, or an adapter, that stands between two of ours is such a client: only what lies
    directly inside a proxy of ours is taken out of it.
    """
    own: Any = client
    while issubclass(type(own), ClientProxy):
        own = own.__wrapped__
    return own  # type: ignore[no-any-return]
