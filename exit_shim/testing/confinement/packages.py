"""Packages that connect past Python: which are refused, how to allow one, and the replacement of uvloop."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

OWN_SOCKETS: Final = frozenset(
    {
        "MetaTrader5",
        "MySQLdb",
        "_mysql_connector",
        "confluent_kafka",
        "curl_cffi",
        "cx_Oracle",
        "dolphindb",
        "grpc",
        "mariadb",
        "nautilus_trader",
        "primp",
        "psycopg",
        "psycopg2",
        "psycopg_binary",
        "psycopg_c",
        "pycares",
        "pycurl",
        "pymssql",
        "pyodbc",
        "pyreqwest_impersonate",
        "questdb",
        "rnet",
        "taos",
        "tls_client",
        "uvloop",
        "winloop",
        "zmq",
    }
)
"""Packages that open connections past Python's `socket`, so that nobody could see where to.

Without _mysql_connector, mysql.connector speaks through `socket`."""

COMPANIONS: Final = {"psycopg": frozenset({"psycopg_binary", "psycopg_c"})}
"""Packages that another one imports, and that are allowed with it."""

LOOPS: Final = ("uvloop", "winloop")
"""Event loops that asyncio's own loop replaces fully."""

_FROM_ASYNCIO: Final = {
    "EventLoopPolicy": "DefaultEventLoopPolicy",
    "Loop": "SelectorEventLoop",
    "new_event_loop": "new_event_loop",
    "run": "run",
}


def with_companions(names: Iterable[str]) -> frozenset[str]:
    """Return packages together with those that they import."""
    names = frozenset(names)
    return names.union(*(COMPANIONS.get(name, frozenset()) for name in names))


def replace_loops(allowed: Iterable[str], say: Callable[[str], None]) -> None:
    """Put asyncio's own loop where a bot would import one that cannot be watched, from now on.

    Args:
        allowed: Packages that are not replaced.
        say: Called once with one line when the bot uses a replacement.
    """
    for name in LOOPS:
        if name not in allowed:
            sys.modules.setdefault(name, _PlainLoop(name, say))


class _PlainLoop(ModuleType):
    """A replacement of a module with an event loop; it has asyncio's own loop."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        super().__init__(name, f"asyncio's own event loop in place of {name}.")
        self.__version__ = "0.0.0"
        # Those who look whether it is installed ask for it.
        self.__spec__ = ModuleSpec(name, None)
        self._say = say
        self._has_reported = False

    def install(self) -> None:
        """Report that the plain loop is used; there is nothing to install."""
        self._report()

    def __getattr__(self, name: str) -> Any:
        if name not in _FROM_ASYNCIO:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self._report()
        return getattr(asyncio, _FROM_ASYNCIO[name])

    def _report(self) -> None:
        if not self._has_reported:
            self._has_reported = True
            self._say(f"{self.__name__} is replaced by asyncio's own loop, which can be watched")
