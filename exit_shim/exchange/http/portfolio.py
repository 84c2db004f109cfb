"""Handlers of portfolio margin: its account, which holds the USDⓈ-M account only."""

from __future__ import annotations

from exit_shim.exchange.engine.errors import INVALID_PARAMETER
from exit_shim.exchange.engine.views import account as account_views
from exit_shim.exchange.engine.views import portfolio as views

from .api_call import ApiCall, Json


def account(call: ApiCall) -> Json:
    """Answer GET /papi/v1/account."""
    return views.account(call.engine.state)


def balance(call: ApiCall) -> Json:
    """Answer GET /papi/v1/balance: a list, or the requested asset."""
    asset = call.params.text("asset")
    if asset not in {None, "USDT"}:
        raise INVALID_PARAMETER.error("asset")
    row = views.balance(call.engine.state)
    return [row] if asset is None else row


def futures_account(call: ApiCall) -> Json:
    """Answer GET /papi/v1/um/account."""
    return views.futures_account_v1(call.engine.state)


def futures_account_v2(call: ApiCall) -> Json:
    """Answer GET /papi/v2/um/account."""
    return views.futures_account_v2(call.engine.state)


def position_risk(call: ApiCall) -> Json:
    """Answer GET /papi/v1/um/positionRisk."""
    name, state = call.params.text("symbol"), call.engine.state
    symbol = state.symbol(name).name if name else None
    return [views.position_risk(state, row) for row in account_views.every_position(state, symbol)]
