"""Settings of the account, changes of its orders, and its liquidations."""

from __future__ import annotations

from exit_shim.exchange.engine.margin import is_isolated
from exit_shim.exchange.engine.numbers import plain
from exit_shim.exchange.engine.orders import Order, OrderChange
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import Symbol

from .orders import render_queried

Json = dict[str, object]
#: Fields of an order that GET /fapi/v1/forceOrders does not have.
_NOT_OF_LIQUIDATIONS = ("priceProtect", "priceMatch", "selfTradePreventionMode", "goodTillDate")


def account_config(state: State) -> Json:
    """Return the answer to GET /fapi/v1/accountConfig."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": state.account.hedge_mode,
        "updateTime": 0,
        "multiAssetsMargin": state.account.multi_assets,
        "tradeGroupId": -1,
    }


def trading_status(state: State) -> Json:
    """Return the answer to GET /fapi/v1/apiTradingStatus: empty unless the account is restricted by it."""
    locked: Json = {
        "ACCOUNT": [
            {
                "indicator": "TMV",
                "value": 10,
                "triggerValue": 1,
                # Nothing lifts the restriction.
                "plannedRecoverTime": 0,
                "isLocked": True,
            }
        ]
    }
    is_locked = state.account.restriction == "quantitative_rules"
    return {"indicators": locked if is_locked else {}, "updateTime": state.now}


def adl_quantile(state: State, symbol: str) -> Json:
    """Return an element of GET /fapi/v1/adlQuantile: 1 for a position, since nothing is deleveraged."""
    held = {position.side for position in state.open_positions() if position.symbol == symbol}
    quantiles = {side: int(side in held) for side in ("LONG", "SHORT", "BOTH")}
    if state.account.hedge_mode and not is_isolated(state, symbol):
        del quantiles["BOTH"]
        quantiles["HEDGE"] = 0
    return {"symbol": symbol, "adlQuantile": quantiles}


def order_amendment(change: OrderChange) -> Json:
    """Return an element of GET /fapi/v1/orderAmendment."""
    return {
        "amendmentId": change.change_id,
        "symbol": change.symbol,
        "pair": change.symbol,
        "orderId": change.order_id,
        "clientOrderId": change.client_id,
        "time": change.time,
        "amendment": {
            "price": {"before": plain(change.price_before), "after": plain(change.price)},
            "origQty": {"before": plain(change.quantity_before), "after": plain(change.quantity)},
            "count": change.count,
        },
    }


def force_order(order: Order, symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/forceOrders."""
    shown = render_queried(order, symbol)
    return {name: value for name, value in shown.items() if name not in _NOT_OF_LIQUIDATIONS}
