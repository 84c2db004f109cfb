"""Orders against the book: on arrival, and when the price comes to those that rest.

The book is as deep as an order needs at its best price.
"""

from __future__ import annotations

from decimal import Decimal

from .errors import FILL_OR_KILL_REJECTED, POST_ONLY_REJECTED
from .filling import change_status, fill
from .market import Quote
from .orders import Order
from .state import State


def taker_price(order: Order, quote: Quote) -> Decimal:
    """Return the price that the order would trade at now."""
    return quote.ask if order.side == "BUY" else quote.bid


def require_time_in_force(order: Order, quote: Quote) -> None:
    """Refuse a FOK that cannot fill and a GTX that would take.

    Raises:
        ExchangeError: -5021 or -5022; such an order is not recorded (Binance change log 2023-03-08).
    """
    crosses = order.crosses(quote.bid, quote.ask)
    if order.time_in_force == "FOK" and not crosses:
        raise FILL_OR_KILL_REJECTED.error()
    if order.time_in_force == "GTX" and crosses:
        raise POST_ONLY_REJECTED.error()


def match_arrival(state: State, order: Order) -> None:
    """Trade a new order as taker, or let it rest; an IOC that cannot trade expires."""
    quote = state.quotes[order.symbol]
    if order.crosses(quote.bid, quote.ask):
        _fill_what_it_may(state, order, taker_price(order, quote), maker=False)
    elif order.time_in_force == "IOC":
        change_status(state, order, "EXPIRED")


def match_resting(state: State, symbol: str) -> None:
    """Trade the resting orders that the book has come to, at their own prices, best price first."""
    quote = state.quotes[symbol]
    reachable = [order for order in state.orders.open_of(symbol) if order.crosses(quote.bid, quote.ask)]
    for order in sorted(reachable, key=lambda order: (-order.sign * order.price, order.priority)):
        if order.is_open:
            _fill_what_it_may(state, order, order.price, maker=True)


def _fill_what_it_may(state: State, order: Order, price: Decimal, *, maker: bool) -> None:
    quantity = order.remaining
    if order.only_reduces:
        position = state.position(order.symbol, order.position_side)
        quantity = min(quantity, position.closable_by(order.side))
    if quantity:
        fill(state, order, quantity, price, maker=maker)
    if order.is_open:
        change_status(state, order, "EXPIRED")
