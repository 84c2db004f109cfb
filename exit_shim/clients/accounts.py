"""Labels of accounts: which orders belong to the same account and exchange, without giving its key away."""

import contextlib
import functools
import hashlib
import itertools
import operator
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from exit_shim.clients.hosts import suffix_of
from exit_shim.clients.registry import IMITATED, SUPPORTED, is_genuine, library_of_class, support_of
from exit_shim.domain.doors import Identity
from exit_shim.runtime.scrubbing import SHORTEST_CREDENTIAL, attributes_of

KEY_NAMES: Final = ("api_key", "apiKey", "key")
"""Where adapters, and Binance's own connector, keep their API key."""

NOT_CLIENTS: Final = (ModuleType, type)
"""What else a function or class method may be bound to."""

MAX_LABELS: Final = 64


class Label(NamedTuple):
    """Hold the two parts of a label: the account's name, None for none, and the exchange's suffix."""

    name: str | None
    suffix: str


class NumberedAdapter(NamedTuple):
    """Remember an adapter without a key: its label, and the address that it had when it got that."""

    ref: "weakref.ref[Any]"
    label: Label
    url: object


# By the attributes that a label rests on; and by identity. Neither has a lock: a signal handler may place an
# order while this thread is in here.
_labels: dict[tuple[Any, ...], Label] = {}
_numbered: dict[int, NumberedAdapter] = {}
_counts: dict[str, Iterator[int]] = {}


def account_label(method: Any, name: str | None = None, identity: Identity | None = None) -> str | None:
    """Return the label of the account behind the client whose method this is; stable within this process.

    Args:
        method: A client's method.
        name: What to call the account instead of by its key.
        identity: The key and address that the call itself shows.
    """
    if identity is not None:
        return _with_name(_label_of_identity(identity), name)
    client = getattr(method, "__self__", None)
    try:
        # On an order's path, so by what the client has now, in one look.
        kind: Any = type(client)
        own_name, suffix = _labels[_attribute_getter(kind)(client.__dict__)]
    except (AttributeError, KeyError, TypeError):
        own_name, suffix = _numbered_label(client) or _label(client)
    # As in `_with_name`: on an order's path each call counts.
    if name:
        return name + suffix
    return None if own_name is None else own_name + suffix


def label_of(client: object, name: str | None = None) -> str | None:
    """Return the label of a client's account, as `account_label` does for its methods."""
    return _with_name(_label(client), name)


def _with_name(label: Label, name: str | None) -> str | None:
    if name:
        return name + label.suffix
    return None if label.name is None else label.name + label.suffix


def _label_of_identity(identity: Identity) -> Label:
    return Label(key_label(identity.key) if identity.key else None, suffix_of(identity.address))


@functools.lru_cache(maxsize=64)
def _attribute_getter(kind: type) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    return operator.itemgetter(*_attributes(kind))


@functools.lru_cache(maxsize=64)
def _attributes(kind: type) -> tuple[str, ...]:
    """Return the attributes that a label rests on: the key, the address, and what switches that."""
    library = library_of_class(kind) or IMITATED
    return library.key_field, library.address_field, *library.address_flags


def _numbered_label(client: object) -> Label | None:
    """Return the label of an adapter that has a number and still talks to the same address."""
    numbered = _numbered.get(id(client))
    if numbered is None or numbered.ref() is not client:
        return None
    url = attributes_of(client).get(support_of(client).address_field)
    return numbered.label if url is numbered.url else None


def _label(client: Any) -> Label:
    # Never through `__getattr__`, on which an adapter may act.
    attributes = getattr(client, "__dict__", {})
    # The class of what a proxy wraps: the proxy's own type has none of the addresses.
    kind = client.__class__ if isinstance(client.__class__, type) else type(client)
    library = library_of_class(kind)
    if library is not None and library.identity_of is not None:
        return _label_of_identity(library.identity_of(client))
    values = tuple(map(attributes.get, _attributes(kind)))  # older releases lack some
    try:
        return _labels[values]
    except (KeyError, TypeError):
        pass
    label = _read_label(attributes, values, kind)
    if label.name is not None or client is None or isinstance(client, NOT_CLIENTS) or is_genuine(client):
        return label
    return _adapter_label(client, attributes, label.suffix)


def _read_label(attributes: Mapping[str, Any], values: tuple[Any, ...], kind: type) -> Label:
    """Read a label from a client's attributes, and remember it where the class plays no part in it."""
    key, own_url, *flags = values
    url = (library_of_class(kind) or IMITATED).address_of(attributes, kind)
    label = Label(key_label(key) if isinstance(key, str) and key else None, suffix_of(url))
    if label.name is not None and not any(flags) and url is own_url:
        if len(_labels) >= MAX_LABELS:
            _labels.clear()
        with contextlib.suppress(TypeError):  # what only looks like a client may hold anything
            _labels[values] = label
    return label


def _adapter_label(adapter: object, attributes: Mapping[str, Any], suffix: str) -> Label:
    """Return the label of an adapter or fake: by its key, by its client's, or by a number.

    Without any key each object is an account of its own: two of them may be two, and nothing shows it.
    """
    url = attributes.get(support_of(adapter).address_field)
    numbered = _numbered.get(id(adapter))
    if numbered is not None and numbered.ref() is adapter:
        numbered = NumberedAdapter(numbered.ref, numbered.label._replace(suffix=suffix), url)
        _numbered[id(adapter)] = numbered
        return numbered.label
    for key in (attributes.get(name) for name in KEY_NAMES):
        if isinstance(key, str) and len(key) >= SHORTEST_CREDENTIAL:
            return Label(key_label(key), suffix or suffix_of(attributes.get("base_url")))
    for inner in attributes.values():
        if _has_key(inner) and (label := _label(inner)).name is not None:
            return label
    return _number(adapter, suffix, url)


def _has_key(value: object) -> bool:
    attributes = attributes_of(value)
    return any(library.key_field in attributes for library in SUPPORTED if library.key_field)


def _number(adapter: object, suffix: str, url: object) -> Label:
    """Give an adapter without a key a label of its own."""
    kind = type(adapter).__name__
    name = f"{kind}-{next(_counts.setdefault(kind, itertools.count(1)))}"
    try:
        ref = weakref.ref(adapter, functools.partial(_forget, id(adapter)))
    except TypeError:  # nothing by which to recognize it later
        return Label(None, suffix)
    made = NumberedAdapter(ref, Label(name, suffix), url)
    numbered = _numbered.setdefault(id(adapter), made)  # another thread may have been first
    if numbered.ref() is not adapter:
        numbered = _numbered[id(adapter)] = made
    return numbered.label


def _forget(identity: int, gone: "weakref.ref[object]") -> None:
    numbered = _numbered.get(identity)
    if numbered is not None and numbered.ref is gone:
        del _numbered[identity]


@functools.lru_cache(maxsize=64)
def key_label(key: str) -> str:
    """Return `key-` and eight hex digits of the API key's digest."""
    return f"key-{hashlib.blake2s(key.encode(), digest_size=4).hexdigest()}"
