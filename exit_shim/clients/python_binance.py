"""What is python-binance, told by its own modules: the package name `binance` is shared.

Binance's own connectors, such as `binance-futures-connector`, install a package of that name too.
"""

from typing import Final

PREFIX: Final = "binance."

MODULES: Final = frozenset(
    {
        "async_client",
        "base_client",
        "client",
        "depthcache",
        "enums",
        "exceptions",
        "helpers",
        "streams",
        "threaded_stream",
        "websockets",  # up to 0.7
        "ws",
    }
)
"""The names below `binance` that are python-binance's, in any release."""


def is_own_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of python-binance."""
    return isinstance(name, str) and name.startswith(PREFIX) and name.split(".", 2)[1] in MODULES
