"""The endpoints of Binance that this exchange lacks, with the reasons that clients get.

A key is "METHOD path", or the beginning of a path that ends with "/", whatever the method.
"""

from __future__ import annotations

from collections.abc import Iterator

_DOWNLOADS = "Downloads are not made: page through the list of the same name instead."
_CONVERT = "Converting assets is not modelled: the futures wallet holds USDT only."
_SPOT_ORDERS = "Spot orders are not modelled: trade USDⓈ-M futures (POST /fapi/v1/order)."
_SPOT_LISTS = "Spot order lists are not modelled, since there are no spot orders."
_MARGIN = "Margin trading is not modelled: there are no loans, and no margin accounts."
_PORTFOLIO = "Of portfolio margin only its USDⓈ-M and COIN-M accounts are modelled."
_COIN_CONDITIONAL = "Conditional orders of COIN-M are placed by POST /dapi/v1/algoOrder here."
_COIN_MARGIN = "The margin of COIN-M is not modelled: its wallet is fixed, and nothing of it can be isolated."
_EARN = "Earning, staking, lending and loans are not modelled."
_SUB_ACCOUNTS = "There is one account: sub-accounts, brokers and managed accounts are not modelled."
_WALLET = "Nothing can be deposited or withdrawn: move USDT by POST /sapi/v1/futures/transfer."
_PRODUCT = "This product of Binance has nothing to do with futures and is not modelled."
_ALGO_STRATEGIES = "TWAP and VP orders are not modelled: place the parts by POST /fapi/v1/order."
_KEY_SETTINGS = "Settings of an API key are made where the exchange is started, not by requests."

EXACT: dict[str, str] = {
    # USDⓈ-M
    **{
        f"GET /fapi/v1/{name}/asyn{tail}": _DOWNLOADS
        for name in ("income", "order", "trade")
        for tail in ("", "/id")
    },
    "GET /fapi/v1/convert/exchangeInfo": _CONVERT,
    "GET /fapi/v1/convert/orderStatus": _CONVERT,
    "POST /fapi/v1/convert/getQuote": _CONVERT,
    "POST /fapi/v1/convert/acceptQuote": _CONVERT,
    "GET /fapi/v1/pmAccountInfo": "Classic portfolio margin is not modelled: read GET /papi/v1/account.",
    "GET /fapi/v1/pmExchangeInfo": "Classic portfolio margin is not modelled.",
    "GET /fapi/v1/rpiDepth": "RPI orders are ordinary ones here: read GET /fapi/v1/depth.",
    "GET /fapi/v1/indexInfo": "Composite index symbols are not modelled.",
    "GET /fapi/v1/apiReferral/ifNewUser": "Referrals are not modelled.",
    "GET /fapi/v1/insuranceBalance": "The insurance fund pays without a balance of its own.",
    "GET /fapi/v1/assetIndex": "Multi-Assets mode is a switch without an effect: assets have no index.",
    "GET /fapi/v1/symbolAdlRisk": "Auto-deleveraging is not modelled.",
    "GET /fapi/v1/tradingSchedule": "Only coins are traded, at all hours.",
    "POST /fapi/v1/stock/contract": "Contracts on shares are not modelled.",
    # COIN-M
    **{
        f"GET /dapi/v1/{name}/asyn{tail}": _DOWNLOADS
        for name in ("income", "order", "trade")
        for tail in ("", "/id")
    },
    "GET /dapi/v1/pmAccountInfo": "Classic portfolio margin is not modelled: read GET /papi/v1/account.",
    "GET /dapi/v1/pmExchangeInfo": "Classic portfolio margin is not modelled.",
    "POST /dapi/v1/marginType": _COIN_MARGIN,
    "POST /dapi/v1/positionMargin": _COIN_MARGIN,
    "GET /dapi/v1/positionMargin/history": _COIN_MARGIN,
    # Spot
    **{
        f"{method} /api/v3/{name}": _SPOT_ORDERS
        for method, name in (
            ("POST", "order"),
            ("DELETE", "order"),
            ("GET", "order"),
            ("POST", "order/test"),
            ("POST", "order/cancelReplace"),
            ("PUT", "order/amend/keepPriority"),
            ("GET", "order/amendments"),
            ("DELETE", "openOrders"),
            ("POST", "sor/order"),
            ("POST", "sor/order/test"),
        )
    },
    **{
        f"{method} /api/v3/{name}": _SPOT_LISTS
        for method, name in (
            ("POST", "order/oco"),
            ("POST", "orderList/oco"),
            ("POST", "orderList/oto"),
            ("POST", "orderList/otoco"),
            ("POST", "orderList/opo"),
            ("POST", "orderList/opoco"),
            ("GET", "orderList"),
            ("DELETE", "orderList"),
        )
    },
    # The wallet
    "POST /sapi/v1/userListenToken": _MARGIN,
    **{f"{method} /sapi/v1/userDataStream": _MARGIN for method in ("POST", "PUT", "DELETE")},
    "GET /sapi/v1/accountSnapshot": "Daily snapshots are not kept: read GET /fapi/v3/account.",
    "POST /sapi/v1/bnbBurn": "Commission is paid in USDT only.",
    "POST /sapi/v1/disableFastWithdrawSwitch": _WALLET,
    "POST /sapi/v1/enableFastWithdrawSwitch": _WALLET,
    "GET /sapi/v1/futures/data/histDataLink": _DOWNLOADS,
    "GET /sapi/v1/futures/histDataLink": _DOWNLOADS,
    # Portfolio margin
    **{
        f"GET /papi/v1/um/{name}/asyn{tail}": _DOWNLOADS
        for name in ("income", "order", "trade")
        for tail in ("", "/id")
    },
    "POST /papi/v1/marginLoan": _MARGIN,
    "POST /papi/v1/repayLoan": _MARGIN,
    "POST /papi/v1/asset-collection": _PORTFOLIO,
    "POST /papi/v1/auto-collection": _PORTFOLIO,
    "POST /papi/v1/bnb-transfer": _PORTFOLIO,
    "GET /papi/v1/repay-futures-switch": _PORTFOLIO,
    "POST /papi/v1/repay-futures-switch": _PORTFOLIO,
    "POST /papi/v1/repay-futures-negative-balance": _PORTFOLIO,
    "GET /papi/v1/negative-balance-exchange-record": _PORTFOLIO,
}
"""The endpoints that are refused one by one."""

BELOW: dict[str, str] = {
    "/papi/v1/margin/": _MARGIN,
    "/papi/v1/portfolio/": _PORTFOLIO,
    "/papi/v1/cm/conditional/": _COIN_CONDITIONAL,
    "/eapi/v1/": "Options are not modelled.",
    "/bapi/": "What Binance's website asks for is not modelled: read GET /api/v3/ticker/24hr.",
    **{f"/sapi/v1/{name}/": _MARGIN for name in ("margin", "userDataStream", "portfolio")},
    "/sapi/v2/portfolio/": _MARGIN,
    **{f"/sapi/v1/{name}/": _WALLET for name in ("account", "asset", "capital", "fiat", "localentity")},
    "/sapi/v2/localentity/": _WALLET,
    "/sapi/v1/algo/": _ALGO_STRATEGIES,
    "/sapi/v1/account/apiRestrictions/": _KEY_SETTINGS,
    "/sapi/v1/convert/": _CONVERT,
    **{f"/sapi/v{version}/broker/": _SUB_ACCOUNTS for version in (1, 2, 3)},
    **{f"/sapi/v{version}/sub-account/": _SUB_ACCOUNTS for version in (1, 2, 4)},
    "/sapi/v1/managed-subaccount/": _SUB_ACCOUNTS,
    "/sapi/v1/copyTrading/": _SUB_ACCOUNTS,
    **{
        f"/sapi/v1/{name}/": _EARN
        for name in (
            *("dci", "eth-staking", "lending", "loan", "simple-earn", "sol-staking", "staking"),
            *("bfusd", "rwusd", "onchain-yields", "soft-staking", "futures/loan"),
        )
    },
    **{f"/sapi/v2/{name}/": _EARN for name in ("eth-staking", "loan", "futures/loan")},
    **{f"/sapi/v1/{name}/": _PRODUCT for name in ("c2c", "giftcard", "mining", "pay", "nft", "rebate")},
}
"""The groups of endpoints that are refused as a whole, but for those that are answered."""

GONE: dict[str, str] = {
    "/papi/v1/um/conditional/": "Binance took it away on 2026-04-28: use /papi/v1/um/algo/order.",
    **{
        f"{method} /fapi/v1/batchOrder": "Binance has /fapi/v1/batchOrders."
        for method in ("POST", "PUT", "DELETE")
    },
    "POST /api/v3/cancelReplace": "Binance has /api/v3/order/cancelReplace.",
    "/sapi/v1//margin/": "Binance has the path with one slash.",
    "POST /papi/v1/ping": "Binance has it as GET.",
}
"""Paths that clients still call and Binance no longer has; the reason is only noted."""


RETIRED: dict[str, str] = {"GET /fapi/v1/positionRisk": "GET /fapi/v2/positionRisk"}
"""What Binance answers with the name of its successor (ccxt/ccxt#18853)."""


def find_refusal(method: str, path: str) -> str | None:
    """Return why an endpoint of Binance is refused, None if Binance does not have it."""
    return None if find_gone(method, path) else _find(EXACT, method, path) or _find(BELOW, method, path)


def find_gone(method: str, path: str) -> str | None:
    """Return why Binance removed a path, None for any other path."""
    return _find(GONE, method, path)


def _find(table: dict[str, str], method: str, path: str) -> str | None:
    exact = table.get(f"{method} {path}")
    return exact or next((table[above] for above in _above(path) if above in table), None)


def _above(path: str) -> Iterator[str]:
    # The nearest first: "/a/b/c" is below "/a/b/", "/a/" and "/".
    while path:
        path = path.rstrip("/").rpartition("/")[0]
        yield f"{path}/"
