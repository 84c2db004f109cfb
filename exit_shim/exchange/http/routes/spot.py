"""The endpoints of spot. Its orders are refused."""

from __future__ import annotations

from exit_shim.exchange.http import market, spot
from exit_shim.exchange.http.route import Route, Routes, Security

DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_PUBLIC, _KEY = Security.NONE, Security.KEY

SPOT: Routes = {
    # python-binance pings the spot host when it is made.
    ("GET", "/api/v3/ping"): Route(market.ping, _PUBLIC),
    ("GET", "/api/v3/time"): Route(market.server_time, _PUBLIC),
    ("GET", "/api/v3/exchangeInfo"): Route(spot.exchange_info, _PUBLIC, 20),
    ("GET", "/api/v3/depth"): Route(spot.depth, _PUBLIC, by_limit=DEPTH_WEIGHTS, usual_limit=100),
    ("GET", "/api/v3/trades"): Route(spot.trades, _PUBLIC, 25),
    ("GET", "/api/v3/historicalTrades"): Route(spot.historical_trades, _PUBLIC, 25),
    ("GET", "/api/v3/aggTrades"): Route(spot.aggregate_trades, _PUBLIC, 4),
    ("GET", "/api/v3/klines"): Route(spot.klines, _PUBLIC, 2),
    ("GET", "/api/v3/uiKlines"): Route(spot.klines, _PUBLIC, 2),
    ("GET", "/api/v3/avgPrice"): Route(spot.average_price, _PUBLIC, 2),
    ("GET", "/api/v3/ticker/24hr"): Route(spot.ticker_24h, _PUBLIC, 2, 80),
    ("GET", "/api/v3/ticker/tradingDay"): Route(spot.trading_day, _PUBLIC, 4),
    ("GET", "/api/v3/ticker/price"): Route(spot.ticker_price, _PUBLIC, 2, 4),
    ("GET", "/api/v3/ticker/bookTicker"): Route(spot.book_ticker, _PUBLIC, 2, 4),
    ("GET", "/api/v3/ticker"): Route(spot.ticker_window, _PUBLIC, 4),
    ("GET", "/api/v3/account"): Route(spot.account, weight=20),
    ("GET", "/api/v3/account/commission"): Route(spot.commission, weight=20),
    ("GET", "/api/v3/rateLimit/order"): Route(spot.order_limits, weight=40),
    ("GET", "/api/v3/openOrders"): Route(spot.list_nothing, weight=6, weight_of_all=80),
    ("GET", "/api/v3/allOrders"): Route(spot.list_nothing_of_symbol, weight=20),
    ("GET", "/api/v3/myTrades"): Route(spot.list_nothing_of_symbol, weight=20),
    ("GET", "/api/v3/myAllocations"): Route(spot.list_nothing_of_symbol, weight=20),
    ("GET", "/api/v3/myPreventedMatches"): Route(spot.list_nothing_of_symbol, weight=20),
    ("GET", "/api/v3/allOrderList"): Route(spot.list_nothing, weight=20),
    ("GET", "/api/v3/openOrderList"): Route(spot.list_nothing, weight=6),
    ("POST", "/api/v3/userDataStream"): Route(spot.open_stream, _KEY, 2),
    ("PUT", "/api/v3/userDataStream"): Route(spot.keep_stream, _KEY, 2),
    ("DELETE", "/api/v3/userDataStream"): Route(spot.close_stream, _KEY, 2),
}
