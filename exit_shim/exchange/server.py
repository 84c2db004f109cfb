"""A futures exchange that listens on loopback in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

from exit_shim.exchange.authority import DISTRUST, Authority
from exit_shim.exchange.engine.engine import Exchange, system_clock
from exit_shim.exchange.engine.exchange_rules import COIN_ALGO_SERVICE
from exit_shim.exchange.engine.market import Number
from exit_shim.exchange.engine.markets import FollowingMarket, Market
from exit_shim.exchange.engine.orders import OrderRef
from exit_shim.exchange.engine.state import Clock
from exit_shim.exchange.engine.symbols import COIN_SYMBOLS, DEFAULT_SYMBOLS, Symbol
from exit_shim.exchange.engine.views import overview
from exit_shim.exchange.faults.plan import FaultPlan
from exit_shim.exchange.http.auth import ApiKey, Credentials
from exit_shim.exchange.http.gate import HttpAnswer
from exit_shim.exchange.http.listening_socket import HOST, ListeningSockets, run_on_own_loop
from exit_shim.exchange.http.request import RawRequest
from exit_shim.exchange.http.service import REMEMBERED_REQUESTS, ExchangeService
from exit_shim.exchange.request_record import RequestRecord
from exit_shim.exchange.unanswered import Unanswered

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_CREDENTIALS: Mapping[str, str] = MappingProxyType({"local-key": "local-secret"})
#: Seconds that `stop` waits for the thread, which needs milliseconds unless `lock` is held.
PATIENCE = 30


COIN_WALLET = 10**9
"""What the account of COIN-M can open; its margin is not the real one."""


class LocalExchange:
    """Serve Binance USDⓈ-M futures on 127.0.0.1, for tests and for trying a bot without a real order.

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
        any_symbol: whether a contract that a request names and that does not trade is made at that moment,
            and noted in `unanswered` as made up.
        market: where prices come from; by default they change only by `set_mark`.
        hedge_mode: whether the account starts in hedge mode.
        clock: returns the time in milliseconds; the system's by default.
        wallet: the opening balance in USDT.
        rules: the day whose rules hold, such as "2025-12-08" for those before the Algo Service; those of
            now by default.
        trigger_delay: milliseconds that a conditional order stays TRIGGERING before it becomes an order, or
            the shortest and longest such time, (17, 400) on production; it passes by the clock. None for a
            short time that passes within the operation that fires the order.
        strict_reduce_only: whether resting orders that close occupy the position, so that what finds no room
            beside them is refused with -4118; else they share it until it is closed.
        spread: ticks between the last price and the best bid, and the best ask, of a symbol without a book of
            levels; a MARKET order is filled at the far side, and the mark price is in the middle.
        state: a file to go on from when it exists, and to `save` to; what it holds goes before `symbols`,
            `hedge_mode`, `wallet`, `rules`, `trigger_delay`, `strict_reduce_only` and
            `spread`.
        rate_limits: whether request weight and order counts are limited, as on the real exchange.
        seed: the seed of the past, of chance in `faults` and of the times of triggers.
        speed: steps a second that a living market takes by the exchange's time, for symbols that are in use.
        funding: whether funding is booked every eight hours by the exchange's time; by default where the
            market lives.
        queue: whether a resting LIMIT order queues behind the depth at its price, and fills
            when others have traded through that; by default it fills when the price comes to it.
        remembered_requests: how many requests are kept in `requests`, the newest.
        any_key: whether API keys that nobody registered are accepted too. Their secrets are unknown, so
            that a signature must be there and look like one, and is not checked.
        tls: listen with TLS on a second port too, with a certificate of this authority.
        tls_port: that port; 0 lets the system choose one.

    Attributes:
        engine: the exchange without HTTP.
        faults: what goes wrong between clients and the exchange; see `exit_shim.exchange.faults`.
        lock: held while a request is served.
    """

    def __init__(  # noqa: PLR0913 - all by name, each with a default
        self,
        *,
        port: int = 0,
        credentials: Mapping[str, str | ApiKey] | None = None,
        symbols: Sequence[Symbol] = DEFAULT_SYMBOLS,
        any_symbol: bool = False,
        market: Market | None = None,
        hedge_mode: bool = False,
        clock: Clock = system_clock,
        wallet: Number = 10_000,
        rules: str | date | None = None,
        trigger_delay: int | tuple[int, int] | None = None,
        strict_reduce_only: bool = True,
        spread: int = 1,
        state: str | Path | None = None,
        rate_limits: bool = True,
        seed: int = 0,
        speed: float = 1,
        funding: bool | None = None,
        queue: bool = False,
        remembered_requests: int = REMEMBERED_REQUESTS,
        any_key: bool = False,
        tls: Authority | None = None,
        tls_port: int = 0,
    ) -> None:
        self._state = None if state is None else Path(state)

        def make_engine(saved: bytes | None) -> Exchange:
            if saved is not None:
                return Exchange.parse(saved, clock=clock, market=market, any_symbol=any_symbol)
            return Exchange(
                clock=clock,
                symbols=symbols,
                any_symbol=any_symbol,
                market=market,
                hedge_mode=hedge_mode,
                wallet=wallet,
                rules=rules,
                trigger_delay=trigger_delay,
                spread=spread,
                seed=seed,
                strict_reduce_only=strict_reduce_only,
                speed=speed,
                funding=funding,
                queue=queue,
            )

        self.engine = _load(self._state, make_engine)
        #: COIN-M: orders and positions of its own; its margin is not the real one.
        self.coin = Exchange(
            clock=clock,
            symbols=COIN_SYMBOLS,
            any_symbol=any_symbol,
            market=FollowingMarket(lambda: self.engine.state.market, self._last_in_usdt),
            hedge_mode=hedge_mode,
            wallet=COIN_WALLET,
            rules=rules,
            algo_service=COIN_ALGO_SERVICE,
            trigger_delay=trigger_delay,
            spread=spread,
            seed=seed,
            strict_reduce_only=strict_reduce_only,
            speed=speed,
            funding=False,
        )
        self.faults = FaultPlan(seed)
        self._credentials: Credentials = dict(DEFAULT_CREDENTIALS if credentials is None else credentials)
        self.service = ExchangeService(
            self.engine,
            self._credentials,
            self.faults,
            coin=self.coin,
            make_engine=make_engine,
            rate_limits=rate_limits,
            remembered=remembered_requests,
            any_key=any_key,
        )
        self.lock = self.service.lock
        self._wanted_port = port
        self._port: int | None = None
        self._tls_ports = [] if tls is None else [(tls_port, tls.server_context())]
        self._tls_port: int | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._listening: ListeningSockets | None = None

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
        """Stop listening and close every connection; do nothing when it does not run.

        Raises:
            RuntimeError: when it does not stop, since another block holds `lock`.
        """
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return
        # The loop is closed where another thread has stopped it just now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stopping.set)
        thread.join(PATIENCE)
        if thread.is_alive():
            raise RuntimeError(
                f"the local exchange at {self.url} did not stop within {PATIENCE} s: leave every block that "
                "holds its lock, then call stop() again"
            )
        self._thread = self._port = self._tls_port = self._listening = None

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
        """Return the port it listens on.

        Raises:
            RuntimeError: when it does not run.
        """
        if self._port is None:
            raise RuntimeError("the local exchange does not run: call start(), or use it in a with block")
        return self._port

    @property
    def url(self) -> str:
        """Return the base of every URL, such as http://127.0.0.1:40001."""
        return f"http://{HOST}:{self.port}"

    @property
    def tls_port(self) -> int:
        """Return the port that it listens on with TLS.

        Raises:
            RuntimeError: when it does not run, or was made without `tls`.
        """
        if self._tls_port is None:
            raise RuntimeError("the local exchange does not listen with TLS: make it with tls=, and start it")
        return self._tls_port

    @property
    def tls_url(self) -> str:
        """Return the base of every URL with TLS, such as https://127.0.0.1:40002.

        The certificate holds for `localhost`, every name that ends with `.binance.localhost`, and Binance's
        own hosts, too.
        """
        return f"https://{HOST}:{self.tls_port}"

    def register(self, api_key: str, api_secret: str | ApiKey) -> None:
        """Accept this key pair from now on, for the same account as all others.

        Args:
            api_key: the key that clients send.
            api_secret: its secret, or an `ApiKey` with its permissions.
        """
        with self.lock:
            self._credentials[api_key] = api_secret

    @contextlib.contextmanager
    def refusing_connections(self) -> Iterator[None]:
        """Refuse connections and drop the open ones inside the block; afterwards the port is back."""
        self._in_loop(self._running_sockets().refuse)
        try:
            yield
        finally:
            self._in_loop(self._running_sockets().accept)

    # Driving it and looking at it

    def set_mark(self, symbol: str, price: Number) -> None:
        """Set mark and last price to `price`, with the book around it; what it reaches trades or fires."""
        with self.lock:
            self.engine.set_mark(symbol, price)

    def set_prices(self, symbol: str, **changes: Number) -> None:
        """Change any of `mark`, `last`, `bid` and `ask`, and leave the others."""
        with self.lock:
            self.engine.set_prices(symbol, **changes)

    def set_book(
        self, symbol: str, bids: Iterable[tuple[Number, Number]], asks: Iterable[tuple[Number, Number]]
    ) -> None:
        """Give a symbol a book of (price, quantity) levels; see `Exchange.set_book`."""
        with self.lock:
            self.engine.set_book(symbol, bids, asks)

    def fill_order(self, symbol: str, ref: OrderRef, quantity: Number | None = None) -> None:
        """Fill a resting order at its own price, wholly or up to `quantity`; see `Exchange.fill_order`."""
        with self.lock:
            self.engine.fill_order(symbol, ref, quantity)

    def trade(self, symbol: str, price: Number, quantity: Number) -> None:
        """Let others trade `quantity` at `price`; resting orders share in it."""
        with self.lock:
            self.engine.trade(symbol, price, quantity)

    def walk(self, symbol: str, path: Iterable[Number | Mapping[str, Number]]) -> None:
        """Move the prices of a symbol along a path; requests are served between two steps."""
        for step in path:
            with self.lock:
                self.engine.walk(symbol, [step])

    def advance(self, milliseconds: int) -> None:
        """Let the exchange's time pass without waiting; what comes due meanwhile happens in order.

        Clients need not follow: a request may be signed with the time before or after.

        Raises:
            ValueError: when `milliseconds` is below zero.
        """
        with self.lock:
            self.engine.advance(milliseconds)

    def positions(self) -> list[dict[str, object]]:
        """Return the positions that are not flat, as GET /fapi/v3/positionRisk has them."""
        with self.lock:
            self.engine.run_due()
            return overview.render_positions(self.engine.state)

    def open_orders(self, symbol: str | None = None) -> list[dict[str, object]]:
        """Return the open orders, as GET /fapi/v1/openOrders has them: no conditional ones."""
        with self.lock:
            self.engine.run_due()
            return overview.render_orders(self.engine.state, self.engine.open_orders(symbol))

    def open_algo_orders(self, symbol: str | None = None) -> list[dict[str, object]]:
        """Return the waiting conditional orders, as GET /fapi/v1/openAlgoOrders has them."""
        with self.lock:
            self.engine.run_due()
            return overview.render_algos(self.engine.state, self.engine.open_algos(symbol))

    def orders(self, symbol: str | None = None) -> list[dict[str, object]]:
        """Return the open orders, then the waiting conditional ones, each in its own form."""
        with self.lock:
            return [*self.open_orders(symbol), *self.open_algo_orders(symbol)]

    @property
    def requests(self) -> list[RequestRecord]:
        """Return a copy of every request that arrived so far, in order."""
        with self.lock:
            return list(self.service.records)

    @property
    def order_requests(self) -> list[RequestRecord]:
        """Return the requests that place, modify or cancel orders, in order."""
        return [record for record in self.requests if record.changes_orders]

    @property
    def internal_errors(self) -> list[Exception]:
        """Return the errors of the exchange itself, each answered with -1000; a test may demand none."""
        with self.lock:
            return list(self.service.gate.internal_errors)

    @property
    def unanswered(self) -> list[Unanswered]:
        """Return what clients asked for and the exchange lacks, the most frequent first."""
        return self.service.gate.unanswered.list_all()

    def answer(self, request: RawRequest) -> HttpAnswer:
        """Answer a request as over HTTP, without a socket, and record it.

        Raises:
            ConnectionResetError: when an injected fault lets no answer leave.
        """
        return self.service.answer(request)

    def save(self, path: str | Path | None = None) -> None:
        """Save the exchange: account, orders and prices, but no keys, listen keys and faults.

        Args:
            path: where; the `state` that it was made with by default. It is replaced as a whole.

        Raises:
            ValueError: when neither is given.
            OSError: when it cannot be written.
        """
        target = self._state if path is None else Path(path)
        if target is None:
            raise ValueError("no file to save to: give `path`, or make the exchange with `state`")
        with self.lock:
            data = self.engine.dump()
        draft = target.with_name(f"{target.name}.new")
        draft.write_bytes(data)
        draft.replace(target)

    def reset(self) -> None:
        """Restore the state at the start, without the `state` file; COIN-M stays.

        API keys, faults, streams and `requests` stay, too.
        """
        self.service.restore(None)

    def _last_in_usdt(self, symbol: Symbol) -> Decimal | None:
        """Return the last price of the coin of a contract, as a client gets it."""
        name = f"{symbol.base}USDT"
        return self.engine.ask_price(name).last if name in self.engine.state.symbols else None

    # The thread

    def _running_sockets(self) -> ListeningSockets:
        if self._listening is None:
            raise RuntimeError("the local exchange does not run: call start(), or use it in a with block")
        return self._listening

    def _in_loop(self, act: Callable[[], None]) -> None:
        assert self._loop is not None  # noqa: S101 - there is a listening socket, so there is a loop

        async def act_there() -> None:
            act()

        asyncio.run_coroutine_threadsafe(act_there(), self._loop).result(PATIENCE)

    def _serve(self, ready: threading.Event, failures: list[BaseException]) -> None:
        try:
            run_on_own_loop(self._listen(ready))
        except BaseException as failure:  # noqa: BLE001 - it belongs to the thread that called start()
            failures.append(failure)
        finally:
            ready.set()

    async def _listen(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        ports = [(self._wanted_port, None), *self._tls_ports]
        listening = ListeningSockets(
            self.service, ports, lambda name: self.service.gate.unanswered.note("host", name, DISTRUST)
        )
        try:
            await listening.open()
            self._port, *tls_ports = listening.ports
            self._tls_port = tls_ports[0] if tls_ports else None
            self._listening = listening
            ready.set()
            await self._stopping.wait()
        finally:
            await listening.close()


def _load(path: Path | None, make_engine: Callable[[bytes | None], Exchange]) -> Exchange:
    if path is None or not path.exists():
        return make_engine(None)
    try:
        return make_engine(path.read_bytes())
    except ValueError as wrong:
        raise ValueError(f"{path}: {wrong}") from wrong
