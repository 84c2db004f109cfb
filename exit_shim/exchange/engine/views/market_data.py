"""Candles, the book, the last 24 hours, and what trading costs and permits."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import msgspec

from exit_shim.exchange.engine.account import MAKER_RATE, TAKER_RATE
from exit_shim.exchange.engine.brackets import Bracket
from exit_shim.exchange.engine.candles import DAY, Candle
from exit_shim.exchange.engine.numbers import ZERO, fixed
from exit_shim.exchange.engine.shown_depth import list_levels
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.tape import LAST_ID_BEFORE, MarketTrade

from .market import CONTRACTS_KEPT

Json = dict[str, object]
#: A price and a quantity.
Level = tuple[Decimal, Decimal]


def kline(candle: Candle, symbol: Symbol, end: int) -> list[object]:
    """Return an element of GET /fapi/v1/klines."""
    volume, quote = candle.volume, candle.quote_volume
    places = symbol.quantity_precision
    return [
        candle.start,
        *(
            fixed(price, symbol.price_precision)
            for price in (candle.open, candle.high, candle.low, candle.close)
        ),
        fixed(volume, places),
        end - 1,
        fixed(quote, 5),
        candle.trades,
        fixed(candle.taker_volume, places),
        fixed(candle.taker_quote_volume, 5),
        "0",
    ]


def depth(state: State, symbol: Symbol, limit: int) -> Json:
    """Return the answer to GET /fapi/v1/depth."""
    bids, asks = levels(state, symbol, limit)
    return {
        "lastUpdateId": state.ids.update,
        "E": state.now,
        "T": state.now,
        "bids": [_level(row, symbol) for row in bids],
        "asks": [_level(row, symbol) for row in asks],
    }


def levels(state: State, symbol: Symbol, limit: int) -> tuple[list[Level], list[Level]]:
    """Return bids and asks, the best first."""
    bids, asks = (list_levels(state, symbol.name, side, limit) for side in ("BUY", "SELL"))
    return bids, asks


def book_ticker(state: State, symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/ticker/bookTicker, with the quantities of the best levels."""
    quote, places = state.quotes[symbol.name], symbol.quantity_precision
    bid, ask = (rows[0][1] if rows else ZERO for rows in levels(state, symbol, 1))
    return {
        "symbol": symbol.name,
        "bidPrice": fixed(quote.bid, symbol.price_precision),
        "bidQty": fixed(bid, places),
        "askPrice": fixed(quote.ask, symbol.price_precision),
        "askQty": fixed(ask, places),
        "time": state.now,
    }


def ticker_24h(symbol: Symbol, day: Candle, last: MarketTrade | None, now: int) -> Json:
    """Return an element of GET /fapi/v1/ticker/24hr; `last` is the newest trade of the market."""
    last_id = LAST_ID_BEFORE if last is None else last.trade_id
    places = symbol.price_precision
    change = day.close - day.open
    average = day.quote_volume / day.volume if day.volume else day.close
    return {
        "symbol": symbol.name,
        "priceChange": fixed(change, places),
        "priceChangePercent": fixed(change / day.open * 100, 3),
        "weightedAvgPrice": fixed(average, places),
        "lastPrice": fixed(day.close, places),
        "lastQty": fixed(ZERO if last is None else last.quantity, symbol.quantity_precision),
        "openPrice": fixed(day.open, places),
        "highPrice": fixed(day.high, places),
        "lowPrice": fixed(day.low, places),
        "volume": fixed(day.volume, symbol.quantity_precision),
        "quoteVolume": fixed(day.quote_volume, 2),
        "openTime": now - DAY,
        "closeTime": now,
        "firstId": last_id - day.trades + 1,
        "lastId": last_id,
        "count": day.trades,
    }


def commission_rate(symbol: Symbol) -> Json:
    """Return the answer to GET /fapi/v1/commissionRate."""
    return {
        "symbol": symbol.name,
        "makerCommissionRate": f"{MAKER_RATE:f}",
        "takerCommissionRate": f"{TAKER_RATE:f}",
        "rpiCommissionRate": f"{MAKER_RATE:f}",
    }


@lru_cache(maxsize=CONTRACTS_KEPT)
def leverage_brackets(symbol: Symbol) -> msgspec.Raw:
    """Return an element of GET /fapi/v1/leverageBracket, encoded: a client asks for hundreds of them."""
    rows = [_bracket(row, place) for place, row in enumerate(symbol.brackets, 1)]
    return msgspec.Raw(msgspec.json.encode({"symbol": symbol.name, "brackets": rows}))


def _bracket(row: Bracket, place: int) -> Json:
    return {
        "bracket": place,
        "initialLeverage": row.leverage,
        "notionalCap": int(row.cap),
        "notionalFloor": int(row.floor),
        "maintMarginRatio": float(row.rate),
        "cum": float(row.deduction),
    }


def _level(row: tuple[Decimal, Decimal], symbol: Symbol) -> list[str]:
    return [fixed(row[0], symbol.price_precision), fixed(row[1], symbol.quantity_precision)]
