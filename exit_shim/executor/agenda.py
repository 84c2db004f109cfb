"""Which passes are due, and when: of single symbols, and of the whole account."""

import threading
import time
from collections.abc import Callable


class Agenda:
    """Remember which passes are due; thread-safe.

    Args:
        on_change: Called when a pass may be due sooner than it was, from any thread.
        clock: Seconds that only go forward.
    """

    def __init__(
        self, on_change: Callable[[], object] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.on_change = on_change
        self._clock = clock
        self._lock = threading.RLock()
        self._due: dict[str | None, float] = {}

    def want(self, symbol: str | None, in_s: float = 0.0) -> None:
        """Have a pass done within so many seconds; None: over the account."""
        with self._lock:
            at = self._clock() + in_s
            if at >= self._due.get(symbol, at + 1):
                return
            self._due[symbol] = at
        self.on_change()

    def wait_s(self) -> float | None:
        """Return the seconds until the next pass is due; None without one."""
        with self._lock:
            first = min(self._due.values(), default=None)
        return None if first is None else max(0.0, first - self._clock())

    def take_due(self) -> list[str | None]:
        """Return what is due now, and forget it: the account first, then the longest waiting."""
        with self._lock:
            now = self._clock()
            due = [symbol for symbol, at in self._due.items() if at <= now]
            due.sort(key=lambda symbol: (symbol is not None, self._due[symbol]))
            for symbol in due:
                del self._due[symbol]
        return due

    def delay(self, in_s: float) -> None:
        """Have nothing done for so many seconds."""
        with self._lock:
            soonest = self._clock() + in_s
            self._due = {symbol: max(at, soonest) for symbol, at in self._due.items()}

    def put_off(self, symbol: str | None, in_s: float) -> None:
        """Have a pass done in so many seconds, and no sooner unless it is wanted again."""
        with self._lock:
            self._due[symbol] = self._clock() + in_s
        self.on_change()
