"""Twins of a client: another object with the same state, some of whose methods are others."""

import copy
from collections.abc import Callable, Mapping
from types import MemberDescriptorType
from typing import Any, Final

from exit_shim.clients.python_binance_releases import owns_module
from exit_shim.clients.unpickling import bridge_unpickled, wrap_unpickled
from exit_shim.domain.doors import Door

PLAIN: Final = "_exit_shim_plain"
"""The slot of a twin that holds the client that it was made of."""

GATEWAY: Final = "_exit_shim_gateway"
"""The slot of a twin that holds what carries out the calls of its doors; empty for one without doors."""

IS_PLAIN: Final = "_exit_shim_is_plain"
"""Marks the class of a twin that has the library's own methods where the class has replaced ones."""

IS_DOOR: Final = "_exit_shim_is_door"
"""Marks the class of what stands for a method of a class, with the method in `__wrapped__`."""

OVERRIDES: Final = "_exit_shim_overrides"
"""The attribute of a replaced method: the library's own."""

BRIDGE: Final = "_exit_shim_bridge"
"""The attribute of a replaced method that holds its bridge."""

CREATE: Final = "futures_create_order"
CREATE_BY_WEBSOCKET: Final = "ws_futures_create_order"

SEAM: Final = "_request_futures_api"
"""The method that sends a client's requests to USDⓈ-M futures."""

COIN_SEAM: Final = "_request_futures_coin_api"
"""The method that sends a client's requests to COIN-M futures."""

PORTFOLIO_SEAM: Final = "_request_papi_api"
"""The method that sends a client's requests to portfolio margin."""

WEBSOCKET_SEAM: Final = "_ws_futures_api_request_sync"
"""The method that sends a sync client's requests to the WebSocket API of USDⓈ-M futures."""

ASYNC_WEBSOCKET_SEAM: Final = "_ws_futures_api_request"
"""That of an async client, and what the method of a sync client calls."""

REPLACEABLE: Final = (
    *(CREATE, CREATE_BY_WEBSOCKET, SEAM, COIN_SEAM, PORTFOLIO_SEAM),
    *(WEBSOCKET_SEAM, ASYNC_WEBSOCKET_SEAM),
)
"""The methods that the bridge may replace."""

BRIDGED_DOORS: Final = ("futures_", "ws_futures_", "_ws_futures_", SEAM, COIN_SEAM)
"""How the names of the doors begin that lead through one of them."""

BRIDGES: Final[list[object]] = []
"""The bridges of this process."""

Methods = Mapping[str, Callable[..., Any]]

_classes: dict[tuple[type, frozenset[Any], bool], type] = {}


def make_twin(
    client: Any,
    methods: Methods,
    *,
    is_plain: bool = False,
    owns_class: Callable[[str], bool] = owns_module,
    gateway: object = None,
) -> Any:
    """Return a twin of a client with methods of its library's class replaced.

    What either does to its state, both have. A bot's own subclass keeps its methods, and finds the replaced
    ones by `super()`.

    Args:
        client: A client; no twin.
        methods: The methods to replace, by name.
        is_plain: Whether they are the library's own.
        owns_class: Tells whether a class of a module of this dotted name is the library's.
        gateway: What carries out the calls of its doors, if it has some.
    """
    return _of_class(_twin_class(type(client), methods, is_plain, owns_class), client, gateway)


def _of_class(kind: type, client: Any, gateway: object) -> Any:
    """Return an object of a twin's class with the state of a client."""
    twin: Any = object.__new__(kind)
    # Past the `__setattr__` of a bot's class.
    for name, value in (("__dict__", client.__dict__), (PLAIN, client), (GATEWAY, gateway)):
        object.__setattr__(twin, name, value)
    return twin


def plain_of(client: Any) -> Any:
    """Return a client with the library's own methods.

    For a twin, return the client that it was made of. For a client whose class has replaced methods, return
    a twin with the library's own ones. Return any other client as it is.
    """
    names = vars(type(client))
    if IS_PLAIN in names:
        return client
    if PLAIN in names:
        return plain_of(getattr(client, PLAIN))
    own = replaced_in(type(client))
    return make_twin(client, own, is_plain=True) if own else client


def origin_of(client: Any) -> Any:
    """Return the client that a twin was made of; any other client as it is."""
    while PLAIN in vars(type(client)):
        client = getattr(client, PLAIN)
    return client


def bridge_of(client: Any) -> Any:
    """Return the bridge of a client that is not wrapped; None for one without."""
    return getattr(inside_doors(getattr(type(client), SEAM, None)), BRIDGE, None)


def replaced_in(kind: type) -> Methods:
    """Return the library's own methods where a class has others, by name."""
    try:
        return {
            name: getattr(method, OVERRIDES)
            for name in REPLACEABLE
            if hasattr(method := inside_doors(getattr(kind, name, None)), OVERRIDES)
        }
    except Exception:  # noqa: BLE001 - an odd class may raise anything; it has none of ours
        return {}


def original_of(kind: type, name: str) -> Any:
    """Return a class's method beneath what the shim put over it; None where it has none."""
    method = inside_doors(getattr(kind, name, None))
    return getattr(method, OVERRIDES, method)


def inside_doors(method: Any) -> Any:
    """Return a method of a class beneath the doors that were installed over it."""
    while getattr(type(method), IS_DOOR, False):
        method = method.__wrapped__
    return method


def library_class(kind: type, owns_class: Callable[[str], bool] = owns_module) -> type:
    """Return the library's class that a client class is or inherits from; without one, the class itself."""
    return next((base for base in kind.__mro__ if owns_class(base.__module__)), kind)


def is_bridged(method: Any, door: Door) -> bool:
    """Return whether a bound method is of a client with replaced methods, and of their market."""
    return door.method.startswith(BRIDGED_DOORS) and bridge_of(getattr(method, "__self__", None)) is not None


def _twin_class(kind: type, methods: Methods, is_plain: bool, owns_class: Callable[[str], bool]) -> type:
    key = kind, frozenset(methods.items()), is_plain
    if key not in _classes:
        _classes[key] = _make_class(kind, methods, is_plain, owns_class)
    return _classes[key]


class Replacing:
    """Hand out a method that replaces the library's, or what a test or the bot has put in its place since."""

    __slots__ = ("_method", "_name")

    def __init__(self, name: str, method: Any) -> None:
        self._name = name
        self._method = method

    def __get__(self, client: Any, owner: type | None = None) -> Any:
        kind = type(client) if owner is None else owner
        behind = method_behind(kind, self._name, self)
        known = getattr(behind, OVERRIDES, behind)
        function = self._method if known is getattr(self._method, OVERRIDES) else behind
        return bind_function(function, client, kind)


def method_behind(kind: type, name: str, own: object) -> Any:
    """Return the method that a class has behind its attribute `own`, beneath installed doors.

    Raises:
        AttributeError: It has none.
    """
    found = [vars(base)[name] for base in kind.__mro__ if name in vars(base)]
    behind = found[found.index(own) + 1 :]
    if not behind:
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
    return inside_doors(behind[0])


def bind_function(function: Any, client: Any, kind: type) -> Any:
    """Return a function of a class bound to a client; a mock, which binds to nothing, as it is."""
    bind = getattr(type(function), "__get__", None)
    return function if bind is None else bind(function, client, kind)


class Unannounced:
    """Keep a bot's `__init_subclass__` from being called for the class of a twin."""

    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None:
        pass


def _shared_slots(kind: type) -> dict[str, property]:
    """Return properties that find the slots of a bot's class in the client that a twin was made of."""
    slots = {
        name: slot
        for base in reversed(kind.__mro__)
        for name, slot in vars(base).items()
        if type(slot) is MemberDescriptorType
    }
    return {name: _shared_slot(slot) for name, slot in slots.items()}


def _shared_slot(slot: Any) -> property:
    read, write, delete = slot.__get__, slot.__set__, slot.__delete__
    return property(
        lambda twin: read(getattr(twin, PLAIN)),
        lambda twin, value: write(getattr(twin, PLAIN), value),
        lambda twin: delete(getattr(twin, PLAIN)),
    )


def _make_class(kind: type, methods: Methods, is_plain: bool, owns_class: Callable[[str], bool]) -> type:
    names = {
        "__slots__": (PLAIN, GATEWAY),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__class__": property(lambda _: kind),
        # `type(self)(...)` in a bot's class makes a client of that class.
        "__new__": lambda _, *args, **kwargs: kind(*args, **kwargs),
        # The connections are the original's to close.
        "__del__": lambda _: None,
        "__eq__": _equal,
        "__hash__": lambda twin: hash(origin_of(twin)),
        "__copy__": _copy,
        "__deepcopy__": _deepcopy,
        "__reduce_ex__": _reduce,
        **({IS_PLAIN: True} if is_plain else {}),
        **_shared_slots(kind),
    }
    handed_out: dict[str, Any] = {
        name: Replacing(name, method) if hasattr(method, OVERRIDES) else method
        for name, method in methods.items()
    }
    owner = library_class(kind, owns_class)
    if owner is not kind:
        try:
            # Between the bot's class and the library's, where its `super()` finds them.
            below = type(owner.__name__, (owner,), {"__module__": owner.__module__, **handed_out})
            return type(kind.__name__, (Unannounced, kind, below), names)
        except TypeError:  # classes that allow no other order
            pass
    return type(kind.__name__, (Unannounced, kind), {**names, **handed_out})


def _equal(twin: Any, other: object) -> bool:
    """Return whether two are twins of the same client, or of equal ones."""
    return bool(origin_of(twin) == origin_of(other))


def _copy(twin: Any) -> Any:
    return _of_class(type(twin), copy.copy(getattr(twin, PLAIN)), getattr(twin, GATEWAY))


def _deepcopy(twin: Any, memo: dict[int, Any]) -> Any:
    return _of_class(type(twin), copy.deepcopy(getattr(twin, PLAIN), memo), getattr(twin, GATEWAY))


def _reduce(twin: Any, _protocol: Any) -> Any:
    client = getattr(twin, PLAIN)
    if IS_PLAIN in vars(type(twin)):
        return plain_of, (client,)
    # One with doors may arrive alone, as the object of a method that was pickled.
    return bridge_unpickled if getattr(twin, GATEWAY) is None else wrap_unpickled, (client,)
