"""Read labels of accounts: a name, and the exchange where it is not Binance's live one."""

import ipaddress
from typing import Final

AT: Final = "@"
"""Separates an account's name from the host that its client talks to; labels of live clients have neither."""


def exchange_of(account: str | None) -> str:
    """Return where the orders of an account's label went; "" for Binance's live host or no label."""
    return (account or "").partition(AT)[2]


def is_on_loopback(exchange: str) -> bool:
    """Return whether an exchange, as `exchange_of` names it, runs on this machine."""
    name = exchange.rpartition(":")[0] or exchange
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
