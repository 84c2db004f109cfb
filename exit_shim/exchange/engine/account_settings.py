"""Leverage, margin type and position mode."""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .errors import (
    INVALID_LEVERAGE,
    ISOLATED_WITH_MULTI_ASSETS,
    LEVERAGE_TOO_SMALL,
    LOWER_LEVERAGE_ISOLATED,
    MARGIN_TYPE_HAS_ORDERS,
    MARGIN_TYPE_HAS_POSITION,
    MAX_POSITION,
    MULTI_ASSETS_WITH_ISOLATED,
    MULTI_ASSETS_WITH_ORDERS,
    POSITION_SIDE_HAS_ORDERS,
    POSITION_SIDE_HAS_POSITION,
    SAME_ASSETS_MODE,
    SAME_MARGIN_TYPE,
    SAME_POSITION_SIDE_MODE,
)
from .margin import unrealised
from .numbers import ZERO
from .state import State


def set_leverage(state: State, symbol: str, leverage: int) -> Decimal:
    """Change the leverage of a symbol and return the largest position it permits, in USDT.

    Raises:
        ExchangeError: -4028, -2027 for a position too large for it, -2028 for too little margin, -4161 for
            less than an isolated position was opened with.
    """
    contract = state.symbol(symbol)
    if not 1 <= leverage <= contract.max_leverage:
        raise INVALID_LEVERAGE.error(leverage)
    limit = contract.max_notional(leverage)
    mark = state.quotes[symbol].mark
    position_value = sum((abs(p.amount) * mark for p in state.open_positions() if p.symbol == symbol), ZERO)
    settings = state.account.of(symbol)
    if position_value and settings.margin_type == "ISOLATED" and leverage < settings.leverage:
        raise LOWER_LEVERAGE_ISOLATED.error()
    if position_value > limit:
        raise MAX_POSITION.error()
    if position_value / leverage > state.account.wallet + unrealised(state):
        raise LEVERAGE_TOO_SMALL.error()
    settings.leverage = leverage
    emission.emit_leverage(state, symbol)
    return limit


def set_margin_type(state: State, symbol: str, margin_type: str) -> None:
    """Change a symbol to CROSSED or ISOLATED.

    Raises:
        ExchangeError: -4046, -4047, -4048, or -4168 in Multi-Assets mode.
    """
    state.symbol(symbol)
    settings = state.account.of(symbol)
    if settings.margin_type == margin_type:
        raise SAME_MARGIN_TYPE.error()
    if state.account.multi_assets:
        raise ISOLATED_WITH_MULTI_ASSETS.error()
    if state.orders.open_of(symbol) or state.algos.open(symbol):
        raise MARGIN_TYPE_HAS_ORDERS.error()
    if any(position.symbol == symbol for position in state.open_positions()):
        raise MARGIN_TYPE_HAS_POSITION.error()
    settings.margin_type = margin_type
    sides = ("LONG", "SHORT") if state.account.hedge_mode else ("BOTH",)
    flat = [state.position(symbol, side) for side in sides]
    emission.emit_account(state, "MARGIN_TYPE_CHANGE", *flat, moves_wallet=False)


def set_hedge_mode(state: State, hedge_mode: bool) -> None:
    """Change the account between one-way and hedge mode.

    Raises:
        ExchangeError: -4059, -4067 or -4068; conditional orders count as open orders.
    """
    if state.account.hedge_mode is hedge_mode:
        raise SAME_POSITION_SIDE_MODE.error()
    if next(state.orders.open(), None) or state.algos.open_count:
        raise POSITION_SIDE_HAS_ORDERS.error()
    if state.open_positions():
        raise POSITION_SIDE_HAS_POSITION.error()
    state.account.hedge_mode = hedge_mode


def set_multi_assets(state: State, multi_assets: bool) -> None:
    """Change the account between Single-Asset and Multi-Assets mode; there is one asset all the same.

    Raises:
        ExchangeError: -4171, -4167 or -4170.
    """
    if state.account.multi_assets is multi_assets:
        raise SAME_ASSETS_MODE.error()
    if any(chosen.margin_type == "ISOLATED" for chosen in state.account.settings.values()):
        raise MULTI_ASSETS_WITH_ISOLATED.error()
    if next(state.orders.open(), None):
        raise MULTI_ASSETS_WITH_ORDERS.error()
    state.account.multi_assets = multi_assets
    emission.emit_assets_mode(state)
