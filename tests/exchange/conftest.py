"""A local exchange, genuine clients on it, and the same endpoints without a socket."""

import asyncio
from contextlib import contextmanager

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from binance import AsyncClient, BinanceSocketManager, Client, ThreadedWebsocketManager
from binance.exceptions import BinanceAPIException

from exit_shim.exchange.engine.params import Params
from exit_shim.exchange.http.api_call import ApiCall
from exit_shim.exchange.http.routes import ROUTES
from exit_shim.testing import Exchange, ExchangeError, LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

START = 1_790_000_000_000


class ManualClock:
    """Milliseconds that pass when a test says so."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def advance(self, milliseconds):
        self.now += milliseconds


class ClockOffset:
    """Replace a client's `timestamp_offset`, so that its timestamps are the exchange's time."""

    def __init__(self, clock):
        self._clock = clock

    def __radd__(self, _):
        return self._clock()


class Api:
    """The endpoints as a client sees them, on a bare engine: `api.post("order", symbol=..., ...)`."""

    def __init__(self, engine, clock):
        self.engine = engine
        self.clock = clock

    def call(self, method, path, version, params):
        self.engine.run_due()
        text = {name: str(value) for name, value in params.items() if value is not None}
        handler = ROUTES[method, f"/fapi/v{version}/{path}"].handler
        answer = handler(ApiCall(self.engine, Params(text), "local-key"))
        # As a client reads it: parts of it may be encoded already.
        return msgspec.json.decode(msgspec.json.encode(answer))

    def get(self, path, version=1, **params):
        return self.call("GET", path, version, params)

    def post(self, path, version=1, **params):
        return self.call("POST", path, version, params)

    def put(self, path, version=1, **params):
        return self.call("PUT", path, version, params)

    def delete(self, path, version=1, **params):
        return self.call("DELETE", path, version, params)

    def order(self, side, quantity, **more):
        """A MARKET order on BTCUSDT, or what `more` makes of it."""
        given = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
        return self.post("order", **{**given, "newOrderRespType": "RESULT", **more})

    def limit(self, side, quantity, price, **more):
        return self.order(side, quantity, **{"type": "LIMIT", "timeInForce": "GTC", "price": price, **more})

    def algo(self, side, kind="STOP_MARKET", **more):
        """A conditional order on BTCUSDT."""
        given = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": side, "type": kind}
        return self.post("algoOrder", **{**given, **more})

    def algo_status(self, placed):
        return self.get("algoOrder", algoId=placed["algoId"])["algoStatus"]


# Amounts are exact to the last digit in these tests, and easier to check by hand at one price.
AT_ONE_PRICE = {"spread": 0}


def _api(**options):
    clock = ManualClock()
    return Api(Exchange(clock=clock, **{**AT_ONE_PRICE, **options}), clock)


@pytest.fixture
def api():
    return _api()


@pytest.fixture
def hedge_api():
    return _api(hedge_mode=True)


@pytest.fixture
def make_api():
    return _api


@pytest.fixture
def refused():
    """Hold that a block is refused with a code, over HTTP or without."""

    @contextmanager
    def expect(code, message=None):
        with pytest.raises((ExchangeError, BinanceAPIException)) as caught:
            yield caught
        assert caught.value.code == code
        text = getattr(caught.value, "msg", None) or getattr(caught.value, "message", None)
        assert message is None or text == message

    return expect


@pytest.fixture
def exchange():
    with LocalExchange(**AT_ONE_PRICE) as running:
        yield running
        assert running.internal_errors == []


def _at(base, kind):
    return type(f"Local{kind.__name__}", (kind,), {"API_URL": f"{base}/api", "FUTURES_URL": f"{base}/fapi"})


@pytest.fixture
def client(exchange):
    made = _at(exchange.url, Client)("local-key", "local-secret")
    yield made
    made.close_connection()
    made.loop.close()  # python-binance makes one for its WebSocket API and leaves it open


@pytest_asyncio.fixture
async def async_client(exchange):
    made = await _at(exchange.url, AsyncClient).create("local-key", "local-secret")
    yield made
    await made.close_connection()


class Streams:
    """Genuine asynchronous clients on a local exchange, and what their sockets hear."""

    def __init__(self, exchange, clock):
        self.exchange = exchange
        self.clock = clock
        self.client = None
        self.manager = None
        self._sockets = []

    async def connect(self):
        self.client = await AsyncClient.create(LOCAL_KEY, LOCAL_SECRET)
        self.client.timestamp_offset = ClockOffset(self.clock)
        self.manager = BinanceSocketManager(self.client)
        return self

    async def open(self, socket):
        """Connect a socket of python-binance; it is closed at the end of the test."""
        await socket.connect()
        self._sockets.append(socket)
        return socket

    async def user(self):
        return await self.open(self.manager.futures_user_socket())

    async def hear(self, socket, count):
        return [await asyncio.wait_for(socket.recv(), 60) for _ in range(count)]

    async def order(self, side, quantity, **more):
        """A MARKET order on BTCUSDT, or what `more` makes of it."""
        given = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
        return await self.client.futures_create_order(**{**given, **more})

    async def limit(self, side, quantity, price, **more):
        kind = {"type": "LIMIT", "timeInForce": "GTC", "price": price}
        return await self.order(side, quantity, **{**kind, **more})

    async def stop(self, side, **more):
        """A conditional order on BTCUSDT."""
        given = {"symbol": "BTCUSDT", "side": side, "type": "STOP_MARKET"}
        return await self.client.futures_create_order(**{**given, **more})

    def advance(self, milliseconds):
        """Let time pass for the exchange and for the client's timestamps."""
        self.clock.advance(milliseconds)

    async def close(self):
        apis = (self.client.ws_future, self.client.ws_api)
        self._sockets += [api for api in apis if api.ws is not None]
        closing = [asyncio.create_task(socket.close()) for socket in self._sockets]
        await asyncio.sleep(0)  # each now waits for its read loop, which may wait 10 s for a message
        await asyncio.to_thread(self.exchange.stop)
        await asyncio.gather(*closing)
        await self.client.close_connection()


@pytest_asyncio.fixture
async def make_streams():
    """Make a local exchange on a clock of its own, with clients pointed at it."""
    made, pointers = [], []

    async def make(**options):
        clock = ManualClock()
        exchange = LocalExchange(clock=clock, **{**AT_ONE_PRICE, **options}).start()
        pointers.append(redirect_clients(exchange.url, exchange.register))
        pointers[-1].__enter__()
        made.append(Streams(exchange, clock))
        return await made[-1].connect()

    yield make
    for streams in made:
        await streams.close()
        assert streams.exchange.internal_errors == []
    for pointer in reversed(pointers):
        pointer.__exit__(None, None, None)


@pytest_asyncio.fixture
async def streams(make_streams):
    return await make_streams()


@pytest_asyncio.fixture
async def connect(streams):
    """Open a WebSocket at an address of `streams`, without python-binance."""
    async with aiohttp.ClientSession() as session:
        opened = []

        async def open_at(address, headers=None):
            opened.append(await session.ws_connect(streams.exchange.url + address, headers=headers))
            return opened[-1]

        yield open_at
        for socket in opened:
            await socket.close()


@pytest.fixture
def threaded(exchange):
    """A running ThreadedWebsocketManager on the local exchange."""
    # It takes the loop of this thread, which another test may have closed.
    asyncio.set_event_loop(asyncio.new_event_loop())
    with redirect_clients(exchange.url, exchange.register):
        manager = ThreadedWebsocketManager(LOCAL_KEY, LOCAL_SECRET)
        manager.start()
        # A method of it waits five seconds for that, which a busy machine may take.
        while manager.is_alive() and manager._bsm is None:
            manager.join(0.02)
        yield manager
        manager.stop()
        for _ in range(100):  # its sockets look at its state only when something comes
            if not manager.is_alive():
                break
            exchange.set_mark("BTCUSDT", 60_000)
            with exchange.lock:
                exchange.engine.set_leverage("BTCUSDT", 5)
            manager.join(0.02)
        else:
            exchange.stop()
            manager.join(60)
    # `stop` closes no client that takes longer than it waits.
    manager._loop.run_until_complete(manager.stop_client())
    manager._loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def everywhere(exchange):
    """Return a genuine client with all hosts at the exchange: futures, COIN-M, portfolio margin, spot."""
    with redirect_clients(exchange.url, exchange.register):
        made = Client(LOCAL_KEY, LOCAL_SECRET)
        yield made
        made.close_connection()
        made.loop.close()
