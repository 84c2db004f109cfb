"""The local exchange: Binance USDⓈ-M futures on loopback or in-process, without a real order.

It imports nothing else of exit_shim. `LocalExchange` is the exchange as a server, `Exchange` its engine
without any network, `faults` what can go wrong between a client and it. `inprocess` and `inprocess_api`
connect clients without a socket.
"""

from . import faults
from .engine import (
    DEFAULT_SYMBOLS,
    Exchange,
    ExchangeError,
    Market,
    Number,
    Quote,
    StaticMarket,
    Symbol,
    WalkingMarket,
)
from .http.auth import ApiKey
from .request_record import RequestRecord
from .server import LocalExchange

__all__ = [
    "DEFAULT_SYMBOLS",
    "ApiKey",
    "Exchange",
    "ExchangeError",
    "LocalExchange",
    "Market",
    "Number",
    "Quote",
    "RequestRecord",
    "StaticMarket",
    "Symbol",
    "WalkingMarket",
    "faults",
]
