"""A futures exchange on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

from aiohttp import web

from .exchange.engine import Exchange, system_clock
from .exchange.market import Market, Number
from .exchange.state import Clock
from .exchange.symbols import DEFAULT_SYMBOLS, Symbol
from .exchange.views import account as account_views
from .exchange.views import algo as algo_views
from .exchange.views import orders as order_views
from .http.app import make_app
from .http.gate import Answer, Gate
from .http.request import RawRequest
from .records import RequestRecord

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_CREDENTIALS: Mapping[str, str] = MappingProxyType({"local-key": "local-secret"})
HOST = "127.0.0.1"
#: Seconds that a stop waits for the thread; it needs milliseconds.
PATIENCE = 10


class LocalExchange:
    """Binance USDⓈ-M futures on 127.0.0.1, for tests and for trying a bot without a real order.

    Use it as a context manager, or call `start` and `stop`. Everything here may be called from any
    thread. Requests are served one at a time; `lock` is held while one is, so a block under `lock`
    sees and changes the exchange between two requests.

        with LocalExchange() as exchange:
            client = Client("local-key", "local-secret", ping=False)
            client.FUTURES_URL = exchange.url + "/fapi"
            exchange.set_mark("BTCUSDT", 61_000)

    Args:
        port: the port to listen on; 0 lets the system choose one.
        credentials: API keys and their secrets; `local-key` and `local-secret` by default. All keys
            belong to one account.
        symbols: the contracts that trade.
        market: where prices come from; by default they change only by `set_mark`.
        hedge_mode: whether the account starts in hedge mode.
        clock: returns the time in milliseconds; the system's by default.
        wallet: the opening balance in USDT.
    """

    def __init__(  # noqa: PLR0913 - all by name, each with a default
        self,
        *,
        port: int = 0,
        credentials: Mapping[str, str] | None = None,
        symbols: Sequence[Symbol] = DEFAULT_SYMBOLS,
        market: Market | None = None,
        hedge_mode: bool = False,
        clock: Clock = system_clock,
        wallet: Number = 10_000,
    ) -> None:
        self.engine = Exchange(
            clock=clock, symbols=symbols, market=market, hedge_mode=hedge_mode, wallet=wallet
        )
        self.lock = threading.RLock()
        self._credentials = dict(DEFAULT_CREDENTIALS if credentials is None else credentials)
        self._gate = Gate(self.engine, self._credentials)
        self._records: list[RequestRecord] = []
        self._wanted_port = port
        self._port: int | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    # Life

    def start(self) -> Self:
        """Start listening and return this exchange.

        Raises:
            RuntimeError: when it already runs.
            OSError: when the port is taken.
        """
        if self._thread is not None:
            raise RuntimeError(f"the local exchange already runs at {self.url}: call stop() first")
        ready = threading.Event()
        failures: list[BaseException] = []
        thread = threading.Thread(
            target=self._serve, args=(ready, failures), name="local-exchange", daemon=True
        )
        thread.start()
        ready.wait()
        if failures:
            thread.join(PATIENCE)
            raise failures[0]
        self._thread = thread
        return self

    def stop(self) -> None:
        """Stop listening and close every connection; does nothing when it does not run."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(PATIENCE)
        self._port = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # Where it is and who may call

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            RuntimeError: when it does not run.
        """
        if self._port is None:
            raise RuntimeError("the local exchange does not run: call start(), or use it in a with block")
        return self._port

    @property
    def url(self) -> str:
        """The base of every URL, such as http://127.0.0.1:40001."""
        return f"http://{HOST}:{self.port}"

    def register(self, api_key: str, api_secret: str) -> None:
        """Accept this key pair from now on, for the same account as all others."""
        with self.lock:
            self._credentials[api_key] = api_secret

    # Driving it and looking at it

    def set_mark(self, symbol: str, price: Number) -> None:
        """Put mark price, last price and book at `price`; what rests there trades or fires at once."""
        with self.lock:
            self.engine.set_mark(symbol, price)

    def set_prices(self, symbol: str, **changes: Number) -> None:
        """Change any of `mark`, `last`, `bid` and `ask`, and leave the others."""
        with self.lock:
            self.engine.set_prices(symbol, **changes)

    def positions(self) -> list[dict[str, object]]:
        """Return the positions that are not flat, as GET /fapi/v3/positionRisk has them."""
        with self.lock:
            self.engine.run_due()
            state = self.engine.state
            return [account_views.position_risk_row(state, position) for position in state.open_positions()]

    def open_orders(self, symbol: str | None = None) -> list[dict[str, object]]:
        """Return the open orders, as GET /fapi/v1/openOrders has them: no conditional ones."""
        with self.lock:
            self.engine.run_due()
            symbols = self.engine.state.symbols
            found = self.engine.open_orders(symbol)
            return [order_views.queried(order, symbols[order.symbol]) for order in found]

    def open_algo_orders(self, symbol: str | None = None) -> list[dict[str, object]]:
        """Return the waiting conditional orders, as GET /fapi/v1/openAlgoOrders has them."""
        with self.lock:
            self.engine.run_due()
            symbols = self.engine.state.symbols
            found = self.engine.open_algos(symbol)
            return [algo_views.opened(algo, symbols[algo.symbol]) for algo in found]

    def orders(self, symbol: str | None = None) -> list[dict[str, object]]:
        """Return what rests: the open orders, then the waiting conditional ones, each in its own form."""
        with self.lock:
            return [*self.open_orders(symbol), *self.open_algo_orders(symbol)]

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request that arrived so far, in order; a copy."""
        with self.lock:
            return list(self._records)

    @property
    def order_requests(self) -> list[RequestRecord]:
        """Those requests that ask to place, modify or cancel orders, in order; a copy."""
        return [record for record in self.requests if record.changes_orders]

    @property
    def faults(self) -> list[Exception]:
        """Errors of the exchange itself, each answered with -1000; a test may demand that there are none."""
        with self.lock:
            return list(self._gate.faults)

    def answer(self, request: RawRequest) -> Answer:
        """Answer a request as the HTTP face does, and remember it; no socket is needed for that."""
        with self.lock:
            received = self.engine.now()
            answer = self._gate.answer(request)
            self._records.append(_record(request, received, answer))
            return answer

    # The thread

    def _serve(self, ready: threading.Event, failures: list[BaseException]) -> None:
        try:
            asyncio.run(self._listen(ready))
        except BaseException as failure:  # noqa: BLE001 - it belongs to the thread that called start()
            failures.append(failure)
        finally:
            ready.set()

    async def _listen(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(make_app(self.answer), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self._wanted_port).start()
            self._port = int(runner.addresses[0][1])
            ready.set()
            await self._stopping.wait()
        finally:
            await runner.cleanup()


def _record(request: RawRequest, received: int, answer: Answer) -> RequestRecord:
    return RequestRecord(
        method=request.method,
        path=request.path,
        params=MappingProxyType(request.params),
        received_ms=received,
        http_status=answer.status,
        error_code=answer.code,
    )
