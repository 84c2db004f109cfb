"""Handlers of candles, the book and the last 24 hours."""

from __future__ import annotations

from exit_shim.exchange.engine import market_trades
from exit_shim.exchange.engine.candles import Candle
from exit_shim.exchange.engine.errors import BAD_INTERVAL, INVALID_DEPTH_LIMIT, UNSUPPORTED
from exit_shim.exchange.engine.intervals import LENGTHS, candles, day, end_of
from exit_shim.exchange.engine.numbers import ZERO
from exit_shim.exchange.engine.symbols import ONBOARDED, Symbol
from exit_shim.exchange.engine.views import futures_data as price_views
from exit_shim.exchange.engine.views import market_data as views

from .api_call import ApiCall, Json
from .paging import DEFAULT_LIMIT, read_limit, read_window

DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
MOST_CANDLES = 1500


def klines(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/klines: the newest `limit`, oldest first."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [views.kline(candle, symbol, end) for candle, end in list_candles(call, symbol)]


def continuous_klines(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/continuousKlines, of perpetual contracts."""
    symbol = read_perpetual(call)
    return [views.kline(candle, symbol, end) for candle, end in list_candles(call, symbol)]


def mark_klines(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/markPriceKlines: the mark price moves as the last price does."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [price_views.price_kline(candle, end) for candle, end in list_candles(call, symbol)]


def index_klines(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/indexPriceKlines: the index moves as the last price does."""
    symbol = find_pair(call, call.params.required("pair"))
    return [price_views.price_kline(candle, end) for candle, end in list_candles(call, symbol)]


def premium_klines(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/premiumIndexKlines: no contract trades at a premium."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [
        price_views.price_kline(Candle(candle.start, ZERO, ZERO, ZERO, ZERO), end)
        for candle, end in list_candles(call, symbol)
    ]


def read_perpetual(call: ApiCall) -> Symbol:
    """Read `pair` and `contractType`.

    Raises:
        ExchangeError: -1020 for a contract that is delivered.
    """
    symbol, kind = find_pair(call, call.params.required("pair")), call.params.required("contractType")
    if kind != "PERPETUAL":
        raise UNSUPPORTED.error("Only perpetual contracts are modelled.")
    return symbol


def find_pair(call: ApiCall, pair: str) -> Symbol:
    """Return the perpetual contract of a pair, such as BTCUSDT or, on COIN-M, BTCUSD.

    Raises:
        ExchangeError: -1121.
    """
    of_coin = f"{pair}_PERP"
    return call.engine.state.symbol(of_coin if of_coin in call.engine.state.symbols else pair)


def list_candles(
    call: ApiCall, symbol: Symbol, *, usual: int = DEFAULT_LIMIT, most: int = MOST_CANDLES
) -> list[tuple[Candle, int]]:
    """Read interval, times and limit, and return the candles that they ask for, each with its end."""
    interval = call.params.required("interval")
    if interval not in LENGTHS:
        raise BAD_INTERVAL.error()
    call.engine.ask_price(symbol.name)
    start, end = read_window(call.params, call.engine.now())
    # A window from 0 on begins with the symbol's first candle; clients ask so for how old it is.
    first = 0 if call.params.integer("startTime") is None else max(start, ONBOARDED)
    limit = read_limit(call.params, usual=usual, most=most)
    rows = candles(call.engine.state, symbol.name, interval, (first, end), limit)
    return [(candle, end_of(interval, candle.start)) for candle in rows]


def depth(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/depth."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return views.depth(call.engine.state, symbol, read_depth(call))


def read_depth(call: ApiCall) -> int:
    """Read the `limit` of a book.

    Raises:
        ExchangeError: -4021.
    """
    limit = call.params.integer("limit")
    if limit is not None and limit not in DEPTHS:
        raise INVALID_DEPTH_LIMIT.error(limit)
    return limit or 500


def ticker_24h(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/ticker/24hr."""
    name = call.params.text("symbol")
    state = call.engine.state
    if name is not None:
        return day_of(call, state.symbol(name))
    return [day_of(call, symbol) for symbol in state.symbols.values()]


def day_of(call: ApiCall, symbol: Symbol) -> dict[str, object]:
    """Return the 24 hour figures of a symbol."""
    call.engine.ask_price(symbol.name)
    state = call.engine.state
    newest = market_trades.find_newest(state, symbol.name)
    return views.ticker_24h(symbol, day(state, symbol.name), newest, state.now)
