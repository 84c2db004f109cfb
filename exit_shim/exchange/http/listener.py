"""The listening socket: it can be taken away for a while and comes back on the same port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from .app import PoliteHandler

HOST = "127.0.0.1"

TURNS = 5
"""Turns of the event loop in which what has begun with a connection comes to its end."""


class Listener:
    """Accepts connections for an application. All of it belongs to the running event loop.

    Args:
        make: makes what serves them, told how to refuse connections for some seconds.
        port: where; 0 lets the system choose.
    """

    def __init__(self, make: Callable[[Callable[[float], None]], web.Application], port: int) -> None:
        self.port = port
        self._runner = web.AppRunner(make(self.refuse), access_log=None, shutdown_timeout=0.1)
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: when the port is taken.
        """
        await self._runner.setup()
        await self.accept()

    async def accept(self) -> None:
        """Accept connections again; does nothing while it does."""
        self._stop_timer()
        if self._server is None:
            loop, manager = asyncio.get_running_loop(), self._runner.server
            assert manager is not None  # noqa: S101 - set up before it listens
            self._server = await loop.create_server(
                lambda: PoliteHandler(manager, loop=loop, access_log=None),  # type: ignore[arg-type] # no log
                HOST,
                self.port,
            )
            self.port = int(self._server.sockets[0].getsockname()[1])

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse connections and drop those there are, for some seconds or until `accept`."""
        self._stop_timer()
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                connection.force_close()
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._accept_soon)

    async def pause(self) -> None:
        """Refuse connections until `accept`."""
        self.refuse()

    async def close(self) -> None:
        """Stop listening and close every connection."""
        self._stop_timer()
        if self._server is not None:
            self._server.close()
            self._server = None
        for _ in range(TURNS):  # a connection that is being accepted is one to close, too
            await asyncio.sleep(0)
        await self._runner.cleanup()
        # What aiohttp does not know of yet, and an answer that nobody reads, would outlive the loop.
        for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
            transport.abort()
        for _ in range(TURNS):  # a closed one lets go of its socket in a later turn of the loop
            await asyncio.sleep(0)

    def _accept_soon(self) -> None:
        self._opening = asyncio.get_running_loop().create_task(self.accept())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
