"""The engine of the local exchange: no I/O, its own clock, Decimal throughout."""

from .engine import Exchange, system_clock
from .errors import ExchangeError
from .market import Market, Number, Quote, StaticMarket, WalkingMarket
from .symbols import DEFAULT_SYMBOLS, Symbol

__all__ = [
    "DEFAULT_SYMBOLS",
    "Exchange",
    "ExchangeError",
    "Market",
    "Number",
    "Quote",
    "StaticMarket",
    "Symbol",
    "WalkingMarket",
    "system_clock",
]
