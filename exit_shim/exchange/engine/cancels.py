"""Cancels and amendments of orders."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from . import emission
from .errors import (
    NO_SUCH_ORDER,
    NOT_REDUCE_ONLY,
    NOT_TRADING_TO_MODIFY,
    NOTHING_TO_MODIFY,
    TOO_MANY_EDITS,
    UNKNOWN_ORDER,
    ExchangeError,
)
from .fills import change_algo_status, change_status
from .filters import check_notional, check_percent_price, check_price, check_quantity
from .margin import require_margin
from .matching import match_arrival, would_take
from .orders import Amendment, Order, OrderChange, OrderRef
from .reduce_only import fit_into_position
from .state import State

#: How often one order may be amended (Modify Order documentation).
MOST_EDITS = 10_000


def cancel(state: State, symbol: str, ref: OrderRef) -> Order:
    """Cancel an open order.

    Raises:
        ExchangeError: -2011 for one that is closed, unknown, or a conditional order.
    """
    order = _open_order(state, symbol, ref)
    change_status(state, order, "CANCELED")
    return order


def cancel_all(state: State, symbol: str) -> None:
    """Cancel the open orders of a symbol; conditional orders stay."""
    state.symbol(symbol)
    for order in state.orders.open_of(symbol):
        change_status(state, order, "CANCELED")


def take_away(state: State, order_id: int) -> None:
    """Cancel an order that nobody asked to cancel, if it is still open."""
    order = state.orders.get(order_id)
    if order is not None and order.is_open:
        change_status(state, order, "CANCELED")


def take_away_algo(state: State, algo_id: int) -> None:
    """Cancel a conditional order that nobody asked to cancel, if it still waits."""
    algo = state.algos.get(algo_id)
    if algo is not None and algo.is_open:
        change_algo_status(state, algo, "CANCELED")


def amend(state: State, request: Amendment) -> Order:
    """Change price and quantity of a resting LIMIT order, which loses its place in the queue.

    It is cancelled instead when the new quantity is not above what was filled, or when a GTX order
    would trade at once (Modify Order documentation).

    Raises:
        ExchangeError: -2013, -5024, -5026, -5027, -5047, any filter, -2022 or -4118.
    """
    order = _order_to_amend(state, request)
    symbol = state.symbols[order.symbol]
    quote = state.quotes[order.symbol]
    check_quantity(symbol, request.quantity, at_market=False)
    check_price(symbol, request.price)
    check_percent_price(symbol, order.side, request.price, quote.mark)
    if not order.only_reduces:
        check_notional(symbol, request.quantity * request.price)
    quantity = _fitted_quantity(state, order, request)
    _require_margin_for_change(state, order, request)
    before = order.price, order.quantity
    order.price, order.quantity, order.modify_id = request.price, quantity, request.modify_id
    order.edits += 1
    _note_change(state, order, *before)
    order.priority = state.ids.next_order()
    order.update_time = state.now
    if order.remaining <= 0 or (order.time_in_force == "GTX" and would_take(state, order)):
        change_status(state, order, "CANCELED")
    else:
        emission.hold_arrival(state, order, "AMENDMENT")
        match_arrival(state, order)
        emission.release_arrival(state)
    return order


def _note_change(state: State, order: Order, price: Decimal, quantity: Decimal) -> None:
    state.order_changes.append(
        OrderChange(
            change_id=state.ids.next_change(),
            order_id=order.order_id,
            client_id=order.client_id,
            symbol=order.symbol,
            time=state.now,
            price_before=price,
            price=order.price,
            quantity_before=quantity,
            quantity=order.quantity,
            count=order.edits,
        )
    )


def _order_to_amend(state: State, request: Amendment) -> Order:
    symbol = state.symbol(request.symbol)
    order = state.orders.find(request.symbol, request.ref)
    if not order.is_open or order.side != request.side:
        raise NO_SUCH_ORDER.error()
    if symbol.status != "TRADING":
        raise NOT_TRADING_TO_MODIFY.error()
    if order.edits >= MOST_EDITS:
        raise TOO_MANY_EDITS.error()
    if request.reduce_only and not order.reduce_only:
        raise NOT_REDUCE_ONLY.error()
    if (order.price, order.quantity) == (request.price, request.quantity):
        raise NOTHING_TO_MODIFY.error()
    return order


def _fitted_quantity(state: State, order: Order, request: Amendment) -> Decimal:
    """Return the new quantity, cut to the room of a reducing order as at its acceptance."""
    changed = msgspec.structs.replace(order, quantity=request.quantity, price=request.price)
    if state.strict_reduce_only and order.only_reduces and changed.remaining > 0:
        fit_into_position(state, changed)
    return changed.quantity


def _require_margin_for_change(state: State, order: Order, request: Amendment) -> None:
    before = order.quantity, order.price
    # Judge the new order as if the old one were gone, and put it back whatever comes out.
    order.quantity = order.executed
    try:
        changed = msgspec.structs.replace(order, quantity=request.quantity, price=request.price)
        require_margin(state, changed, changed.price)
    finally:
        order.quantity, order.price = before


def _open_order(state: State, symbol: str, ref: OrderRef) -> Order:
    state.symbol(symbol)
    try:
        order = state.orders.find(symbol, ref)
    except ExchangeError:
        raise UNKNOWN_ORDER.error() from None
    if not order.is_open:
        raise UNKNOWN_ORDER.error()
    return order
