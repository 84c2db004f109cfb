"""Handlers of orders: read, hand to the engine, show."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from exit_shim.exchange.engine.errors import (
    BAD_COMBINATION,
    EITHER,
    INVALID_BATCH_SIZE,
    INVALID_PARAMETER,
    NO_SUCH_ORDER,
    TOO_MANY_CANCELS,
    ExchangeError,
)
from exit_shim.exchange.engine.orders import Order, OrderRef
from exit_shim.exchange.engine.params import Params
from exit_shim.exchange.engine.request_parser import read_amendment, read_order, read_order_ref
from exit_shim.exchange.engine.views import orders as views

from . import legacy_stops
from .api_call import ApiCall, Json
from .paging import keep_oldest, keep_page, keep_within, read_week

DONE: dict[str, object] = {"code": 200, "msg": "The operation of cancel all open order is done."}
LARGEST_BATCH = 5
LARGEST_CANCEL = 10


def place(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/order."""
    return _place(call, call.params)


def test(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/order/test: apply the rules, place nothing."""
    if legacy_stops.takes(call, call.params):
        return {}
    request = read_order(call.params, call.engine.state.ids.next_client_id)
    return {**_placed(call, call.engine.check_order(request), acknowledged=True), "orderId": 0}


def amend(call: ApiCall) -> Json:
    """Answer PUT /fapi/v1/order."""
    return _amend(call, call.params)


def cancel(call: ApiCall) -> Json:
    """Answer DELETE /fapi/v1/order."""
    return _cancel(call, call.params.required("symbol"), read_order_ref(call.params))


def query(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/order."""
    symbol, ref = call.params.required("symbol"), read_order_ref(call.params)
    return _queried(call, _find(call, symbol, ref))


def query_open(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/openOrder: a closed order is -2013."""
    symbol, ref = call.params.required("symbol"), read_order_ref(call.params)
    order = _find(call, symbol, ref)
    if not order.is_open:
        raise NO_SUCH_ORDER.error()
    return _queried(call, order)


def list_open(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/openOrders: no conditional orders among them."""
    symbol = call.params.text("symbol")
    orders = [*call.engine.open_orders(symbol), *legacy_stops.waiting(call, symbol)]
    return [_queried(call, order) for order in sorted(orders, key=lambda order: order.order_id)]


def list_all(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/allOrders: from `orderId` on the first `limit`, else the newest; oldest first."""
    first = call.params.integer("orderId")
    window = read_week(call.params, call.engine.now(), from_id=first is not None)
    symbol = call.params.text("symbol")
    orders = [*call.engine.all_orders(symbol), *legacy_stops.untriggered(call, symbol)]
    orders.sort(key=lambda order: order.order_id)
    from_first = [order for order in orders if order.order_id >= (first or 0)]
    in_window = keep_within(window, from_first, lambda order: order.time)
    return [
        {
            **views.render_listed(order, call.engine.state.symbols[order.symbol]),
            **legacy_stops.trailing_fields(call, order),
        }
        for order in keep_page(call.params, in_window, first)
    ]


def list_trades(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/userTrades: the oldest `limit` of the window."""
    symbol = call.params.required("symbol")
    first, of_order = call.params.integer("fromId"), call.params.integer("orderId")
    if first is not None and (call.params.text("startTime") or call.params.text("endTime")):
        raise BAD_COMBINATION.error()
    window = read_week(call.params, call.engine.now(), from_id=first is not None)
    trades = [
        trade
        for trade in call.engine.trades(symbol)
        if trade.trade_id >= (first or 0) and of_order in {None, trade.order_id}
    ]
    in_window = keep_within(window, trades, lambda trade: trade.time)
    return [
        views.render_trade(trade, call.engine.state.symbols[trade.symbol])
        for trade in keep_oldest(call.params, in_window)
    ]


def cancel_all(call: ApiCall) -> Json:
    """Answer DELETE /fapi/v1/allOpenOrders; conditional orders have their own endpoint and stay."""
    symbol = call.params.required("symbol")
    call.engine.cancel_all_orders(symbol)
    if legacy_stops.are_orders(call):
        call.engine.cancel_all_algos(symbol)
    return dict(DONE)


def countdown(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/countdownCancelAll."""
    symbol, duration = call.params.required("symbol"), call.params.required_integer("countdownTime")
    call.engine.set_countdown(symbol, duration)
    return {"symbol": symbol, "countdownTime": str(duration)}


def place_batch(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/batchOrders: each element answers for itself, in an answer that is HTTP 200."""
    return [_or_error(partial(_place, call, params)) for params in _batch(call)]


def amend_batch(call: ApiCall) -> Json:
    """Answer PUT /fapi/v1/batchOrders: each element answers for itself."""
    return [_or_error(partial(_amend, call, params)) for params in _batch(call)]


def cancel_batch(call: ApiCall) -> Json:
    """Answer DELETE /fapi/v1/batchOrders; the lower-case names are those python-binance sends."""
    symbol = call.params.required("symbol")
    refs = _refs(call.params)
    if not refs:
        raise INVALID_BATCH_SIZE.error()
    if len(refs) > LARGEST_CANCEL:
        raise TOO_MANY_CANCELS.error()
    call.engine.open_orders(symbol)
    return [_or_error(partial(_cancel, call, symbol, ref)) for ref in refs]


def _place(call: ApiCall, params: Params) -> dict[str, object]:
    if legacy_stops.takes(call, params):
        return _placed(call, legacy_stops.place(call, params))
    request = read_order(params, call.engine.state.ids.next_client_id)
    if legacy_stops.are_orders(call):
        call.engine.state.algos.require_free_client_id(request.client_id)
    return _placed(call, call.engine.place_order(request), acknowledged=not request.wants_result)


def _amend(call: ApiCall, params: Params) -> dict[str, object]:
    order = call.engine.amend_order(read_amendment(params))
    return views.render_amended(
        order, call.engine.state.symbols[order.symbol], with_average=_shows_average(call)
    )


def _batch(call: ApiCall) -> list[Params]:
    items = _json_list(call.params.required("batchOrders"), "batchOrders")
    if not 1 <= len(items) <= LARGEST_BATCH:
        raise INVALID_BATCH_SIZE.error()
    return [_element(item) for item in items]


def _cancel(call: ApiCall, symbol: str, ref: OrderRef) -> dict[str, object]:
    try:
        order = call.engine.cancel_order(symbol, ref)
    except ExchangeError as unknown:
        order = legacy_stops.cancel(call, symbol, ref, unknown)
    return _placed(call, order)


def _find(call: ApiCall, symbol: str, ref: OrderRef) -> Order:
    try:
        return call.engine.order(symbol, ref)
    except ExchangeError as unknown:
        return legacy_stops.find(call, symbol, ref, unknown)


def _placed(call: ApiCall, order: Order, *, acknowledged: bool = False) -> dict[str, object]:
    symbol = call.engine.state.symbols[order.symbol]
    shown = views.render_placed(order, symbol, acknowledged=acknowledged, with_average=_shows_average(call))
    return shown | legacy_stops.trailing_fields(call, order)


def _queried(call: ApiCall, order: Order) -> dict[str, object]:
    shown = views.render_queried(order, call.engine.state.symbols[order.symbol])
    return shown | legacy_stops.trailing_fields(call, order)


def _shows_average(call: ApiCall) -> bool:
    return call.engine.state.rules.average_price_in_answers


def _or_error(act: Callable[[], dict[str, object]]) -> dict[str, object]:
    try:
        return act()
    except ExchangeError as refused:
        return refused.payload()


def _json_list(text: str, name: str) -> list[object]:
    try:
        # Numbers stay text: 0.10 must not become 0.1 on its way to a Decimal.
        items = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise INVALID_PARAMETER.error(name) from None
    if not isinstance(items, list):
        raise INVALID_PARAMETER.error(name)
    return items


def _element(item: object) -> Params:
    if not isinstance(item, dict) or any(isinstance(value, (dict, list)) for value in item.values()):
        raise INVALID_PARAMETER.error("batchOrders")
    return Params({name: str(value) for name, value in item.items() if value is not None})


def _refs(params: Params) -> list[OrderRef]:
    ids = params.text("orderIdList") or params.text("orderidlist")
    if ids is not None:
        return [OrderRef(order_id=_id(item)) for item in _json_list(ids, "orderIdList")]
    names = params.text("origClientOrderIdList") or params.text("origclientorderidlist")
    if names is None:
        raise EITHER.error("orderidlist", "origclientorderidlist")
    return [OrderRef(client_id=str(item)) for item in _json_list(names, "origClientOrderIdList")]


def _id(item: object) -> int:
    return Params({"orderIdList": str(item)}).required_integer("orderIdList")
