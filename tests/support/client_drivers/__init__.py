"""The client libraries that every promise is held with: a library is a file here, and a line in `DRIVERS`."""

import importlib
import importlib.util
from typing import Any

DRIVERS = {
    "python_binance": ("binance", "client_drivers.python_binance:PythonBinance"),
    "python_binance_async": ("binance", "client_drivers.python_binance:PythonBinanceAsync"),
    "ccxt": ("ccxt", "client_drivers.ccxt_exchange:Ccxt"),
    "ccxt_async": ("ccxt", "client_drivers.ccxt_exchange:CcxtAsync"),
    "ccxt_pro": ("ccxt", "client_drivers.ccxt_exchange:CcxtPro"),
    "binance_sdk": (
        "binance_sdk_derivatives_trading_usds_futures",
        "client_drivers.binance_sdk:BinanceSdk",
    ),
    "connector": ("binance", "client_drivers.binance_connector:Connector"),
    "raw_requests": ("requests", "client_drivers.raw_requests:RawRequests"),
    "raw_httpx": ("httpx", "client_drivers.raw_httpx:RawHttpx"),
    "raw_httpx_async": ("httpx", "client_drivers.raw_httpx:RawHttpxAsync"),
    "raw_aiohttp": ("aiohttp", "client_drivers.raw_aiohttp:RawAiohttp"),
}
"""The package and the class of each driver, by the driver's name."""

RAW = frozenset(name for name in DRIVERS if name.startswith("raw_"))
"""The drivers without a client library, which only `install(raw=True)` covers."""


def is_there(name: str) -> bool:
    """Return whether the library of a driver is installed."""
    return importlib.util.find_spec(DRIVERS[name][0]) is not None


def make_driver(name: str) -> Any:
    """Return a driver that is not connected yet."""
    module, _, kind = DRIVERS[name][1].partition(":")
    return getattr(importlib.import_module(module), kind)()
