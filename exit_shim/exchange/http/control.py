"""Control of the exchange from another process: prices, fills, time and state under `/exchange/`.

It is no part of Binance's interface, needs no key, and no fault or limit applies to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.errors import ExchangeError
from exit_shim.exchange.engine.orders import OrderRef
from exit_shim.exchange.engine.params import Params
from exit_shim.exchange.engine.views import overview

from .gate import HttpAnswer
from .request import RawRequest
from .service import ExchangeService

PREFIX = "/exchange/"
#: The names of this machine; a page of another site in a browser comes with its own (DNS rebinding).
OWN_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
PRICES = ("mark", "last", "bid", "ask")

Json = dict[str, object]
Action = Callable[[Exchange, Params], Json]


def control(service: ExchangeService, request: RawRequest) -> HttpAnswer:
    """Do what a control request asks, and return the state that follows from it."""
    if not _is_from_here(request.headers):
        return _refuse(403, "only programs on this machine may control the exchange: Host must be 127.0.0.1")
    action = ACTIONS.get((request.method, request.path.removeprefix(PREFIX)))
    if action is None:
        return _refuse(404, f"unknown control request; expected one of {', '.join(_list_actions())}")
    try:
        with service.lock:
            service.engine.run_due()
            return HttpAnswer(200, msgspec.json.encode(action(service.engine, Params(request.params))))
    except ExchangeError as refused:
        return _refuse(400, refused.msg, refused.code)
    except ValueError as wrong:
        return _refuse(400, str(wrong))


def read_state(engine: Exchange, params: Params) -> Json:
    """Return time, account, prices, positions and open orders, of one symbol or of all."""
    name = params.text("symbol")
    symbols = list(engine.state.symbols) if name is None else [engine.state.symbol(name).name]
    return {
        "now": engine.now(),
        "hedgeMode": engine.hedge_mode,
        "wallet": f"{engine.wallet:f}",
        "prices": {symbol: overview.render_quote(engine.quote(symbol)) for symbol in symbols},
        "positions": overview.render_positions(engine.state, name),
        "orders": overview.render_orders(engine.state, engine.open_orders(name)),
        "algoOrders": overview.render_algos(engine.state, engine.open_algos(name)),
    }


def set_price(engine: Exchange, params: Params) -> Json:
    """Set all prices of a symbol to `price`, or those of mark, last, bid and ask that are sent."""
    symbol, price = params.required("symbol"), params.decimal("price")
    others = {name: value for name in PRICES if (value := params.decimal(name)) is not None}
    if price is not None:
        engine.move_prices(symbol, price, **others)
    elif others:
        engine.set_prices(symbol, **others)
    else:
        raise ValueError("no price was sent; expected `price`, or any of mark, last, bid and ask")
    return {"symbol": symbol, **overview.render_quote(engine.quote(symbol))}


def fill(engine: Exchange, params: Params) -> Json:
    """Fill an open order at its own price, wholly or up to `quantity`."""
    symbol = params.required("symbol")
    ref = OrderRef(order_id=params.integer("orderId"), client_id=params.text("origClientOrderId"))
    order = engine.fill_order(symbol, ref, params.decimal("quantity"))
    return overview.render_orders(engine.state, [order])[0]


def advance(engine: Exchange, params: Params) -> Json:
    """Let time pass without waiting."""
    engine.advance(params.required_integer("milliseconds"))
    return {"now": engine.now()}


ACTIONS: Mapping[tuple[str, str], Action] = MappingProxyType(
    {
        ("GET", "state"): read_state,
        ("POST", "price"): set_price,
        ("POST", "fill"): fill,
        ("POST", "advance"): advance,
    }
)


def _is_from_here(headers: Mapping[str, str]) -> bool:
    # A browser names the page that sends a POST in Origin.
    origin = headers.get("origin")

    return _is_own(f"//{headers.get('host', '')}") and (origin is None or _is_own(origin))


def _is_own(address: str) -> bool:
    try:
        return urlsplit(address).hostname in OWN_HOSTS
    except ValueError:
        return False


def _list_actions() -> list[str]:
    return [f"{method} {PREFIX}{name}" for method, name in ACTIONS]


def _refuse(status: int, text: str, code: int | None = None) -> HttpAnswer:
    body = {"msg": text} if code is None else {"code": code, "msg": text}
    return HttpAnswer(status, msgspec.json.encode(body), code=code)
