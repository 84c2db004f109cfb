"""The supported client libraries, and which of them a client, a method or a module belongs to."""

import functools
from collections.abc import Mapping
from types import MethodType
from typing import Any, Final

from exit_shim.clients.binance_connector import BINANCE_CONNECTOR
from exit_shim.clients.binance_routes import FUTURES, PORTFOLIO, market_of_route
from exit_shim.clients.binance_sdk import BINANCE_SDK, BINANCE_SDK_WEBSOCKET
from exit_shim.clients.ccxt import CCXT
from exit_shim.clients.python_binance import PYTHON_BINANCE
from exit_shim.clients.raw_http import RAW_HTTP
from exit_shim.clients.support import ClientClone, ClientSupport, Market
from exit_shim.domain.doors import Door
from exit_shim.domain.orders import Store

SUPPORTED: Final[tuple[ClientSupport, ...]] = (
    PYTHON_BINANCE,
    CCXT,
    BINANCE_SDK,
    BINANCE_SDK_WEBSOCKET,
    BINANCE_CONNECTOR,
)
"""Add a library here, and its package to `clients.packages`."""

LIBRARIES: Final[Mapping[str, ClientSupport]] = {each.name: each for each in (*SUPPORTED, *RAW_HTTP)}
"""All libraries by name, the transports of raw requests included."""

# Fakes and adapters imitate the names of python-binance.
IMITATED: Final = PYTHON_BINANCE

DOOR_NAMES: Final[Mapping[str, Door]] = {door.method: door for door in IMITATED.doors}
"""The doors whose names fakes and adapters imitate; the names of other libraries' doors say too little."""


_DOORS: Final = frozenset(id(door) for each in LIBRARIES.values() for door in each.doors)


def is_declared(door: Door) -> bool:
    """Return whether somebody declared a door; False for those of the libraries."""
    return id(door) not in _DOORS


def support_of(client: Any) -> ClientSupport:
    """Return the library of a client; for a fake, a mock or an adapter, the library that it imitates."""
    return library_of_class(type(client)) or IMITATED


def support_of_call(method: Any, library: str | None) -> ClientSupport:
    """Return the library of a call: the named one, else that of the client whose method it calls."""
    return support_of(getattr(method, "__self__", None)) if library is None else LIBRARIES[library]


def is_genuine(client: Any) -> bool:
    """Return whether a client is a library's own or inherits from it; a mock that looks like one is not."""
    kind: Any = type(client)
    try:  # not by `library_of_class`: on an order's path each call counts
        return _library(kind) is not None
    except TypeError:
        return _find_library(kind) is not None


def library_of_class(kind: Any) -> ClientSupport | None:
    """Return the library that a client class is of or inherits from; None for any other class."""
    try:
        return _library(kind)
    except TypeError:  # a class that cannot be hashed
        return _find_library(kind)


def _find_library(kind: type) -> ClientSupport | None:
    modules = [base.__module__ for base in kind.__mro__]
    return next((each for each in SUPPORTED if any(map(each.owns_class, modules))), None)


# This is on an order's path, so a class is looked up once.
_library = functools.lru_cache(maxsize=64)(_find_library)


def is_library_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of a client library."""
    return type(name) is str and _is_library_module(name)


@functools.lru_cache(maxsize=1024)
def _is_library_module(name: str) -> bool:
    return any(each.owns_module(name) for each in SUPPORTED)


def is_library_door(name: str) -> bool:
    """Return whether a recorded door is a library's, and its fields Binance's; False for an adapter's."""
    return name in DOOR_NAMES or market_of_route(name) is not None


def fix_client_order_ids(door: Door, method: object, params: dict[str, Any]) -> None:
    """Set the client order ids that a genuine client is about to invent; nothing for any other."""
    if door.operation != "place" or type(method) is not MethodType:
        return
    kind: Any = type(method.__self__)
    try:  # as in `is_genuine`
        library = _library(kind)
    except TypeError:
        library = _find_library(kind)
    if library is not None:
        library.fix_client_order_ids(door, method, params)


def market_of(door: str) -> Market | None:
    """Return the market that a library's door leads to, by the door's name; None for an adapter's door."""
    return next(filter(None, (each.market_of(door) for each in SUPPORTED)), None) or market_of_route(door)


def cancel_all_door(door: str, store: Store) -> str | None:
    """Return the method, or verb and path, that cancels all orders of a store in the market of a door.

    None for an adapter's door, which has names of its own, and where the library has no such method.
    """
    market = market_of(door)
    if market is None or not is_library_door(door):
        return None
    if door not in DOOR_NAMES:
        return _cancel_all_route(market, store)
    rows = (row for row in DOOR_NAMES.values() if row.payload == "symbol" and not row.comes_later)
    # Without a store of its own, a row cancels ordinary orders unless the call says otherwise.
    methods = (row.method for row in rows if (row.store or "orders") == store)
    return next((method for method in methods if market_of(method) == market), None)


def _cancel_all_route(market: Market, store: Store) -> str | None:
    api = {"um": "fapi", "cm": "dapi"}.get(market, "papi")
    rows = PORTFOLIO if api == "papi" else FUTURES
    names = (
        f"{verb.upper()} /{api}/v1/{path}"
        for (verb, path), row in rows.items()
        if row.payload == "symbol" and row.store == store and not row.comes_later
    )
    return next((name for name in names if market_of_route(name) == market), None)


def can_be_cloned(client: Any) -> bool:
    """Return whether a client is a library's own and really sends; not a mock, a fake or an adapter."""
    library = library_of_class(type(client))
    return library is not None and library.can_be_cloned(client)


def clone_client(client: Any) -> ClientClone:
    """Take from a client what it needs to ask the exchange in its place; see `can_be_cloned`."""
    return support_of(client).clone(client)


def asking_client(client: Any) -> Any:
    """Return a client that the exchange can be asked with: the given one, or its clone.

    A client of another library than python-binance is cloned; where that cannot be done it is returned.
    """
    library = support_of(client)
    if library.reads or not can_be_cloned(client):
        return client
    return library.clone(client).client()
