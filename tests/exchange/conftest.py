"""A local exchange, genuine clients on it, and the same endpoints without a socket."""

from contextlib import contextmanager

import pytest
import pytest_asyncio
from binance import AsyncClient, Client
from binance.exceptions import BinanceAPIException

from exit_shim.testing import Exchange, ExchangeError, LocalExchange
from exit_shim.testing.exchange.params import Params
from exit_shim.testing.http.call import Call
from exit_shim.testing.http.routes import ROUTES

START = 1_790_000_000_000


class ManualClock:
    """Milliseconds that pass when a test says so."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def advance(self, milliseconds):
        self.now += milliseconds


class Api:
    """The endpoints as a client sees them, on a bare engine: `api.post("order", symbol=..., ...)`."""

    def __init__(self, engine, clock):
        self.engine = engine
        self.clock = clock

    def call(self, method, path, version, params):
        self.engine.run_due()
        text = {name: str(value) for name, value in params.items() if value is not None}
        handler = ROUTES[method, f"/fapi/v{version}/{path}"].handler
        return handler(Call(self.engine, Params(text), "local-key"))

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


def _api(**options):
    clock = ManualClock()
    return Api(Exchange(clock=clock, **options), clock)


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
    with LocalExchange() as running:
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
