"""Binance's hosts: what part of an address may be shown, and how a label says where orders went."""

import functools
import re
from typing import Final

AT: Final = "@"
"""Separates an account's name from the host that its client talks to; labels of live clients have neither."""

UNKNOWN: Final = "unknown"
"""The host of an address that cannot be read; it is certainly not Binance's live one."""

HOST_NAMES: Final = {"testnet.binancefuture.com": "testnet", "demo-fapi.binance.com": "demo"}

_LIVE: Final = re.compile(r"fapi\d*\.binance\.[a-z]{2,3}(\.[a-z]{2})?(:443)?", re.ASCII)
_HOST: Final = re.compile(
    r"(?:https?|wss?)://(?:[^/?#]*@)?((?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?)(?:[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)


def exchange_of(account: str | None) -> str:
    """Return where the orders of an account's label went; "" for Binance's live host or no label."""
    return (account or "").partition(AT)[2]


def host_of(url: str) -> str:
    """Return host and port of an address, without the credentials that may stand in it."""
    match = _HOST.fullmatch(url)
    return match[1].lower() if match else UNKNOWN


def suffix_of(url: object) -> str:
    """Return what the label of an account at this address ends with; "" for Binance's live host."""
    host = _short_host(url) if isinstance(url, str) else ""
    return f"{AT}{host}" if host else ""


@functools.lru_cache(maxsize=64)
def _short_host(url: str) -> str:
    host = host_of(url)
    return "" if _LIVE.fullmatch(host) else HOST_NAMES.get(host, host)
