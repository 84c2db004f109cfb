"""python-binance's own clients on a local exchange in the same process: no sockets, no server, no wait.

All but the transport is the genuine client: routing of conditional orders, signing, parsing, exceptions.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Coroutine
from typing import Any

from binance import AsyncClient, Client

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.market import Number
from exit_shim.exchange.inprocess import InProcessAsyncSession, InProcessSession
from exit_shim.exchange.inprocess_api import InProcessApi, Sleep
from exit_shim.exchange.server import LocalExchange
from exit_shim.exchange.ws.methods import FUTURES_METHODS, SPOT_METHODS
from exit_shim.testing.no_event_loop import prevent_event_loop
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

_CAN_SKIP_PING = "ping" in inspect.signature(Client.__init__).parameters


class _FakeBase:
    """The methods that both fakes have besides those of the genuine client."""

    #: Where the requests go: its engine, orders, positions, requests so far.
    exchange: LocalExchange

    @property
    def engine(self) -> Exchange:
        """Return the engine behind the exchange."""
        return self.exchange.engine

    def set_mark(self, symbol: str, price: Number) -> None:
        """Set mark and last price to `price`, with the book around it; what it reaches trades or fires."""
        self.exchange.set_mark(symbol, price)

    def _connect(self, exchange: LocalExchange | None, api_key: str | None, api_secret: str | None) -> Any:
        self.exchange = exchange or LocalExchange()
        key, secret = api_key or LOCAL_KEY, api_secret or LOCAL_SECRET
        self.exchange.register(key, secret)
        return key, secret

    def _replace_websockets(self, sleep: Sleep) -> None:
        # Younger than the oldest python-binance that we work with.
        if hasattr(self, "ws_api"):
            self.ws_api: Any = InProcessApi(self.exchange, sleep, SPOT_METHODS)
        if hasattr(self, "ws_future"):
            self.ws_future: Any = InProcessApi(self.exchange, sleep, FUTURES_METHODS)


class FakeClient(_FakeBase, Client):  # type: ignore[misc]
    """The genuine sync client, answered by a local exchange in this process.

        client = FakeClient()
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        client.set_mark("BTCUSDT", 61_000)

    Needs no event loop, opens no socket, sends no ping.

    Args:
        api_key: any; a local one by default.
        api_secret: any; a local one by default.
        args: what else the genuine client takes.
        exchange: the exchange to be on, running or not; one of its own by default.
        options: what else the genuine client takes, by name.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        *args: Any,
        exchange: LocalExchange | None = None,
        **options: Any,
    ) -> None:
        keys = self._connect(exchange, api_key, api_secret)
        if _CAN_SKIP_PING:
            options.setdefault("ping", False)
        with prevent_event_loop():
            super().__init__(*keys, *args, **options)
        self._replace_websockets(_block)

    def _init_session(self) -> InProcessSession:
        session = InProcessSession(self.exchange)
        session.headers.update(self._get_headers())
        return session

    def _ws_futures_api_request_sync(self, method: str, signed: bool, params: dict[str, Any]) -> Any:
        return _run_without_loop(self._ws_futures_api_request(method, signed, params))

    def _ws_api_request_sync(self, method: str, signed: bool, params: dict[str, Any]) -> Any:
        return _run_without_loop(self._ws_api_request(method, signed, params))


class FakeAsyncClient(_FakeBase, AsyncClient):  # type: ignore[misc]
    """The genuine async client, answered by a local exchange in this process.

    May be made with or without a running loop, by `FakeAsyncClient()` or, as bots do, by
    `await FakeAsyncClient.create()`. Every request lets other tasks run before and after it, so tasks
    interleave as they do over a network.

    Args:
        api_key: any; a local one by default.
        api_secret: any; a local one by default.
        args: what else the genuine client takes.
        exchange: the exchange to be on, running or not; one of its own by default.
        options: what else the genuine client takes, by name.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        *args: Any,
        exchange: LocalExchange | None = None,
        **options: Any,
    ) -> None:
        keys = self._connect(exchange, api_key, api_secret)
        with prevent_event_loop():
            super().__init__(*keys, *args, **options)
        self._replace_websockets(asyncio.sleep)

    def _init_session(self) -> InProcessAsyncSession:
        return InProcessAsyncSession(self.exchange, self._get_headers())


async def _block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - runs in no loop


def _run_without_loop(request: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits, without an event loop."""
    try:
        request.send(None)
    except StopIteration as done:
        return done.value
    request.close()
    raise RuntimeError(f"{request!r} needs an event loop, which FakeClient has not; use FakeAsyncClient")
