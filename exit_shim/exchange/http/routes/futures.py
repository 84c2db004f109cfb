"""The endpoints of USDⓈ-M futures."""

from __future__ import annotations

from exit_shim.exchange.http import (
    account,
    account_reads,
    algo,
    futures_data,
    market,
    market_data,
    market_trades,
    orders,
)
from exit_shim.exchange.http.route import Route, Routes, Security

KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (1500, 10))
DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1000, 20))
_PUBLIC, _KEY = Security.NONE, Security.KEY

FUTURES: Routes = {
    ("GET", "/fapi/v1/ping"): Route(market.ping, _PUBLIC),
    ("GET", "/fapi/v1/time"): Route(market.server_time, _PUBLIC),
    ("GET", "/fapi/v1/exchangeInfo"): Route(market.exchange_info, _PUBLIC),
    ("GET", "/fapi/v1/premiumIndex"): Route(market.premium_index, _PUBLIC, 1, 10),
    ("GET", "/fapi/v1/ticker/price"): Route(market.ticker_price, _PUBLIC, 1, 2),
    ("GET", "/fapi/v2/ticker/price"): Route(market.ticker_price, _PUBLIC, 1, 2),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(market.book_ticker, _PUBLIC, 2, 5),
    ("GET", "/fapi/v1/ticker/24hr"): Route(market_data.ticker_24h, _PUBLIC, 1, 40),
    ("GET", "/fapi/v1/klines"): Route(market_data.klines, _PUBLIC, by_limit=KLINE_WEIGHTS),
    ("GET", "/fapi/v1/continuousKlines"): Route(
        market_data.continuous_klines, _PUBLIC, by_limit=KLINE_WEIGHTS
    ),
    ("GET", "/fapi/v1/markPriceKlines"): Route(market_data.mark_klines, _PUBLIC, by_limit=KLINE_WEIGHTS),
    ("GET", "/fapi/v1/indexPriceKlines"): Route(market_data.index_klines, _PUBLIC, by_limit=KLINE_WEIGHTS),
    ("GET", "/fapi/v1/premiumIndexKlines"): Route(
        market_data.premium_klines, _PUBLIC, by_limit=KLINE_WEIGHTS
    ),
    ("GET", "/fapi/v1/trades"): Route(market_trades.trades, _PUBLIC, 5),
    ("GET", "/fapi/v1/historicalTrades"): Route(market_trades.historical_trades, _KEY, 20),
    ("GET", "/fapi/v1/aggTrades"): Route(market_trades.aggregate_trades, _PUBLIC, 20),
    ("GET", "/fapi/v1/fundingRate"): Route(futures_data.funding_rates, _PUBLIC),
    ("GET", "/fapi/v1/fundingInfo"): Route(futures_data.funding_info, _PUBLIC, 0),
    ("GET", "/fapi/v1/openInterest"): Route(futures_data.open_interest, _PUBLIC),
    ("GET", "/fapi/v1/constituents"): Route(futures_data.constituents, _PUBLIC, 2),
    # These have a limit of their own: 1,000 in five minutes.
    ("GET", "/futures/data/openInterestHist"): Route(futures_data.open_interest_history, _PUBLIC, 0),
    ("GET", "/futures/data/topLongShortAccountRatio"): Route(futures_data.account_ratio, _PUBLIC, 0),
    ("GET", "/futures/data/topLongShortPositionRatio"): Route(futures_data.position_ratio, _PUBLIC, 0),
    ("GET", "/futures/data/globalLongShortAccountRatio"): Route(futures_data.account_ratio, _PUBLIC, 0),
    ("GET", "/futures/data/takerlongshortRatio"): Route(futures_data.taker_ratio, _PUBLIC, 0),
    ("GET", "/futures/data/basis"): Route(futures_data.basis, _PUBLIC, 0),
    ("GET", "/futures/data/delivery-price"): Route(futures_data.delivery_price, _PUBLIC, 0),
    ("GET", "/fapi/v1/depth"): Route(market_data.depth, _PUBLIC, by_limit=DEPTH_WEIGHTS),
    ("POST", "/fapi/v1/order"): Route(orders.place, weight=0, counts_as_order=True),
    ("POST", "/fapi/v1/order/test"): Route(orders.test),
    ("PUT", "/fapi/v1/order"): Route(orders.amend, weight=0, counts_as_order=True),
    ("DELETE", "/fapi/v1/order"): Route(orders.cancel),
    ("GET", "/fapi/v1/order"): Route(orders.query),
    ("GET", "/fapi/v1/openOrder"): Route(orders.query_open),
    ("GET", "/fapi/v1/openOrders"): Route(orders.list_open, weight=1, weight_of_all=40),
    ("GET", "/fapi/v1/allOrders"): Route(orders.list_all, weight=5),
    ("GET", "/fapi/v1/userTrades"): Route(orders.list_trades, weight=5),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(orders.cancel_all),
    ("POST", "/fapi/v1/batchOrders"): Route(
        orders.place_batch, weight=5, counts_as_order=True, ten_seconds=5
    ),
    ("PUT", "/fapi/v1/batchOrders"): Route(orders.amend_batch, weight=5, counts_as_order=True, ten_seconds=5),
    ("DELETE", "/fapi/v1/batchOrders"): Route(orders.cancel_batch),
    ("POST", "/fapi/v1/countdownCancelAll"): Route(orders.countdown, weight=10),
    ("POST", "/fapi/v1/algoOrder"): Route(algo.place, weight=0, counts_as_order=True, of_algo_service=True),
    ("DELETE", "/fapi/v1/algoOrder"): Route(algo.cancel, of_algo_service=True),
    ("GET", "/fapi/v1/algoOrder"): Route(algo.query, of_algo_service=True),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(
        algo.list_open, weight=1, weight_of_all=40, of_algo_service=True
    ),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(algo.list_all, weight=5, of_algo_service=True),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(algo.cancel_all, of_algo_service=True),
    ("GET", "/fapi/v2/positionRisk"): Route(account.position_risk_v2, weight=5),
    ("GET", "/fapi/v3/positionRisk"): Route(account.position_risk_v3, weight=5),
    # Old clients read these two; Binance has retired positionRisk of v1 only, as far as is known.
    ("GET", "/fapi/v1/account"): Route(account.account_v2, weight=5),
    ("GET", "/fapi/v1/balance"): Route(account.balance, weight=5),
    ("GET", "/fapi/v2/account"): Route(account.account_v2, weight=5),
    ("GET", "/fapi/v3/account"): Route(account.account_v3, weight=5),
    ("GET", "/fapi/v2/balance"): Route(account.balance, weight=5),
    ("GET", "/fapi/v3/balance"): Route(account.balance, weight=5),
    ("POST", "/fapi/v1/leverage"): Route(account.leverage),
    ("POST", "/fapi/v1/marginType"): Route(account.margin_type),
    ("POST", "/fapi/v1/positionSide/dual"): Route(account.set_position_mode),
    ("GET", "/fapi/v1/positionSide/dual"): Route(account.position_mode, weight=30),
    ("POST", "/fapi/v1/multiAssetsMargin"): Route(account.set_assets_mode),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(account.assets_mode, weight=30),
    ("POST", "/fapi/v1/positionMargin"): Route(account.move_margin),
    ("GET", "/fapi/v1/positionMargin/history"): Route(account.margin_moves),
    ("GET", "/fapi/v1/income"): Route(account.income, weight=30),
    ("GET", "/fapi/v1/commissionRate"): Route(account.commission_rate, weight=20),
    ("GET", "/fapi/v1/leverageBracket"): Route(account.leverage_brackets),
    ("GET", "/fapi/v1/accountConfig"): Route(account_reads.account_config, weight=5),
    ("GET", "/fapi/v1/feeBurn"): Route(account_reads.fee_burn, weight=30),
    ("POST", "/fapi/v1/feeBurn"): Route(account_reads.set_fee_burn),
    ("GET", "/fapi/v1/apiTradingStatus"): Route(account_reads.trading_status, weight=1, weight_of_all=10),
    ("GET", "/fapi/v1/adlQuantile"): Route(account_reads.adl_quantile, weight=5),
    ("GET", "/fapi/v1/orderAmendment"): Route(account_reads.order_amendments),
    ("GET", "/fapi/v1/forceOrders"): Route(account_reads.force_orders, weight=20, weight_of_all=50),
    ("GET", "/fapi/v1/symbolConfig"): Route(account.symbol_config, weight=5),
    ("GET", "/fapi/v1/rateLimit/order"): Route(account.order_limits),
    ("POST", "/fapi/v1/listenKey"): Route(account.open_stream, _KEY),
    ("PUT", "/fapi/v1/listenKey"): Route(account.keep_stream, _KEY),
    ("DELETE", "/fapi/v1/listenKey"): Route(account.close_stream, _KEY),
}
