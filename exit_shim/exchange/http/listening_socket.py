"""The listening socket of a local exchange, which can refuse connections for a while on the same port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from .app import PoliteHandler

HOST = "127.0.0.1"
BACKLOG = 128

#: Seconds until connections are accepted again when the system has no file descriptor left.
PAUSE_WITHOUT_DESCRIPTORS = 1.0

#: Seconds that aiohttp may take to clean up before its tasks are cancelled one by one.
CLEANUP_SECONDS = 5.0

#: Seconds after which a task that has not ended is cancelled again.
CANCEL_AGAIN_SECONDS = 0.05

log = logging.getLogger(__name__)


def run_on_own_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a new event loop in this thread, and close the loop."""
    # Not asyncio.run(): the process may have chosen uvloop or a proactor; ListeningSocket needs add_reader().
    loop = asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


class ListeningSocket:
    """Accept connections for a web application; use it in the running event loop only.

    Args:
        make_app: makes the application; its argument refuses connections for so many seconds.
        port: the port to listen on; 0 lets the system choose.
    """

    # Not loop.create_server(): when its Server is closed between the accept of a connection and the next
    # turn of the loop, asyncio drops the connection without closing its socket.

    def __init__(self, make_app: Callable[[Callable[[float], None]], web.Application], port: int) -> None:
        self.port = port
        self._runner = web.AppRunner(make_app(self.refuse), access_log=None, shutdown_timeout=0.1)
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.Transport] = set()
        self._closed = False

    async def open(self) -> None:
        """Start listening.

        Raises:
            OSError: when the port is taken.
        """
        await self._runner.setup()
        self.accept()

    def accept(self) -> None:
        """Accept connections again; do nothing where they are accepted, or after `close`.

        Raises:
            OSError: when the port is taken.
        """
        if self._socket is not None or self._closed:
            return
        self._stop_timer()
        self._socket = socket.create_server((HOST, self.port), backlog=BACKLOG)
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self._watch()

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse connections and drop the open ones, for some seconds or until `accept`."""
        self._stop_listening()
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                connection.force_close()
        if seconds is not None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.accept)

    async def close(self) -> None:
        """Stop listening, end every task of this event loop and close every connection."""
        self._closed = True
        self._stop_listening()
        # Each step leaves the next one nothing new to look for: no connection without its transport, no
        # task that could begin another, no transport with an open socket.
        while self._connecting:
            await asyncio.gather(*self._connecting, return_exceptions=True)
            # Since Python 3.12 gathering what has ended does not wait for the turn that takes it off.
            await asyncio.sleep(0)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._runner.cleanup(), CLEANUP_SECONDS)
        await _cancel_other_tasks()
        while still_open := self._open_transports():
            # close() would wait for a client that does not read its answer.
            for transport in still_open:
                transport.abort()
            await asyncio.sleep(0)

    def _watch(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._take_connection, self._socket)

    def _stop_listening(self) -> None:
        self._stop_timer()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take_connection(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            log.exception("the local exchange cannot accept a connection; it tries again in a second")
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            self._timer = loop.call_later(PAUSE_WITHOUT_DESCRIPTORS, self._watch)
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._connect(connection, listening))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket, listening: socket.socket) -> None:
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None  # noqa: S101 - set up before it listens
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: PoliteHandler(manager, loop=loop, access_log=None),  # type: ignore[arg-type] # no log
                connection,
            )
        except BaseException:
            connection.close()
            raise
        self._transports = {transport, *self._open_transports()}
        # Refused between the accept and now: refuse() did not see it.
        if listening is not self._socket:
            transport.abort()

    def _open_transports(self) -> list[asyncio.Transport]:
        return [each for each in self._transports if each.get_extra_info("socket").fileno() >= 0]


async def _cancel_other_tasks() -> None:
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        # A handler of aiohttp that reads on after its answer swallows a cancellation, and then waits for the
        # next request: it is cancelled again.
        ended, _ = await asyncio.wait(others, timeout=CANCEL_AGAIN_SECONDS)
        for task in ended:
            if not task.cancelled():
                task.exception()  # else asyncio would log it as never retrieved
