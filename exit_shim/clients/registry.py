"""The supported client libraries, and which of them a client, a method or a module belongs to."""

import functools
from collections.abc import Mapping
from types import MethodType
from typing import Any, Final

from exit_shim.clients.python_binance import PYTHON_BINANCE
from exit_shim.clients.support import ClientClone, ClientSupport, Market
from exit_shim.domain.doors import Door
from exit_shim.domain.orders import Store

SUPPORTED: Final[tuple[ClientSupport, ...]] = (PYTHON_BINANCE,)
"""Add a library here, and its package to `clients.packages`."""

# Fakes and adapters imitate the names of python-binance.
IMITATED: Final = PYTHON_BINANCE

DOOR_NAMES: Final[Mapping[str, Door]] = {door.method: door for each in SUPPORTED for door in each.doors}
"""The doors of all libraries by name; a door that somebody declared is not among them."""


def support_of(client: Any) -> ClientSupport:
    """Return the library of a client; for a fake, a mock or an adapter, the library that it imitates."""
    return library_of_class(type(client)) or IMITATED


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
    return next((each for each in SUPPORTED if any(map(each.owns_module, modules))), None)


# This is on an order's path, so a class is looked up once.
_library = functools.lru_cache(maxsize=64)(_find_library)


def is_library_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of a client library."""
    return type(name) is str and _is_library_module(name)


@functools.lru_cache(maxsize=1024)
def _is_library_module(name: str) -> bool:
    return any(each.owns_module(name) for each in SUPPORTED)


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
    return next(filter(None, (each.market_of(door) for each in SUPPORTED)), None)


def cancel_all_door(door: str, store: Store) -> str | None:
    """Return the library's method that cancels all orders of a store, in the market of one of its doors.

    None for an adapter's door, which has names of its own, and where the library has no such method.
    """
    market = market_of(door) if door in DOOR_NAMES else None
    rows = (row for row in DOOR_NAMES.values() if row.payload == "symbol" and not row.comes_later)
    # Without a store of its own, a row cancels ordinary orders unless the call says otherwise.
    methods = (row.method for row in rows if (row.store or "orders") == store)
    return next((method for method in methods if market and market_of(method) == market), None)


def can_be_cloned(client: Any) -> bool:
    """Return whether a client is a library's own and really sends; not a mock, a fake or an adapter."""
    library = library_of_class(type(client))
    return library is not None and library.can_be_cloned(client)


def clone_client(client: Any) -> ClientClone:
    """Take from a client what it needs to ask the exchange in its place; see `can_be_cloned`."""
    return support_of(client).clone(client)
