"""Looks at the exchange, shared by whoever asks, within a budget of request weight."""

from typing import Any, NamedTuple

from exit_shim.locks import Locked
from exit_shim.stock import Stock


class Unseen(NamedTuple):
    """Why the exchange was not seen: "over_budget", "timed_out" or "could_not_be_asked"."""

    why: str


class Snapshots(Locked):
    """Share looks at the exchange; thread-safe, and fresh in a child after `fork`."""

    def get(
        self, client: Any, account: str | None, symbol: str | None, *, fresh: bool = False
    ) -> Stock | Unseen:
        """Return what rests and is open on a symbol, asked for with a sync client; bounded in time."""
        raise NotImplementedError

    async def get_async(
        self, client: Any, account: str | None, symbol: str | None, *, fresh: bool = False
    ) -> Stock | Unseen:
        """Return the same with an async client; the event loop goes on meanwhile."""
        raise NotImplementedError

    def expire(self, account: str | None, symbol: str | None) -> None:
        """Stop serving what was seen of a symbol, or of all (None), before this moment."""
        raise NotImplementedError
