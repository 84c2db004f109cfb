"""Prices, contracts and limits."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from exit_shim.exchange.engine.funding import draw_rate, next_time
from exit_shim.exchange.engine.market import Quote
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.symbols import ONBOARDED, Symbol

Json = dict[str, object]

WEIGHT_LIMIT = 2400
ORDER_LIMIT_MINUTE = 1200
ORDER_LIMIT_TEN_SECONDS = 300
#: How many contracts keep their encoded form.
CONTRACTS_KEPT = 2000
_ORDER_TYPES = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]


def premium_index(symbol: Symbol, quote: Quote, now: int) -> Json:
    """Return an element of GET /fapi/v1/premiumIndex, with the rate of the next funding."""
    mark, due = fixed(quote.mark, 8), next_time(now)
    return {
        "symbol": symbol.name,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": fixed(draw_rate(symbol.name, due), 8),
        "interestRate": "0.00010000",
        "nextFundingTime": due,
        "time": now,
    }


def ticker_price(symbol: Symbol, quote: Quote, now: int) -> Json:
    """Return an element of GET /fapi/v1/ticker/price and /fapi/v2/ticker/price."""
    return {"symbol": symbol.name, "price": fixed(quote.last, symbol.price_precision), "time": now}


def exchange_info(symbols: list[Symbol], now: int, *, algo_limit: int | None = None) -> Json:
    """Return the answer to GET /fapi/v1/exchangeInfo; without MAX_NUM_ALGO_ORDERS since 2025-12-29."""
    return {
        "exchangeFilters": [],
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": WEIGHT_LIMIT,
            },
            *order_limits(),
        ],
        "serverTime": now,
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_encode_contract(symbol, algo_limit) for symbol in symbols],
        "timezone": "UTC",
        "futuresType": "U_MARGINED",
    }


def order_limits() -> list[Json]:
    """Return the answer to GET /fapi/v1/rateLimit/order."""
    return [
        {
            "rateLimitType": "ORDERS",
            "interval": "SECOND",
            "intervalNum": 10,
            "limit": ORDER_LIMIT_TEN_SECONDS,
        },
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": ORDER_LIMIT_MINUTE},
    ]


@lru_cache(maxsize=CONTRACTS_KEPT)
def _encode_contract(symbol: Symbol, algo_limit: int | None) -> msgspec.Raw:
    # A contract seldom changes, and a client asks for hundreds of them.
    return msgspec.Raw(msgspec.json.encode(contract(symbol, algo_limit)))


def contract(symbol: Symbol, algo_limit: int | None) -> Json:
    """Return an element of the symbols of GET /fapi/v1/exchangeInfo."""
    return {
        "symbol": symbol.name,
        "pair": symbol.name,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": ONBOARDED,
        "status": symbol.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": symbol.base,
        "quoteAsset": symbol.quote,
        "marginAsset": symbol.quote,
        "pricePrecision": symbol.price_precision,
        "quantityPrecision": symbol.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": f"{symbol.trigger_protect:f}",
        "liquidationFee": "0.010000",
        "marketTakeBound": "0.30",
        "maxMoveOrderLimit": 10000,
        "filters": filters(symbol, algo_limit),
        "orderTypes": list(_ORDER_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def filters(symbol: Symbol, algo_limit: int | None) -> list[Json]:
    """Return the filters of a contract."""
    algos = [] if algo_limit is None else [{"filterType": "MAX_NUM_ALGO_ORDERS", "limit": algo_limit}]
    return [*_order_filters(symbol), *algos]


def _order_filters(symbol: Symbol) -> list[Json]:
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": f"{symbol.min_price:f}",
            "maxPrice": f"{symbol.max_price:f}",
            "tickSize": f"{symbol.tick:f}",
        },
        _lot("LOT_SIZE", symbol, f"{symbol.max_quantity:f}"),
        _lot("MARKET_LOT_SIZE", symbol, f"{symbol.market_max_quantity:f}"),
        {"filterType": "MAX_NUM_ORDERS", "limit": symbol.max_orders},
        {"filterType": "MIN_NOTIONAL", "notional": f"{symbol.min_notional:f}"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": f"{symbol.multiplier_up:f}",
            "multiplierDown": f"{symbol.multiplier_down:f}",
            "multiplierDecimal": "4",
        },
    ]


def _lot(kind: str, symbol: Symbol, largest: str) -> Json:
    return {
        "filterType": kind,
        "minQty": f"{symbol.min_quantity:f}",
        "maxQty": largest,
        "stepSize": f"{symbol.step:f}",
    }
