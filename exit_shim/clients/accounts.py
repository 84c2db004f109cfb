"""Whose client is whose, and at which exchange: names for accounts, without giving their keys away."""

import contextlib
import functools
import hashlib
import itertools
import operator
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from exit_shim.clients.python_binance import is_own_module
from exit_shim.runtime.scrubbing import SHORTEST_CREDENTIAL, attributes_of

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

URL: Final = FACTS[1]

_facts: Final[Callable[[Mapping[str, Any]], tuple[Any, ...]]] = operator.itemgetter(*FACTS)

_MOST_KNOWN: Final = 64
_known: dict[tuple[Any, ...], tuple[str | None, str]] = {}

KEY_NAMES: Final = ("api_key", "apiKey", "key")
"""Where adapters, and Binance's own connector, keep their API key."""

NO_CLIENT: Final = (ModuleType, type)
"""What a function or class method may be bound to besides."""


class Numbered(NamedTuple):
    """An adapter without a key, its account's label, where that ends, and the address that it had."""

    ref: "weakref.ref[Any]"
    label: str
    at: str
    url: object


_numbered: dict[int, Numbered] = {}
_counts: dict[str, Iterator[int]] = {}
"""Adapters without a key, by identity, and how many of each class there were. Both without a lock: a signal
handler may place an order in the middle of either."""


def account_label(method: object, name: str | None = None) -> str | None:
    """Return a name for the account behind the client whose method this is; stable within this process.

    Args:
        method: A client's method.
        name: What the account is called instead of by its key.
    """
    try:
        # On an order's path, so by what the client is now, in one look, and not by who it is.
        named, at = _known[_facts(method.__self__.__dict__)]  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError):
        client = getattr(method, "__self__", None)
        number = _numbered.get(id(client))
        if number is not None and number.ref() is client and number.url is attributes_of(client).get(URL):
            named, at = number.label, number.at
        else:
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
        pass
    label, at = _made(own, facts, client.__class__)  # a proxy's own type has none of the addresses
    if label is not None or client is None or isinstance(client, NO_CLIENT) or is_genuine(client):
        return label, at
    return _adapters(client, own, at)


def _adapters(client: object, own: Mapping[str, Any], at: str) -> tuple[str | None, str]:
    """Return what the account of an adapter or fake is called: by its key, its client's key, or a number.

    Without any key each object is an account of its own: two of them may be two, and nothing shows it.
    """
    number = _numbered.get(id(client))
    if number is not None and number.ref() is client:
        moved = number._replace(label=number.label.partition(AT)[0] + at, at=at, url=own.get(URL))
        _numbered[id(client)] = moved
        return moved.label, at
    for key in (own.get(name) for name in KEY_NAMES):
        if isinstance(key, str) and len(key) >= SHORTEST_CREDENTIAL:
            url = own.get("base_url")
            place = at or (_at(url) if isinstance(url, str) else "")
            return key_label(key) + place, place
    for inner in own.values():
        if "API_KEY" in attributes_of(inner) and (label := _label(inner))[0] is not None:
            return label
    kind = type(client).__name__
    name = f"{kind}-{next(_counts.setdefault(kind, itertools.count(1)))}"
    try:
        ref = weakref.ref(client, functools.partial(_forget, id(client)))
    except TypeError:  # nothing by which to know it again
        return None, at
    made = Numbered(ref, name + at, at, own.get(URL))
    number = _numbered.setdefault(id(client), made)  # another thread may have been first
    if number.ref() is not client:
        number = _numbered[id(client)] = made
    return number.label, at


def _forget(at: int, gone: "weakref.ref[object]") -> None:
    found = _numbered.get(at)
    if found is not None and found.ref is gone:
        del _numbered[at]


def _made(own: Mapping[str, Any], facts: tuple[Any, ...], kind: type) -> tuple[str | None, str]:
    """The same, made anew, and remembered where the facts are all that it rests on."""
    key, own_url, testnet, demo = facts
    url = _url(own, kind)
    at = _at(url) if isinstance(url, str) else ""
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


def _at(url: str) -> str:
    place = _place(url)
    return f"{AT}{place}" if place else ""


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
    """Return whether a client is python-binance's or inherits from it; a mock that looks like one is not."""
    kind: Any = type(client)
    return _is_genuine(kind)


@functools.lru_cache(maxsize=64)
def _is_genuine(kind: type) -> bool:
    return any(is_own_module(base.__module__) for base in kind.__mro__)
