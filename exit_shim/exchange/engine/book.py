"""A book of price levels. Without one, a symbol trades without end at its best bid and ask."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from .market import Number, price_of
from .numbers import ZERO


class Level(msgspec.Struct):
    """What is offered at one price."""

    price: Decimal
    quantity: Decimal


class Book(msgspec.Struct):
    """The levels of one symbol, best first. Own resting orders are not among them."""

    bids: list[Level]
    asks: list[Level]

    def against(self, side: str) -> list[Level]:
        """Return the levels that an order of `side` (BUY or SELL) trades against."""
        return self.asks if side == "BUY" else self.bids

    def take(self, side: str, quantity: Decimal) -> None:
        """Take `quantity` off the best level that an order of `side` trades against."""
        levels = self.against(side)
        levels[0].quantity -= quantity
        if levels[0].quantity <= 0:
            del levels[0]

    def fillable(self, side: str, limit: Decimal | None) -> Decimal:
        """Return how much an order of `side` finds up to its limit price, None for any price."""
        found = ZERO
        for level in self.against(side):
            if limit is not None and (level.price > limit if side == "BUY" else level.price < limit):
                break
            found += level.quantity
        return found


def book_of(bids: Iterable[tuple[Number, Number]], asks: Iterable[tuple[Number, Number]]) -> Book:
    """Return a book of (price, quantity) pairs in any order.

    Raises:
        ValueError: for a price or quantity that is not above zero, or bids that reach the asks.
    """
    made = Book(_levels(bids, falling=True), _levels(asks, falling=False))
    if made.bids and made.asks and made.bids[0].price >= made.asks[0].price:
        raise ValueError(f"the best bid {made.bids[0].price} reaches the best ask {made.asks[0].price}")
    return made


def _levels(pairs: Iterable[tuple[Number, Number]], *, falling: bool) -> list[Level]:
    levels = [Level(price_of(price), price_of(quantity)) for price, quantity in pairs]
    return sorted(levels, key=lambda level: level.price, reverse=falling)
