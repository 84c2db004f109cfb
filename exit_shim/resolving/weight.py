"""Count the request weight that an address has used, from its answers and our own requests."""

import time
import weakref
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final

from exit_shim.runtime.reentrancy import ReentrantState

MINUTE_S: Final = 60.0
"""The window in which the exchange counts request weight."""

WEIGHT_LIMIT: Final = 2_400
"""The request weight that an address may use in a minute."""

RESERVE: Final = WEIGHT_LIMIT // 10
"""Weight that looks leave unused: what the bot uses is known only from its last answer."""

RETRY_HEADER: Final = "Retry-After"
WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"

LIMITED: Final = {429: 300.0, 418: 1_800.0}
"""Seconds of silence after HTTP 429 and 418 that name no time."""

SKEW_S: Final = 2.0
"""How far the clock of the exchange may be behind ours; so long its count may still be the last minute's."""

MINUTES_KEPT: Final = 5
"""How many minutes back the weight that others use is remembered."""


class UsedWeight(ReentrantState):
    """Count the request weight of one address, ours and that of others; thread-safe.

    Args:
        clock: Seconds that only go forward.
        wall: Seconds since the epoch; the exchange counts by the minutes of its clock.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._clock = clock
        self._wall = wall
        self._ours: dict[int, int] = {}
        self._others: dict[int, int] = {}
        self._quiet_until = 0.0
        self._bots: Callable[[], Any] = lambda: None

    def spend(self, weight: int) -> None:
        """Count a request of ours that is about to leave."""
        with self._lock:
            minute = self._minute()
            self._ours[minute] = self._ours.get(minute, 0) + weight

    def heed(self, answer: Any) -> None:
        """Learn from an answer's headers how much is used, and from HTTP 429 and 418 to be quiet."""
        used = seconds_in(answer, WEIGHT_HEADER)
        # `status` is aiohttp's.
        status = getattr(answer, "status_code", None) or getattr(answer, "status", None)
        with self._lock:
            minute = self._minute()
            others = int(used) - self._ours.get(minute, 0)
            if self._wall() % MINUTE_S >= SKEW_S:
                self._others[minute] = max(self._others.get(minute, 0), others)
        if status in LIMITED:
            self.be_quiet(retry_after(answer) or LIMITED[status])

    def heed_bots(self, answer: Any) -> None:
        """Learn the same from the bot's last answer, once from each."""
        if answer is None or self._bots() is answer:
            return
        try:
            self._bots = weakref.ref(answer)
        # An adapter's answer that cannot be told from the next is not counted.
        except TypeError:
            return
        self.heed(answer)

    def be_quiet(self, seconds: float) -> None:
        """Let nothing be asked for a while."""
        with self._lock:
            self._quiet_until = max(self._quiet_until, self._clock() + seconds)

    def quiet_s(self) -> float:
        """Return the seconds for which nothing may be asked; 0 for none."""
        return max(self._quiet_until - self._clock(), 0.0)

    def has_room_for(self, weight: int) -> bool:
        """Tell whether a request leaves enough of the limit to the others.

        They are taken to need in this minute what they used in the busiest of the last few.
        """
        if self.quiet_s():
            return False
        with self._lock:
            minute = self._minute()
            others = max(self._others.values(), default=0)
            return others + self._ours.get(minute, 0) + weight <= WEIGHT_LIMIT - RESERVE

    def _minute(self) -> int:
        """Return the minute of now, and forget what is long ago."""
        minute = int(self._wall() // MINUTE_S)
        for counts in (self._ours, self._others):
            for past in [past for past in counts if abs(past - minute) >= MINUTES_KEPT]:
                del counts[past]
        return minute


class UsedWeights:
    """The `UsedWeight` of each address, by the place that stands in its accounts' labels."""

    def __init__(self) -> None:
        self._at: dict[str, UsedWeight] = {}

    def at(self, place: str) -> UsedWeight:
        """Return that of one address; "" is Binance's live one."""
        return self._at.setdefault(place, UsedWeight())


def seconds_in(answer: Any, header: str) -> float:
    """Return the number that a header of an answer has; 0 where it has none."""
    written = written_in(answer, header)
    return float(written) if written.isascii() and written.isdigit() else 0.0


def retry_after(answer: Any) -> float:
    """Return the seconds that a `Retry-After` asks for: a number, or the date until which to wait."""
    if seconds := seconds_in(answer, RETRY_HEADER):
        return seconds
    try:
        return max(parsedate_to_datetime(written_in(answer, RETRY_HEADER)).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def written_in(answer: Any, header: str) -> str:
    """Return what a header of an answer says; "" where it has none."""
    get = getattr(getattr(answer, "headers", None), "get", None)
    return "" if get is None else str(get(header))
