"""Matching of orders with the book: on arrival, and when the price reaches resting ones."""

from __future__ import annotations

from decimal import Decimal

from .errors import FILL_OR_KILL_REJECTED, MARKET_REJECTED, POST_ONLY_REJECTED
from .fills import change_status, fill
from .filters import is_within_percent
from .market import Quote
from .numbers import ZERO
from .orders import Order
from .shown_depth import quantity_at
from .state import State

#: Price and quantity of a level; no quantity means no end of it.
Level = tuple[Decimal, Decimal | None]


def taker_price(order: Order, quote: Quote) -> Decimal:
    """Return the price that the order would trade at now."""
    return quote.ask if order.side == "BUY" else quote.bid


def require_time_in_force(state: State, order: Order) -> None:
    """Refuse a FOK that cannot fill, a GTX that would take, and a MARKET order whose price is too bad.

    Raises:
        ExchangeError: -5021, -5022 or -4131; such an order is not recorded (Binance change log 2023-03-08).
    """
    if order.time_in_force == "FOK" and not _can_fill(state, order):
        raise FILL_OR_KILL_REJECTED.error()
    if order.time_in_force == "GTX" and would_take(state, order):
        raise POST_ONLY_REJECTED.error()
    if order.type == "MARKET":
        best = _best(state, order)
        if best is not None and not _is_bearable(state, order, best[0]):
            raise MARKET_REJECTED.error()


def would_take(state: State, order: Order) -> bool:
    """Return whether the order would trade at once, with others or with the account's own orders."""
    best = _best(state, order)
    own = _own_ahead(state, order, best)
    return own is not None or (best is not None and _reaches(order, best[0]))


def match_arrival(state: State, order: Order) -> None:
    """Trade a new order as taker as far as possible; the rest waits, or expires if it may not."""
    _take(state, order)
    join_queue(state, order)
    if order.is_open and (order.type == "MARKET" or order.time_in_force in {"IOC", "FOK"}):
        change_status(state, order, "EXPIRED")


def match_resting(state: State, symbol: str) -> None:
    """Trade the resting orders that the book has come to, at their own prices, best price first."""
    for order in _by_priority(state.orders.open_of(symbol)):
        while order.is_open:
            best = _best(state, order)
            if best is None or not _reaches(order, best[0]):
                break
            if order.order_id in state.ahead and order.price == best[0]:
                break
            _trade(state, order, best[1], order.price, maker=True)


def match_trade(state: State, symbol: str, price: Decimal, quantity: Decimal) -> Decimal:
    """Trade resting orders against what others trade: `quantity` at `price`, best price first.

    Returns:
        what is left of it.
    """
    remaining = quantity
    for order in _by_priority(state.orders.open_of(symbol)):
        if remaining > 0 and order.is_open and _reaches(order, price):
            remaining -= take_ahead(state, order, price, remaining)
            before = order.executed
            if remaining > 0:
                _trade(state, order, remaining, order.price, maker=True, from_book=False)
            remaining -= order.executed - before
    return remaining


def join_queue(state: State, order: Order) -> None:
    """Put a resting order behind the depth at its price, if there are queues."""
    if state.queue and order.is_open and order.symbol not in state.books:
        state.ahead[order.order_id] = quantity_at(state, order.symbol, order.side, order.price)


def take_ahead(state: State, order: Order, price: Decimal, quantity: Decimal) -> Decimal:
    """Fill the queue before an order from a trade at its price; return the quantity that the queue took."""
    ahead = state.ahead.get(order.order_id)
    if ahead is None or price != order.price:
        return ZERO
    taken = min(ahead, quantity)
    state.ahead[order.order_id] = ahead - taken
    return taken


def fill_resting(state: State, order: Order, quantity: Decimal | None) -> None:
    """Trade a resting order with others at its own price, up to `quantity`; None for all of it."""
    _trade(state, order, quantity, order.price, maker=True, from_book=False)


def _by_priority(orders: list[Order]) -> list[Order]:
    return sorted(orders, key=lambda order: (-order.sign * order.price, order.priority))


def _take(state: State, order: Order) -> None:
    while order.is_open:
        best = _best(state, order)
        own = _own_ahead(state, order, best)
        if own is not None:
            _prevent_self_trade(state, order, own)
        elif best is None or not _reaches(order, best[0]) or not _is_bearable(state, order, best[0]):
            return
        else:
            _trade(state, order, best[1], best[0], maker=False)


def _best(state: State, order: Order) -> Level | None:
    """Return price and quantity of the best level against an order."""
    book = state.books.get(order.symbol)
    if book is None:
        return taker_price(order, state.quotes[order.symbol]), None
    levels = book.against(order.side)
    return (levels[0].price, levels[0].quantity) if levels else None


def _reaches(order: Order, price: Decimal) -> bool:
    if order.type == "MARKET":
        return True
    return order.price >= price if order.side == "BUY" else order.price <= price


def _is_bearable(state: State, order: Order, price: Decimal) -> bool:
    if order.type != "MARKET":
        return True
    return is_within_percent(state.symbols[order.symbol], order.side, price, state.quotes[order.symbol].mark)


def _can_fill(state: State, order: Order) -> bool:
    book = state.books.get(order.symbol)
    if book is None:
        return _reaches(order, taker_price(order, state.quotes[order.symbol]))
    return book.fillable(order.side, order.price) >= order.quantity


def _trade(  # noqa: PLR0913 - the flags by name
    state: State,
    order: Order,
    available: Decimal | None,
    price: Decimal,
    *,
    maker: bool,
    from_book: bool = True,
    prints: bool = True,
) -> None:
    """Fill an order up to one level and its position; expire a reducing order that can reduce nothing."""
    room = _room(state, order)
    if not room:
        change_status(state, order, "EXPIRED")
        return
    quantity = room if available is None else min(room, available)
    book = state.books.get(order.symbol)
    if book is not None and from_book:
        traded_at = book.against(order.side)[0].price
        book.take(order.side, quantity)
        state.note_trade(order.symbol, traded_at)
    fill(state, order, quantity, price, maker=maker, prints=prints)


def _room(state: State, order: Order) -> Decimal:
    """Return the quantity of an order that may still trade; a reducing order stops at its position."""
    if not order.only_reduces:
        return order.remaining
    position = state.position(order.symbol, order.position_side)
    return min(order.remaining, position.closable_by(order.side))


# Self-trade prevention


def _own_ahead(state: State, order: Order, best: Level | None) -> Order | None:
    """Return the own resting order that this one would meet before the best level of the book."""
    ahead = [
        own
        for own in state.orders.open_of(order.symbol)
        if own.side != order.side
        and _reaches(order, own.price)
        and (best is None or order.sign * own.price < order.sign * best[0])
    ]
    return min(ahead, key=lambda own: (order.sign * own.price, own.priority)) if ahead else None


def _prevent_self_trade(state: State, order: Order, own: Order) -> None:
    mode = order.self_trade_prevention
    if mode == "NONE":
        quantity = min(_room(state, order), _room(state, own))
        # With nothing to trade, the one that may only reduce and cannot is expired.
        if quantity or not _room(state, own):
            _trade(state, own, quantity, own.price, maker=True, from_book=False)
        if quantity or not _room(state, order):
            # Both fills are one trade of the market.
            _trade(state, order, quantity, own.price, maker=False, from_book=False, prints=False)
        return
    if mode != "EXPIRE_TAKER":
        change_status(state, own, "EXPIRED_IN_MATCH")
    if mode in {"EXPIRE_TAKER", "EXPIRE_BOTH"}:
        change_status(state, order, "EXPIRED_IN_MATCH")
