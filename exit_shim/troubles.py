"""The shim's own failures: counted, logged once each with a trimmed traceback, never in the order's way."""

import threading
import traceback

from exit_shim.logs import GATEWAY, logger

RERAISE = False
"""Set by the shim's own test suite, so that no internal error hides there."""

FRAMES_KEPT = 4


class Troubles:
    """Counts internal errors and logs the first of each kind."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def note(self, step: str, error: Exception) -> None:
        """Take note of `error`, met in `step`; raises only under the shim's own tests."""
        with self._lock:
            self.count += 1
            key = step, f"{type(error).__name__}: {error}"[:200]
            first = key not in self._seen and len(self._seen) < 1000  # noqa: PLR2004 - a bound, no more
            if first:
                self._seen.add(key)
        if first:
            self._log(step, error)
        if RERAISE:
            raise error

    def _log(self, step: str, error: Exception) -> None:
        try:
            logger().error(
                f"{GATEWAY} internal error of exit_shim; the order itself is not affected",
                step=step,
                error=f"{type(error).__name__}: {error}",
                at=" < ".join(
                    f"{frame.name}:{frame.lineno}"
                    for frame in reversed(traceback.extract_tb(error.__traceback__)[-FRAMES_KEPT:])
                ),
            )
        except Exception:  # noqa: BLE001 - the log is what failed; it is counted, and there is nowhere to say it
            self.count += 1
