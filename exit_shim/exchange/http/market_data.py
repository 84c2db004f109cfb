"""Handlers of candles, the book and the last 24 hours."""

from __future__ import annotations

from exit_shim.exchange.engine.errors import BAD_INTERVAL, INVALID_DEPTH_LIMIT
from exit_shim.exchange.engine.intervals import LENGTHS, candles, day, end_of
from exit_shim.exchange.engine.numbers import ZERO
from exit_shim.exchange.engine.symbols import ONBOARDED, Symbol
from exit_shim.exchange.engine.views import market_data as views

from .api_call import ApiCall, Json
from .paging import read_limit, read_window

DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
MOST_CANDLES = 1500


def klines(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/klines: the newest `limit`, oldest first; flat before the exchange began."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    interval = call.params.required("interval")
    if interval not in LENGTHS:
        raise BAD_INTERVAL.error()
    call.engine.ask_price(symbol.name)
    start, end = read_window(call.params, call.engine.now())
    # A window from 0 on begins with the symbol's first candle; clients ask so for how old it is.
    first = 0 if call.params.integer("startTime") is None else max(start, ONBOARDED)
    limit = read_limit(call.params, most=MOST_CANDLES)
    rows = candles(call.engine.state, symbol.name, interval, (first, end), limit)
    return [views.kline(candle, symbol, end_of(interval, candle.start)) for candle in rows]


def depth(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/depth."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    limit = call.params.integer("limit")
    if limit is not None and limit not in DEPTHS:
        raise INVALID_DEPTH_LIMIT.error(limit)
    return views.depth(call.engine.state, symbol, limit or 500)


def ticker_24h(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/ticker/24hr."""
    name = call.params.text("symbol")
    state = call.engine.state
    if name is not None:
        return _day(call, state.symbol(name))
    return [_day(call, symbol) for symbol in state.symbols.values()]


def _day(call: ApiCall, symbol: Symbol) -> dict[str, object]:
    call.engine.ask_price(symbol.name)
    last = next((trade for trade in reversed(call.engine.state.trades) if trade.symbol == symbol.name), None)
    return views.ticker_24h(
        symbol, day(call.engine.state, symbol.name), last.quantity if last else ZERO, call.engine.now()
    )
