"""Send the shim's log lines to the app's structlog pipeline, or to the stdlib logger `exit_shim`."""

import contextlib
import json
import logging
import re
import threading
import time
from collections.abc import Iterator, MutableMapping
from datetime import datetime, timezone
from typing import Any, Final

import structlog
from structlog.stdlib import render_to_log_kwargs

from exit_shim.runtime.background import Origin, origin

GATEWAY: Final = "[EXIT_GATEWAY]"
BRIDGE: Final = "[EXIT_BRIDGE]"
EXECUTOR: Final = "[EXIT_EXECUTOR]"
GUARD: Final = "[EXIT_GUARD]"
METRICS: Final = "[EXIT_METRICS]"
MODE: Final = "[EXIT_MODE]"


class _Handoff:
    """Hand finished lines to the stdlib logger `exit_shim`."""

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
            # Not `Logger.info`: it walks the stack for the caller's place, which takes half the time of a
            # line and would only find this package. The app's factory adds what its formatters need.
            make = logging.getLogRecordFactory()
            record = make("exit_shim", level, __file__, 0, line, (), None)
            record.exit_shim = fields
            backdate(record)
            self._logger.handle(record)


def backdate(record: logging.LogRecord) -> None:
    """Give a record the time and thread of the event that it reports, if that was reported later."""
    when = origin.get()
    if when is not None:
        record.relativeCreated -= (record.created - when.time) * 1000
        record.created = when.time
        record.msecs = int(when.time % 1 * 1000) + 0.0
        record.thread, record.threadName = when.thread.ident, when.thread.name


@contextlib.contextmanager
def stamped(seconds: float | None) -> Iterator[None]:
    """Log the lines inside under this time, in seconds since the epoch; None changes nothing."""
    when = origin.get()
    if seconds is None:
        yield
        return
    token = origin.set(Origin(seconds, threading.current_thread() if when is None else when.thread))
    try:
        yield
    finally:
        origin.reset(token)


def time_of_line() -> str:
    """Return the time of the event being logged, in ISO 8601."""
    # Pipelines of an app stamp a line when it is written.
    when = origin.get()
    moment = datetime.fromtimestamp(time.time() if when is None else when.time, timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def render(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> tuple[Any, ...]:
    """Return the line `text key=value …` in logfmt, and the fields as `record.exit_shim` for formatters."""
    text = event.pop("event")
    # Line breaks in foreign text must not look like lines of ours.
    if not text.isprintable():
        text = json.dumps(text)[1:-1]
    # Most of what a line costs is spent here.
    is_word = _is_word
    words = [
        f"{key}={value if type(value) is str and is_word(value) else written(value)}"
        for key, value in event.items()
        if value is not None
    ]
    return (" ".join((text, *words)), event), {}


def written(value: object) -> str:
    """Return a value in logfmt: as it is if that is one word, else quoted as in JSON."""
    text = json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value)
    return text if _is_word(text) else json.dumps(text, ensure_ascii=not text.isprintable())


_is_word: Final = re.compile(r"[!#-<>-\[\]-~]+").fullmatch
"""Tells a word of printable ASCII without quotes, equals signs and backslashes."""

_app = structlog.get_logger("exit_shim")
_private = structlog.wrap_logger(
    _Handoff(),
    processors=[render],
    wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    context_class=dict,
).bind()


def logger() -> Any:
    """Return the app's structlog logger, or the shim's own where the app has not configured structlog."""
    # A library configures nobody's logging, so it asks each time what the app did. An app that renders to the
    # stdlib's `extra` cannot take a field named `module`; it gets the shim's own line.
    if not structlog.is_configured():
        return _private
    processors = structlog.get_config()["processors"]
    return _private if processors and processors[-1] is render_to_log_kwargs else _app
