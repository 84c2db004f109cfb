"""Conditional orders: four answers, each with its own fields and number formats."""

from __future__ import annotations

from exit_shim.exchange.engine.algo import TRAILING, AlgoOrder
from exit_shim.exchange.engine.numbers import fixed, plain, short
from exit_shim.exchange.engine.orders import Order
from exit_shim.exchange.engine.symbols import Symbol

from .orders import average_places

Json = dict[str, object]


def render_placed(algo: AlgoOrder, symbol: Symbol) -> Json:
    """Return the answer to POST /fapi/v1/algoOrder (production answer of 2026-09-19).

    A trailing stop also shows activatePrice and callbackRate.
    """
    return {
        **_head(algo),
        "algoStatus": algo.status,
        "triggerPrice": fixed(algo.trigger_price, symbol.price_precision),
        "price": fixed(algo.price, symbol.price_precision),
        "icebergQuantity": None,
        **_terms(algo),
        **_trailing(algo, symbol),
        **_times(algo),
    }


def render_cancelled(algo: AlgoOrder) -> Json:
    """Return the answer to DELETE /fapi/v1/algoOrder: no order in it, and a `code` that is a string."""
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}


def render_queried(algo: AlgoOrder, symbol: Symbol, child: Order | None) -> Json:
    """Return the answer to GET /fapi/v1/algoOrder: as to placing, with what it became."""
    return {
        **_head(algo),
        "algoStatus": algo.status,
        **_outcome(symbol, child),
        "triggerPrice": fixed(algo.trigger_price, symbol.price_precision),
        "price": fixed(algo.price, symbol.price_precision),
        "icebergQuantity": None,
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
        **_terms(algo),
        **_trailing(algo, symbol),
        **_times(algo),
    }


def render_opened(algo: AlgoOrder, symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/openAlgoOrders: with actual fields, and prices in short form."""
    return {
        **_head(algo),
        "quantity": plain(algo.quantity) if algo.quantity else "0.0",
        "algoStatus": algo.status,
        "actualOrderId": "",
        "actualQty": "0.0",
        "triggerPrice": short(algo.trigger_price),
        "price": short(algo.price),
        "icebergQuantity": None,
        **_terms(algo),
        **_trailing(algo, symbol),
        **_times(algo),
        "isActivated": algo.activated,
    }


def render_listed(algo: AlgoOrder, symbol: Symbol, child: Order | None) -> Json:
    """Return an element of GET /fapi/v1/allAlgoOrders; actualQty and actualType need a trigger."""
    return {
        **_head(algo),
        "algoStatus": algo.status,
        **_outcome(symbol, child),
        "triggerPrice": fixed(algo.trigger_price, symbol.price_precision),
        "price": fixed(algo.price, symbol.price_precision),
        "icebergQuantity": None,
        "tpOrderType": "",
        **_terms(algo),
        **_trailing(algo, symbol),
        **_times(algo),
        "isActivated": algo.activated,
    }


def _head(algo: AlgoOrder) -> Json:
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side,
        "positionSide": algo.position_side,
        "timeInForce": algo.time_in_force,
        "quantity": plain(algo.quantity),
    }


def _terms(algo: AlgoOrder) -> Json:
    return {
        "selfTradePreventionMode": algo.self_trade_prevention,
        "workingType": algo.working_type,
        "priceMatch": algo.price_match,
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
    }


def _trailing(algo: AlgoOrder, symbol: Symbol) -> Json:
    if algo.type != TRAILING:
        return {}
    return {
        "activatePrice": fixed(algo.activate_price, symbol.price_precision),
        "callbackRate": short(algo.callback_rate),
    }


def _times(algo: AlgoOrder) -> Json:
    return {
        "createTime": algo.create_time,
        "updateTime": algo.update_time,
        "triggerTime": algo.trigger_time,
        "goodTillDate": algo.good_till_date,
    }


def _outcome(symbol: Symbol, child: Order | None) -> Json:
    if child is None:
        return {"actualOrderId": "", "actualPrice": fixed(symbol.tick * 0, average_places(symbol))}
    return {
        "actualOrderId": str(child.order_id),
        "actualPrice": fixed(child.average_price, average_places(symbol)),
        "actualQty": plain(child.executed),
        "actualType": child.type,
    }
