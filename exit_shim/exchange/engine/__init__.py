"""The engine of the local exchange: no I/O, its own clock, Decimal throughout."""

from .engine import Exchange, system_clock
from .errors import ExchangeError
from .market import Number, Quote
from .markets import CrashMarket, Market, StaticMarket, TrendMarket, WalkingMarket
from .symbols import ALL_SYMBOLS, DEFAULT_SYMBOLS, Symbol, make_symbol

__all__ = [
    "ALL_SYMBOLS",
    "DEFAULT_SYMBOLS",
    "CrashMarket",
    "Exchange",
    "ExchangeError",
    "Market",
    "Number",
    "Quote",
    "StaticMarket",
    "Symbol",
    "TrendMarket",
    "WalkingMarket",
    "make_symbol",
    "system_clock",
]
