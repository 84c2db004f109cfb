"""Names for the accounts behind clients, without giving their keys away."""

import functools
import hashlib


def account_label(method: object) -> str | None:
    """A stable name for the account behind the client whose method this is, where that has an API key."""
    client = getattr(method, "__self__", None)
    key = getattr(client, "__dict__", {}).get("API_KEY")  # never through __getattr__: adapters may act on it
    return key_label(key) if isinstance(key, str) and key else None


@functools.lru_cache(maxsize=64)
def key_label(key: str) -> str:
    """`key-` and eight hex digits of the API key's digest."""
    return f"key-{hashlib.blake2s(key.encode(), digest_size=4).hexdigest()}"
