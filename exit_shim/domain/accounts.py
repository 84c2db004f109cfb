"""Read labels of accounts: a name, and the exchange where it is not Binance's live one."""

from typing import Final

AT: Final = "@"
"""Separates an account's name from the host that its client talks to; labels of live clients have neither."""


def exchange_of(account: str | None) -> str:
    """Return where the orders of an account's label went; "" for Binance's live host or no label."""
    return (account or "").partition(AT)[2]
