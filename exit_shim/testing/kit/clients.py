"""Genuine clients for tests: they make what needs an event loop in the loop that uses it, and leave none."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from binance import AsyncClient, Client

from exit_shim.testing.no_event_loop import NoLoop, prevent_event_loop
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

#: Seconds that a loop in another thread has to close what it opened.
PATIENCE = 5
#: Turns of a loop in which a reader notices that its connection has gone; it needs a handful.
TURNS = 100


def _late(name: str) -> Any:
    """Return a property for a WebSocket API that uses the loop that runs when it is first used."""

    def get(client: Any) -> Any:
        if name not in vars(client):
            raise AttributeError(f"{type(client).__name__!r} object has no attribute {name!r}")
        api = vars(client)[name]
        running = _running_loop()
        if running is not None and type(getattr(api, "_loop", None)) is NoLoop:
            client.settle(running)
            api._loop = running  # noqa: SLF001 - it was made with the stand-in that NoLoop is
        return api

    def put(client: Any, api: Any) -> None:
        vars(client)[name] = api

    return property(get, put)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _drop_sockets(client: Any) -> None:
    """Close what the WebSocket APIs opened in this loop.

    Not by their own `close`: it waits for a message, for seconds, and needs a loop that is not ending.
    """
    for name in ("ws_api", "ws_future"):
        api: Any = vars(client).get(name)
        if api is None or api.ws is None or api._loop is not _running_loop():  # noqa: SLF001 - not public
            continue
        api.ws_state = type(api.ws_state).EXITING
        api.ws.transport.abort()
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if api._handle_read_loop is None:  # noqa: SLF001 - not public
                break
        api.ws = None


class LocalClient(Client):  # type: ignore[misc]
    """python-binance's sync client, without the event loop that it makes and leaves open.

    Made where python-binance is pointed at a local exchange. `leave` closes what it opened.
    """

    ws_api = _late("ws_api")
    ws_future = _late("ws_future")
    _own_loop: asyncio.AbstractEventLoop | None = None

    def __init__(self) -> None:
        with prevent_event_loop():
            super().__init__(LOCAL_KEY, LOCAL_SECRET)

    def _ws_futures_api_request_sync(self, method: str, signed: bool, params: dict[str, Any]) -> Any:
        return self._run(self._ws_futures_api_request(method, signed, params))

    def _ws_api_request_sync(self, method: str, signed: bool, params: dict[str, Any]) -> Any:
        return self._run(self._ws_api_request(method, signed, params))

    def _run(self, request: Any) -> Any:
        if self._own_loop is None:
            self._own_loop = asyncio.new_event_loop()
        return self._own_loop.run_until_complete(request)

    def settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing: the loop is this client's own."""

    def leave(self) -> None:
        """Close connections and loop."""
        self.close_connection()
        if self._own_loop is not None:
            self._own_loop.run_until_complete(_drop_sockets(self))
            self._own_loop.close()
            self._own_loop = None


class LocalAsyncClient(AsyncClient):  # type: ignore[misc]
    """python-binance's async client, made without a loop and bound to the first loop that uses it.

    The session is opened by the first request, and closed by whichever comes first: `close_connection`,
    the closing of its loop, or `leave`. Used in another loop afterwards, it opens another.
    """

    ws_api = _late("ws_api")
    ws_future = _late("ws_future")

    def __init__(self) -> None:
        self._home: asyncio.AbstractEventLoop | None = None
        with prevent_event_loop():
            super().__init__(LOCAL_KEY, LOCAL_SECRET)

    def _init_session(self) -> None:
        return None

    @property
    def session(self) -> Any:
        """Return the aiohttp session of the running loop; outside of a loop the last one, or None."""
        running = _running_loop()
        if running is not None:
            self.settle(running)
        return self._session

    @session.setter
    def session(self, session: Any) -> None:
        self._session = session

    def settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open a session in `loop`, which runs, unless it has one."""
        if loop is self._home:
            return
        self._home = self.loop = loop
        self._session = super()._init_session()
        close = loop.close

        def leave_and_close() -> None:
            if not loop.is_closed() and self._home is loop:
                self.leave()
            close()

        # A bare `loop.close()` runs no hook, so it is replaced.
        # A loop written in C takes no attribute.
        with contextlib.suppress(AttributeError):
            loop.close = leave_and_close  # type: ignore[method-assign]

    def leave(self) -> None:
        """Close connections and loop."""
        home = self._home
        if home is None or home.is_closed():
            return
        if home.is_running():
            asyncio.run_coroutine_threadsafe(self._end(), home).result(PATIENCE)
        else:
            home.run_until_complete(self._end())

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
        await _drop_sockets(self)
        # aiohttp's transports need a turn of the loop to close.
        await asyncio.sleep(0)
