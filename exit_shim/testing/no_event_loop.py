"""python-binance's clients without the event loop that each makes and never closes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class NoLoop(asyncio.AbstractEventLoop):
    """A placeholder for a client's event loop, whose every method raises NotImplementedError."""


@contextmanager
def prevent_event_loop() -> Iterator[None]:
    """Give code inside the block a `NoLoop` where it would make an event loop.

    A running loop is found as usual.
    """
    # python-binance makes a loop in the constructor of every client, even a sync one, and never closes it.
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - asyncio's own words for loop implementers
        yield
        return
    asyncio._set_running_loop(NoLoop())  # type: ignore[abstract]  # noqa: SLF001 - as above
    try:
        yield
    finally:
        asyncio._set_running_loop(None)  # noqa: SLF001 - as above
