"""From parameters to the requests that the engine understands."""

from __future__ import annotations

from collections.abc import Callable

from .algo import CONDITIONAL_TYPES, AlgoRef, NewAlgo
from .errors import (
    BAD_COMBINATION,
    EITHER,
    INVALID_ORDER_TYPE,
    INVALID_PARAMETER,
    INVALID_POSITION_SIDE,
    INVALID_PRICE_MATCH,
    INVALID_REDUCE_ONLY,
    INVALID_RESPONSE_TYPE,
    INVALID_SELF_TRADE_PREVENTION,
    INVALID_SIDE,
    INVALID_TIME_IN_FORCE,
    INVALID_WORKING_TYPE,
    MANDATORY,
    NOT_REQUIRED,
    PRICE_MATCH_TYPE,
    USE_ALGO_SERVICE,
)
from .numbers import ZERO
from .orders import Amendment, NewOrder, OrderRef
from .params import Params

SIDES = ("BUY", "SELL")
POSITION_SIDES = ("BOTH", "LONG", "SHORT")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD", "RPI")
ALGO_TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTE_GTC")
#: OPPONENT_10 and OPPONENT_20 are out since 2025-10-23.
PRICE_MATCHES = ("NONE", "OPPONENT", "OPPONENT_5", "QUEUE", "QUEUE_5", "QUEUE_10", "QUEUE_20")
SELF_TRADE_PREVENTIONS = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")

NextId = Callable[[], str]


def read_order(params: Params, next_id: NextId) -> NewOrder:
    """Read POST /fapi/v1/order, or one element of a batch.

    Raises:
        ExchangeError: -4120 for the conditional types, otherwise what is missing or malformed.
    """
    symbol = params.required("symbol")
    side = _side(params)
    order_type = _order_type(params)
    market = order_type == "MARKET"
    close_position = bool(params.boolean("closePosition"))
    if not close_position:
        _check_mandatory(params, market)
    return NewOrder(
        symbol=symbol,
        side=side,
        type=order_type,
        client_id=params.client_id("newClientOrderId") or next_id(),
        position_side=_position_side(params),
        time_in_force=params.choice("timeInForce", TIMES_IN_FORCE, INVALID_TIME_IN_FORCE) or "GTC",
        quantity=params.decimal("quantity") or ZERO,
        price=params.decimal("price") or ZERO,
        reduce_only=params.boolean("reduceOnly", INVALID_REDUCE_ONLY),
        close_position=close_position,
        price_match=_price_match(params),
        self_trade_prevention=_self_trade_prevention(params),
        good_till_date=_good_till_date(params),
        wants_result=read_response_type(params),
    )


def read_response_type(params: Params) -> bool:
    """Return whether the answer shows the result (RESULT); the default is ACK."""
    return params.choice("newOrderRespType", ("ACK", "RESULT"), INVALID_RESPONSE_TYPE) == "RESULT"


def read_amendment(params: Params) -> Amendment:
    """Read PUT /fapi/v1/order: symbol, side, quantity and price are all mandatory."""
    return Amendment(
        symbol=params.required("symbol"),
        ref=read_order_ref(params),
        side=_side(params),
        quantity=params.required_decimal("quantity"),
        price=params.required_decimal("price"),
        reduce_only=params.boolean("reduceOnly", INVALID_REDUCE_ONLY),
        modify_id=params.integer("modifyId"),
    )


def read_order_ref(params: Params) -> OrderRef:
    """Read orderId or origClientOrderId, one of which is mandatory."""
    order_id, client_id = params.integer("orderId"), params.text("origClientOrderId")
    if order_id is None and client_id is None:
        raise EITHER.error("origclientorderid", "orderid")
    return OrderRef(order_id, client_id)


def read_algo(params: Params, next_id: NextId) -> NewAlgo:
    """Read POST /fapi/v1/algoOrder; unknown parameters (stopPrice, activationPrice) are ignored."""
    if params.required("algoType") != "CONDITIONAL":
        raise INVALID_PARAMETER.error("algotype")
    symbol = params.required("symbol")
    return NewAlgo(
        symbol=symbol,
        side=_side(params),
        type=_algo_type(params),
        client_id=params.client_id("clientAlgoId") or next_id(),
        position_side=_position_side(params),
        time_in_force=params.choice("timeInForce", ALGO_TIMES_IN_FORCE, INVALID_TIME_IN_FORCE),
        quantity=params.decimal("quantity"),
        price=params.decimal("price"),
        trigger_price=params.decimal("triggerPrice"),
        activate_price=params.decimal("activatePrice"),
        callback_rate=params.decimal("callbackRate"),
        working_type=_working_type(params),
        price_match=_price_match(params),
        price_protect=bool(params.boolean("priceProtect")),
        close_position=bool(params.boolean("closePosition")),
        reduce_only=params.boolean("reduceOnly", INVALID_REDUCE_ONLY),
        self_trade_prevention=_self_trade_prevention(params),
        good_till_date=params.integer("goodTillDate") or 0,
    )


def read_algo_ref(params: Params) -> AlgoRef:
    """Read algoId or clientAlgoId, one of which is mandatory."""
    algo_id, client_id = params.integer("algoId"), params.text("clientAlgoId")
    if algo_id is None and client_id is None:
        raise EITHER.error("algoid", "clientalgoid")
    return AlgoRef(algo_id, client_id)


def _check_mandatory(params: Params, market: bool) -> None:
    params.required_decimal("quantity")
    if market:
        for name in ("timeInForce", "price"):
            if params.text(name) is not None:
                raise NOT_REQUIRED.error(name.lower())
        if _price_match(params) != "NONE":
            raise PRICE_MATCH_TYPE.error()
        return
    params.required("timeInForce")
    if _price_match(params) == "NONE":
        params.required_decimal("price")


def _side(params: Params) -> str:
    params.required("side")
    return params.choice("side", SIDES, INVALID_SIDE) or ""


def _order_type(params: Params) -> str:
    value = params.required("type")
    if value in CONDITIONAL_TYPES:
        raise USE_ALGO_SERVICE.error()
    return params.choice("type", ("LIMIT", "MARKET"), INVALID_ORDER_TYPE) or value


def _algo_type(params: Params) -> str:
    value = params.required("type")
    return params.choice("type", CONDITIONAL_TYPES, INVALID_ORDER_TYPE) or value


def _position_side(params: Params) -> str:
    return params.choice("positionSide", POSITION_SIDES, INVALID_POSITION_SIDE) or "BOTH"


def _working_type(params: Params) -> str:
    allowed = ("MARK_PRICE", "CONTRACT_PRICE")
    value = params.text("workingType") or "CONTRACT_PRICE"
    if value not in allowed:
        raise INVALID_WORKING_TYPE.error(value)
    return value


def _price_match(params: Params) -> str:
    value = params.choice("priceMatch", PRICE_MATCHES, INVALID_PRICE_MATCH) or "NONE"
    if value != "NONE" and params.text("price") is not None:
        raise BAD_COMBINATION.error()
    return value


def _self_trade_prevention(params: Params) -> str:
    name = "selfTradePreventionMode"
    return params.choice(name, SELF_TRADE_PREVENTIONS, INVALID_SELF_TRADE_PREVENTION) or "EXPIRE_MAKER"


def _good_till_date(params: Params) -> int:
    value = params.integer("goodTillDate")
    if params.text("timeInForce") == "GTD" and value is None:
        raise MANDATORY.error("goodtilldate")
    # Kept to the second (New Order documentation).
    return (value or 0) // 1000 * 1000
