"""Binance's hosts: what part of an address may be shown, and what a label says of it."""

import functools
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from exit_shim.domain.accounts import AT

UNKNOWN: Final = "unknown"
"""The host of an address that cannot be read; it is certainly not Binance's live one."""

HOST_NAMES: Final = {"testnet.binancefuture.com": "testnet", "demo-fapi.binance.com": "demo"}

_LIVE: Final = re.compile(r"[fdp]api\d*\.binance\.[a-z]{2,3}(\.[a-z]{2})?(:443)?", re.ASCII)
_HOST: Final = re.compile(
    r"(?:https?|wss?)://(?:[^/?#]*@)?((?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?)(?:[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)


_answered: list[tuple[Callable[[str], bool], str]] = []
"""Which hosts an exchange answers in their place, by name in lower case, and the label's end for them."""


def label_answered_hosts(is_answered: Callable[[str], bool], url: str) -> None:
    """Label accounts at these hosts as those of the exchange at `url`, which answers for them from now on."""
    _answered.append((is_answered, host_of(url)))
    _short_host.cache_clear()


def origin_of_url(url: str) -> str:
    """Return scheme, host and port of an address: "https://fapi.binance.com"."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


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
    for is_answered, answering_host in _answered:
        if is_answered(host.partition(":")[0]):
            return answering_host
    return "" if _LIVE.fullmatch(host) else HOST_NAMES.get(host, host)
