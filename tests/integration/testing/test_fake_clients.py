"""FakeClient and FakeAsyncClient: the genuine clients, in-process."""

import asyncio
import gc
import socket
import threading
import warnings

import aiohttp
import pytest
import requests
from binance import AsyncClient, Client
from binance.exceptions import BinanceAPIException, BinanceWebsocketUnableToConnect
from requests.adapters import HTTPAdapter

import exit_shim
from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange, faults

OPEN = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 59000, "closePosition": True}


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch):
    """Whatever connects here has failed."""

    def connect(self, address):
        raise AssertionError(f"{address} was connected to")

    monkeypatch.setattr(socket.socket, "connect", connect)


def test_a_fake_is_the_genuine_client():
    """Routing, answers and exceptions are python-binance's own; only the network is missing."""
    client = FakeClient()
    assert isinstance(client, Client)
    client.futures_create_order(**OPEN)
    placed = client.futures_create_order(**STOP)
    assert placed["algoId"] == client.exchange.open_algo_orders()[0]["algoId"]
    with pytest.raises(BinanceAPIException) as refused:
        client.futures_create_order(**STOP)
    assert (refused.value.code, refused.value.status_code) == (-4130, 400)
    assert isinstance(client.response, requests.Response)
    assert int(client.response.headers["X-MBX-USED-WEIGHT-1M"]) >= 0


def test_a_price_fires_what_rests():
    """set_mark moves the market; the engine behind it is at hand."""
    client = FakeClient()
    client.futures_create_order(**OPEN)
    client.futures_create_order(**STOP)
    client.set_mark("BTCUSDT", 58_900)
    assert client.futures_position_information() == client.exchange.orders() == []
    assert client.engine.wallet < 10_000


async def test_the_async_fake_answers_alike():
    """The async client finds the same market when it shares the exchange, and raises the same errors."""
    exchange = LocalExchange(hedge_mode=True)
    client = await FakeAsyncClient.create()
    assert isinstance(client, AsyncClient)
    await client.close_connection()
    client = FakeAsyncClient(exchange=exchange)
    await client.futures_create_order(**OPEN, positionSide="LONG")
    assert FakeClient(exchange=exchange).futures_position_information()[0]["positionAmt"] == "0.010"
    with pytest.raises(BinanceAPIException) as refused:
        await client.futures_create_order(**OPEN)
    assert refused.value.code == -4061
    await client.close_connection()
    with pytest.raises(RuntimeError, match="Session is closed"):
        await client.futures_ping()


def test_making_one_takes_no_loop_no_thread_and_no_request():
    """In a thread without an event loop, neither fake makes one, nor a thread, nor a request."""
    seen = []

    def make():
        before = threading.active_count()
        made = [FakeClient(), FakeAsyncClient()]
        seen.append(threading.active_count() - before)
        with pytest.raises(RuntimeError):
            asyncio.get_event_loop()
        seen.extend(len(client.exchange.requests) for client in made)

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        gc.collect()
    assert seen == [0, 0, 0]


def test_an_async_fake_made_outside_serves_several_loops():
    """Made without a loop, it works in whichever loop runs, one after the other."""
    client = FakeAsyncClient()
    asyncio.run(client.futures_create_order(**OPEN))
    assert asyncio.run(client.futures_position_information())[0]["positionAmt"] == "0.010"


def test_what_a_bot_mounts_on_the_session_opens_no_way_out():
    """A retry adapter on the session, a proxy in the environment: requests still end in-process."""
    client = FakeClient(requests_params={"proxies": {"https": "http://proxy.example:3128"}})
    client.session.mount("https://", HTTPAdapter(max_retries=3))
    assert client.ping() == client.futures_ping() == {}


def test_an_endpoint_that_no_bot_needs_is_a_refusal():
    """Spot orders find no exchange here, and say so in the exchange's form."""
    with pytest.raises(BinanceAPIException):
        FakeClient().create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)


async def test_tasks_interleave_around_a_request():
    """A task that waits for the fake lets others run, as one that waits for a network does."""
    client = FakeAsyncClient()
    order = []

    async def place(name):
        order.append(f"{name} asks")
        await client.futures_create_order(**OPEN)
        order.append(f"{name} knows")

    await asyncio.gather(place("one"), place("two"))
    assert order == ["one asks", "two asks", "one knows", "two knows"]


async def test_a_cancelled_task_may_have_placed_its_order():
    """Cancelled before the request has left, nothing happened; after it, the order is there unknown."""
    client = FakeAsyncClient()
    for steps, orders in ((1, 0), (2, 1)):
        task = asyncio.ensure_future(client.futures_create_order(**OPEN))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(client.exchange.order_requests) == orders


def test_the_shim_records_the_orders_of_a_fake(recorded):
    """A wrapped fake is recorded as a genuine client is, the client order id fixed before the send."""
    client = exit_shim.wrap(FakeClient())
    client.futures_create_order(**OPEN)
    placed = client.futures_create_order(**STOP)
    (line,) = [record.flat() for record in recorded()]
    assert (line["kind"], line["outcome"], line["algo_id"]) == ("sl", "accepted", placed["algoId"])
    assert line["client_order_id"] == placed["clientAlgoId"]


SYNC_FAULTS = {
    "reset": (faults.reset_after_execution(), requests.ConnectionError, 1),
    "reset unread": (faults.reset_unread(), requests.ConnectionError, 0),
    "too late": (faults.delayed(60), requests.ReadTimeout, 1),
    "answer too late": (faults.delayed(60, answer_only=True), requests.ReadTimeout, 1),
    "503": (faults.unknown_error(executed=True), BinanceAPIException, 1),
    "page": (faults.html_error(executed=False), BinanceAPIException, 0),
}


@pytest.mark.parametrize(("fault", "error", "orders"), SYNC_FAULTS.values(), ids=SYNC_FAULTS)
def test_faults_reach_the_fake(fault, error, orders):
    """An injected fault is the exception that requests raises over a network, and the order's truth stays."""
    client = FakeClient(requests_params={"timeout": (0.01, 0.02)})
    client.exchange.faults.inject(fault)
    with pytest.raises(error):
        client.futures_create_order(**OPEN)
    assert len(client.exchange.positions()) == orders


ASYNC_FAULTS = {
    "reset": (faults.reset_after_execution(), aiohttp.ClientOSError, 1),
    "too late": (faults.delayed(60), asyncio.TimeoutError, 1),
    "503": (faults.unknown_error(executed=True), BinanceAPIException, 1),
}


@pytest.mark.parametrize(("fault", "error", "orders"), ASYNC_FAULTS.values(), ids=ASYNC_FAULTS)
async def test_faults_reach_the_async_fake(fault, error, orders):
    """The same on the async client, with aiohttp's exceptions."""
    client = FakeAsyncClient(requests_params={"timeout": 0.5})
    client.exchange.faults.inject(fault)
    with pytest.raises(error):
        await client.futures_create_order(**OPEN)
    assert len(client.exchange.positions()) == orders


def test_a_refused_connection_is_refused_for_a_while():
    """Nothing listens for as long as the fault says: what is raised then tells that nothing was sent."""
    client = FakeClient()
    client.exchange.faults.inject(faults.refused_connections(60))
    for _ in range(2):
        with pytest.raises(requests.ConnectionError) as failed:
            client.futures_create_order(**OPEN)
    assert "Failed to establish a new connection" in str(failed.value)
    assert len(client.exchange.requests) == 1


async def test_a_refused_connection_of_the_async_fake():
    """The same as aiohttp's ClientConnectorError, which names the host."""
    client = FakeAsyncClient()
    client.exchange.faults.inject(faults.refused_connections(5))
    with pytest.raises(aiohttp.ClientOSError):
        await client.futures_create_order(**OPEN)
    with pytest.raises(aiohttp.ClientConnectorError, match=r"fapi\.binance\.com"):
        await client.futures_create_order(**OPEN)


def test_the_websocket_api_of_a_fake():
    """ws_futures_* place, read and cancel on the same exchange, without a loop or a socket."""
    client = FakeClient()
    stop = {**STOP, "closePosition": "true"}  # python-binance signs True and sends true: -1022
    assert client.ws_futures_create_order(**OPEN)["symbol"] == "BTCUSDT"
    placed = client.ws_futures_create_order(**stop)
    assert client.exchange.orders()[0]["algoId"] == placed["algoId"]
    with pytest.raises(BinanceAPIException) as refused:
        client.ws_futures_create_order(**stop)
    assert (refused.value.code, refused.value.status_code) == (-4130, 400)
    client.ws_futures_cancel_order(symbol="BTCUSDT", algoId=placed["algoId"])
    assert client.exchange.orders() == []


async def test_the_websocket_api_of_the_async_fake():
    """The same for the async client; what there is not on this exchange says so."""
    client = FakeAsyncClient()
    await client.ws_futures_create_order(**OPEN)
    assert (await client.ws_futures_v2_account_position(symbol="BTCUSDT"))[0]["positionAmt"] == "0.010"
    with pytest.raises(BinanceAPIException, match="Spot orders are not modelled"):
        await client.ws_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)
    client.exchange.faults.inject(faults.reset_after_execution())
    with pytest.raises(BinanceWebsocketUnableToConnect, match="Request timed out"):
        await client.ws_futures_create_order(**OPEN)
    assert client.exchange.positions()[0]["positionAmt"] == "0.020"
    await client.close_connection()
