"""Judging and accepting an order of the matching engine."""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .algo import AlgoOrder
from .errors import (
    BAD_GOOD_TILL_DATE,
    CLOSE_POSITION_TYPE,
    MAX_OPEN_ORDERS,
)
from .filters import check_notional, check_percent_price, check_price, check_quantity
from .margin import require_margin
from .matching import match_arrival, require_time_in_force, taker_price
from .numbers import ZERO
from .orders import NewOrder, Order
from .permissions import check_permission
from .position_mode import check_sides
from .price_match import matched_price
from .reduce_only import fit_into_position, has_priority, knock_out_resting
from .state import State
from .symbols import Symbol

#: A GTD order may not expire within ten minutes, nor after the year 9999; in milliseconds.
EARLIEST_DATE = 600_000
LATEST_DATE = 253_402_300_799_000


def place(state: State, request: NewOrder) -> Order:
    """Accept an order and trade it as far as possible.

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
    if request.time_in_force == "GTD" and not is_good_date(request.good_till_date, state.now):
        raise BAD_GOOD_TILL_DATE.error()
    state.orders.require_free_client_id(symbol.name, request.client_id)
    order = _draft(state, request, symbol)
    check_permission(state.account, symbol, only_reduces=order.only_reduces)
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
    if not state.rules.algo_service:
        _keep_identity(order, algo)
    if order.type == "LIMIT":
        check_percent_price(symbol, order.side, order.price, state.quotes[algo.symbol].mark)
    _require_room(state, order, symbol, algo)
    algo.child_id = order.order_id
    return _accept(state, order, algo)


def _keep_identity(order: Order, algo: AlgoOrder) -> None:
    """Give a triggered order the id, time and trigger of the stop that it was."""
    order.order_id, order.time = algo.algo_id, algo.create_time
    order.placed_type, order.stop_price = algo.type, algo.trigger_price
    order.working_type, order.price_protect = algo.working_type, algo.price_protect


def is_good_date(date: int, now: int) -> bool:
    """Return whether a GTD order may live until `date` (New Order documentation); both in milliseconds."""
    return now + EARLIEST_DATE < date < LATEST_DATE


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
        price=_price_of(state, request),
        reduce_only=bool(request.reduce_only),
        close_position=False,
        price_match=request.price_match,
        self_trade_prevention=request.self_trade_prevention,
        good_till_date=request.good_till_date,
        time=now,
        update_time=now,
        priority=order_id,
    )


def _price_of(state: State, request: NewOrder) -> Decimal:
    if request.type == "MARKET":
        return ZERO
    if request.price_match == "NONE":
        return request.price
    return matched_price(state, request.symbol, request.side, request.price_match)


def _check_filters(state: State, order: Order, symbol: Symbol) -> None:
    at_market = order.type == "MARKET"
    check_quantity(symbol, order.quantity, at_market=at_market)
    mark = state.quotes[symbol.name].mark
    if not at_market:
        check_price(symbol, order.price)
        check_percent_price(symbol, order.side, order.price, mark)
    if not order.only_reduces:
        check_notional(symbol, order.quantity * (mark if at_market else order.price))


def _require_room(state: State, order: Order, symbol: Symbol, algo: AlgoOrder | None = None) -> None:
    """Refuse what position, margin or time in force do not allow; cap a reducing order."""
    if order.only_reduces:
        fit_into_position(state, order, algo)
    if len(state.orders.open_of(symbol.name)) >= symbol.max_orders:
        raise MAX_OPEN_ORDERS.error()
    require_time_in_force(state, order)
    require_margin(state, order, order.price or taker_price(order, state.quotes[symbol.name]))


def _accept(state: State, order: Order, algo: AlgoOrder | None = None) -> Order:
    if order.order_id > state.ids.order:
        state.ids.next_order()
    comes_first = state.strict_reduce_only and order.only_reduces and has_priority(state, order, algo)
    state.orders.add(order)
    if order.type == "LIMIT":
        state.note_date(order.due)
    emission.hold_arrival(state, order)
    match_arrival(state, order)
    emission.release_arrival(state)
    if comes_first:
        knock_out_resting(state, order)
    return order
