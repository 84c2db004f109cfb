"""The listening sockets of a local exchange, which can refuse connections for a while on the same ports."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from exit_shim.exchange.authority import asked_name

from .app import ExchangeRunner, PoliteHandler, TlsHandler
from .service import ExchangeService

HOST = "127.0.0.1"
BACKLOG = 128

#: Seconds until connections are accepted again when the system has no file descriptor left.
PAUSE_WITHOUT_DESCRIPTORS = 1.0

#: Seconds that aiohttp may take to clean up before its tasks are cancelled one by one.
CLEANUP_SECONDS = 5.0

#: Seconds that the TLS handshake of a client may take.
HANDSHAKE_SECONDS = 10.0

#: Seconds after which a task that has not ended is cancelled again.
CANCEL_AGAIN_SECONDS = 0.05

log = logging.getLogger(__name__)


def run_on_own_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a new event loop in this thread, and close the loop."""
    # Not asyncio.run(): the process may have chosen uvloop or a proactor; ListeningSockets need add_reader().
    loop = asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


class ListeningSockets:
    """Accept connections for an exchange; use it in the running event loop only.

    Args:
        service: answers the requests.
        ports: the ports to listen on, each with what it speaks TLS with, None for plain TCP; 0 lets the
            system choose.
        on_distrust: called with the name that a client asked for by TLS, when it leaves without a request
            since it does not trust the certificate.

    Attributes:
        ports: the ports that it listens on.
    """

    # Not loop.create_server(): when its Server is closed between the accept of a connection and the next
    # turn of the loop, asyncio drops the connection without closing its socket.

    def __init__(
        self,
        service: ExchangeService,
        ports: Sequence[tuple[int, ssl.SSLContext | None]],
        on_distrust: Callable[[str], None],
    ) -> None:
        self.ports = [port for port, _ in ports]
        self._contexts = [tls for _, tls in ports]
        self._on_distrust = on_distrust
        self._runner = ExchangeRunner(service, self.refuse)
        self._listening: dict[socket.socket, ssl.SSLContext | None] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._connecting: dict[asyncio.Task[None], socket.socket] = {}
        self._sockets: dict[asyncio.Transport, socket.socket] = {}
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
        if self._listening or self._closed:
            return
        self._stop_timers()
        try:
            for place, tls in enumerate(self._contexts):
                listening = socket.create_server((HOST, self.ports[place]), backlog=BACKLOG)
                listening.setblocking(False)
                self.ports[place] = int(listening.getsockname()[1])
                self._listening[listening] = tls
                self._watch(listening)
        except OSError:
            self._stop_listening()
            raise

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse connections and drop the open ones, for some seconds or until `accept`."""
        self._stop_listening()
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                connection.force_close()
        if seconds is not None and not self._closed:
            self._call_later(seconds, self.accept)

    async def close(self) -> None:
        """Stop listening, end every task of this event loop and close every connection."""
        self._closed = True
        self._stop_listening()
        # Each step leaves the next one nothing new to look for: no connection without its transport, no
        # task that could begin another, no transport with an open socket.
        while self._connecting:
            # A client that says nothing would hold its handshake up; a cancelled one may leave its socket.
            for connection in self._connecting.values():
                _shut_down(connection)
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
                # A TLS transport that was closed twice no longer knows what to abort.
                _shut_down(self._sockets[transport])
            await asyncio.sleep(0)

    def _watch(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._take_connection, listening)

    def _stop_listening(self) -> None:
        self._stop_timers()
        for listening in self._listening:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._listening.clear()

    def _call_later(self, seconds: float, act: Callable[[], None]) -> None:
        self._timers.add(asyncio.get_running_loop().call_later(seconds, act))

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _take_connection(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            log.exception("the local exchange cannot accept a connection; it tries again in a second")
            asyncio.get_running_loop().remove_reader(listening)
            self._call_later(PAUSE_WITHOUT_DESCRIPTORS, functools.partial(self._watch, listening))
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(
            self._connect(connection, listening, self._listening[listening])
        )
        self._connecting[task] = connection
        task.add_done_callback(self._connecting.pop)

    async def _connect(
        self, connection: socket.socket, listening: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        # Set here, for the callbacks of the handshake run in the context of this task.
        names: list[str] = []
        asked_name.set(names)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: self._make_handler(loop, names, with_tls=tls is not None),
                connection,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            )
        except BaseException as failure:
            connection.close()
            if tls is None or not isinstance(failure, OSError):
                raise
            self._tell_distrust(names)
            return
        self._sockets = {each: self._sockets[each] for each in self._open_transports()}
        self._sockets[transport] = connection
        # Refused between the accept and now: refuse() did not see it.
        if listening not in self._listening:
            transport.abort()

    def _make_handler(
        self, loop: asyncio.AbstractEventLoop, names: list[str], *, with_tls: bool
    ) -> PoliteHandler:
        manager = self._runner.server
        assert manager is not None  # noqa: S101 - set up before it listens
        if not with_tls:
            return PoliteHandler(manager, loop=loop, access_log=None)  # type: ignore[arg-type] # no log
        return TlsHandler(manager, loop, lambda: self._tell_distrust(names))

    def _tell_distrust(self, names: list[str]) -> None:
        # A client that leaves before it names a host has only checked that the port is open.
        if names and not self._closed:
            self._on_distrust(names[0])

    def _open_transports(self) -> list[asyncio.Transport]:
        return [each for each, connection in self._sockets.items() if connection.fileno() >= 0]


def _shut_down(connection: socket.socket) -> None:
    # Its client may be gone.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


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
