"""The packages whose import brings supported clients; apart, so that waiting for them loads nothing else."""

import os
from typing import Final

PACKAGES: Final = ("binance", "ccxt", "binance_sdk_derivatives_trading_usds_futures")

TRANSPORTS: Final = ("requests", "httpx", "aiohttp")
"""The packages that raw requests go through, for `install(raw=True)`."""

RAW_VARIABLE: Final = "EXIT_SHIM_RAW"


def is_raw_wanted() -> bool:
    """Return whether the environment says that raw requests are covered."""
    return os.environ.get(RAW_VARIABLE, "").strip().lower() in {"1", "true", "yes", "on"}


def watched_packages() -> tuple[str, ...]:
    """Return the packages with whose import a bot may begin to send orders."""
    return (*PACKAGES, *TRANSPORTS) if is_raw_wanted() else PACKAGES
