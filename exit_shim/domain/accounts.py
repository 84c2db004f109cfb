"""Labels of accounts: what names an account in the record, and the exchange in it."""

from typing import Final

AT: Final = "@"
"""Separates an account's name from its exchange; the label of a live account has no exchange."""


def exchange_of(account: str | None) -> str:
    """Return the exchange in an account's label: "" for Binance's live host, and without a label."""
    return (account or "").partition(AT)[2]
