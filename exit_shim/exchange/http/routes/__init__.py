"""The endpoints of every market, and the look-up of one."""

from __future__ import annotations

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.http.request import RawRequest
from exit_shim.exchange.http.route import Route, Routes

from .coin import COIN
from .futures import FUTURES
from .portfolio import PORTFOLIO
from .sapi import SAPI
from .spot import SPOT

ROUTES: Routes = {**FUTURES, **COIN, **PORTFOLIO, **SPOT, **SAPI}

_COIN_PATHS = ("/dapi/", "/papi/v1/cm/")
_DATA_PATHS = "/futures/data/"


def find_route(method: str, path: str, engine: Exchange) -> Route | None:
    """Return the endpoint of a request, None when the exchange's rules have none."""
    route = ROUTES.get((method, path))
    if route is not None and route.of_algo_service and not engine.state.rules.algo_service:
        return None
    return route


def is_of_coin(request: RawRequest) -> bool:
    """Return whether a request is about COIN-M: by its path, or by the pair where the path is shared."""
    if request.path.startswith(_DATA_PATHS):
        return request.params.get("pair", "").endswith("USD")
    return request.path.startswith(_COIN_PATHS)
