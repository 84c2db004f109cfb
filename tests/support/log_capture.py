"""Wait for the background threads of the shims before looking at log lines or sinks."""

import contextlib
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any

import structlog
import wrapt

from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.process_hooks import members

PATIENCE_S = 60


def state_of(dispatch: Dispatch) -> str:
    """Return what a thread that does not come to an end is doing."""
    thread = dispatch.thread
    frame = None if thread is None else sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "no frame"
    return f"{dispatch} has work that is not done within {PATIENCE_S} s; {thread}:\n{stack}"


def flush_all() -> None:
    """Wait until the background threads of all shims have nothing left to do."""
    for _ in range(2):  # a sink's error is handed to the same thread to be logged
        for dispatch in [one for one in members() if isinstance(one, Dispatch)]:
            assert dispatch.flush(PATIENCE_S), state_of(dispatch)


class FlushedCapture(wrapt.ObjectProxy):  # type: ignore[misc]
    """A capture fixture of pytest's that is complete whenever it is asked for something."""

    def __getattr__(self, name: str) -> Any:
        flush_all()
        return super().__getattr__(name)


@contextlib.contextmanager
def captured_events() -> Iterator[list[MutableMapping[str, Any]]]:
    """Capture structlog's events; all of them are in the list when the block ends."""
    with structlog.testing.capture_logs() as events:
        yield events
        flush_all()
