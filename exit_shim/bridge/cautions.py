"""What the owner of a bridged bot should know, said once."""

import time
from collections.abc import Callable
from typing import Any, Final

from exit_shim.clients.python_binance import last_answer
from exit_shim.runtime.logs import BRIDGE

WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
WEIGHT_LIMIT: Final = 2_400
"""The request weight that an address may use in a minute."""

MUCH: Final = 0.8
"""The share of it from which it is warned of: a bridged list weighs twice what it did."""

MINUTE_S: Final = 60.0

DESTRUCTIVE: Final = (
    "cancel-all takes conditional orders too, as it did before 2025-12-09; without the bridge it leaves them"
)
SEES_TWICE: Final = (
    "this bot lists conditional orders itself, and the bridge has them among the open orders: it sees each "
    "twice; run it without the bridge"
)

LISTS: Final = frozenset({"openAlgoOrders", "allAlgoOrders"})


def with_prefix(warn: Callable[..., object]) -> Callable[..., object]:
    """Return what warns under the bridge's own prefix."""

    def say(text: str, **fields: object) -> None:
        warn(f"{BRIDGE} {text}", **fields)

    return say


class Cautions:
    """Watch the requests of bridged clients for what somebody should look at.

    Args:
        warn: Takes a text and its fields.
        clock: Seconds that only go forward.
    """

    def __init__(self, warn: Callable[..., object], clock: Callable[[], float] = time.monotonic) -> None:
        self._warn = warn
        self._clock = clock
        self._said: set[str] = set()
        self._weight_said_at = -MINUTE_S

    def heed(self, client: Any, verb: str, path: str) -> None:
        """Look at a request that is about to be made, and at the answer to the one before."""
        if (verb, path) == ("delete", "allOpenOrders"):
            self._say(DESTRUCTIVE)
        elif verb == "get" and path in LISTS:
            self._say(SEES_TWICE)
        used = used_weight(last_answer(client))
        if used > MUCH * WEIGHT_LIMIT and self._clock() - self._weight_said_at >= MINUTE_S:
            self._weight_said_at = self._clock()
            self._warn("the request weight of this address is nearly used up", used=used, limit=WEIGHT_LIMIT)

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._warn(text)


def used_weight(answer: Any) -> int:
    """Return the weight that an answer's headers say is used; 0 where they say nothing."""
    written = str(getattr(answer, "headers", {}).get(WEIGHT_HEADER, ""))
    return int(written) if written.isascii() and written.isdigit() else 0
