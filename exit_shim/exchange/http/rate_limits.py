"""Request weight and order counts: reported by the X-MBX headers, and enforced as the exchange does."""

from __future__ import annotations

from dataclasses import dataclass

from exit_shim.exchange.engine.errors import BANNED, TOO_MANY_ORDERS, TOO_MANY_REQUESTS
from exit_shim.exchange.engine.views.market import (
    ORDER_LIMIT_MINUTE,
    ORDER_LIMIT_TEN_SECONDS,
    WEIGHT_LIMIT,
)
from exit_shim.exchange.engine.views.spot import SPOT_WEIGHT_LIMIT

MINUTE = 60_000
TEN_SECONDS = 10_000
#: Requests over the limit that are answered with 429 before the address is banned.
TOLERATED = 20
#: The first ban, and the longest, in milliseconds (USDⓈ-M general information: 2 minutes to 3 days).
FIRST_BAN = 2 * MINUTE
LONGEST_BAN = 3 * 24 * 60 * MINUTE


@dataclass(frozen=True)
class WeightPool:
    """The weight that an address may use a minute, and the headers that report it."""

    limit: int
    headers: tuple[str, ...]


FUTURES_POOL = WeightPool(WEIGHT_LIMIT, ("X-MBX-USED-WEIGHT-1M",))
SPOT_POOL = WeightPool(SPOT_WEIGHT_LIMIT, ("X-MBX-USED-WEIGHT", "X-MBX-USED-WEIGHT-1M"))
WALLET_POOL = WeightPool(12_000, ("X-SAPI-USED-IP-WEIGHT-1M",))


class IntervalCounter:
    """A count that restarts at zero with each interval of the clock."""

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


class RateLimits:
    """Count the request weight of one address and the orders of its account.

    Args:
        enforced: whether what is over a limit is refused; everything is counted and reported anyway.
        pool: the weight that may be used; that of futures by default.
    """

    def __init__(self, *, enforced: bool = True, pool: WeightPool = FUTURES_POOL) -> None:
        self.enforced = enforced
        self._pool = pool
        self._weight = IntervalCounter(MINUTE)
        self._ignored = IntervalCounter(MINUTE)
        self._orders_minute = IntervalCounter(MINUTE)
        self._orders_ten_seconds = IntervalCounter(TEN_SECONDS)
        self._banned_until = 0
        self._next_ban = FIRST_BAN

    def count_weight(self, amount: int, now: int) -> tuple[int, dict[str, str]]:
        """Count the weight of a request and return the weight used with its headers."""
        used = self._weight.add(amount, now)
        return used, dict.fromkeys(self._pool.headers, str(used))

    def require_weight(self, used: int, now: int, address: str) -> None:
        """Refuse a request of an address without weight left, and ban one that goes on.

        Raises:
            ExchangeError: -1003 with HTTP 429, with 418 while banned.
        """
        if not self.enforced:
            return
        if now < self._banned_until:
            raise BANNED.error(address, self._banned_until)
        if used <= self._pool.limit:
            return
        if self._ignored.add(1, now) <= TOLERATED:
            raise TOO_MANY_REQUESTS.error(self._pool.limit)
        self._banned_until = now + self._next_ban
        self._next_ban = min(2 * self._next_ban, LONGEST_BAN)
        raise BANNED.error(address, self._banned_until)

    def count_orders(self, ten_seconds: int, now: int) -> dict[str, str]:
        """Count one request that places orders and return its headers.

        Args:
            ten_seconds: what it weighs on the limit of ten seconds; a batch weighs 5, all others 1.
            now: the time in milliseconds.

        Raises:
            ExchangeError: -1015 with HTTP 429.
        """
        short = self._orders_ten_seconds.add(ten_seconds, now)
        long = self._orders_minute.add(1, now)
        if self.enforced and short > ORDER_LIMIT_TEN_SECONDS:
            raise TOO_MANY_ORDERS.error(ORDER_LIMIT_TEN_SECONDS, "TEN_SECONDS")
        if self.enforced and long > ORDER_LIMIT_MINUTE:
            raise TOO_MANY_ORDERS.error(ORDER_LIMIT_MINUTE, "MINUTE")
        return {"X-MBX-ORDER-COUNT-10S": str(short), "X-MBX-ORDER-COUNT-1M": str(long)}

    def retry_after(self, now: int) -> dict[str, str]:
        """Return the header that names the seconds to wait."""
        until = max(self._banned_until, (now // MINUTE + 1) * MINUTE)
        return {"Retry-After": str(max(1, (until - now + 999) // 1000))}
