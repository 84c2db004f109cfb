"""Handlers of public endpoints: time, contracts and prices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from exit_shim.exchange.engine.algo_placement import MAX_OPEN_STOPS
from exit_shim.exchange.engine.market import Quote
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.views import market as views
from exit_shim.exchange.engine.views import market_data as data_views

from .api_call import ApiCall, Json

View = Callable[[Symbol, Quote, int], dict[str, object]]


def ping(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /fapi/v1/ping and /api/v3/ping."""
    return {}


def server_time(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/time and /api/v3/time."""
    return {"serverTime": call.engine.now() + call.skew}


def exchange_info(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/exchangeInfo."""
    algo_limit = None if call.engine.state.rules.algo_service else MAX_OPEN_STOPS
    symbols = list(call.engine.state.symbols.values())
    return views.exchange_info(symbols, call.engine.now(), algo_limit=algo_limit)


def premium_index(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/premiumIndex; a walking market steps."""
    return _of_symbols(call, views.premium_index, call.engine.ask_price)


def ticker_price(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/ticker/price and /fapi/v2/ticker/price; a walking market steps."""
    return _of_symbols(call, views.ticker_price, call.engine.ask_price)


def book_ticker(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/ticker/bookTicker; a walking market stands still."""
    return _of_symbols(call, partial(show_best, call), call.engine.quote)


def show_best(call: ApiCall, symbol: Symbol, *_quote_and_time: object) -> dict[str, object]:
    """Return the best bid and ask of a symbol."""
    return data_views.book_ticker(call.engine.state, symbol)


def _of_symbols(call: ApiCall, view: View, price: Callable[[str], Quote]) -> Json:
    symbols, now = call.engine.state.symbols, call.engine.now()
    wanted = call.params.text("symbol")
    if wanted is None:
        return [view(symbol, price(name), now) for name, symbol in symbols.items()]
    return view(call.engine.state.symbol(wanted), price(wanted), now)
