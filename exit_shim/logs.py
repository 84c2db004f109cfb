"""Where the shim's own log lines go: the app's structlog pipeline, or the stdlib logger `exit_shim`."""

import logging
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

GATEWAY: Final = "[EXIT_GATEWAY]"
GUARD: Final = "[EXIT_GUARD]"
METRICS: Final = "[EXIT_METRICS]"
MODE: Final = "[EXIT_MODE]"


class _Handoff:
    """Hands finished lines to the stdlib logger `exit_shim`.

    The record is made here: what `Logger.info` adds is a walk of the stack for the caller's place, which
    would only find this package, at half the price of the line.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger("exit_shim")

    def info(self, line: str, fields: dict[str, Any]) -> None:
        self._hand_over(logging.INFO, line, fields)

    def warning(self, line: str, fields: dict[str, Any]) -> None:
        self._hand_over(logging.WARNING, line, fields)

    def error(self, line: str, fields: dict[str, Any]) -> None:
        self._hand_over(logging.ERROR, line, fields)

    def _hand_over(self, level: int, line: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            record = logging.LogRecord("exit_shim", level, __file__, 0, line, (), None)
            record.exit_shim = fields
            self._logger.handle(record)


def render(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> tuple[Any, ...]:
    """`text key=value …` for people, and the fields as `record.exit_shim` for formatters."""
    said = event.pop("event")
    words = [f"{key}={value}" for key, value in event.items() if value is not None]
    return (f"{said} {' '.join(words)}", event), {}


_app = structlog.get_logger("exit_shim")
_private = structlog.wrap_logger(
    _Handoff(),
    processors=[render],
    wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    context_class=dict,
).bind()


def logger() -> Any:
    """The logger of this moment: a library configures nobody's logging, so it follows what the app did."""
    return _app if structlog.is_configured() else _private
