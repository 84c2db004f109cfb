"""Count and log the shim's own failures, without holding up an order."""

import contextlib
import traceback
from collections.abc import Callable, Iterator

from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.logs import GATEWAY, logger
from exit_shim.runtime.reentrancy import ReentrantState
from exit_shim.runtime.scrubbing import describe

RERAISE = False
"""Whether errors are raised again once they are counted; the shim's own tests set it, so that none hides."""

FRAMES_KEPT = 4

MOST_KINDS = 1_000
"""How many different errors are logged; later ones are only counted."""


class InternalErrors(ReentrantState):
    """Count internal errors, and log and keep the first of each kind.

    Args:
        dispatch: Logs and keeps them, so that no order waits for that.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        super().__init__()
        self._dispatch = dispatch
        self.keep: Callable[[str, str], object] = lambda _step, _text: None
        """Records the step and the text of an error."""
        self.count = 0
        self._seen: set[tuple[str, str]] = set()

    def report(self, step: str, error: Exception) -> None:
        """Count `error`, met in `step`, and log the first of its kind; never raises outside the tests."""
        key = step, describe(error)
        with self._lock:
            self.count += 1
            is_first = key not in self._seen and len(self._seen) < MOST_KINDS
            if is_first:
                self._seen.add(key)
        if is_first:
            self._dispatch.hand_over(self._log, step, key[1], trace_of(error))
        if RERAISE:
            raise error

    @contextlib.contextmanager
    def guarded(self, step: str) -> Iterator[None]:
        """Report what is raised inside, and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - no failure of the shim may keep an order from going out
            self.report(step, error)

    def keep_in_mind(self, step: str, text: str, *, is_loud: bool) -> None:
        """Record what is no failure of the shim; log it if `is_loud`."""
        self._dispatch.hand_over(self._keep, step, text, is_loud)

    def _keep(self, step: str, text: str, is_loud: bool) -> None:
        try:
            self.keep(step, text)
            if is_loud:
                logger().warning(f"{GATEWAY} could not {step}: {text}")
        except Exception:  # noqa: BLE001 - as in `_log`
            self.count += 1

    def _log(self, step: str, text: str, trace: str) -> None:
        try:
            self.keep(step, text)
            logger().error(
                f"{GATEWAY} internal error of exit_shim; the order itself is not affected",
                step=step,
                error=text,
                at=trace,
            )
        # The log itself failed: it is counted, and there is nowhere left to report it.
        except Exception:  # noqa: BLE001
            self.count += 1


def trace_of(error: Exception) -> str:
    """Return where an error was raised, innermost function first."""
    # No source lines: an order may wait, and reading a file takes time.
    steps = list(traceback.walk_tb(error.__traceback__))[-FRAMES_KEPT:]
    return " < ".join(f"{frame.f_code.co_name}:{line}" for frame, line in reversed(steps))
