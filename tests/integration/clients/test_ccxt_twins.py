"""A wrapped ccxt client is like a plain one where tests mock its class, or bots have classes of their own."""

from unittest import mock

import pytest
from ccxt_world import SELL, STOP, SYMBOL, Desk, connect, need_ccxt

need_ccxt()

import ccxt  # noqa: E402 - where it is installed


@pytest.fixture
def desk():
    own = Desk()
    yield own
    own.shim.close()


@pytest.mark.parametrize("method", ["create_order", "request"])
def test_a_mock_on_the_class_is_what_is_called(desk, exchange, method):
    """A test's mock keeps a wrapped client's order from leaving, as it does a plain client's."""
    client = desk.shim.wrap(connect(exchange))
    before = len(exchange.requests)
    with mock.patch.object(ccxt.binanceusdm, method, return_value={"id": "mocked", "info": {}}) as mocked:
        client.create_order(*SELL, STOP)
    assert (mocked.call_count, len(exchange.requests)) == (1, before)
    client.create_order(SYMBOL, "market", "buy", 0.1)
    assert len(exchange.requests) == before + 1


def test_a_client_that_is_wrapped_under_a_mock_is_itself_again_afterwards(desk, exchange):
    """What a mock put on the class while a client was wrapped is gone with the mock."""
    kind = type("Mocked", (ccxt.binanceusdm,), {})
    with mock.patch.object(ccxt.binanceusdm, "create_order", return_value={"id": "mocked"}):
        first = desk.shim.wrap(connect(exchange, kind))
        assert first.create_order(*SELL, STOP) == {"id": "mocked"}
    for client in (first, desk.shim.wrap(connect(exchange, kind))):
        assert client.create_order(SYMBOL, "market", "buy", 0.01)["id"] != "mocked"


class Cloning(ccxt.binanceusdm):
    """Makes another of itself, as bots do for a second account."""

    def another(self):
        return type(self)({"apiKey": "other", "secret": "other"})


class Careful(ccxt.binanceusdm):
    """Keeps its state in a way of its own."""

    def __setattr__(self, name, value):
        self.__dict__[name] = value


def test_a_bots_class_can_make_another_of_itself(desk, exchange):
    """`type(self)(...)` inside a wrapped client of a bot's class makes a plain one, like the bot's own."""
    client = desk.shim.wrap(connect(exchange, Cloning))
    other = client.another()
    assert (type(other), other.apiKey) == (Cloning, "other")


def test_a_bots_class_may_set_attributes_in_its_own_way(desk, exchange):
    """A `__setattr__` of the bot's keeps no order from leaving, nor from being recorded."""
    client = desk.shim.wrap(connect(exchange, Careful))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    client.create_order(*SELL, STOP)
    assert desk.take("kind", "outcome") == [("sl", "accepted")]
    client.timeout = 7000
    assert client.timeout == 7000


def test_a_dict_that_ccxt_copies_stays_the_bots(desk, exchange):
    """With `maxRetriesOnFailure` ccxt invents the id in a copy: the same dict places two stops."""
    client = desk.shim.wrap(connect(exchange))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    stop = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "0.001",
        "reduceOnly": "true",
        "maxRetriesOnFailure": 2,
    }
    ids = set()
    for price in ("50000", "51000"):
        stop["triggerPrice"] = price
        ids.add(client.fapiPrivatePostAlgoOrder(stop)["clientAlgoId"])
    assert (len(ids), "clientAlgoId" in stop) == (2, False)
