"""Handlers of the account, its positions, settings and stream keys."""

from __future__ import annotations

from exit_shim.testing.exchange.errors import INVALID_PARAMETER, MANDATORY
from exit_shim.testing.exchange.views import account as views
from exit_shim.testing.exchange.views.market import order_limits as order_limits_view

from .call import Call, Json

SUCCESS: dict[str, object] = {"code": 200, "msg": "success"}


def position_risk_v2(call: Call) -> Json:
    """GET /fapi/v2/positionRisk."""
    return views.position_risk_v2(call.engine.state, _symbol(call))


def position_risk_v3(call: Call) -> Json:
    """GET /fapi/v3/positionRisk."""
    return views.position_risk_v3(call.engine.state, _symbol(call))


def account_v2(call: Call) -> Json:
    """GET /fapi/v2/account."""
    return views.account_v2(call.engine.state)


def account_v3(call: Call) -> Json:
    """GET /fapi/v3/account."""
    return views.account_v3(call.engine.state)


def balance(call: Call) -> Json:
    """GET /fapi/v2/balance and /fapi/v3/balance."""
    return views.balance(call.engine.state)


def leverage(call: Call) -> Json:
    """POST /fapi/v1/leverage."""
    symbol, wanted = call.params.required("symbol"), call.params.required_integer("leverage")
    limit = call.engine.set_leverage(symbol, wanted)
    return {"leverage": wanted, "maxNotionalValue": f"{limit:f}", "symbol": symbol}


def margin_type(call: Call) -> Json:
    """POST /fapi/v1/marginType."""
    symbol = call.params.required("symbol")
    call.params.required("marginType")
    wanted = call.params.choice("marginType", ("ISOLATED", "CROSSED"), INVALID_PARAMETER)
    call.engine.set_margin_type(symbol, wanted or "CROSSED")
    return dict(SUCCESS)


def set_position_mode(call: Call) -> Json:
    """POST /fapi/v1/positionSide/dual."""
    wanted = call.params.boolean("dualSidePosition")
    if wanted is None:
        raise MANDATORY.error("dualsideposition")
    call.engine.set_hedge_mode(wanted)
    return dict(SUCCESS)


def position_mode(call: Call) -> Json:
    """GET /fapi/v1/positionSide/dual."""
    return {"dualSidePosition": call.engine.hedge_mode}


def symbol_config(call: Call) -> Json:
    """GET /fapi/v1/symbolConfig."""
    return views.symbol_config(call.engine.state, _symbol(call))


def order_limits(call: Call) -> Json:  # noqa: ARG001 - every handler takes the call
    """GET /fapi/v1/rateLimit/order."""
    return order_limits_view()


def open_stream(call: Call) -> Json:
    """POST /fapi/v1/listenKey: a live key is extended and returned again."""
    return {"listenKey": call.engine.listen_keys.open(call.api_key, call.engine.now())}


def keep_stream(call: Call) -> Json:
    """PUT /fapi/v1/listenKey."""
    return {"listenKey": call.engine.listen_keys.keep_alive(call.api_key, call.engine.now())}


def close_stream(call: Call) -> Json:
    """DELETE /fapi/v1/listenKey."""
    call.engine.close_listen_key(call.api_key)
    return {}


def _symbol(call: Call) -> str | None:
    name = call.params.text("symbol")
    return call.engine.state.symbol(name).name if name else None
