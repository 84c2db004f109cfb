"""The JSON of the futures market streams, key by key as Binance's official SDKs document them."""

from __future__ import annotations

from collections.abc import Mapping

from exit_shim.exchange.engine import market_trades
from exit_shim.exchange.engine.candles import Candle
from exit_shim.exchange.engine.events import OrderEvent
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import ONBOARDED, Symbol
from exit_shim.exchange.engine.tape import MarketTrade

from . import market, market_data
from .market_data import Json

#: The `st` of a contract: both futures markets share their streams.
USD_MARGINED, COIN_MARGINED = 1, 2
#: The end of the name of a COIN-M contract, after the pair.
_PERPETUAL = "_PERP"


def agg_trade(symbol: Symbol, trade: MarketTrade, now: int) -> Json:
    """Return the event of `<symbol>@aggTrade`; each trade is an aggregate of its own."""
    quantity = fixed(trade.quantity, symbol.quantity_precision)
    return {
        "e": "aggTrade",
        "E": now,
        "s": symbol.name,
        "a": trade.trade_id,
        "p": fixed(trade.price, symbol.price_precision),
        "q": quantity,
        # Without the quote volume of RPI orders, which are ordinary orders here.
        "nq": quantity,
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.time,
        "m": trade.buyer_is_maker,
        "st": _kind(symbol),
    }


def trade(symbol: Symbol, each: MarketTrade, now: int) -> Json:
    """Return the event of `<symbol>@trade`."""
    return {
        "e": "trade",
        "E": now,
        "T": each.time,
        "s": symbol.name,
        "t": each.trade_id,
        "p": fixed(each.price, symbol.price_precision),
        "q": fixed(each.quantity, symbol.quantity_precision),
        "X": "MARKET",
        "m": each.buyer_is_maker,
    }


def kline(state: State, symbol: Symbol, interval: str, candle: Candle, end: int) -> Json:
    """Return the event of `<symbol>@kline_<interval>`; `end` is when the candle ends."""
    return {
        "e": "kline",
        "E": state.now,
        "s": symbol.name,
        "k": kline_body(state, symbol, interval, candle, end),
    }


def continuous_kline(state: State, symbol: Symbol, interval: str, candle: Candle, end: int) -> Json:
    """Return the event of `<pair>_perpetual@continuousKline_<interval>`."""
    body = kline_body(state, symbol, interval, candle, end)
    del body["s"]
    return {
        "e": "continuous_kline",
        "E": state.now,
        "ps": _pair(symbol),
        "ct": "PERPETUAL",
        "k": body,
    }


def price_kline(
    state: State, symbol: Symbol, interval: str, candle: Candle, end: int, *, of_index: bool
) -> Json:
    """Return the event of COIN-M's `@markPriceKline_` and `@indexPriceKline_`, made from the last price."""
    body = kline_body(state, symbol, interval, candle, end)
    body |= {"s": _pair(symbol) if of_index else symbol.name, "v": "0", "q": "0", "V": "0", "Q": "0"}
    name = "indexPrice_kline" if of_index else "markPrice_kline"
    return {"e": name, "E": state.now, "ps": _pair(symbol), "k": body}


def kline_body(state: State, symbol: Symbol, interval: str, candle: Candle, end: int) -> Json:
    """Return a candle as streams show it, with the numbers of REST; it is closed once its time is over."""
    row = market_data.kline(candle, symbol, end)
    # A closed candle is sent when the next one may already have trades.
    later = sum(minute.trades for minute in state.candles.list_between(symbol.name, end, state.now + 1))
    last = state.tape.last_id(symbol.name) - later if candle.trades else -1
    return {
        "t": row[0],
        "T": row[6],
        "s": symbol.name,
        "i": interval,
        "f": max(1, last - candle.trades + 1) if candle.trades else -1,
        "L": last,
        "o": row[1],
        "c": row[4],
        "h": row[2],
        "l": row[3],
        "v": row[5],
        "n": row[8],
        "x": state.now >= end,
        "q": row[7],
        "V": row[9],
        "Q": row[10],
        "B": "0",
    }


def ticker(state: State, symbol: Symbol, day: Candle) -> Json:
    """Return the event of `<symbol>@ticker`, and element of `!ticker@arr`."""
    newest = market_trades.find_newest(state, symbol.name)
    row = market_data.ticker_24h(symbol, day, newest, state.now)
    return {
        "e": "24hrTicker",
        "E": state.now,
        "s": symbol.name,
        "p": row["priceChange"],
        "P": row["priceChangePercent"],
        "w": row["weightedAvgPrice"],
        "c": row["lastPrice"],
        "Q": row["lastQty"],
        "o": row["openPrice"],
        "h": row["highPrice"],
        "l": row["lowPrice"],
        "v": row["volume"],
        "q": row["quoteVolume"],
        "O": row["openTime"],
        "C": row["closeTime"],
        "F": row["firstId"],
        "L": row["lastId"],
        "n": row["count"],
        "ps": _pair(symbol),
        "st": _kind(symbol),
    }


def mini_ticker(state: State, symbol: Symbol, day: Candle) -> Json:
    """Return the event of `<symbol>@miniTicker`, and element of `!miniTicker@arr`."""
    whole = ticker(state, symbol, day)
    return {
        "e": "24hrMiniTicker",
        **{name: whole[name] for name in ("E", "s", "c", "o", "h", "l", "v", "q", "ps", "st")},
    }


def mark_price(state: State, symbol: Symbol) -> Json:
    """Return the event of `<symbol>@markPrice`, and element of `!markPrice@arr`."""
    shown = market.premium_index(symbol, state.quotes[symbol.name], state.now)
    average = {} if _kind(symbol) == COIN_MARGINED else {"ap": shown["markPrice"]}
    return {
        "e": "markPriceUpdate",
        "E": state.now,
        "s": symbol.name,
        "p": shown["markPrice"],
        **average,
        "P": shown["estimatedSettlePrice"],
        "i": shown["indexPrice"],
        "r": shown["lastFundingRate"],
        "T": shown["nextFundingTime"],
        "st": _kind(symbol),
    }


def index_price(state: State, symbol: Symbol) -> Json:
    """Return the event of COIN-M's `<pair>@indexPrice`."""
    shown = market.premium_index(symbol, state.quotes[symbol.name], state.now)
    return {"e": "indexPriceUpdate", "E": state.now, "i": _pair(symbol), "p": shown["indexPrice"]}


def book_ticker(state: State, symbol: Symbol) -> Json:
    """Return the event of `<symbol>@bookTicker` and `!bookTicker`."""
    shown = market_data.book_ticker(state, symbol)
    return {
        "e": "bookTicker",
        "u": state.ids.update,
        "s": symbol.name,
        "ps": _pair(symbol),
        "b": shown["bidPrice"],
        "B": shown["bidQty"],
        "a": shown["askPrice"],
        "A": shown["askQty"],
        "T": state.now,
        "E": state.now,
        "st": _kind(symbol),
    }


def depth(symbol: Symbol, now: int, ids: tuple[int, int, int], levels: Mapping[str, object]) -> Json:
    """Return the event of `<symbol>@depth` and `<symbol>@depth<levels>`.

    Args:
        symbol: the symbol of the book.
        now: the time in milliseconds.
        ids: the first and the last update that it covers, and the last of the event before it.
        levels: `bids` and `asks`: all of them, or those that have changed.
    """
    first, last, before = ids
    return {
        "e": "depthUpdate",
        "E": now,
        "T": now,
        "s": symbol.name,
        "U": first,
        "u": last,
        "pu": before,
        "b": levels["bids"],
        "a": levels["asks"],
        "ps": _pair(symbol),
        "st": _kind(symbol),
    }


def force_order(symbol: Symbol, event: OrderEvent) -> Json:
    """Return the event of `<symbol>@forceOrder` and `!forceOrder@arr`: a liquidation at its price."""
    order, fill = event.order, event.trade
    size = fixed(order.quantity, symbol.quantity_precision)
    done = fixed(order.executed, symbol.quantity_precision)
    price = fixed(fill.price if fill else order.price, symbol.price_precision)
    of_coin = _kind(symbol) == COIN_MARGINED
    pair = {"ps": _pair(symbol)}
    body: Json = {
        "s": symbol.name,
        **(pair if of_coin else {}),
        "S": order.side,
        "o": "LIMIT",
        "f": "IOC",
        "q": size,
        "p": price,
        "ap": fixed(order.average_price, symbol.price_precision),
        "X": order.status,
        "l": fixed(fill.quantity, symbol.quantity_precision) if fill else "0",
        "z": done,
        "T": event.time,
    }
    head: Json = {"e": "forceOrder", "E": event.time, "o": body}
    return {**head, **({} if of_coin else pair), "st": _kind(symbol)}


def contract_info(symbol: Symbol, now: int) -> Json:
    """Return the event of `!contractInfo`, when the status of a contract has changed."""
    of_coin = _kind(symbol) == COIN_MARGINED
    return {
        "e": "contractInfo",
        "E": now,
        "s": symbol.name,
        "ps": _pair(symbol),
        "ct": "PERPETUAL",
        "dt": 4133404800000,
        "ot": ONBOARDED,
        "cs": symbol.status,
        "st": COIN_MARGINED if of_coin else USD_MARGINED,
    }


def _kind(symbol: Symbol) -> int:
    return COIN_MARGINED if symbol.name.endswith(_PERPETUAL) else USD_MARGINED


def _pair(symbol: Symbol) -> str:
    return symbol.name.removesuffix(_PERPETUAL)
