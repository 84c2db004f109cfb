"""The methods of the WebSocket APIs, and the REST endpoints that answer them."""

from __future__ import annotations

from collections.abc import Mapping

Endpoint = tuple[str, str]

FUTURES_METHODS: dict[str, Endpoint] = {
    "ping": ("GET", "/fapi/v1/ping"),
    "time": ("GET", "/fapi/v1/time"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ticker.price": ("GET", "/fapi/v2/ticker/price"),
    "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
    "order.place": ("POST", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v3/account"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v3/balance"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
    "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
    "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
}
"""Those of /ws-fapi/v1: all that Binance's official SDK has, ping and time."""

SPOT_METHODS: dict[str, Endpoint] = {
    "ping": ("GET", "/api/v3/ping"),
    "time": ("GET", "/api/v3/time"),
    "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
    "depth": ("GET", "/api/v3/depth"),
    "trades.recent": ("GET", "/api/v3/trades"),
    "trades.historical": ("GET", "/api/v3/historicalTrades"),
    "trades.aggregate": ("GET", "/api/v3/aggTrades"),
    "klines": ("GET", "/api/v3/klines"),
    "uiKlines": ("GET", "/api/v3/uiKlines"),
    "avgPrice": ("GET", "/api/v3/avgPrice"),
    "ticker": ("GET", "/api/v3/ticker"),
    "ticker.24hr": ("GET", "/api/v3/ticker/24hr"),
    "ticker.tradingDay": ("GET", "/api/v3/ticker/tradingDay"),
    "ticker.price": ("GET", "/api/v3/ticker/price"),
    "ticker.book": ("GET", "/api/v3/ticker/bookTicker"),
    "account.status": ("GET", "/api/v3/account"),
    "account.commission": ("GET", "/api/v3/account/commission"),
    "account.rateLimits.orders": ("GET", "/api/v3/rateLimit/order"),
    "openOrders.status": ("GET", "/api/v3/openOrders"),
    "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
    "allOrders": ("GET", "/api/v3/allOrders"),
    "myTrades": ("GET", "/api/v3/myTrades"),
    "myPreventedMatches": ("GET", "/api/v3/myPreventedMatches"),
    "myAllocations": ("GET", "/api/v3/myAllocations"),
    "order.place": ("POST", "/api/v3/order"),
    "order.test": ("POST", "/api/v3/order/test"),
    "order.status": ("GET", "/api/v3/order"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "/api/v3/order/amend/keepPriority"),
    "order.amendments": ("GET", "/api/v3/order/amendments"),
    "orderList.place": ("POST", "/api/v3/order/oco"),
    "orderList.place.oco": ("POST", "/api/v3/orderList/oco"),
    "orderList.place.oto": ("POST", "/api/v3/orderList/oto"),
    "orderList.place.otoco": ("POST", "/api/v3/orderList/otoco"),
    "orderList.status": ("GET", "/api/v3/orderList"),
    "orderList.cancel": ("DELETE", "/api/v3/orderList"),
    "openOrderLists.status": ("GET", "/api/v3/openOrderList"),
    "allOrderLists": ("GET", "/api/v3/allOrderList"),
    "sor.order.place": ("POST", "/api/v3/sor/order"),
    "sor.order.test": ("POST", "/api/v3/sor/order/test"),
    "userDataStream.start": ("POST", "/api/v3/userDataStream"),
    "userDataStream.ping": ("PUT", "/api/v3/userDataStream"),
    "userDataStream.stop": ("DELETE", "/api/v3/userDataStream"),
    # Key, signature and time are checked as those of any signed request.
    "userDataStream.subscribe.signature": ("GET", "/fapi/v1/rateLimit/order"),
    "userDataStream.unsubscribe": ("GET", "/api/v3/ping"),
}
"""Those of /ws-api/v3; REST refuses those that place spot orders."""

FIXED_RESULTS: dict[str, object] = {
    # Nothing happens to the spot account, so the one subscription stays silent.
    "userDataStream.subscribe.signature": {"subscriptionId": 0},
    "userDataStream.unsubscribe": {},
}
"""The results of the methods that are not what their endpoint answers."""

SILENT_METHODS = frozenset({"userDataStream.subscribe.signature"})
"""The methods that are answered and open a stream that stays silent."""

_NO_SESSION = "A session needs an Ed25519 key, and keys here are HMAC: sign each request."
REFUSED_METHODS = {
    "session.logon": _NO_SESSION,
    "session.status": _NO_SESSION,
    "session.logout": _NO_SESSION,
    "session.subscriptions": _NO_SESSION,
    "userDataStream.subscribe": _NO_SESSION,
    "userDataStream.subscribe.listenToken": "Margin trading is not modelled.",
}
"""What Binance has and this exchange has not, and why."""

API_METHODS: Mapping[str, Mapping[str, Endpoint]] = {
    "/ws-fapi/v1": FUTURES_METHODS,
    "/ws-api/v3": SPOT_METHODS,
}
"""The methods of each WebSocket API by its path."""
