"""Handlers of COIN-M, where its answers differ from those of USDⓈ-M."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from exit_shim.exchange.engine.algo_placement import MAX_OPEN_STOPS
from exit_shim.exchange.engine.errors import BAD_COMBINATION
from exit_shim.exchange.engine.intervals import day
from exit_shim.exchange.engine.market import Quote
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.views import account as account_views
from exit_shim.exchange.engine.views import coin as views
from exit_shim.exchange.engine.views import market as market_views
from exit_shim.exchange.engine.views import market_data as data_views

from . import market_data
from .api_call import ApiCall, Json
from .market import show_best
from .market_data import list_candles
from .market_trades import list_historical, list_newest
from .paging import read_limit

Row = dict[str, object]


def exchange_info(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/exchangeInfo."""
    algo_limit = None if call.engine.state.rules.algo_service else MAX_OPEN_STOPS
    symbols = list(call.engine.state.symbols.values())
    return views.exchange_info(symbols, call.engine.now(), algo_limit=algo_limit)


def premium_index(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/premiumIndex."""
    return _quotes(call, market_views.premium_index, call.engine.ask_price)


def ticker_price(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/ticker/price."""
    return _quotes(call, market_views.ticker_price, call.engine.ask_price, "ps")


def book_ticker(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/ticker/bookTicker."""
    return _quotes(call, partial(show_best, call), call.engine.quote)


def ticker_24h(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/ticker/24hr."""
    return [
        views.ticker_24h(market_data.day_of(call, symbol), symbol, day(call.engine.state, symbol.name))
        for symbol in _read_symbols(call)
    ]


def klines(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/klines."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [views.kline(candle, symbol, end) for candle, end in list_candles(call, symbol)]


def continuous_klines(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/continuousKlines."""
    symbol = market_data.read_perpetual(call)
    return [views.kline(candle, symbol, end) for candle, end in list_candles(call, symbol)]


def depth(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/depth."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    fields = data_views.depth(call.engine.state, symbol, market_data.read_depth(call))
    return views.with_pair(fields, symbol)


def trades(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/trades."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [views.trade(done, symbol) for done in list_newest(call, symbol, read_limit(call.params))]


def historical_trades(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/historicalTrades."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [views.trade(done, symbol) for done in list_historical(call, symbol, read_limit(call.params))]


def account(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/account."""
    return views.account(call.engine.state)


def balance(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/balance."""
    return views.balance(call.engine.state)


def position_risk(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/positionRisk: every contract, or those of a pair."""
    state, pair = call.engine.state, call.params.text("pair")
    return [
        views.position_risk(state, row)
        for row in account_views.every_position(state, None)
        if pair in {None, views.pair_of(state.symbols[row.symbol])}
    ]


def leverage_brackets(call: ApiCall) -> Json:
    """Answer GET /dapi/v2/leverageBracket, by symbol, and /dapi/v1/leverageBracket."""
    return [
        {"symbol": symbol.name, "notionalCoef": 1.0, "brackets": views.leverage_brackets(symbol)}
        for symbol in _read_symbols(call)
    ]


def _quotes(
    call: ApiCall,
    view: Callable[[Symbol, Quote, int], Row],
    price: Callable[[str], Quote],
    pair: str = "pair",
) -> Json:
    now = call.engine.now()
    return [
        views.with_pair(view(symbol, price(symbol.name), now), symbol, pair) for symbol in _read_symbols(call)
    ]


def _read_symbols(call: ApiCall) -> list[Symbol]:
    """Read `symbol` or `pair`; all contracts without either."""
    name, pair = call.params.text("symbol"), call.params.text("pair")
    if name is not None and pair is not None:
        raise BAD_COMBINATION.error()
    if name is not None:
        return [call.engine.state.symbol(name)]
    symbols = call.engine.state.symbols.values()
    return [symbol for symbol in symbols if pair in {None, views.pair_of(symbol)}]
