"""Orders and trades: the answer to placing differs from the one to asking."""

from __future__ import annotations

from exit_shim.exchange.engine.numbers import ZERO, fixed
from exit_shim.exchange.engine.orders import Order, Trade
from exit_shim.exchange.engine.symbols import Symbol

Json = dict[str, object]


def average_places(symbol: Symbol) -> int:
    """Return the decimals of an average price: 5, or one more than the price has."""
    return max(5, symbol.price_precision + 1)


def render_placed(
    order: Order, symbol: Symbol, *, acknowledged: bool = False, with_average: bool = False
) -> Json:
    """Return the answer to POST and DELETE /fapi/v1/order.

    There is no avgPrice and no cumQuote in it since 2026-06-30, unless `with_average`. With
    `acknowledged` (ACK, the default of newOrderRespType) it shows the order as it was taken in: NEW and
    unfilled, even if it has filled since.
    """
    executed = ZERO if acknowledged else order.executed
    done = fixed(executed, symbol.quantity_precision)
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": "NEW" if acknowledged else order.status,
        "clientOrderId": order.client_id,
        "price": fixed(order.price, symbol.price_precision),
        "origQty": fixed(order.quantity, symbol.quantity_precision),
        "executedQty": done,
        "cumQty": done,
        **(_average(order, symbol, acknowledged=acknowledged) if with_average else {}),
        **_terms(order, symbol),
        "updateTime": order.update_time,
    }


def _average(order: Order, symbol: Symbol, *, acknowledged: bool) -> Json:
    places = average_places(symbol)
    price, quote = (ZERO, ZERO) if acknowledged else (order.average_price, order.quote)
    return {"cumQuote": fixed(quote, places), "avgPrice": fixed(price, places)}


def render_amended(order: Order, symbol: Symbol, *, with_average: bool = False) -> Json:
    """Return the answer to PUT /fapi/v1/order: with `pair`, and `modifyId` when one was sent."""
    answer = render_placed(order, symbol, with_average=with_average)
    head = {name: answer.pop(name) for name in ("orderId", "symbol")}
    head["pair"] = order.symbol
    head |= {name: answer.pop(name) for name in ("status", "clientOrderId")}
    if order.modify_id is not None:
        head["modifyId"] = order.modify_id
    return head | answer


def render_queried(order: Order, symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/order, openOrder and openOrders: with avgPrice, cumQuote and time."""
    places = average_places(symbol)
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": fixed(order.price, symbol.price_precision),
        "avgPrice": fixed(order.average_price, places),
        "origQty": fixed(order.quantity, symbol.quantity_precision),
        "executedQty": fixed(order.executed, symbol.quantity_precision),
        "cumQuote": fixed(order.quote, places),
        **_terms(order, symbol),
        "time": order.time,
        "updateTime": order.update_time,
    }


def render_listed(order: Order, symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/allOrders: with cumBase and pair since 2026-08-05."""
    return {**render_queried(order, symbol), "cumBase": "0", "pair": order.symbol}


def _terms(order: Order, symbol: Symbol) -> Json:
    return {
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": order.position_side,
        "stopPrice": fixed(order.stop_price, symbol.price_precision),
        "workingType": order.working_type,
        "priceProtect": order.price_protect,
        "origType": order.original_type,
        "priceMatch": order.price_match,
        "selfTradePreventionMode": order.self_trade_prevention,
        "goodTillDate": order.good_till_date,
    }


def render_trade(fill: Trade, symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/userTrades."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": fill.side,
        "price": fixed(fill.price, symbol.price_precision),
        "qty": fixed(fill.quantity, symbol.quantity_precision),
        "realizedPnl": fixed(fill.realised, 8),
        "marginAsset": "USDT",
        "quoteQty": fixed(fill.price * fill.quantity, average_places(symbol)),
        "baseQty": "0",
        "commission": fixed(fill.commission, 8),
        "commissionAsset": "USDT",
        "time": fill.time,
        "positionSide": fill.position_side,
        "maker": fill.maker,
        "buyer": fill.side == "BUY",
        "pair": fill.symbol,
    }
