"""Answers derived from prices and volume: price candles, funding, open interest, ratios and the basis."""

from __future__ import annotations

from decimal import Decimal

from exit_shim.exchange.engine.candles import Candle
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.tape import MarketTrade

Json = dict[str, object]


def price_kline(candle: Candle, end: int) -> list[object]:
    """Return an element of the candles of mark, index and premium: they have no volume."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    # One value a second, as production counts them.
    seconds = (end - candle.start) // 1000
    return [candle.start, *(fixed(price, 8) for price in prices), "0", end - 1, "0", seconds, "0", "0", "0"]


def funding_rate(time: int, symbol: Symbol, rate: Decimal, mark: Decimal) -> Json:
    """Return an element of GET /fapi/v1/fundingRate."""
    return {
        "symbol": symbol.name,
        "fundingTime": time,
        "fundingRate": fixed(rate, 8),
        "markPrice": fixed(mark, 8),
    }


def funding_info(symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/fundingInfo."""
    return {
        "symbol": symbol.name,
        "adjustedFundingRateCap": "0.02000000",
        "adjustedFundingRateFloor": "-0.02000000",
        "fundingIntervalHours": 8,
        "disclaimer": False,
    }


def open_interest(symbol: Symbol, contracts: Decimal, now: int) -> Json:
    """Return the answer to GET /fapi/v1/openInterest."""
    return {
        "openInterest": fixed(contracts, symbol.quantity_precision),
        "symbol": symbol.name,
        "time": now,
    }


def open_interest_then(contracts: Decimal, price: Decimal, time: int) -> Json:
    """Return the amounts of an element of GET /futures/data/openInterestHist."""
    return {
        "sumOpenInterest": fixed(contracts, 8),
        "sumOpenInterestValue": fixed(contracts * price, 8),
        "timestamp": time,
    }


def even_ratio(long: str, short: str, time: int) -> Json:
    """Return the values of a long/short ratio: half are long, and half are short."""
    return {"longShortRatio": "1.0000", long: "0.5000", short: "0.5000", "timestamp": time}


def taker_ratio(candle: Candle, time: int) -> Json:
    """Return an element of GET /futures/data/takerlongshortRatio."""
    bought = candle.taker_volume
    sold = candle.volume - bought
    return {
        "buySellRatio": fixed(bought / sold, 4) if sold else "1.0000",
        "sellVol": fixed(sold, 4),
        "buyVol": fixed(bought, 4),
        "timestamp": time,
    }


def taker_volumes(symbol: Symbol, candle: Candle) -> Json:
    """Return an element of GET /futures/data/takerBuySellVol, in contracts and in coins."""
    bought = candle.taker_volume
    return {
        "pair": symbol.name.removesuffix("_PERP"),
        "contractType": "PERPETUAL",
        "takerBuyVol": fixed(bought, 0),
        "takerSellVol": fixed(candle.volume - bought, 0),
        "takerBuyVolValue": fixed(bought, 8),
        "takerSellVolValue": fixed(candle.volume - bought, 8),
        "timestamp": candle.start,
    }


def basis(pair: str, price: Decimal, time: int) -> Json:
    """Return an element of GET /futures/data/basis: contract and index cost the same."""
    return {
        "indexPrice": fixed(price, 8),
        "contractType": "PERPETUAL",
        "basisRate": "0.0000",
        "futuresPrice": fixed(price, 8),
        "annualizedBasisRate": "",
        "basis": "0.00000000",
        "pair": pair,
        "timestamp": time,
    }


def constituents(symbol: Symbol, price: Decimal, now: int) -> Json:
    """Return the answer to GET /fapi/v1/constituents: the index is the price of this exchange's spot."""
    only = {"exchange": "binance", "symbol": symbol.name, "price": fixed(price, 8), "weight": "1.00000000"}
    return {"symbol": symbol.name, "time": now, "constituents": [only]}


def trade(done: MarketTrade, symbol: Symbol) -> Json:
    """Return an element of GET /fapi/v1/trades and /fapi/v1/historicalTrades."""
    return {
        "id": done.trade_id,
        "price": fixed(done.price, symbol.price_precision),
        "qty": fixed(done.quantity, symbol.quantity_precision),
        "quoteQty": fixed(done.price * done.quantity, 2),
        "time": done.time,
        "isBuyerMaker": done.buyer_is_maker,
        "isRPITrade": False,
    }


def aggregate(done: MarketTrade, price: str, quantity: str) -> Json:
    """Return the fields of an aggregate trade, which is one trade here."""
    return {
        "a": done.trade_id,
        "p": price,
        "q": quantity,
        "f": done.trade_id,
        "l": done.trade_id,
        "T": done.time,
        "m": done.buyer_is_maker,
    }
