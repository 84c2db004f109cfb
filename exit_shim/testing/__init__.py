"""The local exchange: Binance USDⓈ-M futures on loopback, for tests and `--local` runs."""

from .exchange import (
    DEFAULT_SYMBOLS,
    Exchange,
    ExchangeError,
    Market,
    Quote,
    StaticMarket,
    Symbol,
    WalkingMarket,
)
from .records import RequestRecord
from .server import LocalExchange

__all__ = [
    "DEFAULT_SYMBOLS",
    "Exchange",
    "ExchangeError",
    "LocalExchange",
    "Market",
    "Quote",
    "RequestRecord",
    "StaticMarket",
    "Symbol",
    "WalkingMarket",
]
