"""Moving the price, and what it sets off."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from . import announcing
from .market import Quote, quote_at
from .matching import match_resting
from .state import State
from .triggers import fire_reached


def move(state: State, symbol: str, price: Decimal) -> None:
    """Put mark, last and book of a symbol at `price`; what rests there trades or fires."""
    set_quote(state, symbol, quote_at(state.symbol(symbol), price))


def change(state: State, symbol: str, **prices: Decimal) -> None:
    """Change some of mark, last, bid and ask of a symbol; what rests there trades or fires."""
    state.symbol(symbol)
    set_quote(state, symbol, msgspec.structs.replace(state.quotes[symbol], **prices))


def set_quote(state: State, symbol: str, quote: Quote) -> None:
    """Take new prices: first the resting orders trade, then conditional orders fire."""
    state.quotes[symbol] = quote
    announcing.quote(state, symbol)
    match_resting(state, symbol)
    fire_reached(state, symbol)


def ask(state: State, symbol: str) -> Quote:
    """Return the prices of a symbol, after the step that the market takes when it is asked."""
    price = state.market.asked(state.symbol(symbol), state.quotes[symbol].last)
    if price is not None:
        move(state, symbol, price)
    return state.quotes[symbol]
