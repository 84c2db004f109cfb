"""Keys of the user data stream: one per API key, alive for 60 minutes after the last sign of life."""

from __future__ import annotations

import hashlib

from .errors import INVALID_LISTEN_KEY

LIFETIME = 60 * 60 * 1000


class ListenKeys:
    """The listen key of each API key, with the time it was last kept alive, in milliseconds."""

    def __init__(self) -> None:
        self._issued = 0
        self._keys: dict[str, tuple[str, int]] = {}

    def open(self, api_key: str, now: int) -> str:
        """Return the live key of an API key, extended, or a new one."""
        key = self._live(api_key, now) or self._issue(api_key)
        self._keys[api_key] = (key, now)
        return key

    def keep_alive(self, api_key: str, now: int) -> str:
        """Extend the live key of an API key.

        Raises:
            ExchangeError: -1125 when it has none.
        """
        key = self._live(api_key, now)
        if key is None:
            raise INVALID_LISTEN_KEY.error()
        self._keys[api_key] = (key, now)
        return key

    def close(self, api_key: str) -> str | None:
        """Forget the key of an API key and return it."""
        return self._keys.pop(api_key, (None, 0))[0]

    def is_live(self, key: str, now: int) -> bool:
        """Return whether a listen key was issued and has not expired."""
        return any(held == key and now - seen < LIFETIME for held, seen in self._keys.values())

    @property
    def next_expiry(self) -> int | None:
        """Return when the next key expires unless it is kept alive, in milliseconds; None without keys."""
        if not self._keys:
            return None
        return min([seen + LIFETIME for _, seen in self._keys.values()], default=None)

    def take_expired(self, now: int) -> list[str]:
        """Forget the keys that have expired and return them."""
        dead = [owner for owner, (_, seen) in self._keys.items() if now - seen >= LIFETIME]
        return [self._keys.pop(owner)[0] for owner in dead]

    def _live(self, api_key: str, now: int) -> str | None:
        key, seen = self._keys.get(api_key, ("", 0))
        return key if key and now - seen < LIFETIME else None

    def _issue(self, api_key: str) -> str:
        self._issued += 1
        return hashlib.sha256(f"{api_key}/{self._issued}".encode()).hexdigest()
