"""Binance's hosts: what part of an address may be shown, and what a label says of it."""

import functools
import re
from typing import Final

from exit_shim.domain.accounts import AT

UNKNOWN: Final = "unknown"
"""The host of an address that cannot be read; it is certainly not Binance's live one."""

HOST_NAMES: Final = {"testnet.binancefuture.com": "testnet", "demo-fapi.binance.com": "demo"}

_LIVE: Final = re.compile(r"fapi\d*\.binance\.[a-z]{2,3}(\.[a-z]{2})?(:443)?", re.ASCII)
_HOST: Final = re.compile(
    r"(?:https?|wss?)://(?:[^/?#]*@)?((?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?)(?:[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)


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
