"""Candles, the book, the last 24 hours, and what trading costs and permits."""

from __future__ import annotations

from decimal import Decimal

from exit_shim.exchange.engine.account import MAKER_RATE, TAKER_RATE
from exit_shim.exchange.engine.candles import Candle
from exit_shim.exchange.engine.intervals import DAY
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import Symbol

Json = dict[str, object]
#: Levels that are shown of a symbol without an order book.
SHOWN = 20


def kline(candle: Candle, symbol: Symbol, end: int) -> list[object]:
    """Return an element of GET /fapi/v1/klines; what takers bought is not known apart and shown as half."""
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
        fixed(volume / 2, places),
        fixed(quote / 2, 5),
        "0",
    ]


def depth(state: State, symbol: Symbol, limit: int) -> Json:
    """Return the answer to GET /fapi/v1/depth; without a book every tick has the same quantity."""
    book = state.books.get(symbol.name)
    quote = state.quotes[symbol.name]
    if book is None:
        size, count = symbol.max_quantity, min(limit, SHOWN)
        bids = [(quote.bid - place * symbol.tick, size) for place in range(count)]
        asks = [(quote.ask + place * symbol.tick, size) for place in range(count)]
    else:
        bids = [(level.price, level.quantity) for level in book.bids[:limit]]
        asks = [(level.price, level.quantity) for level in book.asks[:limit]]
    return {
        "lastUpdateId": state.ids.update,
        "E": state.now,
        "T": state.now,
        "bids": [_level(row, symbol) for row in bids if row[0] > 0],
        "asks": [_level(row, symbol) for row in asks],
    }


def ticker_24h(symbol: Symbol, day: Candle, last_quantity: Decimal, now: int) -> Json:
    """Return an element of GET /fapi/v1/ticker/24hr; volumes are those of the account's own trades."""
    places = symbol.price_precision
    change = day.close - day.open
    average = day.quote_volume / day.volume if day.volume else day.close
    return {
        "symbol": symbol.name,
        "priceChange": fixed(change, places),
        "priceChangePercent": fixed(change / day.open * 100, 3),
        "weightedAvgPrice": fixed(average, places),
        "lastPrice": fixed(day.close, places),
        "lastQty": fixed(last_quantity, symbol.quantity_precision),
        "openPrice": fixed(day.open, places),
        "highPrice": fixed(day.high, places),
        "lowPrice": fixed(day.low, places),
        "volume": fixed(day.volume, symbol.quantity_precision),
        "quoteVolume": fixed(day.quote_volume, 2),
        "openTime": now - DAY,
        "closeTime": now,
        "firstId": 0,
        "lastId": day.trades,
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


def leverage_brackets(symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/leverageBracket."""
    return {
        "symbol": symbol.name,
        "brackets": [
            {
                "bracket": place + 1,
                "initialLeverage": row.leverage,
                "notionalCap": int(row.cap),
                "notionalFloor": int(row.floor),
                "maintMarginRatio": float(row.rate),
                "cum": float(row.deduction),
            }
            for place, row in enumerate(symbol.brackets)
        ],
    }


def _level(row: tuple[Decimal, Decimal], symbol: Symbol) -> list[str]:
    return [fixed(row[0], symbol.price_precision), fixed(row[1], symbol.quantity_precision)]
