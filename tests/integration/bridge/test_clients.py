"""Which clients are bridged, and which are not: wrapped, installed, both, copied, inherited, and cloned."""

import copy
import gc
import pickle
from unittest import mock

import pytest
import requests
from binance import AsyncClient, Client
from bridge_worlds import SYMBOL, async_client, sync_client

import exit_shim
from exit_shim.bridge.sockets import socket_classes
from exit_shim.clients.patching import uninstall
from exit_shim.clients.registry import clone_client
from exit_shim.clients.twins import SEAM, bridge_of
from exit_shim.testing import LocalExchange

STOP = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "quantity": 0.01}


class RiskyClient(Client):
    """A bot's own subclass, whose stops bear its name."""

    def futures_create_order(self, **params):
        """Place an order, named after the bot where it has no name."""
        return super().futures_create_order(**{"newClientOrderId": "from-a-subclass", **params})


@pytest.fixture
def exchange():
    """Today's exchange."""
    with LocalExchange() as exchange:
        yield exchange


@pytest.fixture
def shim():
    """A shim that bridges only whom it is asked to."""
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    yield shim
    uninstall()
    shim.close()


def keeps_its_contract(client, name="mine"):
    """Whether a stop of a client has an orderId, is listed by it once, and is cancelled by it."""
    placed = client.futures_create_order(**STOP, newClientOrderId=name)
    if placed.get("clientOrderId") != name:
        return False
    listed = client.futures_get_open_orders(symbol=SYMBOL)
    client.futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    return [row["orderId"] for row in listed] == [placed["orderId"]]


def methods():
    """The methods of all classes that the bridge or the doors may touch, as the classes hold them."""
    owners = {*Client.__mro__[:-1], *AsyncClient.__mro__[:-1], *socket_classes()}
    return {(owner, name): value for owner in owners for name, value in vars(owner).items()}


def test_an_uninstall_leaves_the_classes_as_they_were(shim):
    """Every attribute of the client classes and sockets is the same object as before, twice over."""
    before = methods()
    for _ in range(2):
        with shim.install(bridge=True):
            assert vars(Client)[SEAM] is not before[Client, SEAM]
        after = methods()
        assert before.keys() == after.keys()
        assert [name for name in before if before[name] is not after[name]] == []


def test_installed_and_wrapped_bridges_once(exchange, shim):
    """A client that is wrapped on top of an install keeps its contract, and sends each order once."""
    with sync_client(exchange) as client, shim.install(bridge=True):
        assert keeps_its_contract(client)
        for bot in (shim.wrap(client), shim.wrap(client, bridge=True)):
            assert keeps_its_contract(bot)
    placings = [each for each in exchange.requests if each.method == "POST" and "rder" in each.path]
    assert len(placings) == 3


def test_an_unbridged_wrap_on_an_install_is_unbridged(exchange, shim):
    """`bridge=False` gives today's contract, although the classes are bridged."""
    with sync_client(exchange) as client, shim.install(bridge=True):
        bot = shim.wrap(client, bridge=False)
        assert bridge_of(bot.__wrapped__) is None
        assert bot.futures_get_open_orders(symbol=SYMBOL) == []


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_subclass_keeps_its_own_methods(exchange, shim, is_installed):
    """What a bot's subclass adds to an order goes through the bridge, whichever way it is bridged."""
    with sync_client(exchange, RiskyClient) as client:
        if is_installed:
            with shim.install(bridge=True):
                placed = client.futures_create_order(**STOP)
        else:
            bot = shim.wrap(client, bridge=True)
            assert isinstance(bot, RiskyClient)
            placed = bot.futures_create_order(**STOP)
    assert (placed["clientOrderId"], placed["status"]) == ("from-a-subclass", "NEW")


def test_a_bridged_proxy_looks_like_an_unbridged_one(exchange, shim):
    """Class, state and attributes are the client's; what either changes, the other has."""
    with sync_client(exchange) as client:
        bot = shim.wrap(client, bridge=True)
        assert bot.__class__ is Client
        bot.answer = 42
        client.other = 43
        assert (client.answer, bot.other) == (42, 43)
        assert exit_shim.unwrap(bot) is client
        assert shim.wrap(bot) is bot


def test_a_copy_is_bridged_and_a_client_of_its_own(exchange, shim):
    """copy.copy gives a bridged client whose attributes are its own, as a copy of an unbridged one has."""
    with sync_client(exchange) as client:
        bot = shim.wrap(client, bridge=True)
        other = copy.copy(bot)
        other.answer = 42
        assert not hasattr(bot, "answer")
        assert exit_shim.unwrap(other) is not client
        assert keeps_its_contract(other)


def test_pickling_does_what_it_does_without_the_bridge(shim):
    """A proxy that can be pickled unbridged can be bridged, and arrives as it was."""
    client = Client.__new__(Client)
    # Most of what a client holds cannot be pickled.
    client.API_KEY, client.session = "a-key", requests.Session()
    plain = pickle.loads(pickle.dumps(shim.wrap(client)))
    bot = pickle.loads(pickle.dumps(shim.wrap(client, bridge=True)))
    assert (plain.API_KEY, bot.API_KEY) == ("a-key", "a-key")
    assert bridge_of(plain.__wrapped__) is None
    assert bridge_of(bot.__wrapped__) is not None


async def test_a_collected_twin_closes_nothing(exchange, shim):
    """The connections live on when a bridged proxy is collected, and when the proxy alone is left."""
    client = await async_client(exchange)
    bot = shim.wrap(client, bridge=True)
    assert await bot.futures_get_open_orders(symbol=SYMBOL) == []
    del bot
    gc.collect()
    bot = shim.wrap(client, bridge=True)
    del client
    gc.collect()
    assert await bot.futures_get_open_orders(symbol=SYMBOL) == []
    await bot.close_connection()


def test_a_sync_client_lives_in_its_proxy(exchange, shim):
    """A sync client closes its session when it is collected: not while a bridged proxy of it lives."""
    with sync_client(exchange) as client:
        for _ in range(2):
            bot = shim.wrap(client, bridge=True)
            del bot
            gc.collect()
        assert client.futures_get_open_orders(symbol=SYMBOL) == []


@pytest.mark.parametrize("is_installed", [True, False])
def test_what_the_shim_itself_uses_sees_todays_contract(exchange, shim, is_installed):
    """`unwrap` and the resolver's clones answer as today: an open list has no conditional orders."""
    with sync_client(exchange) as client:
        installed = shim.install(bridge=True) if is_installed else None
        bot = client if is_installed else shim.wrap(client, bridge=True)
        bot.futures_create_order(**STOP, newClientOrderId="mine")
        assert len(bot.futures_get_open_orders(symbol=SYMBOL)) == 1
        plain = exit_shim.unwrap(bot)
        assert plain.futures_get_open_orders(symbol=SYMBOL) == []
        clone = clone_client(plain)
        assert clone.get(clone.client(), "/fapi", "openOrders", {"symbol": SYMBOL}) == []
        if installed is not None:
            installed.__exit__(None, None, None)


@pytest.mark.parametrize("name", ["futures_create_order", "_request_futures_api"])
def test_a_mock_on_the_class_is_what_a_bridged_client_calls(exchange, shim, name):
    """A test's mock keeps a bridged client's order from leaving; afterwards the bridge is back."""
    with sync_client(exchange) as plain:
        client = shim.wrap(plain, bridge=True)
        before = len(exchange.requests)
        with mock.patch.object(Client, name, return_value={"orderId": 7}) as mocked:
            assert client.futures_create_order(**STOP) == {"orderId": 7}
        assert (mocked.call_count, len(exchange.requests)) == (1, before)
        client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        assert keeps_its_contract(client)
