"""Handlers of the wallet (/sapi): reads of clients before they trade futures, and transfers."""

from __future__ import annotations

from decimal import Decimal

from exit_shim.exchange.engine import spot_account
from exit_shim.exchange.engine.account import Transfer
from exit_shim.exchange.engine.errors import INVALID_PARAMETER, UNSUPPORTED
from exit_shim.exchange.engine.numbers import ZERO
from exit_shim.exchange.engine.symbols import ONBOARDED
from exit_shim.exchange.engine.views import wallet as views

from .api_call import ApiCall, Json
from .paging import read_window

_TO_FUTURES = {"MAIN_UMFUTURE": True, "UMFUTURE_MAIN": False, "1": True, "2": False}
_ELSEWHERE = "USDT can be moved between spot and USDⓈ-M futures only."
LARGEST_PAGE = 100


def system_status(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /sapi/v1/system/status."""
    return {"status": 0, "msg": "normal"}


def account_status(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /sapi/v1/account/status."""
    return {"data": "Normal"}


def account_info(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /sapi/v1/account/info."""
    return views.account_info()


def api_trading_status(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /sapi/v1/account/apiTradingStatus."""
    return views.api_trading_status()


def api_restrictions(call: ApiCall) -> Json:
    """Answer GET /sapi/v1/account/apiRestrictions: a key that gets here may read."""
    key = call.permissions
    return views.api_restrictions(
        ONBOARDED,
        can_trade=key is None or key.can_trade,
        from_anywhere=key is None or key.addresses is None,
    )


def coins(call: ApiCall) -> Json:
    """Answer GET /sapi/v1/capital/config/getall."""
    return [views.coin(asset, free) for asset, free in _assets(call).items()]


def user_assets(call: ApiCall) -> Json:
    """Answer POST /sapi/v3/asset/getUserAsset: assets with a balance, or the requested one."""
    asset, wants_value = call.params.text("asset"), call.params.boolean("needBtcValuation")
    held = {name: free for name, free in call.engine.state.spot.balances.items() if free}
    return [
        views.user_asset(name, free, _in_btc(call, name, free) if wants_value else ZERO)
        for name, free in held.items()
        if asset in {None, name}
    ]


def wallet_balances(call: ApiCall) -> Json:
    """Answer GET /sapi/v1/asset/wallet/balance, in BTC unless USDT is asked for."""
    state, unit = call.engine.state, call.params.text("quoteAsset") or "BTC"
    spot = sum((_in_btc(call, name, free) for name, free in state.spot.balances.items()), ZERO)
    futures = _in_btc(call, "USDT", state.account.wallet)
    price = _price(call, "BTC") if unit == "USDT" else Decimal(1)
    return views.wallets(round(spot * price, 8), round(futures * price, 8))


def trade_fees(call: ApiCall) -> Json:
    """Answer GET /sapi/v1/asset/tradeFee."""
    name, state = call.params.text("symbol"), call.engine.state
    return [views.trade_fee(symbol) for symbol in ([state.symbol(name)] if name else state.symbols.values())]


def bnb_burn(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /sapi/v1/bnbBurn: commission is paid in USDT."""
    return {"spotBNBBurn": False, "interestBNBBurn": False}


def list_nothing(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer the lists that are always empty: margin pairs, margin assets, deposits, withdrawals."""
    return []


def transfer(call: ApiCall) -> Json:
    """Answer POST /sapi/v1/futures/transfer and /sapi/v1/asset/transfer.

    Raises:
        ExchangeError: -1020 for another wallet.
    """
    kind = call.params.required("type")
    asset, amount = call.params.required("asset"), call.params.required_decimal("amount")
    if kind not in _TO_FUTURES:
        raise UNSUPPORTED.error(_ELSEWHERE)
    moved = spot_account.transfer(call.engine.state, asset, amount, to_futures=_TO_FUTURES[kind])
    return {"tranId": moved.tran_id}


def futures_transfers(call: ApiCall) -> Json:
    """Answer GET /sapi/v1/futures/transfer, the newest first."""
    asset = call.params.text("asset")
    moved = [row for row in _in_window(call) if asset in {None, row.asset}]
    return {"rows": [views.futures_transfer(row) for row in _page(call, moved)], "total": len(moved)}


def universal_transfers(call: ApiCall) -> Json:
    """Answer GET /sapi/v1/asset/transfer, the newest first."""
    to_futures = _TO_FUTURES.get(call.params.required("type"))
    moved = [row for row in _in_window(call) if row.to_futures is to_futures]
    return {"total": len(moved), "rows": [views.universal_transfer(row) for row in _page(call, moved)]}


def _in_window(call: ApiCall) -> list[Transfer]:
    start, end = read_window(call.params, call.engine.now())
    return [row for row in reversed(call.engine.state.spot.transfers) if start <= row.time <= end]


def _page(call: ApiCall, moved: list[Transfer]) -> list[Transfer]:
    size, page = call.params.integer("size") or 10, call.params.integer("current") or 1
    if size > LARGEST_PAGE:
        raise INVALID_PARAMETER.error("size")
    return moved[(page - 1) * size : page * size]


def _assets(call: ApiCall) -> dict[str, Decimal]:
    return views.held_assets(call.engine.state.spot, list(call.engine.state.symbols.values()))


def _in_btc(call: ApiCall, asset: str, amount: Decimal) -> Decimal:
    bitcoin = _price(call, "BTC")
    return amount * _price(call, asset) / bitcoin if bitcoin else ZERO


def _price(call: ApiCall, asset: str) -> Decimal:
    """Return the last price of a coin in USDT, 0 if it does not trade."""
    if asset == "USDT":
        return Decimal(1)
    name, state = f"{asset}USDT", call.engine.state
    return state.quotes[name].last if name in state.symbols else ZERO
