"""The JSON of the spot market streams, key by key as Binance's official SDK documents them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from exit_shim.exchange.engine.candles import Candle
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.tape import MarketTrade

from . import futures_streams, market_data
from .market_data import Json

#: Spot prints every price and quantity with eight decimals.
PLACES = 8


def agg_trade(symbol: Symbol, trade: MarketTrade, now: int) -> Json:
    """Return the event of `<symbol>@aggTrade`; each trade is an aggregate of its own."""
    return {
        "e": "aggTrade",
        "E": now,
        "s": symbol.name,
        "a": trade.trade_id,
        "p": fixed(trade.price, PLACES),
        "q": fixed(trade.quantity, PLACES),
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.time,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def trade(symbol: Symbol, each: MarketTrade, now: int) -> Json:
    """Return the event of `<symbol>@trade`."""
    return {
        "e": "trade",
        "E": now,
        "s": symbol.name,
        "t": each.trade_id,
        "p": fixed(each.price, PLACES),
        "q": fixed(each.quantity, PLACES),
        "T": each.time,
        "m": each.buyer_is_maker,
        "M": True,
    }


def kline(state: State, symbol: Symbol, interval: str, candle: Candle, end: int) -> Json:
    """Return the event of `<symbol>@kline_<interval>`; `end` is when the candle ends."""
    body = futures_streams.kline_body(state, symbol, interval, candle, end)
    body |= {name: long(body[name]) for name in ("o", "c", "h", "l", "v", "q", "V", "Q")}
    return {"e": "kline", "E": state.now, "s": symbol.name, "k": body}


def ticker(state: State, symbol: Symbol, day: Candle) -> Json:
    """Return the event of `<symbol>@ticker`, and element of `!ticker@arr`."""
    row = futures_streams.ticker(state, symbol, day)
    book = book_ticker(state, symbol)
    return {
        "e": "24hrTicker",
        "E": row["E"],
        "s": row["s"],
        "p": long(row["p"]),
        "P": row["P"],
        "w": long(row["w"]),
        "x": long(row["o"]),
        "c": long(row["c"]),
        "Q": long(row["Q"]),
        **{name: book[name] for name in ("b", "B", "a", "A")},
        **{name: long(row[name]) for name in ("o", "h", "l", "v", "q")},
        **{name: row[name] for name in ("O", "C", "F", "L", "n")},
    }


def mini_ticker(state: State, symbol: Symbol, day: Candle) -> Json:
    """Return the event of `<symbol>@miniTicker`, and element of `!miniTicker@arr`."""
    row = futures_streams.ticker(state, symbol, day)
    prices = {name: long(row[name]) for name in ("c", "o", "h", "l", "v", "q")}
    return {"e": "24hrMiniTicker", "E": row["E"], "s": row["s"], **prices}


def window_ticker(state: State, symbol: Symbol, size: str, window: Candle) -> Json:
    """Return the event of `<symbol>@ticker_<size>`, and element of `!ticker_<size>@arr`."""
    row = futures_streams.ticker(state, symbol, window)
    prices = {name: long(row[name]) for name in ("o", "h", "l", "c", "w", "v", "q")}
    head = {"e": f"{size}Ticker", "E": row["E"], "s": row["s"], "p": long(row["p"]), "P": row["P"]}
    return {**head, **prices, "O": window.start, **{name: row[name] for name in ("C", "F", "L", "n")}}


def average_price(symbol: Symbol, candle: Candle, now: int) -> Json:
    """Return the event of `<symbol>@avgPrice`, of the last five minutes."""
    average = candle.quote_volume / candle.volume if candle.volume else candle.close
    return {"e": "avgPrice", "E": now, "s": symbol.name, "i": "5m", "w": fixed(average, PLACES), "T": now}


def book_ticker(state: State, symbol: Symbol) -> Json:
    """Return the event of `<symbol>@bookTicker`."""
    shown = market_data.book_ticker(state, symbol)
    return {
        "u": state.ids.update,
        "s": symbol.name,
        "b": long(shown["bidPrice"]),
        "B": long(shown["bidQty"]),
        "a": long(shown["askPrice"]),
        "A": long(shown["askQty"]),
    }


def levels(update_id: int, shown: Mapping[str, object]) -> Json:
    """Return the event of `<symbol>@depth<levels>`, which names neither itself nor its symbol."""
    return {"lastUpdateId": update_id, "bids": shown["bids"], "asks": shown["asks"]}


def depth(symbol: Symbol, now: int, first: int, last: int, changed: Mapping[str, object]) -> Json:
    """Return the event of `<symbol>@depth`: the changed levels of the updates from `first` to `last`."""
    return {
        "e": "depthUpdate",
        "E": now,
        "s": symbol.name,
        "U": first,
        "u": last,
        "b": changed["bids"],
        "a": changed["asks"],
    }


def long(text: object) -> str:
    """Print a number as spot does."""
    return fixed(Decimal(str(text)), PLACES)
