"""The header of a run: who writes. Readers do without what this imports."""

import functools
import os
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def describe_process() -> dict[str, Any]:
    """Return host, process and versions, for a run's first event."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "versions": {name: _version(name) for name in ("exit_shim", "python-binance", "wrapt")},
    }


@functools.lru_cache(maxsize=8)
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
