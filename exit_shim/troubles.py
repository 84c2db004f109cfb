"""The shim's own failures: counted, logged once each with a trimmed traceback, never in the order's way."""

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from exit_shim.locks import Locked
from exit_shim.logs import GATEWAY, logger
from exit_shim.scrubbing import describe

RERAISE = False
"""Set by the shim's own test suite, so that no internal error hides there."""

FRAMES_KEPT = 4

T = TypeVar("T")


class Troubles(Locked):
    """Counts internal errors and logs the first of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self._seen: set[tuple[str, str]] = set()

    def otherwise(self, fallback: T, step: str, act: Callable[..., T], *args: Any) -> T:
        """What `act` returns; where it fails, `fallback`: the record is the poorer for it, not the order."""
        try:
            return act(*args)
        except Exception as error:  # noqa: BLE001
            self.note(step, error)
            return fallback

    def note(self, step: str, error: Exception) -> None:
        """Take note of `error`, met in `step`; raises only under the shim's own tests."""
        key = step, describe(error)
        with self._lock:
            self.count += 1
            first = key not in self._seen and len(self._seen) < 1000  # noqa: PLR2004 - a bound, no more
            if first:
                self._seen.add(key)
        if first:
            self._log(step, error, key[1])
        if RERAISE:
            raise error

    def _log(self, step: str, error: Exception, said: str) -> None:
        try:
            logger().error(
                f"{GATEWAY} internal error of exit_shim; the order itself is not affected",
                step=step,
                error=said,
                at=" < ".join(
                    f"{frame.f_code.co_name}:{line}"  # no source lines: nothing here reads a file
                    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))[-FRAMES_KEPT:])
                ),
            )
        except Exception:  # noqa: BLE001 - the log is what failed; it is counted, and there is nowhere to say it
            self.count += 1
