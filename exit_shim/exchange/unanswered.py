"""The log of what clients asked for and the exchange lacks, so that a bot that stops can be explained."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import Literal

import msgspec

Kind = Literal["endpoint", "stream", "method", "symbol", "host"]
#: The most entries; later ones are not counted.
MOST = 1000
#: Keys and tokens, such as the one in the path of a call to Telegram: longer than every name of Binance's.
_SECRET = re.compile(r"\d{5,}:[\w-]{20,}|[\w-]{40,}")


class Unanswered(msgspec.Struct, frozen=True):
    """One thing that was asked for and that the exchange lacks.

    Attributes:
        kind: an endpoint of REST, a stream, a method of the WebSocket API, a symbol, or a host.
        name: its name, such as "GET /fapi/v1/insuranceBalance" or "btcusdt@compositeIndex".
        reason: why the exchange lacks it, "" if that is unknown.
        count: how often it was asked for.
    """

    kind: Kind
    name: str
    reason: str
    count: int


class UnansweredLog:
    """Count requests for what the exchange lacks, from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Kind, str, str]] = Counter()
        self._lock = threading.Lock()

    def note(self, kind: Kind, name: str, reason: str = "") -> None:
        """Count one request for something that the exchange lacks, with keys in its name hidden."""
        key = (kind, name if kind == "host" else _SECRET.sub("***", name), reason)
        with self._lock:
            if key in self._counts or len(self._counts) < MOST:
                self._counts[key] += 1

    def list_all(self) -> list[Unanswered]:
        """Return all entries, the most frequent first."""
        with self._lock:
            return [Unanswered(*key, count) for key, count in self._counts.most_common()]
