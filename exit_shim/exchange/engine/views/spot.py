"""Spot: the same coins at the same prices, printed as the spot exchange prints them."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import msgspec

from exit_shim.exchange.engine.account import SpotAccount
from exit_shim.exchange.engine.candles import Candle
from exit_shim.exchange.engine.market import Quote
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.symbols import Symbol
from exit_shim.exchange.engine.tape import MarketTrade
from exit_shim.exchange.engine.views.market import CONTRACTS_KEPT
from exit_shim.exchange.engine.views.market_data import levels

Json = dict[str, object]

SPOT_WEIGHT_LIMIT = 6000
#: Spot prints every amount with eight decimals.
PLACES = 8
_ORDER_TYPES = [
    *("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"),
]


def amount(value: Decimal) -> str:
    """Print an amount as spot does."""
    return fixed(value, PLACES)


def exchange_info(symbols: list[Symbol], now: int) -> Json:
    """Return the answer to GET /api/v3/exchangeInfo."""
    return {
        "timezone": "UTC",
        "serverTime": now,
        "rateLimits": [
            _rate_limit("REQUEST_WEIGHT", "MINUTE", 1, SPOT_WEIGHT_LIMIT),
            *order_limits(),
            _rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [_encode_pair(symbol) for symbol in symbols],
    }


def order_limits() -> list[Json]:
    """Return the limits of spot orders, as exchangeInfo has them."""
    return [_rate_limit("ORDERS", "SECOND", 10, 100), _rate_limit("ORDERS", "DAY", 1, 200_000)]


def ticker_price(symbol: Symbol, quote: Quote) -> Json:
    """Return an element of GET /api/v3/ticker/price."""
    return {"symbol": symbol.name, "price": amount(quote.last)}


def book_ticker(symbol: Symbol, quote: Quote, quantities: tuple[Decimal, Decimal]) -> Json:
    """Return an element of GET /api/v3/ticker/bookTicker, with the quantities of the best levels."""
    return {
        "symbol": symbol.name,
        "bidPrice": amount(quote.bid),
        "bidQty": amount(quantities[0]),
        "askPrice": amount(quote.ask),
        "askQty": amount(quantities[1]),
    }


def kline(candle: Candle, end: int) -> list[object]:
    """Return an element of GET /api/v3/klines."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    return [
        candle.start,
        *(amount(price) for price in prices),
        amount(candle.volume),
        end - 1,
        amount(candle.quote_volume),
        candle.trades,
        amount(candle.taker_volume),
        amount(candle.taker_quote_volume),
        "0",
    ]


def depth(state: State, symbol: Symbol, limit: int) -> Json:
    """Return the answer to GET /api/v3/depth: the book of the futures contract."""
    bids, asks = levels(state, symbol, limit)
    return {
        "lastUpdateId": state.ids.update,
        "bids": [[amount(price), amount(quantity)] for price, quantity in bids],
        "asks": [[amount(price), amount(quantity)] for price, quantity in asks],
    }


def trade(done: MarketTrade) -> Json:
    """Return an element of GET /api/v3/trades and /api/v3/historicalTrades."""
    return {
        "id": done.trade_id,
        "price": amount(done.price),
        "qty": amount(done.quantity),
        "quoteQty": amount(done.price * done.quantity),
        "time": done.time,
        "isBuyerMaker": done.buyer_is_maker,
        "isBestMatch": True,
    }


def window(symbol: Symbol, whole: Candle, times: tuple[int, int], last_id: int, *, mini: bool) -> Json:
    """Return an element of GET /api/v3/ticker and /api/v3/ticker/tradingDay."""
    return {"symbol": symbol.name, **({} if mini else _change(whole)), **_traded(whole, times, last_id)}


def ticker_24h(
    symbol: Symbol,
    day: Candle,
    times: tuple[int, int],
    book: Json,
    last: tuple[int, Decimal],
) -> Json:
    """Return an element of GET /api/v3/ticker/24hr.

    Args:
        symbol: the symbol.
        day: the candle of the last 24 hours.
        times: when they began and end, in milliseconds.
        book: the answer to GET /api/v3/ticker/bookTicker.
        last: the id and the quantity of the last trade.
    """
    traded = _traded(day, times, last[0])
    return {
        "symbol": symbol.name,
        **_change(day),
        "prevClosePrice": traded["openPrice"],
        "lastPrice": traded.pop("lastPrice"),
        "lastQty": amount(last[1]),
        **{name: value for name, value in book.items() if name != "symbol"},
        **traded,
    }


def average(minutes: list[Candle], now: int) -> Json:
    """Return the answer to GET /api/v3/avgPrice, of five minutes."""
    volume = sum((minute.volume for minute in minutes), Decimal(0))
    quote = sum((minute.quote_volume for minute in minutes), Decimal(0))
    return {"mins": 5, "price": amount(quote / volume if volume else minutes[-1].close), "closeTime": now}


def account(held: SpotAccount, *, with_zeros: bool) -> Json:
    """Return the answer to GET /api/v3/account."""
    return {
        "makerCommission": 10,
        "takerCommission": 10,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": "0.00100000",
            "taker": "0.00100000",
            "buyer": "0.00000000",
            "seller": "0.00000000",
        },
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": held.update_time,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": amount(free), "locked": amount(Decimal(0))}
            for asset, free in held.balances.items()
            if free or with_zeros
        ],
        "permissions": ["SPOT"],
        "uid": 354937868,
    }


def commission(symbol: Symbol) -> Json:
    """Return the answer to GET /api/v3/account/commission."""
    nothing = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
    return {
        "symbol": symbol.name,
        "standardCommission": {**nothing, "maker": "0.00100000", "taker": "0.00100000"},
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.75000000",
        },
    }


def _change(whole: Candle) -> Json:
    change = whole.close - whole.open
    weighted = whole.quote_volume / whole.volume if whole.volume else whole.close
    return {
        "priceChange": amount(change),
        "priceChangePercent": fixed(change / whole.open * 100, 3),
        "weightedAvgPrice": amount(weighted),
    }


def _traded(whole: Candle, times: tuple[int, int], last_id: int) -> Json:
    return {
        "openPrice": amount(whole.open),
        "highPrice": amount(whole.high),
        "lowPrice": amount(whole.low),
        "lastPrice": amount(whole.close),
        "volume": amount(whole.volume),
        "quoteVolume": amount(whole.quote_volume),
        "openTime": times[0],
        "closeTime": times[1],
        "firstId": last_id - whole.trades + 1 if whole.trades else -1,
        "lastId": last_id if whole.trades else -1,
        "count": whole.trades,
    }


def _rate_limit(kind: str, interval: str, number: int, limit: int) -> Json:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


@lru_cache(maxsize=CONTRACTS_KEPT)
def _encode_pair(symbol: Symbol) -> msgspec.Raw:
    # As of a futures contract: it seldom changes, and a client asks for hundreds of them.
    return msgspec.Raw(msgspec.json.encode(_pair(symbol)))


def _pair(symbol: Symbol) -> Json:
    return {
        "symbol": symbol.name,
        "status": "TRADING" if symbol.status == "TRADING" else "BREAK",
        "baseAsset": symbol.base,
        "baseAssetPrecision": PLACES,
        "quoteAsset": symbol.quote,
        "quotePrecision": PLACES,
        "quoteAssetPrecision": PLACES,
        "baseCommissionPrecision": PLACES,
        "quoteCommissionPrecision": PLACES,
        "orderTypes": list(_ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(symbol),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
    }


def _filters(symbol: Symbol) -> list[Json]:
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": amount(symbol.tick),
            "maxPrice": amount(symbol.max_price),
            "tickSize": amount(symbol.tick),
        },
        _lot("LOT_SIZE", symbol.step, symbol.max_quantity, symbol.step),
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        _lot("MARKET_LOT_SIZE", Decimal(0), symbol.market_max_quantity, Decimal(0)),
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": amount(Decimal(5)),
            "applyMinToMarket": True,
            "maxNotional": amount(Decimal(9_000_000)),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
    ]


def _lot(kind: str, smallest: Decimal, largest: Decimal, step: Decimal) -> Json:
    return {
        "filterType": kind,
        "minQty": amount(smallest),
        "maxQty": amount(largest),
        "stepSize": amount(step),
    }
