"""A book of price levels. Without one, a symbol trades without end at its best bid and ask."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from .market import Number, parse_price
from .numbers import ZERO


class Level(msgspec.Struct):
    """The quantity offered at one price."""

    price: Decimal
    quantity: Decimal


class OrderBook(msgspec.Struct):
    """The price levels of one symbol, best first, without the account's own orders."""

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
        """Return the quantity that an order of `side` finds up to its limit price, None for any price."""
        quantity = ZERO
        for level in self.against(side):
            if limit is not None and (level.price > limit if side == "BUY" else level.price < limit):
                break
            quantity += level.quantity
        return quantity


def make_order_book(
    bids: Iterable[tuple[Number, Number]], asks: Iterable[tuple[Number, Number]]
) -> OrderBook:
    """Return an order book of (price, quantity) pairs in any order.

    Raises:
        ValueError: for a price or quantity that is not above zero, or bids that reach the asks.
    """
    book = OrderBook(_levels(bids, falling=True), _levels(asks, falling=False))
    if book.bids and book.asks and book.bids[0].price >= book.asks[0].price:
        raise ValueError(f"the best bid {book.bids[0].price} must be below the best ask {book.asks[0].price}")
    return book


def _levels(pairs: Iterable[tuple[Number, Number]], *, falling: bool) -> list[Level]:
    levels = [Level(parse_price(price), parse_price(quantity)) for price, quantity in pairs]
    return sorted(levels, key=lambda level: level.price, reverse=falling)
