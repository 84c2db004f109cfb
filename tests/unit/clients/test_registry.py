"""Which library a client belongs to, and what its doors lead to."""

from unittest import mock

import pytest
from binance import AsyncClient, Client

from exit_shim.clients.proxy import ClientProxy, proxy_class
from exit_shim.clients.python_binance import PYTHON_BINANCE
from exit_shim.clients.registry import (
    DOOR_NAMES,
    cancel_all_door,
    is_genuine,
    is_library_module,
    market_of,
    support_of,
)
from exit_shim.domain.doors import Door


class Unhashable(type):
    """Makes classes that cannot be the keys of a cache."""

    def __eq__(cls, other):
        return cls is other

    __hash__ = None


class Adapter(metaclass=Unhashable):
    """A class of the bot's own."""


class Inherited(Client):
    """A bot's own client, made from the genuine one."""


@pytest.mark.parametrize("kind", [Client, AsyncClient, Inherited])
def test_a_genuine_client_is_its_librarys(kind):
    """The classes of a library, and what inherits from them, are genuine."""
    client = kind.__new__(kind)
    client.session = None  # AsyncClient's __del__ asks for it
    assert is_genuine(client)
    assert support_of(client) is PYTHON_BINANCE


@pytest.mark.parametrize("client", [None, Adapter(), object(), mock.create_autospec(Client)])
def test_any_other_client_is_taken_to_imitate_python_binance(client):
    """A mock, a fake and an adapter are not genuine; their methods are looked for under its names."""
    assert not is_genuine(client)
    assert support_of(client) is PYTHON_BINANCE


@pytest.mark.parametrize(
    ("name", "is_of_library"),
    [
        ("binance.client", True),
        ("binance.ws.streams", True),
        ("binance", False),
        ("binance.um_futures", True),
        ("binance.api", True),
        ("binance.spot", False),
        ("binance_common.utils", True),
        ("binance_sdk_spot.rest_api.rest_api", False),
        ("trader.binance.client", False),
        (None, False),
        ([], False),
    ],
)
def test_modules_of_a_library_are_told_by_their_names(name, is_of_library):
    """The packages of Binance's connectors for futures and spot share python-binance's name."""
    assert is_library_module(name) is is_of_library


@pytest.mark.parametrize(
    ("door", "market"),
    [
        ("futures_create_order", "um"),
        ("ws_futures_create_algo_order", "um"),
        ("_request_futures_api", "um"),
        ("_ws_futures_api_request_sync", "um"),
        ("futures_coin_cancel_order", "cm"),
        ("_request_futures_coin_api", "cm"),
        ("papi_create_um_order", "portfolio_um"),
        ("papi_cancel_cm_conditional_order", "portfolio_cm"),
        ("_request_papi_api", "portfolio"),
        ("place_stop", None),
    ],
)
def test_a_door_leads_to_a_market(door, market):
    """It is told by the door's name; an adapter's door may lead anywhere."""
    assert market_of(door) == market


def test_every_door_leads_somewhere():
    """No row of a table is left without a market."""
    assert [name for name in DOOR_NAMES if market_of(name) is None] == []


@pytest.mark.parametrize(
    ("door", "store", "method"),
    [
        ("futures_cancel_all_open_orders", "conditional", "futures_cancel_all_algo_open_orders"),
        ("futures_cancel_all_algo_open_orders", "orders", "futures_cancel_all_open_orders"),
        ("_request_futures_api", "conditional", "futures_cancel_all_algo_open_orders"),
        ("papi_cancel_um_all_open_orders", "conditional", "papi_cancel_um_conditional_all_open_orders"),
        ("papi_cancel_cm_conditional_all_open_orders", "orders", "papi_cancel_cm_all_open_orders"),
        ("futures_coin_cancel_all_open_orders", "conditional", None),
        ("_request_papi_api", "orders", None),
        ("cancel_everything", "orders", None),
    ],
)
def test_the_method_that_cancels_the_other_store(door, store, method):
    """It is one of the same market; COIN-M has none for conditional orders, and an adapter's is unknown."""
    assert cancel_all_door(door, store) == method


def test_a_proxy_has_the_doors_of_its_clients_library():
    """Another library's clients have its doors and none of python-binance's; the class is made once."""
    other = PYTHON_BINANCE._replace(name="other", doors=(Door("create_order"),))
    kind = proxy_class(other)
    assert issubclass(kind, ClientProxy)
    assert kind is proxy_class(other) is not proxy_class(PYTHON_BINANCE)
    assert "create_order" in vars(kind)
    assert not hasattr(kind, "futures_create_order")
    assert not hasattr(proxy_class(PYTHON_BINANCE), "create_order")
