"""The local exchange: Binance USDⓈ-M futures on loopback or in-process, without a real order.

It imports nothing else of exit_shim. `LocalExchange` is the exchange as a server, `Exchange` its engine
without any network, `faults` what can go wrong between a client and it. `inprocess` and `inprocess_api`
connect clients without a socket.
"""

from . import faults
from .engine import (
    ALL_SYMBOLS,
    DEFAULT_SYMBOLS,
    CrashMarket,
    Exchange,
    ExchangeError,
    Market,
    Number,
    Quote,
    StaticMarket,
    Symbol,
    TrendMarket,
    WalkingMarket,
    make_symbol,
)
from .http.auth import ApiKey
from .replay import ReplayMarket, make_market
from .request_record import RequestRecord
from .server import LocalExchange

__all__ = [
    "ALL_SYMBOLS",
    "DEFAULT_SYMBOLS",
    "ApiKey",
    "CrashMarket",
    "Exchange",
    "ExchangeError",
    "LocalExchange",
    "Market",
    "Number",
    "Quote",
    "ReplayMarket",
    "RequestRecord",
    "StaticMarket",
    "Symbol",
    "TrendMarket",
    "WalkingMarket",
    "faults",
    "make_market",
    "make_symbol",
]
