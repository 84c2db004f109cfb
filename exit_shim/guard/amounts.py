"""Amounts as exact numbers."""

from decimal import Decimal, InvalidOperation


def to_decimal(written: object) -> Decimal | None:
    """Return a finite number; None where the value is no such number."""
    if written is None:
        return None
    try:
        amount = Decimal(str(written))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
