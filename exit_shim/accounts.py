"""Whose client is whose, and at which exchange: names for accounts, without giving their keys away."""

import contextlib
import functools
import hashlib
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

AT: Final = "@"
"""Stands between an account's name and the place that its client talks to; live clients have neither."""

UNKNOWN: Final = "unknown"
"""The place of a client whose address cannot be read: surely not Binance's live one."""

PLACES: Final = {"testnet.binancefuture.com": "testnet", "demo-fapi.binance.com": "demo"}

_LIVE: Final = re.compile(r"fapi\d*\.binance\.[a-z]{2,3}(\.[a-z]{2})?(:443)?", re.ASCII)
_HOST: Final = re.compile(
    r"(?:https?|wss?)://(?:[^/?#]*@)?((?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?)(?:[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)

FACTS: Final = ("API_KEY", "FUTURES_URL", "testnet", "demo")
"""All that the label of a client without either flag rests on; with one, its class may decide."""

_facts: Final[Callable[[Mapping[str, Any]], tuple[Any, ...]]] = operator.itemgetter(*FACTS)

_MOST_KNOWN: Final = 64
_known: dict[tuple[Any, ...], tuple[str | None, str]] = {}


def account_label(method: object, name: str | None = None) -> str | None:
    """A stable name for the account behind the client whose method this is, where that has an API key.

    Args:
        method: A client's method.
        name: What the account is called instead of by its key.
    """
    try:
        # On an order's path, so by what the client is now, in one look, and not by who it is.
        named, at = _known[_facts(method.__self__.__dict__)]  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError):
        client = getattr(method, "__self__", None)
        if not name and "API_KEY" not in getattr(client, "__dict__", ()):  # a fake's, or a plain function
            return None
        named, at = _label(client)
    return name + at if name else named


def label_of(client: object, name: str | None = None) -> str | None:
    """The same of a client."""
    named, at = _label(client)
    return name + at if name else named


def exchange_of(account: str | None) -> str:
    """Where the orders of an account's label went: "" for Binance's live host, and without a label."""
    return (account or "").partition(AT)[2]


def _label(client: object) -> tuple[str | None, str]:
    """What an account is called by its key, and what comes behind any name that it has."""
    own = getattr(client, "__dict__", {})  # never through __getattr__: adapters may act on it
    facts = tuple(map(own.get, FACTS))  # older releases lack some
    try:
        return _known[facts]
    except (KeyError, TypeError):
        return _made(own, facts, client.__class__)  # a proxy's own type has none of the addresses


def _made(own: Mapping[str, Any], facts: tuple[Any, ...], kind: type) -> tuple[str | None, str]:
    """The same, made anew, and remembered where the facts are all that it rests on."""
    key, own_url, testnet, demo = facts
    url = _url(own, kind)
    place = _place(url) if isinstance(url, str) else ""
    at = f"{AT}{place}" if place else ""
    label = key_label(key) + at if isinstance(key, str) and key else None
    if label is not None and not testnet and not demo and url is own_url:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        with contextlib.suppress(TypeError):  # what only looks like a client may hold anything
            _known[facts] = label, at
    return label, at


def _url(own: Mapping[str, Any], kind: type) -> object:
    """The address for USDⓈ-M futures as python-binance chooses it; a release without one ignores the flag."""
    for flag, name in (("testnet", "FUTURES_TESTNET_URL"), ("demo", "FUTURES_DEMO_URL")):
        if own.get(flag) and (url := own.get(name) or getattr(kind, name, None)) is not None:
            return url
    return own.get("FUTURES_URL") or getattr(kind, "FUTURES_URL", None)


@functools.lru_cache(maxsize=64)
def _place(url: str) -> str:
    """Host and port of an address, or a word for them; "" for Binance's live host."""
    host = host_of(url)
    return "" if _LIVE.fullmatch(host) else PLACES.get(host, host)


def host_of(url: str) -> str:
    """Host and port of an address, and nothing else that may stand in it."""
    found = _HOST.fullmatch(url)
    return found[1].lower() if found else UNKNOWN


@functools.lru_cache(maxsize=64)
def key_label(key: str) -> str:
    """`key-` and eight hex digits of the API key's digest."""
    return f"key-{hashlib.blake2s(key.encode(), digest_size=4).hexdigest()}"


def is_genuine(client: object) -> bool:
    """Whether a client is python-binance's or inherits from it; a mock that looks like one is not."""
    return any(base.__module__.startswith("binance.") for base in type(client).__mro__)
