"""Choose the symbols of a rollout: the same in every process, after each restart, on every machine."""

import functools
from hashlib import blake2b

STEPS = 1 << 64


@functools.lru_cache(maxsize=4096)
def is_in_rollout(symbol: str | None, share: float) -> bool:
    """Return whether a symbol is in a share (0 to 1) of all; a larger share keeps those of a smaller."""
    if share >= 1:
        return True
    drawn = int.from_bytes(blake2b((symbol or "").encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return drawn < share * STEPS
