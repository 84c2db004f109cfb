"""The wallet of spot (/sapi): coins, permissions, fees and transfers."""

from __future__ import annotations

from decimal import Decimal

from exit_shim.exchange.engine.account import SpotAccount, Transfer
from exit_shim.exchange.engine.numbers import ZERO, fixed, plain
from exit_shim.exchange.engine.symbols import Symbol

Json = dict[str, object]
_SPOT_FEE = "0.001"


def coin(asset: str, free: Decimal) -> Json:
    """Return an element of GET /sapi/v1/capital/config/getall: nothing can be deposited or withdrawn."""
    return {
        "coin": asset,
        "depositAllEnable": False,
        "free": fixed(free, 8),
        "freeze": "0",
        "ipoable": "0",
        "ipoing": "0",
        "isLegalMoney": False,
        "locked": "0",
        "name": asset,
        "networkList": [_network(asset)],
        "storage": "0",
        "trading": True,
        "withdrawAllEnable": False,
        "withdrawing": "0",
    }


def user_asset(asset: str, free: Decimal, in_btc: Decimal) -> Json:
    """Return an element of POST /sapi/v3/asset/getUserAsset."""
    return {
        "asset": asset,
        "free": plain(free),
        "locked": "0",
        "freeze": "0",
        "withdrawing": "0",
        "ipoable": "0",
        "btcValuation": fixed(in_btc, 8) if in_btc else "0",
    }


def wallets(spot: Decimal, futures: Decimal) -> list[Json]:
    """Return the answer to GET /sapi/v1/asset/wallet/balance: the value of each wallet."""
    held = {"Spot": spot, "Funding": ZERO, "Cross Margin": ZERO, "USDⓈ-M Futures": futures}
    return [
        {"activate": bool(value), "balance": plain(value), "walletName": name} for name, value in held.items()
    ]


def api_restrictions(created: int, *, can_trade: bool, from_anywhere: bool) -> Json:
    """Return the answer to GET /sapi/v1/account/apiRestrictions."""
    return {
        "ipRestrict": not from_anywhere,
        "createTime": created,
        "enableReading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": can_trade,
        "permitsUniversalTransfer": can_trade,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": can_trade,
        "enablePortfolioMarginTrading": can_trade,
    }


def api_trading_status() -> Json:
    """Return the answer to GET /sapi/v1/account/apiTradingStatus."""
    return {
        "data": {
            "isLocked": False,
            "plannedRecoverTime": 0,
            "triggerCondition": {"GCR": 150, "IFER": 150, "UFR": 300},
            "updateTime": 0,
        }
    }


def account_info() -> Json:
    """Return the answer to GET /sapi/v1/account/info."""
    return {
        "vipLevel": 0,
        "isMarginEnabled": False,
        "isFutureEnabled": True,
        "isOptionsEnabled": False,
        "isPortfolioMarginRetailEnabled": False,
    }


def trade_fee(symbol: Symbol) -> Json:
    """Return an element of GET /sapi/v1/asset/tradeFee."""
    return {"symbol": symbol.name, "makerCommission": _SPOT_FEE, "takerCommission": _SPOT_FEE}


def futures_transfer(moved: Transfer) -> Json:
    """Return an element of GET /sapi/v1/futures/transfer."""
    return {
        "asset": moved.asset,
        "tranId": moved.tran_id,
        "amount": plain(moved.amount),
        "type": "1" if moved.to_futures else "2",
        "timestamp": moved.time,
        "status": "CONFIRMED",
    }


def universal_transfer(moved: Transfer) -> Json:
    """Return an element of GET /sapi/v1/asset/transfer."""
    return {
        "asset": moved.asset,
        "amount": plain(moved.amount),
        "type": "MAIN_UMFUTURE" if moved.to_futures else "UMFUTURE_MAIN",
        "status": "CONFIRMED",
        "tranId": moved.tran_id,
        "timestamp": moved.time,
    }


def held_assets(spot: SpotAccount, symbols: list[Symbol]) -> dict[str, Decimal]:
    """Return every coin with its balance in the spot account."""
    names = ["USDT", *spot.balances, *(symbol.base for symbol in symbols)]
    return {name: spot.balances.get(name, ZERO) for name in names}


def _network(asset: str) -> Json:
    return {
        "addressRegex": "",
        "coin": asset,
        "depositDesc": "Nothing can be deposited here.",
        "depositEnable": False,
        "isDefault": True,
        "memoRegex": "",
        "minConfirm": 1,
        "name": asset,
        "network": asset,
        "resetAddressStatus": False,
        "specialTips": "",
        "unLockConfirm": 0,
        "withdrawDesc": "Nothing can be withdrawn here.",
        "withdrawEnable": False,
        "withdrawFee": "0",
        "withdrawIntegerMultiple": "0.00000001",
        "withdrawMax": "0",
        "withdrawMin": "0",
        "sameAddress": False,
        "estimatedArrivalTime": 0,
        "busy": False,
        "contractAddressUrl": "",
        "contractAddress": "",
    }
