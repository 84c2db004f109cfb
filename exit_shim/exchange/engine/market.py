"""The prices of a symbol."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .numbers import nearest
from .symbols import Symbol

Number = Decimal | int | str


class Quote(msgspec.Struct, frozen=True):
    """The prices of one symbol: mark, last trade, best bid and best ask."""

    mark: Decimal
    last: Decimal
    bid: Decimal
    ask: Decimal

    def working(self, working_type: str) -> Decimal:
        """Return the price that a conditional order of this workingType watches."""
        return self.mark if working_type == "MARK_PRICE" else self.last


def parse_price(value: Number) -> Decimal:
    """Return a positive number as a Decimal.

    Raises:
        ValueError: when it is not a positive number.
    """
    price = Decimal(value)
    if not (price.is_finite() and price > 0):
        raise ValueError(f"price {value!r} is invalid; expected a number above zero")
    return price


def make_quote(symbol: Symbol, price: Decimal, spread: int) -> Quote:
    """Return a quote around `price`: last price on the nearest tick, book `spread` ticks to either side."""
    traded = max(symbol.tick * (spread + 1), nearest(price, symbol.tick))
    distance = symbol.tick * spread
    return Quote(mark=price, last=traded, bid=traded - distance, ask=traded + distance)
