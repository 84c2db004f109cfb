"""Counting request weight and orders, as the X-MBX headers report them."""

from __future__ import annotations

MINUTE = 60_000
TEN_SECONDS = 10_000


class Counter:
    """A count that starts again at zero with each interval of the clock."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._started = 0
        self._count = 0

    def add(self, amount: int, now: int) -> int:
        """Count `amount` at `now` (ms) and return the count of the running interval."""
        started = now // self._interval
        if started != self._started:
            self._started, self._count = started, 0
        self._count += amount
        return self._count


class Limits:
    """The counters of one address and account. They report; nothing is refused for being over."""

    def __init__(self) -> None:
        self._weight = Counter(MINUTE)
        self._orders_minute = Counter(MINUTE)
        self._orders_ten_seconds = Counter(TEN_SECONDS)

    def weight(self, amount: int, now: int) -> dict[str, str]:
        """Count the weight of a request and return its header."""
        return {"X-MBX-USED-WEIGHT-1M": str(self._weight.add(amount, now))}

    def orders(self, now: int) -> dict[str, str]:
        """Count one request that places orders and return its headers."""
        return {
            "X-MBX-ORDER-COUNT-10S": str(self._orders_ten_seconds.add(1, now)),
            "X-MBX-ORDER-COUNT-1M": str(self._orders_minute.add(1, now)),
        }
