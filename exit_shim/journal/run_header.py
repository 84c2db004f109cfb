"""The header of a run: who writes. Apart from the database, since only writers need what it imports."""

import functools
import os
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def make_header() -> dict[str, Any]:
    """Return what a later reader needs to know of the process: host, pid and versions."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        **{name: _version(name) for name in ("exit_shim", "python-binance", "wrapt")},
    }


@functools.lru_cache(maxsize=8)
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
