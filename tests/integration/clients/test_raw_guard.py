"""Raw requests under an enforcing guard, and in doubt: another client of the account is asked."""

import asyncio
import gc
import json
import time
import weakref

import aiohttp
import httpx
import pytest
import requests
from abilities import needs_algo
from binance import Client
from test_raw_http import CLOSE, ENTRY, HEADERS, KEY, ORDER, SECRET, by_requests, signed

import exit_shim
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import read_records
from exit_shim.resolving import RetryPolicy
from exit_shim.testing import LocalExchange, faults
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import redirect_clients

# The guard looks through python-binance, which has to know today's exchange.
pytestmark = needs_algo

OWNER, LEGACY, ALGO = "exit_brain_v3", "position_monitor", "/fapi/v1/algoOrder"
POLICY = """
look_within_s = 10
level = "enforce"
[modes.EXIT_BRAIN_V3]
owners = ["exit_brain_v3"]
legacy = ["position_monitor"]
"""
STOP = {
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "triggerPrice": "50000",
    "closePosition": "true",
}
TARGET = {**STOP, "type": "TAKE_PROFIT_MARKET", "triggerPrice": "70000"}


def client_on(url, key=KEY):
    """Return a new python-binance client of the account."""
    # An older release asks its address at once.
    with redirect_clients(url, lambda *_: None):
        client = Client(key, SECRET)
    client.FUTURES_URL = url + "/fapi"
    return client


@pytest.fixture
def make():
    """Return what makes a client that is closed at the end."""
    made = []

    def make_client(*args):
        made.append(client_on(*args))
        return made[-1]

    yield make_client
    for client in made:
        close_client(client)


class Desk:
    """An exchange with a covered position, and a shim that enforces on raw requests."""

    def __init__(self, exchange, policy=POLICY):
        self.exchange, self.url = exchange, exchange.url + ALGO
        parsed = parse_policy(policy)
        self.shim = exit_shim.ExitShim(journal=False, policy=parsed, mode="EXIT_BRAIN_V3", sinks=[])
        by_requests(exchange.url + ORDER, fields=ENTRY)
        with exit_shim.install(shim=self.shim, raw=True), exit_shim.attributed(OWNER):
            by_requests(self.url, fields=STOP)

    def send(self, send):
        """Send a target of a legacy module's."""
        with exit_shim.install(shim=self.shim, raw=True), exit_shim.attributed(LEGACY):
            return send(f"{self.url}?{signed(TARGET)}")

    def placed(self):
        """Return how many targets the exchange got."""
        return sum(request.params.get("type") == TARGET["type"] for request in self.exchange.requests)


@pytest.fixture
def exchange():
    """Return a local exchange over HTTP that takes the planted key."""
    with LocalExchange(any_key=True) as running:
        yield running


@pytest.fixture
def open_desk(exchange):
    """Return what opens a desk, which is closed afterwards."""
    desks = []

    def open_one(policy=POLICY):
        desks.append(Desk(exchange, policy))
        return desks[-1]

    yield open_one
    for desk in desks:
        desk.shim.close()


def post_by_requests(url):
    """Post by requests."""
    return requests.post(url, headers=HEADERS, timeout=60)


def post_by_httpx(url):
    """Post by httpx."""
    return httpx.post(url, headers=HEADERS)


def post_by_async_httpx(url):
    """Post by httpx, awaited."""

    async def post():
        async with httpx.AsyncClient() as client:
            return await client.post(url, headers=HEADERS)

    return asyncio.run(post())


def post_by_aiohttp(url):
    """Post by aiohttp."""

    async def post():
        async with aiohttp.ClientSession() as session, session.post(url, headers=HEADERS) as response:
            return response

    return asyncio.run(post())


DENIED = {
    "requests": (post_by_requests, requests.exceptions.HTTPError),
    "httpx": (post_by_httpx, httpx.HTTPStatusError),
    "async httpx": (post_by_async_httpx, httpx.HTTPStatusError),
    "aiohttp": (post_by_aiohttp, aiohttp.ClientResponseError),
}


@pytest.mark.parametrize(("send", "kind"), DENIED.values(), ids=DENIED)
def test_a_denial_is_what_raise_for_status_raises(exchange, open_desk, make, send, kind):
    """Under cover nothing goes out, and the caller gets its transport's own error with Binance's body."""
    desk = open_desk()
    client = desk.shim.wrap(make(exchange.url))
    with pytest.raises(kind) as caught:
        desk.send(send)
    error = caught.value
    assert isinstance(error, exit_shim.ExitOrderDenied)
    assert error.code == -2010
    assert desk.placed() == 0
    if kind is aiohttp.ClientResponseError:
        assert error.status == 400
        assert str(error.request_info.real_url) == desk.url
    else:
        assert error.response.status_code == 400
        assert error.response.json()["code"] == -2010
        assert error.request.method == error.response.request.method == "POST"
    assert not [text for text in (KEY, "signature") if text in f"{error} {error!r}"]
    assert client is not None


def test_without_a_client_to_ask_nothing_is_held_back(exchange, open_desk, make):
    """A session holds no secret: without another client of the account the order leaves."""
    desk = open_desk()
    desk.send(post_by_requests)
    wrapped = desk.shim.wrap(make(exchange.url, "another" * 8))
    desk.send(post_by_requests)
    assert desk.placed() == 2
    assert wrapped is not None


def test_a_client_that_is_gone_is_not_asked(exchange, open_desk):
    """The shim keeps no client of the bot's alive."""
    desk = open_desk()
    client = client_on(exchange.url)
    gone = weakref.ref(client)
    desk.shim.wrap(client)
    close_client(client)
    del client
    gc.collect()
    assert gone() is None
    assert desk.send(post_by_requests).status_code == 200


def test_a_client_that_is_watched_is_asked_too(exchange, open_desk, make):
    """The guard asks with a client that the bot gave to `watch`."""
    desk = open_desk()
    client = make(exchange.url)
    desk.shim.watch(client, every=60)
    with pytest.raises(exit_shim.ExitOrderDenied):
        desk.send(post_by_requests)


@pytest.mark.parametrize("send", [post_by_requests, post_by_httpx, post_by_async_httpx])
def test_a_simulated_order_is_a_response(exchange, open_desk, make, send):
    """With `simulate` the caller gets a response of its transport that stands for the order's."""
    desk = open_desk(POLICY + 'on_deny = "simulate"\n')
    client = desk.shim.wrap(make(exchange.url))
    response = desk.send(send)
    response.raise_for_status()
    assert response.json()["algoId"]
    assert desk.placed() == 0
    assert client is not None


@pytest.mark.parametrize("on_deny", ["simulate", "return_none"])
def test_what_aiohttp_cannot_be_given_is_a_denial(exchange, open_desk, make, on_deny):
    """A response of aiohttp cannot be made, and no transport returns None."""
    desk = open_desk(POLICY + f'on_deny = "{on_deny}"\n')
    client = desk.shim.wrap(make(exchange.url))
    with pytest.raises(exit_shim.ExitOrderDenied):
        desk.send(post_by_aiohttp)
    assert client is not None


def test_a_batch_is_not_taken_apart(exchange, open_desk, make):
    """The bot has signed the whole batch: with one order that may go out all of it does."""
    desk = open_desk()
    client = desk.shim.wrap(make(exchange.url))
    limit = {**ENTRY, "type": "LIMIT", "price": "40000", "timeInForce": "GTC"}
    exit_limit = {**limit, "side": "SELL", "price": "70000", "reduceOnly": "true"}
    query = signed({"batchOrders": json.dumps([limit, exit_limit])})
    with exit_shim.install(shim=desk.shim, raw=True), exit_shim.attributed(LEGACY):
        response = post_by_requests(f"{exchange.url}/fapi/v1/batchOrders?{query}")
    assert ["orderId" in order for order in response.json()] == [True, True]
    assert client is not None


def test_a_raw_order_in_doubt_is_looked_up(exchange, make, tmp_path):
    """Its client order id is asked for with another client of the account."""
    pace = RetryPolicy(absent_after_s=0.6, looks=3, first_s=0.02, longest_s=0.2, weight_a_minute=600)
    shim = exit_shim.ExitShim(journal=tmp_path / "raw.db", sinks=[], resolve=pace)
    client = shim.wrap(make(exchange.url))
    by_requests(exchange.url + ORDER, fields=ENTRY)
    exchange.faults.inject(faults.timed_out(executed=True), method="POST")
    with exit_shim.install(shim=shim, raw=True):
        by_requests(exchange.url + ORDER, fields={**CLOSE, "newClientOrderId": "mine-1"})
    exchange.faults.clear()
    until = time.monotonic() + 60
    while shim.resolver.is_busy() and time.monotonic() < until:
        time.sleep(0.02)
    shim.close()
    (record,) = read_records(str(tmp_path / "raw.db"))
    assert (record.outcome.result, record.resolution.result) == ("unknown", "accepted")
    assert client is not None


def test_a_client_that_got_another_key_is_not_asked(open_desk, exchange, make):
    """A client with another account's key since it was wrapped shows nothing of this account's cover."""
    desk, client = open_desk(), make(exchange.url)
    desk.shim.wrap(client)
    client.API_KEY = "another-key" * 5
    assert desk.send(post_by_requests).status_code == 200
    assert desk.placed() == 1
