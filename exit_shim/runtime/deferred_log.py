"""Write log lines on the background thread, so that no order waits for a log handler."""

from typing import Any

from exit_shim.runtime.background import MAX_WAITING, Dispatch
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.logs import GATEWAY, logger


class DeferredLog:
    """Log lines that no sink writes.

    Args:
        dispatch: Whose thread writes them.
        internal_errors: Reports a log that fails.
    """

    def __init__(self, dispatch: Dispatch, internal_errors: InternalErrors) -> None:
        self._dispatch = dispatch
        self._internal_errors = internal_errors

    def info(self, text: str, **fields: Any) -> None:
        """Log a line that needs nobody's attention."""
        self._dispatch.hand_over(self._write, "info", text, fields)

    def warning(self, text: str, **fields: Any) -> None:
        """Log a line that somebody should look at."""
        self._dispatch.hand_over(self._write, "warning", text, fields)

    def _write(self, level: str, text: str, fields: dict[str, Any]) -> None:
        with self._internal_errors.guarded(f"log at level {level}"):
            getattr(logger(), level)(text, **fields)


def warn_of_dropped(count: int) -> None:
    """Log how many events were dropped because sinks or log handlers were too slow."""
    logger().warning(
        f"{GATEWAY} {count} events were dropped: {MAX_WAITING} others waited for a slow sink or log handler. "
        "The journal has the orders among them"
    )
