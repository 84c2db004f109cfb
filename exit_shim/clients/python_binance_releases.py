"""Which modules and classes are python-binance's, and what its releases can do.

Facts: the code of python-binance from 1.0.0 to 1.0.37.
"""

from typing import Any, Final

from exit_shim.clients.python_binance_doors import METHODS

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
