"""The endpoints of portfolio margin: those of USDⓈ-M and COIN-M answer for its accounts."""

from __future__ import annotations

from collections.abc import Mapping

from exit_shim.exchange.http import market, portfolio
from exit_shim.exchange.http.route import Route, Routes, Security

from .coin import COIN
from .futures import FUTURES

_NAMES = (
    *("order", "openOrder", "openOrders", "allOrders", "allOpenOrders", "userTrades", "leverage"),
    *("leverageBracket", "positionSide/dual", "commissionRate", "income", "symbolConfig", "accountConfig"),
    *("feeBurn", "adlQuantile", "apiTradingStatus", "orderAmendment", "forceOrders"),
)
_SAME = {name: (name,) for name in _NAMES}
_ALGO = {
    "algoOrder": ("algo/order", "algo/algoOrder"),
    "openAlgoOrders": ("algo/openOrders",),
    "allAlgoOrders": ("algo/allOrders",),
    "algoOpenOrders": ("algo/allOpenOrders",),
}
"""Its names for conditional orders. Since 2026-04-28 there is no um/conditional any more."""


def _copy(routes: Routes, above: str, prefix: str, names: Mapping[str, tuple[str, ...]]) -> Routes:
    """Return the routes of a market under the names that portfolio margin has for them."""
    return {
        (method, prefix + name): route
        for (method, path), route in routes.items()
        for name in names.get(path.removeprefix(above), ())
    }


PORTFOLIO: Routes = {
    **_copy(FUTURES, "/fapi/v1/", "/papi/v1/um/", {**_SAME, **_ALGO}),
    **_copy(COIN, "/dapi/v1/", "/papi/v1/cm/", _SAME),
    **{
        (method, "/papi/v1/" + name): FUTURES[method, "/fapi/v1/" + name]
        for method, name in (
            ("POST", "listenKey"),
            ("PUT", "listenKey"),
            ("DELETE", "listenKey"),
            ("GET", "rateLimit/order"),
        )
    },
    ("GET", "/papi/v1/ping"): Route(market.ping, Security.NONE),
    ("GET", "/papi/v1/account"): Route(portfolio.account, weight=20),
    ("GET", "/papi/v1/balance"): Route(portfolio.balance, weight=20),
    ("GET", "/papi/v1/um/account"): Route(portfolio.futures_account, weight=5),
    ("GET", "/papi/v2/um/account"): Route(portfolio.futures_account_v2, weight=5),
    ("GET", "/papi/v1/um/positionRisk"): Route(portfolio.position_risk, weight=5),
    ("GET", "/papi/v1/cm/account"): COIN["GET", "/dapi/v1/account"],
    ("GET", "/papi/v1/cm/positionRisk"): COIN["GET", "/dapi/v1/positionRisk"],
}
