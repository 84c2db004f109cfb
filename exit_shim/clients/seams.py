"""Doors inside a client, for libraries whose methods call each other.

A proxy around such a client sees only the outermost call, not the calls that the client makes on itself. So
`wrap` makes a twin of the client: another object with the same state, whose class has the doors.
"""

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from exit_shim.attribution.attribute import declared
from exit_shim.attribution.propagation import await_carried, carrying, copy_frames
from exit_shim.clients.proxy import ANNOTATIONS, BaseProxy, CallHandler, bind_door, is_library_frame
from exit_shim.clients.registry import library_of_class, support_of
from exit_shim.clients.support import ClientSupport
from exit_shim.clients.twins import (
    GATEWAY,
    bind_function,
    inside_doors,
    library_class,
    make_twin,
    method_behind,
)
from exit_shim.domain.attributions import Declared, Frame
from exit_shim.domain.doors import Door
from exit_shim.runtime.methods import is_coroutine_method, name_after

FORWARDED: Final = "forwarded"
"""The payload of a method that sends through another door."""


def doors_of(library: ClientSupport, kind: type) -> Iterator[Door]:
    """Yield the doors that belong on a client class: the library's, and the methods that lead to them."""
    methods = {door.method for door in library.doors}
    yield from (door for door in library.doors if hasattr(kind, door.method))
    for name in library.forwarders_of(kind):
        if name not in methods:
            yield Door(name, payload=FORWARDED)


def missing_doors(library: ClientSupport) -> list[str]:
    """Return the doors that none of a library's imported classes has, or that take other arguments there."""
    kinds = library.client_classes()
    return [door.method for door in library.doors if not any(has_door(kind, door) for kind in kinds)]


def has_door(kind: type, door: Door) -> bool:
    """Return whether a class has a door's method, with the arguments that the door's `parse` reads."""
    method = inside_doors(getattr(kind, door.method, None))
    if method is None or door.parse is None:
        return method is not None
    parameters = inspect.signature(method).parameters
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters.values()):
        return True
    read = inspect.signature(door.parse).parameters.values()
    named = (each.name for each in read if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return parameters.keys() >= set(named)


class TwinDoor:
    """Hand out a door's method as an attribute of a twin's class.

    The method is looked up at each fetch: a test may have put a mock on the client's class since.
    """

    __slots__ = ("_door",)

    def __init__(self, door: Door) -> None:
        self._door = door

    def __get__(self, client: Any, owner: type | None = None) -> Any:
        kind = type(client) if owner is None else owner
        method = bind_function(method_behind(kind, self._door.method, self), client, kind)
        if client is None:
            return method
        return bind(method, self._door, getattr(client, GATEWAY), sys._getframe().f_back)  # noqa: SLF001


def bind(method: Any, door: Door, gateway: CallHandler, frame: Frame | None) -> Any:
    """Return a client's method wrapped as a door, attributed to the code at `frame`."""
    if door.payload != FORWARDED:
        return bind_door(method, door, gateway, frame)
    # The library's own calls are inside one that is attributed already.
    return method if is_library_frame(frame) else ForwardingMethod(method, gateway, frame)


class ForwardingMethod(BaseProxy):  # type: ignore[misc]
    """Wrap a method that sends through another door, and carry the attribution of its caller there."""

    def __init__(self, method: Any, gateway: CallHandler, frame: Frame | None) -> None:
        super().__init__(method)
        self._self_gateway = gateway
        self._self_fetched = Origin(declared.get(), frames_of_bot(gateway, frame))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the client's own docstring shows
        method, frame = self.__wrapped__, sys._getframe().f_back  # noqa: SLF001
        if is_coroutine_method(method):
            frames = frames_of_bot(self._self_gateway, frame)
            origin = self._self_fetched if frames is None else Origin(declared.get(), frames)
            return call_carrying(origin, None if frames is None else frame, method, args, kwargs)
        if is_of_bot(self._self_gateway, frame):
            return method(*args, **kwargs)
        with carrying(*self._self_fetched):
            return method(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __copy__(self) -> "ForwardingMethod":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "ForwardingMethod":
        method = copy.deepcopy(self.__wrapped__, memo)
        return type(self)(method, self._self_gateway, sys._getframe())  # noqa: SLF001

    def __reduce_ex__(self, protocol: Any) -> Any:
        return getattr, (self.__wrapped__.__self__, self.__wrapped__.__name__)


ForwardingMethod.__annotations__ = cast("Any", ANNOTATIONS)


class Origin(NamedTuple):
    """Hold the declared attribution and the frames of the place that fetched or called a method."""

    declaration: Declared | None
    frames: Any


def is_of_bot(gateway: CallHandler, frame: Frame | None) -> bool:
    """Return whether one of the frames outwards is the bot's; False where the stack cannot be read."""
    try:
        return gateway.finder.find(frame).role is not None
    except Exception as error:  # noqa: BLE001 - an unreadable stack costs the evidence, not the order
        gateway.unreadable(error)
        return False


def frames_of_bot(gateway: CallHandler, frame: Frame | None) -> Any:
    """Return copies of the frames from `frame` outwards where one of them is the bot's; None elsewhere."""
    return copy_frames(frame) if is_of_bot(gateway, frame) else None


def call_carrying(
    origin: Origin,
    caller: Frame | None,
    method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Return a coroutine that runs a method with the attribution of its caller, whoever awaits it.

    Args:
        origin: The attribution of the caller.
        caller: The bot's frame that made the call, which usually awaits the coroutine too; None where there
            is none.
        method: The coroutine function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
    """
    # The frame's address is kept, since the frame itself would keep the bot's variables alive.
    place = caller and (id(caller), caller.f_code)

    async def run() -> Any:
        awaiting = sys._getframe().f_back  # noqa: SLF001
        if place is not None and awaiting is not None and place == (id(awaiting), awaiting.f_code):
            return await method(*args, **kwargs)
        return await await_carried(*origin, method, *args, **kwargs)

    return name_after(method, run())


def twin_with_doors(client: Any, gateway: CallHandler) -> Any:
    """Return a twin of a client whose own calls go through the gateway."""
    kind: Any = type(client)
    return make_twin(client, methods_of_twin(kind), owns_class=support_of(client).owns_class, gateway=gateway)


@functools.lru_cache(maxsize=64)
def methods_of_twin(kind: Any) -> Mapping[str, Any]:
    """Return the doors that the class of a twin has, by name."""
    library = library_of_class(kind)
    if library is None:
        return {}
    # A bot's subclass keeps its methods, which find the doors by `super()`.
    owner = library_class(kind, library.owns_class)
    return {door.method: TwinDoor(door) for door in doors_of(library, owner)}
