"""The filters of exchangeInfo, each refusing with its own code."""

from __future__ import annotations

from decimal import Decimal

from .errors import (
    MIN_NOTIONAL,
    PRECISION,
    PRICE_NEGATIVE,
    PRICE_OFF_TICK,
    PRICE_OVER_CAP,
    PRICE_TOO_HIGH,
    PRICE_TOO_LOW,
    PRICE_UNDER_FLOOR,
    QUANTITY_NEGATIVE,
    QUANTITY_OFF_STEP,
    QUANTITY_TOO_LARGE,
    QUANTITY_TOO_SMALL,
    STOP_PRICE_NEGATIVE,
    STOP_PRICE_TOO_HIGH,
)
from .numbers import decimals, is_multiple, short
from .symbols import Symbol


def check_price(symbol: Symbol, price: Decimal) -> None:
    """Apply PRICE_FILTER.

    Raises:
        ExchangeError: -4001, -1111, -4002, -4013 or -4014.
    """
    if price <= 0:
        raise PRICE_NEGATIVE.error()
    if price > symbol.max_price:
        raise PRICE_TOO_HIGH.error()
    if decimals(price) > symbol.price_precision:
        raise PRECISION.error()
    if price < symbol.min_price:
        raise PRICE_TOO_LOW.error()
    if not is_multiple(price - symbol.min_price, symbol.tick):
        raise PRICE_OFF_TICK.error()


def check_stop_price(symbol: Symbol, price: Decimal) -> None:
    """Apply PRICE_FILTER to a trigger price.

    Raises:
        ExchangeError: -4006, -4007, -1111, -4013 or -4014.
    """
    if price <= 0:
        raise STOP_PRICE_NEGATIVE.error()
    if price > symbol.max_price:
        raise STOP_PRICE_TOO_HIGH.error()
    check_price(symbol, price)


def check_quantity(symbol: Symbol, quantity: Decimal, *, at_market: bool) -> None:
    """Apply LOT_SIZE, or MARKET_LOT_SIZE for what trades at market.

    Raises:
        ExchangeError: -4003, -4005, -1111, -4004 or -4023.
    """
    if quantity <= 0:
        raise QUANTITY_NEGATIVE.error()
    if quantity > (symbol.market_max_quantity if at_market else symbol.max_quantity):
        raise QUANTITY_TOO_LARGE.error()
    if decimals(quantity) > symbol.quantity_precision:
        raise PRECISION.error()
    if quantity < symbol.min_quantity:
        raise QUANTITY_TOO_SMALL.error()
    if not is_multiple(quantity - symbol.min_quantity, symbol.step):
        raise QUANTITY_OFF_STEP.error()


def check_percent_price(symbol: Symbol, side: str, price: Decimal, mark: Decimal) -> None:
    """Apply PERCENT_PRICE: no BUY far above the mark price, no SELL far below.

    Raises:
        ExchangeError: -4016 or -4024.
    """
    if not is_within_percent(symbol, side, price, mark):
        raise (PRICE_OVER_CAP if side == "BUY" else PRICE_UNDER_FLOOR).error()


def is_within_percent(symbol: Symbol, side: str, price: Decimal, mark: Decimal) -> bool:
    """Return whether PERCENT_PRICE lets an order of `side` trade at `price`."""
    return price <= mark * symbol.multiplier_up if side == "BUY" else price >= mark * symbol.multiplier_down


def check_notional(symbol: Symbol, notional: Decimal) -> None:
    """Apply MIN_NOTIONAL, which orders that only reduce are spared.

    Raises:
        ExchangeError: -4164.
    """
    if notional < symbol.min_notional:
        raise MIN_NOTIONAL.error(short(symbol.min_notional))
