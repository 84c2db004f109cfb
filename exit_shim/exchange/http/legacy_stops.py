"""Conditional orders on /order, as they were before the Algo Service (Binance change log 2025-12-09).

The engine keeps them as it keeps all conditional orders; here they look like orders of their own.
"""

from __future__ import annotations

from exit_shim.exchange.engine.algo import CONDITIONAL_TYPES, TRAILING, AlgoOrder, AlgoRef
from exit_shim.exchange.engine.errors import ExchangeError
from exit_shim.exchange.engine.numbers import fixed, short
from exit_shim.exchange.engine.orders import Order, OrderRef
from exit_shim.exchange.engine.params import Params
from exit_shim.exchange.engine.request_parser import read_algo, read_response_type

from .api_call import ApiCall

OLD_NAMES = {
    "stopPrice": "triggerPrice",
    "newClientOrderId": "clientAlgoId",
    "activationPrice": "activatePrice",
}
STATUSES = {"CANCELED": "CANCELED", "EXPIRED": "EXPIRED", "REJECTED": "EXPIRED"}


def are_orders(call: ApiCall) -> bool:
    """Return whether the rules keep conditional orders on /order."""
    return not call.engine.state.rules.algo_service


def takes(call: ApiCall, params: Params) -> bool:
    """Return whether these parameters place a conditional order on /order."""
    return are_orders(call) and params.text("type") in CONDITIONAL_TYPES


def place(call: ApiCall, params: Params) -> Order:
    """Place a conditional order whose parameters have their old names."""
    read_response_type(params)
    request = read_algo(
        params.renamed(OLD_NAMES, algoType="CONDITIONAL"), call.engine.state.ids.next_client_id
    )
    call.engine.state.orders.require_free_client_id(request.symbol, request.client_id)
    return as_order(call.engine.place_algo(request))


def cancel(call: ApiCall, symbol: str, ref: OrderRef, unknown: ExchangeError) -> Order:
    """Cancel a conditional order that waits for its trigger.

    Raises:
        ExchangeError: `unknown` when it is none of the symbol's, -4117 while it triggers.
    """
    algo = _find(call, symbol, ref, unknown)
    if algo.status not in {"NEW", "TRIGGERING"}:
        raise unknown
    return as_order(call.engine.cancel_algo(AlgoRef(algo_id=algo.algo_id)))


def find(call: ApiCall, symbol: str, ref: OrderRef, unknown: ExchangeError) -> Order:
    """Return a conditional order, open or closed.

    Raises:
        ExchangeError: `unknown` when it is none of the symbol's.
    """
    return as_order(_find(call, symbol, ref, unknown))


def waiting(call: ApiCall, symbol: str | None) -> list[Order]:
    """Return the conditional orders that wait; none under the rules of the Algo Service."""
    return [as_order(algo) for algo in call.engine.open_algos(symbol)] if are_orders(call) else []


def untriggered(call: ApiCall, symbol: str | None) -> list[Order]:
    """Return the conditional orders that have not triggered."""
    if not are_orders(call):
        return []
    return [as_order(algo) for algo in call.engine.all_algos(symbol) if algo.child_id is None]


def trailing_fields(call: ApiCall, order: Order) -> dict[str, object]:
    """Return the additional fields of an answer about a trailing stop."""
    if order.type != TRAILING:
        return {}
    algo = call.engine.algo(AlgoRef(algo_id=order.order_id))
    places = call.engine.state.symbols[order.symbol].price_precision
    return {"activatePrice": fixed(algo.activate_price, places), "priceRate": short(algo.callback_rate)}


def as_order(algo: AlgoOrder) -> Order:
    """Return a conditional order in the form of an order."""
    return Order(
        order_id=algo.algo_id,
        client_id=algo.client_id,
        symbol=algo.symbol,
        side=algo.side,
        position_side=algo.position_side,
        type=algo.type,
        time_in_force=algo.time_in_force,
        quantity=algo.quantity,
        price=algo.price,
        reduce_only=algo.reduce_only,
        close_position=algo.close_position,
        price_match=algo.price_match,
        self_trade_prevention=algo.self_trade_prevention,
        good_till_date=algo.good_till_date,
        time=algo.create_time,
        update_time=algo.update_time,
        status=STATUSES.get(algo.status, "NEW"),
        stop_price=algo.trigger_price,
        working_type=algo.working_type,
        price_protect=algo.price_protect,
    )


def _find(call: ApiCall, symbol: str, ref: OrderRef, unknown: ExchangeError) -> AlgoOrder:
    if not are_orders(call):
        raise unknown
    try:
        algo = call.engine.algo(AlgoRef(ref.order_id, ref.client_id))
    except ExchangeError:
        raise unknown from None
    if algo.symbol != symbol:
        raise unknown
    return algo
