"""Price changes, and the orders that trade or fire on them."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from . import emission
from .fills import print_trade
from .market import Quote, make_quote
from .matching import match_resting, match_trade
from .order_book import OrderBook
from .state import State
from .triggers import fire_reached


def move(state: State, symbol: str, price: Decimal, **others: Decimal) -> None:
    """Put the prices of a symbol around `price`, but those in `others`; what rests there trades or fires."""
    quote = make_quote(state.symbol(symbol), price, state.spread)
    if others:
        quote = msgspec.structs.replace(quote, **others)
    state.books.pop(symbol, None)
    set_quote(state, symbol, quote)


def change(state: State, symbol: str, **prices: Decimal) -> None:
    """Change some of mark, last, bid and ask of a symbol; what rests there trades or fires.

    A book of levels stays as long as neither bid nor ask is given.
    """
    state.symbol(symbol)
    quote = msgspec.structs.replace(state.quotes[symbol], **prices)
    if {"bid", "ask"} & set(prices):
        state.books.pop(symbol, None)
    set_quote(state, symbol, quote)


def set_book(state: State, symbol: str, book: OrderBook) -> None:
    """Give a symbol a book of levels; what rests within its reach trades as far as it goes."""
    state.symbol(symbol)
    state.books[symbol] = book
    set_quote(state, symbol, _at_best(state.quotes[symbol], book))


def trade(state: State, symbol: str, price: Decimal, quantity: Decimal) -> None:
    """Let others trade `quantity` at `price`: resting orders share in it, and the last price follows."""
    before = state.quotes[state.symbol(symbol).name]
    left = match_trade(state, symbol, price, quantity)
    if left > 0:
        print_trade(state, symbol, price, left, buys=_is_bought(before, price))
    quote = state.quotes[symbol] = msgspec.structs.replace(state.quotes[symbol], last=price)
    set_quote(state, symbol, quote)


def set_quote(state: State, symbol: str, quote: Quote) -> None:
    """Take new prices: others trade at a new last one, resting orders trade, conditional orders fire."""
    before = state.quotes[symbol]
    state.margins_changed |= quote.mark != before.mark
    state.quotes[symbol] = quote
    state.candles.add_price(symbol, quote.last, state.now)
    emission.emit_quote(state, symbol)
    if quote.last != before.last:
        size = _draw_size(state, symbol)
        if state.ahead:
            size = match_trade(state, symbol, quote.last, size)
        if size > 0:
            print_trade(state, symbol, quote.last, size, buys=quote.last > before.last)
    match_resting(state, symbol)
    fire_reached(state, symbol)
    follow_trades(state)


def follow_trades(state: State) -> None:
    """Let the price of each symbol whose levels were traded follow, and fire what that reaches."""
    while state.traded:
        symbol, last = state.traded.popitem()
        book = state.books.get(symbol)
        quote = msgspec.structs.replace(state.quotes[symbol], last=last)
        state.quotes[symbol] = quote if book is None else _at_best(quote, book)
        state.candles.add_price(symbol, last, state.now)
        emission.emit_quote(state, symbol)
        fire_reached(state, symbol)


def ask(state: State, symbol: str) -> Quote:
    """Return the prices of a symbol, after the step that the market takes when it is asked."""
    price = state.market.asked(state.symbol(symbol), state.quotes[symbol].last)
    if state.market.lives:
        state.motion.asked[symbol] = state.now
    if price is not None:
        state.motion.moved[symbol] = state.now
        move(state, symbol, price)
    return state.quotes[symbol]


def step(state: State, symbol: str, count: int) -> None:
    """Let the market of a symbol take so many steps at once."""
    price = state.market.step(state.symbols[symbol], state.quotes[symbol].last, count)
    if price is not None:
        move(state, symbol, price)


def _at_best(quote: Quote, book: OrderBook) -> Quote:
    # An empty side keeps the price it was last seen at.
    bid = book.bids[0].price if book.bids else quote.bid
    ask = book.asks[0].price if book.asks else quote.ask
    return msgspec.structs.replace(quote, bid=bid, ask=ask)


def _is_bought(quote: Quote, price: Decimal) -> bool:
    """Return whether the taker of a trade at `price` bought."""
    return price >= quote.ask or (price > quote.last and price > quote.bid)


def _draw_size(state: State, symbol: str) -> Decimal:
    sizes = state.history.of(state.symbols[symbol]).sizes
    return sizes[(state.tape.last_id(symbol) * 2_654_435_761 >> 9) % len(sizes)]
