"""The endpoints of COIN-M; an exchange of its own answers them, most of them as that of USDⓈ-M does."""

from __future__ import annotations

from exit_shim.exchange.http import coin, futures_data
from exit_shim.exchange.http.route import Route, Routes, Security

from .futures import DEPTH_WEIGHTS, FUTURES, KLINE_WEIGHTS

_PUBLIC, _KEY = Security.NONE, Security.KEY

_SAME = (
    *("ping", "time", "order", "openOrder", "openOrders", "allOrders", "allOpenOrders", "batchOrders"),
    *("algoOrder", "openAlgoOrders", "allAlgoOrders", "algoOpenOrders", "leverage", "userTrades"),
    *("positionSide/dual", "countdownCancelAll", "listenKey", "income", "commissionRate", "constituents"),
    *("aggTrades", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines", "fundingRate", "fundingInfo"),
    *("adlQuantile", "forceOrders", "orderAmendment", "rateLimit/order"),
)
"""The names that answer as they do on USDⓈ-M."""

COIN: Routes = {
    **{
        (method, path.replace("/fapi/", "/dapi/")): route
        for (method, path), route in FUTURES.items()
        if path.removeprefix("/fapi/v1/") in _SAME
    },
    ("GET", "/dapi/v1/exchangeInfo"): Route(coin.exchange_info, _PUBLIC),
    ("GET", "/dapi/v1/premiumIndex"): Route(coin.premium_index, _PUBLIC, 10),
    ("GET", "/dapi/v1/ticker/price"): Route(coin.ticker_price, _PUBLIC, 1, 2),
    ("GET", "/dapi/v1/ticker/bookTicker"): Route(coin.book_ticker, _PUBLIC, 2, 5),
    ("GET", "/dapi/v1/ticker/24hr"): Route(coin.ticker_24h, _PUBLIC, 1, 40),
    ("GET", "/dapi/v1/klines"): Route(coin.klines, _PUBLIC, by_limit=KLINE_WEIGHTS),
    ("GET", "/dapi/v1/continuousKlines"): Route(coin.continuous_klines, _PUBLIC, by_limit=KLINE_WEIGHTS),
    ("GET", "/dapi/v1/depth"): Route(coin.depth, _PUBLIC, by_limit=DEPTH_WEIGHTS),
    ("GET", "/dapi/v1/trades"): Route(coin.trades, _PUBLIC, 5),
    ("GET", "/dapi/v1/historicalTrades"): Route(coin.historical_trades, _KEY, 20),
    ("GET", "/dapi/v1/openInterest"): Route(futures_data.coin_open_interest, _PUBLIC),
    ("GET", "/dapi/v1/account"): Route(coin.account, weight=5),
    ("GET", "/dapi/v1/balance"): Route(coin.balance),
    ("GET", "/dapi/v1/positionRisk"): Route(coin.position_risk),
    ("GET", "/dapi/v1/leverageBracket"): Route(coin.leverage_brackets),
    ("GET", "/dapi/v2/leverageBracket"): Route(coin.leverage_brackets),
    ("GET", "/futures/data/takerBuySellVol"): Route(futures_data.coin_taker_volume, _PUBLIC, 0),
}
