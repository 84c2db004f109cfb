"""Where the shim's own log lines go: the app's structlog pipeline, or the stdlib logger `exit_shim`."""

import logging
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

GATEWAY: Final = "[EXIT_GATEWAY]"
GUARD: Final = "[EXIT_GUARD]"
METRICS: Final = "[EXIT_METRICS]"
MODE: Final = "[EXIT_MODE]"


def render(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> tuple[Any, ...]:
    """`text key=value …` for people, and the fields as `record.exit_shim` for formatters."""
    said = event.pop("event")
    line = " ".join([said, *(f"{key}={value}" for key, value in event.items() if value is not None)])
    return (line,), {"extra": {"exit_shim": event}}


_app = structlog.get_logger("exit_shim")
_private = structlog.wrap_logger(
    logging.getLogger("exit_shim"),
    processors=[render],
    wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    context_class=dict,
    cache_logger_on_first_use=True,
)


def logger() -> Any:
    """The logger of this moment: a library configures nobody's logging, so it follows what the app did."""
    return _app if structlog.is_configured() else _private
