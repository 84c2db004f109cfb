"""The queue of messages to one connection, filled from any thread without making the sender wait."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable

from aiohttp import web

#: Messages that wait for a client before its connection is dropped.
LARGEST_BACKLOG = 10_000
#: Messages that leave at once, and the pause in seconds before more do. On production they are spread over
#: time, and clients such as python-binance hold no more than a hundred.
BURST = 25
PAUSE = 0.01
#: Messages that wait for a client to which they are sent without a pause.
FAR_BEHIND = 1000


class MessageQueue:
    """A bounded queue in front of one connection, filled from any thread without a wait.

    A client that does not read fast enough loses its connection, as on production; the exchange never
    waits for it.

    Args:
        loop: the event loop of the connection.
        drop: ends the connection at once; called in the loop when the queue overflows.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, drop: Callable[[], object]) -> None:
        self._loop = loop
        self._drop = drop
        self._messages: deque[str] = deque()
        self._news = asyncio.Event()
        self._woken = False
        self._closed = False

    def put(self, text: str) -> None:
        """Queue a message; drop it after `close` or an overflow."""
        if self._closed:
            return
        if len(self._messages) >= LARGEST_BACKLOG:
            self._closed = True
            self._messages.clear()
            self._loop.call_soon_threadsafe(self._drop)
            return
        self._messages.append(text)
        self._wake()

    def close(self) -> None:
        """Let `deliver` return once everything queued so far is sent."""
        self._closed = True
        self._wake()

    async def deliver(self, socket: web.WebSocketResponse) -> None:
        """Send queued messages until `close`."""
        while not (self._closed and not self._messages):
            await self._news.wait()
            self._news.clear()
            self._woken = False
            for sent in itertools.count(1):
                if not self._messages:
                    break
                await socket.send_str(self._messages.popleft())
                if sent % BURST == 0 and len(self._messages) < FAR_BEHIND and not self._closed:
                    await asyncio.sleep(PAUSE)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._news.set)
