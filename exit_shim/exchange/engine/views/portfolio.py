"""Portfolio margin: the USDⓈ-M account in the form of /papi."""

from __future__ import annotations

from exit_shim.exchange.engine.margin import (
    active_positions,
    available,
    cross_unrealised,
    maintenance,
    margins,
    unrealised,
)
from exit_shim.exchange.engine.numbers import ZERO, fixed
from exit_shim.exchange.engine.positions import Position
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.views import account as futures_account

Json = dict[str, object]
#: uniMMR without a position.
NO_RISK = "99999999"


def account(state: State) -> Json:
    """Return the answer to GET /papi/v1/account."""
    rows = active_positions(state)
    maintenance_margin = sum((maintenance(state, row) for row in rows), ZERO)
    equity = state.account.wallet + unrealised(state)
    free = fixed(available(state), 8)
    return {
        "uniMMR": fixed(equity / maintenance_margin, 8) if maintenance_margin else NO_RISK,
        "accountEquity": fixed(equity, 8),
        "actualEquity": fixed(equity, 8),
        "accountInitialMargin": fixed(sum((margins(state, row).initial for row in rows), ZERO), 8),
        "accountMaintMargin": fixed(maintenance_margin, 8),
        "accountStatus": "NORMAL",
        "virtualMaxWithdrawAmount": free,
        "totalAvailableBalance": free,
        "totalMarginOpenLoss": "0.00000000",
        "updateTime": state.account.update_time,
    }


def balance(state: State) -> Json:
    """Return the element of GET /papi/v1/balance: USDT, all of it in the USDⓈ-M account."""
    nothing, wallet = "0.00000000", fixed(state.account.wallet, 8)
    return {
        "asset": "USDT",
        "totalWalletBalance": wallet,
        "crossMarginAsset": nothing,
        "crossMarginBorrowed": nothing,
        "crossMarginFree": nothing,
        "crossMarginInterest": nothing,
        "crossMarginLocked": nothing,
        "umWalletBalance": wallet,
        "umUnrealizedPNL": fixed(cross_unrealised(state), 8),
        "cmWalletBalance": nothing,
        "cmUnrealizedPNL": nothing,
        "updateTime": state.account.update_time,
        "negativeBalance": "0",
    }


def futures_account_v1(state: State) -> Json:
    """Return the answer to GET /papi/v1/um/account: a row for every symbol."""
    dropped = {"isolated", "isolatedWallet", "notional", "breakEvenPrice"}
    return {
        "tradeGroupId": -1,
        "assets": [_asset(state)],
        "positions": [
            _without(dropped, futures_account.position_row_v2(state, row))
            for row in futures_account.every_position(state, None)
        ],
    }


def futures_account_v2(state: State) -> Json:
    """Return the answer to GET /papi/v2/um/account: symbols with a position or open orders."""
    dropped = {"isolatedMargin", "isolatedWallet"}
    return {
        "assets": [_asset(state)],
        "positions": [
            _without(dropped, futures_account.position_row_v3(state, row)) for row in active_positions(state)
        ],
    }


def position_risk(state: State, position: Position) -> Json:
    """Return an element of GET /papi/v1/um/positionRisk."""
    dropped = {"marginType", "isolatedMargin", "isAutoAddMargin", "isolatedWallet"}
    return _without(dropped, futures_account.position_risk_v2_row(state, position))


def _without(dropped: set[str], row: Json) -> Json:
    return {name: value for name, value in row.items() if name not in dropped}


def _asset(state: State) -> Json:
    row = futures_account.asset_of(state)
    names = (
        *("asset", "crossWalletBalance", "crossUnPnl", "maintMargin", "initialMargin"),
        *("positionInitialMargin", "openOrderInitialMargin", "updateTime"),
    )
    return {name: row[name] for name in names}
