"""Decimal arithmetic and the exchange's ways of printing a number."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from functools import cache

ZERO = Decimal(0)
#: The account is kept in 8 decimals of USDT, as every balance on production is printed.
MONEY = Decimal("0.00000001")


def money(value: Decimal) -> Decimal:
    """Round an amount of USDT half up to 8 decimals."""
    return value.quantize(MONEY, ROUND_HALF_UP)


def nearest(value: Decimal, step: Decimal) -> Decimal:
    """Round to the nearest multiple of `step`."""
    return (value / step).quantize(Decimal(1), ROUND_HALF_EVEN) * step


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Return whether `value` is a whole number of steps."""
    return value % step == 0


def decimals(value: Decimal) -> int:
    """Count the decimals without trailing zeros: one in 1.5000."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def fixed(value: Decimal, places: int) -> str:
    """Print with exactly `places` decimals, as in `"1.183700"`."""
    # Most numbers of an account with hundreds of symbols are zero.
    return f"{value.quantize(_unit(places), ROUND_HALF_UP):f}" if value else f"{0:.{places}f}"


@cache
def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def short(value: Decimal) -> str:
    """Print without trailing zeros but with one decimal at least: `"1.1837"`, `"0.0"`."""
    text = plain(value)
    return text if "." in text else f"{text}.0"


def plain(value: Decimal) -> str:
    """Print without trailing zeros and without an exponent: `"4.9"`, `"0"`."""
    return f"{value.normalize():f}" if value else "0"
