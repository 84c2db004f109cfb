"""The shim's own failures: counted, logged once each with a trimmed traceback, never in the order's way."""

import traceback
from collections.abc import Callable

from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.logs import GATEWAY, logger
from exit_shim.runtime.reentrancy import ReentrantState
from exit_shim.runtime.scrubbing import describe

RERAISE = False
"""Set by the shim's own test suite, so that no internal error hides there."""

FRAMES_KEPT = 4


class InternalErrors(ReentrantState):
    """Counts internal errors, logs and keeps the first of each kind, by way of `dispatch`.

    Args:
        dispatch: What does so without an order's waiting for it.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        super().__init__()
        self._dispatch = dispatch
        self.keep: Callable[[str, str], object] = lambda _step, _said: None
        """Takes the step and the text of an error for good."""
        self.count = 0
        self._seen: set[tuple[str, str]] = set()

    def report(self, step: str, error: Exception) -> None:
        """Count `error`, met in `step`, and log the first of its kind; raises only under our own tests."""
        key = step, describe(error)
        with self._lock:
            self.count += 1
            first = key not in self._seen and len(self._seen) < 1000  # noqa: PLR2004 - a bound, no more
            if first:
                self._seen.add(key)
        if first:
            self._dispatch.hand_over(self._log, step, key[1], came_through(error))
        if RERAISE:
            raise error

    def keep_in_mind(self, step: str, said: str, *, is_loud: bool) -> None:
        """Keep what is no failure of the shim, and log it where it is loud."""
        self._dispatch.hand_over(self._keep, step, said, is_loud)

    def _keep(self, step: str, said: str, is_loud: bool) -> None:
        try:
            self.keep(step, said)
            if is_loud:
                logger().warning(f"{GATEWAY} could not {step}: {said}")
        except Exception:  # noqa: BLE001 - as in `_log`
            self.count += 1

    def _log(self, step: str, said: str, at: str) -> None:
        try:
            self.keep(step, said)
            logger().error(
                f"{GATEWAY} internal error of exit_shim; the order itself is not affected",
                step=step,
                error=said,
                at=at,
            )
        except Exception:  # noqa: BLE001 - the log is what failed; it is counted, and there is nowhere to say it
            self.count += 1


def came_through(error: Exception) -> str:
    """Where an error came from, innermost first; no source lines, for nothing here reads a file."""
    steps = list(traceback.walk_tb(error.__traceback__))[-FRAMES_KEPT:]
    return " < ".join(f"{frame.f_code.co_name}:{line}" for frame, line in reversed(steps))
