"""Judging, accepting and cancelling a conditional order (Algo Service, Binance change log 2025-12-09).

There is no margin check here: it comes when the order triggers.
"""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .algo import LIMIT_CHILD_TYPES, TRAILING, AlgoOrder, AlgoRef, NewAlgo, reached
from .errors import (
    CLOSE_POSITION_EXISTS,
    CLOSE_POSITION_QUANTITY,
    CLOSE_POSITION_REDUCE_ONLY,
    CLOSE_POSITION_TYPE,
    INVALID_ACTIVATION_PRICE,
    INVALID_CALLBACK_RATE,
    MANDATORY,
    MAX_STOP_ORDERS,
    NO_POSITION_FOR_GTE,
    NO_POSITION_OR_ORDER_FOR_GTE,
    NOT_REQUIRED,
    POSITION_SIDE_MISMATCH,
    STOP_IS_TRIGGERING,
    UNKNOWN_ORDER,
    WOULD_TRIGGER,
    ExchangeError,
)
from .fills import change_algo_status
from .filters import check_notional, check_price, check_quantity, check_stop_price
from .market import Quote
from .numbers import ZERO
from .permissions import check_permission
from .position_mode import check_sides
from .state import State
from .symbols import Symbol

#: Open conditional orders over all symbols (Binance change log 2025-12-29).
MAX_OPEN_ALGOS = 200
CLOSING_SIDES = frozenset({("LONG", "SELL"), ("SHORT", "BUY")})
CLOSE_POSITION_TYPES = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})
#: Open conditional orders of one symbol, before the Algo Service.
MAX_OPEN_STOPS = 10
#: Percent.
LOWEST_CALLBACK = Decimal("0.1")


def place_algo(state: State, request: NewAlgo) -> AlgoOrder:
    """Accept a conditional order.

    Raises:
        ExchangeError: for any rule that it breaks; nothing has changed then.
    """
    symbol = state.symbol(request.symbol)
    quote = state.quotes[symbol.name]
    check_sides(state.account, request.position_side, request.reduce_only)
    if request.close_position:
        _check_close_position(request)
    check_permission(state.account, symbol, only_reduces=_only_reduces(request))
    _check_numbers(state, request, symbol)
    _check_trigger(request, quote)
    _check_position(state, request)
    state.algos.require_free_client_id(request.client_id)
    _require_room(state, request)
    algo = _draft(state, request, quote)
    state.algos.add(algo)
    emission.emit_algo(state, algo)
    return algo


def cancel_algo(state: State, ref: AlgoRef) -> AlgoOrder:
    """Cancel a conditional order that waits for its trigger.

    Raises:
        ExchangeError: -2011 for one that has triggered, is closed or unknown, -4117 for one that triggers.
    """
    try:
        algo = state.algos.find(ref)
    except ExchangeError:
        raise UNKNOWN_ORDER.error() from None
    if algo.status == "TRIGGERING":
        raise STOP_IS_TRIGGERING.error()
    if not algo.is_open:
        raise UNKNOWN_ORDER.error()
    change_algo_status(state, algo, "CANCELED")
    return algo


def cancel_all_algos(state: State, symbol: str) -> None:
    """Cancel the waiting conditional orders of a symbol."""
    state.symbol(symbol)
    for algo in state.algos.open(symbol):
        change_algo_status(state, algo, "CANCELED")


def _require_room(state: State, request: NewAlgo) -> None:
    if state.rules.algo_service:
        full = state.algos.open_count >= MAX_OPEN_ALGOS
    else:
        full = len(state.algos.open(request.symbol)) >= MAX_OPEN_STOPS
    if full:
        raise MAX_STOP_ORDERS.error()


def _only_reduces(request: NewAlgo) -> bool:
    sides = request.position_side, request.side
    return bool(request.reduce_only or request.close_position) or sides in CLOSING_SIDES


def _check_close_position(request: NewAlgo) -> None:
    if request.type not in CLOSE_POSITION_TYPES:
        raise CLOSE_POSITION_TYPE.error(request.type)
    if request.quantity:
        raise CLOSE_POSITION_QUANTITY.error()
    if request.reduce_only is False:
        raise CLOSE_POSITION_REDUCE_ONLY.error()
    if request.reduce_only:
        raise NOT_REQUIRED.error("reduceonly")
    if (request.position_side, request.side) in {("LONG", "BUY"), ("SHORT", "SELL")}:
        raise POSITION_SIDE_MISMATCH.error()


def _check_numbers(state: State, request: NewAlgo, symbol: Symbol) -> None:
    if request.type == TRAILING:
        _check_trailing(state, request, symbol)
    elif request.trigger_price is None:
        raise MANDATORY.error("triggerprice" if state.rules.algo_service else "stopprice")
    else:
        check_stop_price(symbol, request.trigger_price)
    if request.type in LIMIT_CHILD_TYPES and request.price_match == "NONE":
        if request.price is None:
            raise MANDATORY.error("price")
        check_price(symbol, request.price)
    if not request.close_position:
        _check_quantity(request, symbol, state.quotes[symbol.name])


def _check_trailing(state: State, request: NewAlgo, symbol: Symbol) -> None:
    if request.callback_rate is None:
        raise MANDATORY.error("callbackrate")
    if not LOWEST_CALLBACK <= request.callback_rate <= state.rules.highest_callback:
        raise INVALID_CALLBACK_RATE.error()
    if request.activate_price is not None:
        if request.activate_price <= 0:
            raise INVALID_ACTIVATION_PRICE.error()
        check_price(symbol, request.activate_price)


def _check_quantity(request: NewAlgo, symbol: Symbol, quote: Quote) -> None:
    if request.quantity is None:
        raise MANDATORY.error("quantity")
    check_quantity(symbol, request.quantity, at_market=request.type not in LIMIT_CHILD_TYPES)
    if not _only_reduces(request):
        price = request.price or request.trigger_price or request.activate_price or quote.last
        check_notional(symbol, request.quantity * price)


def _check_trigger(request: NewAlgo, quote: Quote) -> None:
    price = quote.working(request.working_type)
    if request.type != TRAILING:
        if request.trigger_price is not None and reached(
            request.type, request.side, price, request.trigger_price
        ):
            raise WOULD_TRIGGER.error()
        return
    # A triggerPrice on a trailing stop is answered like one that is already met.
    if request.trigger_price is not None:
        raise WOULD_TRIGGER.error()
    if request.activate_price is not None:
        waits = request.activate_price < price if request.side == "BUY" else request.activate_price > price
        if not waits:
            raise WOULD_TRIGGER.error()


def _check_position(state: State, request: NewAlgo) -> None:
    if not request.close_position and request.time_in_force != "GTE_GTC":
        return
    _require_position(state, request)
    if request.close_position and any(
        _is_same_close(request, algo) for algo in state.algos.open(request.symbol)
    ):
        raise CLOSE_POSITION_EXISTS.error()


def _require_position(state: State, request: NewAlgo) -> None:
    """Refuse a GTE order without a position to close (before the Algo Service: or an opposite open order)."""
    if state.position(request.symbol, request.position_side).closable_by(request.side):
        return
    if state.rules.algo_service:
        raise NO_POSITION_FOR_GTE.error()
    opening = (
        order
        for order in state.orders.open_of(request.symbol)
        if order.position_side == request.position_side and order.side != request.side
    )
    if not any(opening):
        raise NO_POSITION_OR_ORDER_FOR_GTE.error()


def _is_same_close(request: NewAlgo, algo: AlgoOrder) -> bool:
    same_kind = request.type.startswith("TAKE_PROFIT") == algo.type.startswith("TAKE_PROFIT")
    same_way = (request.side, request.position_side) == (algo.side, algo.position_side)
    return algo.close_position and same_kind and same_way


def _draft(state: State, request: NewAlgo, quote: Quote) -> AlgoOrder:
    now = state.now
    trailing = request.type == TRAILING
    price = quote.working(request.working_type)
    return AlgoOrder(
        algo_id=state.ids.next_algo() if state.rules.algo_service else state.ids.next_order(),
        client_id=request.client_id,
        symbol=request.symbol,
        side=request.side,
        position_side=request.position_side,
        type=request.type,
        time_in_force="GTE_GTC" if request.close_position else request.time_in_force or "GTC",
        quantity=ZERO if request.close_position else request.quantity or ZERO,
        price=(request.price or ZERO) if request.type in LIMIT_CHILD_TYPES else ZERO,
        trigger_price=request.trigger_price or ZERO,
        activate_price=(request.activate_price or price) if trailing else ZERO,
        callback_rate=request.callback_rate or ZERO,
        working_type=request.working_type,
        price_match=request.price_match,
        price_protect=request.price_protect,
        close_position=request.close_position,
        reduce_only=request.close_position or bool(request.reduce_only),
        self_trade_prevention=request.self_trade_prevention,
        good_till_date=request.good_till_date,
        create_time=now,
        update_time=now,
        activated=trailing and request.activate_price is None,
        extreme=price if trailing else ZERO,
    )
