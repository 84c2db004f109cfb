"""The table of endpoints: who may call them, what they weigh, who answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.params import Params

from . import account, algo, market, market_data, orders
from .api_call import Handler


class Security(Enum):
    """The proof that an endpoint demands."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True)
class Route:
    """One endpoint. `weight_of_all` is the weight of a request without a symbol, when it differs."""

    handler: Handler
    security: Security = Security.SIGNED
    weight: int = 1
    weight_of_all: int | None = None
    counts_as_order: bool = False
    #: What it weighs on the order limit of ten seconds.
    ten_seconds: int = 1
    #: Rising (limit, weight) pairs: what it weighs up to each `limit`, where that decides.
    by_limit: tuple[tuple[int, int], ...] = ()

    def weigh(self, params: Params) -> int:
        """Return the weight of a request with these parameters."""
        if self.weight_of_all is not None and params.text("symbol") is None:
            return self.weight_of_all
        if self.by_limit:
            limit = params.text("limit") or ""
            count = int(limit) if _COUNT.fullmatch(limit) else USUAL_LIMIT
            return next((weight for most, weight in self.by_limit if count <= most), self.by_limit[-1][1])
        return self.weight

    @property
    def reaches_matching(self) -> bool:
        """Return whether the matching engine checks the timestamp a second time."""
        return self.counts_as_order


_COUNT = re.compile(r"[0-9]{1,5}")
USUAL_LIMIT = 500
KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (1500, 10))
DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1000, 20))
_PUBLIC, _KEY = Security.NONE, Security.KEY

ROUTES: dict[tuple[str, str], Route] = {
    # python-binance pings the spot host when it is made.
    ("GET", "/api/v3/ping"): Route(market.ping, _PUBLIC),
    ("GET", "/api/v3/time"): Route(market.server_time, _PUBLIC),
    ("GET", "/fapi/v1/ping"): Route(market.ping, _PUBLIC),
    ("GET", "/fapi/v1/time"): Route(market.server_time, _PUBLIC),
    ("GET", "/fapi/v1/exchangeInfo"): Route(market.exchange_info, _PUBLIC),
    ("GET", "/fapi/v1/premiumIndex"): Route(market.premium_index, _PUBLIC, 1, 10),
    ("GET", "/fapi/v1/ticker/price"): Route(market.ticker_price, _PUBLIC, 1, 2),
    ("GET", "/fapi/v2/ticker/price"): Route(market.ticker_price, _PUBLIC, 1, 2),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(market.book_ticker, _PUBLIC, 2, 5),
    ("GET", "/fapi/v1/ticker/24hr"): Route(market_data.ticker_24h, _PUBLIC, 1, 40),
    ("GET", "/fapi/v1/klines"): Route(market_data.klines, _PUBLIC, by_limit=KLINE_WEIGHTS),
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
    ("POST", "/fapi/v1/algoOrder"): Route(algo.place, weight=0, counts_as_order=True),
    ("DELETE", "/fapi/v1/algoOrder"): Route(algo.cancel),
    ("GET", "/fapi/v1/algoOrder"): Route(algo.query),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(algo.list_open, weight=1, weight_of_all=40),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(algo.list_all, weight=5),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(algo.cancel_all),
    ("GET", "/fapi/v2/positionRisk"): Route(account.position_risk_v2, weight=5),
    ("GET", "/fapi/v3/positionRisk"): Route(account.position_risk_v3, weight=5),
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
    ("GET", "/fapi/v1/symbolConfig"): Route(account.symbol_config, weight=5),
    ("GET", "/fapi/v1/rateLimit/order"): Route(account.order_limits),
    ("POST", "/fapi/v1/listenKey"): Route(account.open_stream, _KEY),
    ("PUT", "/fapi/v1/listenKey"): Route(account.keep_stream, _KEY),
    ("DELETE", "/fapi/v1/listenKey"): Route(account.close_stream, _KEY),
}


ALGO_PATHS = frozenset(
    f"/fapi/v1/{name}" for name in ("algoOrder", "openAlgoOrders", "allAlgoOrders", "algoOpenOrders")
)


COIN = "/dapi/v1/"
"""The paths of COIN-M; an exchange of its own answers them as that of USDⓈ-M does."""

COIN_NAMES = frozenset(
    {
        *("ping", "time", "exchangeInfo", "premiumIndex", "ticker/price", "positionSide/dual"),
        *("order", "openOrder", "openOrders", "allOrders", "allOpenOrders", "batchOrders"),
        *("algoOrder", "openAlgoOrders", "allAlgoOrders", "algoOpenOrders", "leverage", "userTrades"),
    }
)

PORTFOLIO = "/papi/v1/um/"
"""The paths of portfolio margin's USDⓈ-M; that of USDⓈ-M itself answers them."""

PORTFOLIO_NAMES = {
    **{
        name: name
        for name in ("order", "openOrder", "openOrders", "allOrders", "allOpenOrders", "userTrades")
    },
    "algo/order": "algoOrder",
    "algo/algoOrder": "algoOrder",
    "algo/openOrders": "openAlgoOrders",
    "algo/allOrders": "allAlgoOrders",
    "algo/allOpenOrders": "algoOpenOrders",
}
"""Its names below that, and those of USDⓈ-M. Since 2026-04-28 there is no um/conditional any more."""


def familiar(path: str) -> str:
    """Return the path of USDⓈ-M that answers what a path of another market asks for."""
    name = path.removeprefix(COIN)
    if name in COIN_NAMES:
        return "/fapi/v1/" + name
    if path == COIN + "positionRisk":
        return "/fapi/v2/positionRisk"
    name = PORTFOLIO_NAMES.get(path.removeprefix(PORTFOLIO), "")
    return "/fapi/v1/" + name if name and path.startswith(PORTFOLIO) else path


def find_route(method: str, path: str, engine: Exchange) -> Route | None:
    """Return the endpoint of a request, None when the exchange's rules have none."""
    path = familiar(path)
    if path in ALGO_PATHS and not engine.state.rules.algo_service:
        return None
    return ROUTES.get((method, path))
