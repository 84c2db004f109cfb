"""Handlers of rare reads of the account: settings, amendments of orders, liquidations."""

from __future__ import annotations

from exit_shim.exchange.engine.errors import INVALID_PARAMETER, MANDATORY
from exit_shim.exchange.engine.orders import OrderChange, OrderRef
from exit_shim.exchange.engine.request_parser import read_order_ref
from exit_shim.exchange.engine.views import account_reads as views

from .api_call import ApiCall, Json
from .paging import keep_within, read_limit, read_week, read_window

USUAL_LIMIT, LARGEST_LIMIT = 50, 100
CLOSE_TYPES = ("LIQUIDATION", "ADL")


def account_config(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/accountConfig."""
    return views.account_config(call.engine.state)


def fee_burn(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/feeBurn."""
    return {"feeBurn": call.engine.state.account.fee_burn}


def set_fee_burn(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/feeBurn: remember the switch; commission is still paid in USDT."""
    fee_burn = call.params.boolean("feeBurn")
    if fee_burn is None:
        raise MANDATORY.error("feeburn")
    call.engine.state.account.fee_burn = fee_burn
    return {"code": 200, "msg": "success"}


def trading_status(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/apiTradingStatus."""
    _read_symbol(call)
    return views.trading_status(call.engine.state)


def adl_quantile(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/adlQuantile: one object for a symbol, else a list of those with a position."""
    symbol, state = _read_symbol(call), call.engine.state
    if symbol is not None:
        return views.adl_quantile(state, symbol)
    return [
        views.adl_quantile(state, name) for name in sorted({row.symbol for row in state.open_positions()})
    ]


def order_amendments(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/orderAmendment: the changes of one order, the newest first."""
    symbol, ref = call.params.required("symbol"), read_order_ref(call.params)
    call.engine.state.symbol(symbol)
    window = read_window(call.params, call.engine.now())
    changes = [
        change
        for change in reversed(call.engine.state.order_changes)
        if change.symbol == symbol and _is_of(change, ref)
    ]
    shown = keep_within(window, changes, lambda change: change.time)[: _read_limit(call)]
    return [views.order_amendment(change) for change in shown]


def force_orders(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/forceOrders: the liquidations of the last seven days unless times are sent."""
    symbol = _read_symbol(call)
    kind = call.params.choice("autoCloseType", CLOSE_TYPES, INVALID_PARAMETER)
    window = read_week(call.params, call.engine.now(), from_id=False)
    # There is no auto-deleveraging.
    orders = [] if kind == "ADL" else call.engine.all_orders(symbol)
    closing = keep_within(window, [order for order in orders if order.liquidates], lambda order: order.time)
    symbols = call.engine.state.symbols
    return [views.force_order(order, symbols[order.symbol]) for order in closing[-_read_limit(call) :]]


def _is_of(change: OrderChange, ref: OrderRef) -> bool:
    if ref.order_id is not None:
        return change.order_id == ref.order_id
    return change.client_id == ref.client_id


def _read_limit(call: ApiCall) -> int:
    return read_limit(call.params, usual=USUAL_LIMIT, most=LARGEST_LIMIT)


def _read_symbol(call: ApiCall) -> str | None:
    name = call.params.text("symbol")
    return call.engine.state.symbol(name).name if name else None
