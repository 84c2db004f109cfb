"""Whose client is whose: names for the accounts behind clients, without giving their keys away."""

import functools
import hashlib


def account_label(method: object) -> str | None:
    """A stable name for the account behind the client whose method this is, where that has an API key."""
    return label_of(getattr(method, "__self__", None))


def label_of(client: object) -> str | None:
    """The same of a client."""
    key = getattr(client, "__dict__", {}).get("API_KEY")  # never through __getattr__: adapters may act on it
    return key_label(key) if isinstance(key, str) and key else None


@functools.lru_cache(maxsize=64)
def key_label(key: str) -> str:
    """`key-` and eight hex digits of the API key's digest."""
    return f"key-{hashlib.blake2s(key.encode(), digest_size=4).hexdigest()}"


def is_genuine(client: object) -> bool:
    """Whether a client is python-binance's or inherits from it; a mock that looks like one is not."""
    return any(base.__module__.startswith("binance.") for base in type(client).__mro__)
