"""Handlers of spot: its market data and its account, where nothing is traded."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from exit_shim.exchange.engine import market_trades
from exit_shim.exchange.engine.candles import DAY, HOUR, MINUTE, Candle
from exit_shim.exchange.engine.errors import (
    BAD_COMBINATION,
    ILLEGAL_CHARACTERS,
    INVALID_LISTEN_KEY,
    INVALID_PARAMETER,
    UNSUPPORTED,
)
from exit_shim.exchange.engine.intervals import candles, day, start_of
from exit_shim.exchange.engine.numbers import ZERO
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.tape import MarketTrade
from exit_shim.exchange.engine.views import futures_data as trade_views
from exit_shim.exchange.engine.views import spot as views
from exit_shim.exchange.engine.views.market_data import levels

from .api_call import ApiCall, Json
from .market_data import list_candles
from .market_trades import list_aggregates, list_historical, list_newest
from .paging import read_limit

Row = dict[str, object]

MOST_CANDLES = 1000
MOST_LEVELS = 5000
_SYMBOLS = re.compile(r'\["[A-Z0-9]+"(, ?"[A-Z0-9]+")*\]')
_WINDOW = re.compile(r"([1-9]|[1-5][0-9])m|([1-9]|1[0-9]|2[0-3])h|[1-7]d")
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}


def exchange_info(call: ApiCall) -> Json:
    """Answer GET /api/v3/exchangeInfo."""
    named = _read_symbols(call)
    return views.exchange_info(
        list(call.engine.state.symbols.values()) if named is None else named, call.engine.now()
    )


def klines(call: ApiCall) -> Json:
    """Answer GET /api/v3/klines and /api/v3/uiKlines."""
    symbol = _read_symbol(call)
    if call.params.text("interval") == "1s":
        raise UNSUPPORTED.error("Candles begin at a minute: use interval 1m.")
    return [views.kline(candle, end) for candle, end in list_candles(call, symbol, most=MOST_CANDLES)]


def depth(call: ApiCall) -> Json:
    """Answer GET /api/v3/depth."""
    limit = read_limit(call.params, usual=100, most=MOST_LEVELS)
    return views.depth(call.engine.state, _read_symbol(call), limit)


def trades(call: ApiCall) -> Json:
    """Answer GET /api/v3/trades: the newest, oldest first."""
    symbol = _read_symbol(call)
    return _trades(list_newest(call, symbol, read_limit(call.params)))


def historical_trades(call: ApiCall) -> Json:
    """Answer GET /api/v3/historicalTrades."""
    symbol = _read_symbol(call)
    return _trades(list_historical(call, symbol, read_limit(call.params)))


def aggregate_trades(call: ApiCall) -> Json:
    """Answer GET /api/v3/aggTrades."""
    return [
        {**trade_views.aggregate(done, views.amount(done.price), views.amount(done.quantity)), "M": True}
        for done in list_aggregates(call, _read_symbol(call), one_hour=False)
    ]


def average_price(call: ApiCall) -> Json:
    """Answer GET /api/v3/avgPrice, of the last five minutes."""
    symbol, now = _read_symbol(call), call.engine.now()
    return views.average(candles(call.engine.state, symbol.name, "1m", (0, now), 5), now)


def ticker_price(call: ApiCall) -> Json:
    """Answer GET /api/v3/ticker/price; a walking market steps."""
    return _of_symbols(call, lambda symbol: views.ticker_price(symbol, call.engine.ask_price(symbol.name)))


def book_ticker(call: ApiCall) -> Json:
    """Answer GET /api/v3/ticker/bookTicker."""
    return _of_symbols(call, lambda symbol: _book_ticker(call, symbol))


def ticker_24h(call: ApiCall) -> Json:
    """Answer GET /api/v3/ticker/24hr, wholly or as a MINI."""
    mini = _is_mini(call)
    return _of_symbols(call, lambda symbol: _day(call, symbol, mini=mini))


def ticker_window(call: ApiCall) -> Json:
    """Answer GET /api/v3/ticker, of a window that ends now."""
    size = call.params.text("windowSize") or "1d"
    if not _WINDOW.fullmatch(size):
        raise INVALID_PARAMETER.error("windowSize")
    now = call.engine.now()
    # A window begins with a minute.
    start = (now - int(size[:-1]) * _UNITS[size[-1]]) // MINUTE * MINUTE
    return _of_windows(call, (start, now))


def trading_day(call: ApiCall) -> Json:
    """Answer GET /api/v3/ticker/tradingDay, in UTC."""
    now = call.engine.now()
    start = start_of("1d", now)
    return _of_windows(call, (start, start + DAY - 1))


def account(call: ApiCall) -> Json:
    """Answer GET /api/v3/account."""
    return views.account(call.engine.state.spot, with_zeros=not call.params.boolean("omitZeroBalances"))


def commission(call: ApiCall) -> Json:
    """Answer GET /api/v3/account/commission."""
    return views.commission(_read_symbol(call))


def list_nothing(call: ApiCall) -> Json:
    """Answer the lists of spot orders and trades, of which there are none."""
    symbol = call.params.text("symbol")
    if symbol is not None:
        call.engine.state.symbol(symbol)
    return []


def list_nothing_of_symbol(call: ApiCall) -> Json:
    """Answer the lists of spot orders and trades that want a symbol."""
    call.engine.state.symbol(call.params.required("symbol"))
    return []


def order_limits(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /api/v3/rateLimit/order."""
    return [{**limit, "count": 0} for limit in views.order_limits()]


def open_stream(call: ApiCall) -> Json:
    """Answer POST /api/v3/userDataStream."""
    return {"listenKey": call.engine.listen_keys.open(_stream_owner(call), call.engine.now())}


def keep_stream(call: ApiCall) -> Json:
    """Answer PUT /api/v3/userDataStream."""
    _check_listen_key(call)
    return {}


def close_stream(call: ApiCall) -> Json:
    """Answer DELETE /api/v3/userDataStream."""
    _check_listen_key(call)
    call.engine.close_listen_key(_stream_owner(call))
    return {}


def _stream_owner(call: ApiCall) -> str:
    # Spot has listen keys of its own, beside those of futures.
    return f"spot {call.api_key}"


def _check_listen_key(call: ApiCall) -> None:
    sent = call.params.required("listenKey")
    if sent != call.engine.listen_keys.keep_alive(_stream_owner(call), call.engine.now()):
        raise INVALID_LISTEN_KEY.error()


def _trades(done: list[MarketTrade]) -> Json:
    return [views.trade(row) for row in done]


def _book_ticker(call: ApiCall, symbol: Symbol) -> Row:
    bids, asks = levels(call.engine.state, symbol, 1)
    quantities = (bids[0][1] if bids else ZERO, asks[0][1] if asks else ZERO)
    return views.book_ticker(symbol, call.engine.quote(symbol.name), quantities)


def _day(call: ApiCall, symbol: Symbol, *, mini: bool) -> Row:
    call.engine.ask_price(symbol.name)
    state = call.engine.state
    whole, times = day(state, symbol.name), (state.now - DAY, state.now)
    newest = market_trades.find_newest(state, symbol.name)
    last_id, quantity = (whole.trades, ZERO) if newest is None else (newest.trade_id, newest.quantity)
    if mini:
        return views.window(symbol, whole, times, last_id, mini=True)
    return views.ticker_24h(symbol, whole, times, _book_ticker(call, symbol), (last_id, quantity))


def _of_windows(call: ApiCall, times: tuple[int, int]) -> Json:
    if call.params.text("symbol") is None and call.params.text("symbols") is None:
        call.params.required("symbol")
    mini = _is_mini(call)
    return _of_symbols(call, lambda symbol: _window(call, symbol, times, mini=mini))


def _window(call: ApiCall, symbol: Symbol, times: tuple[int, int], *, mini: bool) -> Row:
    call.engine.ask_price(symbol.name)
    interval = "1m" if times[1] - times[0] <= DAY else "1h"
    length = _UNITS[interval[-1]]
    rows = candles(call.engine.state, symbol.name, interval, times, (times[1] - times[0]) // length + 1)
    whole = Candle(rows[0].start, rows[0].open, rows[0].open, rows[0].open, rows[0].open)
    for row in rows:
        whole.merge(row)
    newest = market_trades.find_newest(call.engine.state, symbol.name)
    return views.window(symbol, whole, times, newest.trade_id if newest else whole.trades, mini=mini)


def _is_mini(call: ApiCall) -> bool:
    return call.params.choice("type", ("FULL", "MINI"), INVALID_PARAMETER) == "MINI"


def _read_symbol(call: ApiCall) -> Symbol:
    return call.engine.state.symbol(call.params.required("symbol"))


def _read_symbols(call: ApiCall) -> list[Symbol] | None:
    """Read `symbol` or `symbols`, a list as JSON; None when neither is sent."""
    one, many = call.params.text("symbol"), call.params.text("symbols")
    if one is not None and many is not None:
        raise BAD_COMBINATION.error()
    if one is not None:
        return [call.engine.state.symbol(one)]
    if many is None:
        return None
    if not _SYMBOLS.fullmatch(many):
        raise ILLEGAL_CHARACTERS.error("symbols", _SYMBOLS.pattern)
    return [call.engine.state.symbol(name) for name in msgspec.json.decode(many, type=list[str])]


def _of_symbols(call: ApiCall, view: Callable[[Symbol], Row]) -> Json:
    named = _read_symbols(call)
    if call.params.text("symbol") is not None and named:
        return view(named[0])
    return [view(symbol) for symbol in (call.engine.state.symbols.values() if named is None else named)]
