"""The present content of market streams, made from the state of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from exit_shim.exchange.engine import intervals
from exit_shim.exchange.engine.candles import DAY, HOUR, MINUTE
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.tape import MarketTrade
from exit_shim.exchange.engine.views import futures_streams, spot_streams

from .addresses import StreamMarket
from .stream_names import Stream

Json = dict[str, object]
Payload = Json | list[Json]

CANDLES = frozenset({"kline", "continuousKline", "markPriceKline", "indexPriceKline"})
TRADES = frozenset({"aggTrade", "trade"})
LIQUIDATIONS = frozenset({"forceOrder", "all liquidations"})
DEPTHS = frozenset({"depth", "levels"})
#: Streams of all symbols whose event is a list.
_LISTS = frozenset({"all mark prices", "all tickers", "all mini tickers", "all windows", "pair mark price"})
#: The length of a window of spot's rolling tickers, in milliseconds.
_WINDOWS = {"1h": HOUR, "4h": 4 * HOUR, "1d": DAY}
#: The time that spot's average price covers.
_AVERAGED = 5 * MINUTE


def current_events(state: State, stream: Stream, names: Iterable[str]) -> list[Payload]:
    """Return the present events of a stream for these symbols: one event with a list, or one each."""
    if stream.kind == "all mark prices":
        names = state.symbols
    show = _SHOW[stream.kind]
    rows = [show(state, stream, state.symbols[name]) for name in names]
    return [rows] if stream.kind in _LISTS else list(rows)


def candle_event(state: State, stream: Stream, start: int) -> Json:
    """Return the event of the candle that began at `start` (ms), closed if its time is over."""
    interval, symbol = stream.detail, state.symbols[stream.symbol]
    end = intervals.end_of(interval, start)
    (candle,) = intervals.candles(state, stream.symbol, interval, (start, end - 1), 1)
    if stream.kind == "continuousKline":
        return futures_streams.continuous_kline(state, symbol, interval, candle, end)
    if stream.kind == "kline":
        kline = spot_streams.kline if _is_spot(stream) else futures_streams.kline
        return kline(state, symbol, interval, candle, end)
    of_index = stream.kind == "indexPriceKline"
    return futures_streams.price_kline(state, symbol, interval, candle, end, of_index=of_index)


def trade_event(state: State, stream: Stream, trade: MarketTrade) -> Json:
    """Return the event of a trade."""
    symbol = state.symbols[stream.symbol]
    if stream.kind == "aggTrade":
        agg_trade = spot_streams.agg_trade if _is_spot(stream) else futures_streams.agg_trade
        return agg_trade(symbol, trade, state.now)
    view = spot_streams.trade if _is_spot(stream) else futures_streams.trade
    return view(symbol, trade, state.now)


def _is_spot(stream: Stream) -> bool:
    return stream.market is StreamMarket.SPOT


def _mark_price(state: State, stream: Stream, symbol: Symbol) -> Json:  # noqa: ARG001 - as all in the table
    return futures_streams.mark_price(state, symbol)


def _index_price(state: State, stream: Stream, symbol: Symbol) -> Json:  # noqa: ARG001 - as above
    return futures_streams.index_price(state, symbol)


def _book_ticker(state: State, stream: Stream, symbol: Symbol) -> Json:
    view = spot_streams.book_ticker if _is_spot(stream) else futures_streams.book_ticker
    return view(state, symbol)


def _ticker(state: State, stream: Stream, symbol: Symbol) -> Json:
    view = spot_streams.ticker if _is_spot(stream) else futures_streams.ticker
    return view(state, symbol, intervals.day(state, symbol.name))


def _mini_ticker(state: State, stream: Stream, symbol: Symbol) -> Json:
    view = spot_streams.mini_ticker if _is_spot(stream) else futures_streams.mini_ticker
    return view(state, symbol, intervals.day(state, symbol.name))


def _window(state: State, stream: Stream, symbol: Symbol) -> Json:
    # A window begins with a minute (Binance documentation, rolling window statistics).
    start = (state.now - _WINDOWS[stream.detail]) // MINUTE * MINUTE
    window = intervals.merge_since(state, symbol.name, start)
    return spot_streams.window_ticker(state, symbol, stream.detail, window)


def _average_price(state: State, stream: Stream, symbol: Symbol) -> Json:  # noqa: ARG001 - as above
    candle = intervals.merge_since(state, symbol.name, state.now - _AVERAGED)
    return spot_streams.average_price(symbol, candle, state.now)


def _candle(state: State, stream: Stream, symbol: Symbol) -> Json:  # noqa: ARG001 - as above
    return candle_event(state, stream, intervals.start_of(stream.detail, state.now))


_SHOW: dict[str, Callable[[State, Stream, Symbol], Json]] = {
    "markPrice": _mark_price,
    "pair mark price": _mark_price,
    "all mark prices": _mark_price,
    "indexPrice": _index_price,
    "bookTicker": _book_ticker,
    "all book tickers": _book_ticker,
    "ticker": _ticker,
    "all tickers": _ticker,
    "miniTicker": _mini_ticker,
    "all mini tickers": _mini_ticker,
    "window": _window,
    "all windows": _window,
    "avgPrice": _average_price,
    **dict.fromkeys(CANDLES, _candle),
}
#: The kinds that follow the prices of their symbols.
OF_PRICES = frozenset(_SHOW) | DEPTHS
#: The kinds that follow trades, beside the streams of trades themselves.
OF_TRADES = OF_PRICES - {
    *("markPrice", "pair mark price", "all mark prices", "indexPrice", "bookTicker", "all book tickers")
}
