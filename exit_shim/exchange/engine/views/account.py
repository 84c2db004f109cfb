"""Positions, balances and the account, in the versions that clients still call."""

from __future__ import annotations

from decimal import Decimal

from exit_shim.exchange.engine.account import TAKER_RATE
from exit_shim.exchange.engine.liquidation import liquidation_price
from exit_shim.exchange.engine.margin import (
    Exposure,
    Margins,
    active_positions,
    available,
    cross_unrealised,
    cross_wallet,
    exposure,
    is_isolated,
    maintenance,
    margins,
    unrealised,
    unrealised_of,
)
from exit_shim.exchange.engine.numbers import ZERO, fixed, short
from exit_shim.exchange.engine.positions import Position
from exit_shim.exchange.engine.state import State

Json = dict[str, object]


def every_position(state: State, symbol: str | None) -> list[Position]:
    """Return a row for each symbol (two in hedge mode), traded or not, as the v2 endpoints list them."""
    names = [symbol] if symbol else sorted(state.symbols)
    sides = ("LONG", "SHORT") if state.account.hedge_mode else ("BOTH",)
    return [state.position(name, side) for name in names for side in sides]


def position_risk_v3(state: State, symbol: str | None) -> list[Json]:
    """Return the answer to GET /fapi/v3/positionRisk: symbols with a position or open orders."""
    rows = active_positions(state)
    return [position_risk_row(state, row) for row in rows if symbol is None or row.symbol == symbol]


def position_risk_v2(state: State, symbol: str | None) -> list[Json]:
    """Return the answer to GET /fapi/v2/positionRisk: every symbol, with leverage and margin type."""
    return [position_risk_v2_row(state, row) for row in every_position(state, symbol)]


def balance(state: State) -> list[Json]:
    """Return the answer to GET /fapi/v2/balance and /fapi/v3/balance: one row, USDT."""
    free = _money(available(state))
    return [
        {
            "accountAlias": "SgsR",
            "asset": "USDT",
            "balance": _money(state.account.wallet),
            "crossWalletBalance": _money(cross_wallet(state)),
            "crossUnPnl": _money(cross_unrealised(state)),
            "availableBalance": free,
            "maxWithdrawAmount": free,
            "marginAvailable": True,
            "updateTime": state.account.update_time,
        }
    ]


def account_v2(state: State) -> Json:
    """Return the answer to GET /fapi/v2/account: totals, assets and a row for every symbol."""
    return {
        "feeTier": 0,
        "feeBurn": state.account.fee_burn,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "tradeGroupId": -1,
        "updateTime": 0,
        "multiAssetsMargin": state.account.multi_assets,
        **_totals(state),
        "assets": [asset_of(state)],
        "positions": [position_row_v2(state, row) for row in every_position(state, None)],
    }


def account_v3(state: State) -> Json:
    """Return the answer to GET /fapi/v3/account: totals, assets, active symbols."""
    return {
        **_totals(state),
        "assets": [asset_of(state)],
        "positions": [position_row_v3(state, row) for row in active_positions(state)],
    }


def symbol_config(state: State, symbol: str | None) -> list[Json]:
    """Return the answer to GET /fapi/v1/symbolConfig: where leverage and margin type live now."""
    return [_config(state, name) for name in ([symbol] if symbol else sorted(state.symbols))]


def break_even(position: Position) -> Decimal:
    """Return the price at which closing earns back the opening commission."""
    return position.entry * (1 + (TAKER_RATE if position.amount > 0 else -TAKER_RATE))


def _money(value: Decimal) -> str:
    return fixed(value, 8)


def _totals(state: State) -> Json:
    rows = active_positions(state)
    bound = [margins(state, row) for row in rows]
    profit = unrealised(state)
    free = _money(available(state))
    return {
        "totalInitialMargin": _money(sum((row.initial for row in bound), ZERO)),
        "totalMaintMargin": _money(sum((maintenance(state, row) for row in rows), ZERO)),
        "totalWalletBalance": _money(state.account.wallet),
        "totalUnrealizedProfit": _money(profit),
        "totalMarginBalance": _money(state.account.wallet + profit),
        "totalPositionInitialMargin": _money(sum((row.position for row in bound), ZERO)),
        "totalOpenOrderInitialMargin": _money(sum((row.orders for row in bound), ZERO)),
        "totalCrossWalletBalance": _money(cross_wallet(state)),
        "totalCrossUnPnl": _money(cross_unrealised(state)),
        "availableBalance": free,
        "maxWithdrawAmount": free,
    }


def asset_of(state: State) -> Json:
    """Return an element of the assets of GET /fapi/v2/account and /fapi/v3/account: USDT."""
    totals = _totals(state)
    return {
        "asset": "USDT",
        "walletBalance": totals["totalWalletBalance"],
        "unrealizedProfit": totals["totalUnrealizedProfit"],
        "marginBalance": totals["totalMarginBalance"],
        "maintMargin": totals["totalMaintMargin"],
        "initialMargin": totals["totalInitialMargin"],
        "positionInitialMargin": totals["totalPositionInitialMargin"],
        "openOrderInitialMargin": totals["totalOpenOrderInitialMargin"],
        "maxWithdrawAmount": totals["maxWithdrawAmount"],
        "crossWalletBalance": totals["totalCrossWalletBalance"],
        "crossUnPnl": totals["totalCrossUnPnl"],
        "availableBalance": totals["availableBalance"],
        "marginAvailable": True,
        "updateTime": state.account.update_time,
    }


def _amount(state: State, position: Position) -> str:
    return fixed(position.amount, state.symbols[position.symbol].quantity_precision)


def _price(value: Decimal) -> str:
    return short(value.quantize(Decimal("1e-12"))) if value else "0.0"


def _isolated(state: State, position: Position) -> tuple[str, str]:
    if not is_isolated(state, position.symbol) or not position.amount:
        return "0.00000000", "0.00000000"
    return _money(position.isolated + unrealised_of(state, position)), _money(position.isolated)


def _margin_fields(state: State, position: Position, bound: Margins) -> Json:
    return {
        "initialMargin": _money(bound.initial),
        "maintMargin": _money(maintenance(state, position)),
        "positionInitialMargin": _money(bound.position),
        "openOrderInitialMargin": _money(bound.orders),
    }


def _order_notionals(exposed: Exposure) -> Json:
    return {"bidNotional": short(exposed.bids), "askNotional": short(exposed.asks)}


def position_risk_row(state: State, position: Position) -> Json:
    """Return an element of GET /fapi/v3/positionRisk."""
    bound, exposed = margins(state, position), exposure(state, position)
    isolated_margin, isolated_wallet = _isolated(state, position)
    return {
        "symbol": position.symbol,
        "positionSide": position.side,
        "positionAmt": _amount(state, position),
        "entryPrice": _price(position.entry),
        "breakEvenPrice": _price(break_even(position)),
        "markPrice": _money(state.quotes[position.symbol].mark),
        "unRealizedProfit": _money(unrealised_of(state, position)),
        "liquidationPrice": _money(liquidation_price(state, position)) if position.amount else "0",
        "isolatedMargin": isolated_margin,
        "notional": _money(exposed.position),
        "marginAsset": "USDT",
        "isolatedWallet": isolated_wallet,
        **_margin_fields(state, position, bound),
        "adl": 1 if position.amount else 0,
        **_order_notionals(exposed),
        "updateTime": position.update_time,
    }


def position_risk_v2_row(state: State, position: Position) -> Json:
    """Return an element of GET /fapi/v2/positionRisk."""
    isolated_margin, isolated_wallet = _isolated(state, position)
    settings = state.account.of(position.symbol)
    mark = state.quotes[position.symbol].mark
    return {
        "symbol": position.symbol,
        "positionAmt": _amount(state, position),
        "entryPrice": _price(position.entry),
        "breakEvenPrice": _price(break_even(position)),
        "markPrice": _money(mark),
        "unRealizedProfit": _money(unrealised_of(state, position)),
        "liquidationPrice": _money(liquidation_price(state, position)) if position.amount else "0",
        "leverage": str(settings.leverage),
        "maxNotionalValue": _max_notional(state, position.symbol),
        "marginType": "cross" if settings.margin_type == "CROSSED" else "isolated",
        "isolatedMargin": isolated_margin,
        "isAutoAddMargin": "false",
        "positionSide": position.side,
        "notional": _money(position.amount * mark),
        "isolatedWallet": isolated_wallet,
        "updateTime": position.update_time,
    }


def position_row_v2(state: State, position: Position) -> Json:
    """Return an element of the positions of GET /fapi/v2/account."""
    bound, exposed = margins(state, position), exposure(state, position)
    settings = state.account.of(position.symbol)
    return {
        "symbol": position.symbol,
        "initialMargin": _money(bound.initial),
        "maintMargin": _money(maintenance(state, position)),
        "unrealizedProfit": _money(unrealised_of(state, position)),
        "positionInitialMargin": _money(bound.position),
        "openOrderInitialMargin": _money(bound.orders),
        "leverage": str(settings.leverage),
        "isolated": settings.margin_type == "ISOLATED",
        "entryPrice": _price(position.entry),
        "breakEvenPrice": _price(break_even(position)),
        "maxNotional": _max_notional(state, position.symbol),
        "positionSide": position.side,
        "positionAmt": _amount(state, position),
        "notional": _money(exposed.position),
        "isolatedWallet": _isolated(state, position)[1],
        "updateTime": position.update_time,
        **_order_notionals(exposed),
    }


def position_row_v3(state: State, position: Position) -> Json:
    """Return an element of the positions of GET /fapi/v3/account."""
    bound = margins(state, position)
    isolated_margin, isolated_wallet = _isolated(state, position)
    return {
        "symbol": position.symbol,
        "positionSide": position.side,
        "positionAmt": _amount(state, position),
        "unrealizedProfit": _money(unrealised_of(state, position)),
        "isolatedMargin": isolated_margin,
        "notional": _money(exposure(state, position).position),
        "isolatedWallet": isolated_wallet,
        "initialMargin": _money(bound.initial),
        "maintMargin": _money(maintenance(state, position)),
        "updateTime": position.update_time,
    }


def _max_notional(state: State, symbol: str) -> str:
    return f"{state.symbols[symbol].max_notional(state.account.of(symbol).leverage):f}"


def _config(state: State, symbol: str) -> Json:
    settings = state.account.of(symbol)
    return {
        "symbol": symbol,
        "marginType": settings.margin_type,
        "isAutoAddMargin": False,
        "leverage": settings.leverage,
        "maxNotionalValue": _max_notional(state, symbol),
    }
