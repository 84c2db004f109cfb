"""priceMatch: a limit price taken from the book."""

from __future__ import annotations

from decimal import Decimal

from .errors import NO_DEPTH_FOR_PRICE_MATCH
from .state import State

OPPOSITE = {"BUY": "SELL", "SELL": "BUY"}


def matched_price(state: State, symbol: str, side: str, match: str) -> Decimal:
    """Return the price of a level: OPPONENT_5 is the fifth best of the other side, QUEUE the own best.

    A symbol without a book of levels has its best prices at every level.

    Raises:
        ExchangeError: -5041 when the book is not that deep.
    """
    word, _, place = match.partition("_")
    towards = side if word == "OPPONENT" else OPPOSITE[side]
    book, quote = state.books.get(symbol), state.quotes[symbol]
    if book is None:
        return quote.ask if towards == "BUY" else quote.bid
    levels = book.against(towards)
    depth = int(place or 1)
    if len(levels) < depth:
        raise NO_DEPTH_FOR_PRICE_MATCH.error()
    return levels[depth - 1].price
