"""The endpoints of the wallet (/sapi) that clients of futures call. All others are refused."""

from __future__ import annotations

from exit_shim.exchange.http import wallet
from exit_shim.exchange.http.route import Route, Routes, Security

_PUBLIC, _KEY = Security.NONE, Security.KEY

SAPI: Routes = {
    ("GET", "/sapi/v1/system/status"): Route(wallet.system_status, _PUBLIC),
    ("GET", "/sapi/v1/account/status"): Route(wallet.account_status),
    ("GET", "/sapi/v1/account/info"): Route(wallet.account_info),
    ("GET", "/sapi/v1/account/apiTradingStatus"): Route(wallet.api_trading_status),
    ("GET", "/sapi/v1/account/apiRestrictions"): Route(wallet.api_restrictions),
    ("GET", "/sapi/v1/capital/config/getall"): Route(wallet.coins, weight=10),
    ("GET", "/sapi/v1/capital/deposit/hisrec"): Route(wallet.list_nothing),
    ("GET", "/sapi/v1/capital/withdraw/history"): Route(wallet.list_nothing),
    ("GET", "/sapi/v1/asset/tradeFee"): Route(wallet.trade_fees),
    ("POST", "/sapi/v3/asset/getUserAsset"): Route(wallet.user_assets, weight=5),
    ("POST", "/sapi/v1/asset/get-funding-asset"): Route(wallet.list_nothing),
    ("GET", "/sapi/v1/asset/wallet/balance"): Route(wallet.wallet_balances, weight=60),
    ("POST", "/sapi/v1/asset/transfer"): Route(wallet.transfer),
    ("GET", "/sapi/v1/asset/transfer"): Route(wallet.universal_transfers),
    ("POST", "/sapi/v1/futures/transfer"): Route(wallet.transfer),
    ("GET", "/sapi/v1/futures/transfer"): Route(wallet.futures_transfers, weight=10),
    ("GET", "/sapi/v1/bnbBurn"): Route(wallet.bnb_burn),
    ("GET", "/sapi/v1/margin/allPairs"): Route(wallet.list_nothing, _KEY),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(wallet.list_nothing, _KEY),
    ("GET", "/sapi/v1/margin/allAssets"): Route(wallet.list_nothing, _KEY),
    ("GET", "/sapi/v1/spot/delist-schedule"): Route(wallet.list_nothing, _KEY, 100),
    ("GET", "/sapi/v1/margin/delist-schedule"): Route(wallet.list_nothing, _KEY, 100),
}
