"""Judging and accepting an order of the matching engine."""

from __future__ import annotations

from decimal import Decimal

from . import announcing
from .algo import AlgoOrder
from .errors import CLOSE_POSITION_TYPE, MAX_OPEN_ORDERS, REDUCE_ONLY_REJECTED
from .filters import check_notional, check_percent_price, check_price, check_quantity
from .margin import require_margin
from .market import Quote
from .matching import match_arrival, require_time_in_force, taker_price
from .modes import check_sides
from .numbers import ZERO
from .orders import NewOrder, Order
from .state import State
from .symbols import Symbol


def place(state: State, request: NewOrder) -> Order:
    """Accept an order and trade it as far as it goes.

    Raises:
        ExchangeError: for any rule of the exchange that it breaks; nothing has changed then.
    """
    order = judge(state, request)
    return _accept(state, order)


def judge(state: State, request: NewOrder) -> Order:
    """Apply every rule and return the order as it would be accepted, changing nothing.

    Raises:
        ExchangeError: as `place`.
    """
    symbol = state.symbol(request.symbol)
    check_sides(state.account, request.position_side, request.reduce_only)
    if request.close_position:
        raise CLOSE_POSITION_TYPE.error(request.type)
    state.orders.require_free_client_id(symbol.name, request.client_id)
    order = _draft(state, request, symbol)
    _check_filters(state, order, symbol)
    _require_room(state, order, symbol)
    return order


def place_child(state: State, algo: AlgoOrder, quantity: Decimal) -> Order:
    """Place the order that a triggered conditional order becomes, under its client id.

    Raises:
        ExchangeError: when the matching engine denies it; nothing has changed then.
    """
    symbol = state.symbols[algo.symbol]
    state.orders.require_free_client_id(algo.symbol, algo.client_id)
    order = _draft(state, _as_request(algo, quantity), symbol)
    order.close_position = algo.close_position
    order.algo_id = algo.algo_id
    if order.type == "LIMIT":
        check_percent_price(symbol, order.side, order.price, state.quotes[algo.symbol].mark)
    _require_room(state, order, symbol)
    # The link must stand before the fill that may finish both.
    algo.child_id, algo.status = order.order_id, "TRIGGERED"
    return _accept(state, order, algo)


def _as_request(algo: AlgoOrder, quantity: Decimal) -> NewOrder:
    return NewOrder(
        symbol=algo.symbol,
        side=algo.side,
        type=algo.child_type,
        client_id=algo.client_id,
        position_side=algo.position_side,
        time_in_force="GTC" if algo.time_in_force == "GTE_GTC" else algo.time_in_force,
        quantity=quantity,
        price=algo.price,
        reduce_only=algo.reduce_only,
        price_match=algo.price_match,
        self_trade_prevention=algo.self_trade_prevention,
        good_till_date=algo.good_till_date,
    )


def _draft(state: State, request: NewOrder, symbol: Symbol) -> Order:
    now = state.now
    order_id = state.ids.order + 1
    return Order(
        order_id=order_id,
        client_id=request.client_id,
        symbol=symbol.name,
        side=request.side,
        position_side=request.position_side,
        type=request.type,
        time_in_force=request.time_in_force,
        quantity=request.quantity,
        price=_price_of(request, state.quotes[symbol.name]),
        reduce_only=bool(request.reduce_only),
        close_position=False,
        price_match=request.price_match,
        self_trade_prevention=request.self_trade_prevention,
        good_till_date=request.good_till_date,
        time=now,
        update_time=now,
        priority=order_id,
    )


def _price_of(request: NewOrder, quote: Quote) -> Decimal:
    if request.type == "MARKET":
        return ZERO
    if request.price_match == "NONE":
        return request.price
    opposite = request.price_match.startswith("OPPONENT")
    # The book has one level, so the fifth best price is the best.
    return quote.ask if opposite == (request.side == "BUY") else quote.bid


def _check_filters(state: State, order: Order, symbol: Symbol) -> None:
    at_market = order.type == "MARKET"
    check_quantity(symbol, order.quantity, at_market=at_market)
    mark = state.quotes[symbol.name].mark
    if not at_market:
        check_price(symbol, order.price)
        check_percent_price(symbol, order.side, order.price, mark)
    if not order.only_reduces:
        check_notional(symbol, order.quantity * (mark if at_market else order.price))


def _require_room(state: State, order: Order, symbol: Symbol) -> None:
    """Refuse what position, margin or time in force do not allow; cap what may only reduce."""
    quote = state.quotes[symbol.name]
    if order.only_reduces:
        _cap_to_position(state, order)
    if len(state.orders.open_of(symbol.name)) >= symbol.max_orders:
        raise MAX_OPEN_ORDERS.error()
    require_time_in_force(order, quote)
    require_margin(state, order, order.price or taker_price(order, quote))


def _cap_to_position(state: State, order: Order) -> None:
    closable = state.position(order.symbol, order.position_side).closable_by(order.side)
    # A hedge-mode close carries no flag that would ask for capping: too much is refused.
    if not closable or (not order.reduce_only and order.quantity > closable):
        raise REDUCE_ONLY_REJECTED.error()
    order.quantity = min(order.quantity, closable)


def _accept(state: State, order: Order, algo: AlgoOrder | None = None) -> Order:
    state.ids.next_order()
    state.orders.add(order)
    if algo is not None:
        announcing.algo(state, algo)
    announcing.arrival(state, order)
    match_arrival(state, order)
    announcing.settled(state)
    return order
