"""An account's label says at which exchange, for all but the live one, and gives nothing else away."""

import gc
import re

import pytest
import wrapt
from binance import AsyncClient, Client

import exit_shim
from exit_shim.clients import accounts
from exit_shim.clients.accounts import account_label, key_label, label_of
from exit_shim.clients.hosts import host_of
from exit_shim.domain.accounts import exchange_of
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY

OPEN = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
CLOSE = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 0.01, "reduceOnly": "true"}
LABEL = key_label(LOCAL_KEY)
LIVE = "https://fapi.binance.com/fapi"

needs_demo = pytest.mark.skipif(
    not hasattr(Client, "FUTURES_DEMO_URL"), reason="this python-binance knows no demo exchange"
)
needs_testnet = pytest.mark.skipif(
    not hasattr(Client, "FUTURES_TESTNET_URL"), reason="this python-binance sends the testnet's to live"
)


class Stub:
    """What of a client tells where it goes; it can be sent to no one."""

    FUTURES_URL = LIVE
    FUTURES_TESTNET_URL = "https://testnet.binancefuture.com/fapi"
    FUTURES_DEMO_URL = "https://demo-fapi.binance.com/fapi"

    def __init__(self, **own):
        vars(self).update({"API_KEY": LOCAL_KEY, "testnet": False, "demo": False, **own})

    def order(self):
        """A method, by which the label is asked for."""


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ({}, ""),
        ({"FUTURES_URL": LIVE}, ""),
        ({"FUTURES_URL": "https://FAPI.binance.com:443/fapi"}, ""),
        ({"FUTURES_URL": "https://fapi1.binance.com/fapi"}, ""),
        ({"FUTURES_URL": "https://fapi.binance.us/fapi"}, ""),
        ({"testnet": True}, "@testnet"),
        ({"demo": True}, "@demo"),
        ({"testnet": True, "demo": True}, "@testnet"),
        ({"FUTURES_URL": "https://testnet.binancefuture.com/fapi"}, "@testnet"),
        ({"testnet": True, "FUTURES_TESTNET_URL": "http://127.0.0.1:8080/fapi"}, "@127.0.0.1:8080"),
        ({"FUTURES_URL": "http://127.0.0.1:8080"}, "@127.0.0.1:8080"),
        ({"FUTURES_URL": "http://[::1]:8080/fapi"}, "@[::1]:8080"),
        ({"FUTURES_URL": "https://fapi.binance.com.evil.example/fapi"}, "@fapi.binance.com.evil.example"),
        ({"FUTURES_URL": "https://fapi.binance.com@evil.example/fapi"}, "@evil.example"),
        ({"FUTURES_URL": "https://fapi.binance.com:8443/fapi"}, "@fapi.binance.com:8443"),
        ({"FUTURES_URL": "https://fapi.binance.{}/fapi"}, "@unknown"),
        ({"FUTURES_URL": "127.0.0.1:8080/fapi"}, "@unknown"),
        ({"FUTURES_URL": 7}, ""),
        ({"FUTURES_URL": []}, ""),
        ({"testnet": []}, ""),
    ],
)
def test_where_a_client_goes_is_in_its_label(own, place):
    """Host and port, or a word for them, behind the account's name or its key's label; nothing for live."""
    stub = Stub(**own)
    for _ in range(2):  # the second is remembered
        assert account_label(stub.order) == label_of(stub) == LABEL + place
        assert account_label(stub.order, "main") == label_of(stub, "main") == f"main{place}"
    assert exchange_of(LABEL + place) == place.removeprefix("@")


@pytest.mark.parametrize("key", [None, "", 7, []])
def test_without_a_key_each_object_is_an_account(key):
    """It is called by its class and a number, wherever it goes, and by its name where the shim has one."""
    one, other = (Stub(API_KEY=key, FUTURES_URL="http://127.0.0.1:8080/fapi") for _ in range(2))
    labels = [account_label(one.order), label_of(one), account_label(other.order)]
    assert labels[0] == labels[1] != labels[2]
    assert all(re.fullmatch(r"Stub-\d+@127\.0\.0\.1:8080", label) for label in labels)
    assert account_label(one.order, "main") == "main@127.0.0.1:8080"
    assert exchange_of(None) == ""


def test_two_adapters_without_a_key_are_two_accounts(recorded):
    """The guard holds the exits of each against its own; what is gone is not remembered."""

    class Adapter:
        __slots__ = ("__weakref__",)

        def futures_create_order(self, **params):
            return {"orderId": 1}

    for _ in range(2):
        adapter = exit_shim.wrap(Adapter())
        for _ in range(2):
            adapter.futures_create_order(**CLOSE)
    first, again, second, _ = (record.intent.account for record in recorded())
    assert first == again != second
    assert {first[:8], second[:8]} == {"Adapter-"}
    del adapter
    gc.collect()
    assert not [one for one in accounts._numbered.values() if one.ref() is None]


def test_adapters_of_one_key_are_one_account():
    """Two objects over one key, their own or their client's, share the book of that key's account."""

    class Adapter:
        def __init__(self, **own):
            vars(self).update(own)

        def place(self):
            """A method, by which the label is asked for."""

    inner = Stub(FUTURES_URL="http://127.0.0.1:1/fapi")
    for adapters in (
        [Adapter(client=inner), Adapter(http=exit_shim.wrap(inner))],
        [Adapter(key=LOCAL_KEY, base_url="http://127.0.0.1:1"), Adapter(api_key=LOCAL_KEY, FUTURES_URL=LIVE)],
    ):
        labels = [account_label(adapter.place) for adapter in adapters]
        assert labels[0] == f"{LABEL}@127.0.0.1:1"
        assert labels[1] in {LABEL, labels[0]}


def test_a_genuine_client_without_a_key_has_no_label(exchange):
    """It can place nothing."""
    client = Client()
    client.API_KEY = None
    assert label_of(client) is None
    close_client(client)


@pytest.mark.parametrize("thing", [None, 7, len, "text".upper, object().__str__])
def test_what_is_no_clients_method_has_no_label(thing):
    """Functions, and methods of what has no attributes of its own."""
    assert account_label(thing) is None


def test_an_address_gives_nothing_but_its_host():
    """No path, user info, query or fragment of it reaches a label."""
    stub = Stub(FUTURES_URL="http://user:the-password@127.0.0.1:80/the-path?apiKey=the-key#the-fragment")
    assert label_of(stub) == f"{LABEL}@127.0.0.1:80"
    for odd in ("http://the host/", "http://", "://", "http://h\n/", "ftp://host/", "http://h:port/"):
        assert host_of(odd) == "unknown"


def test_a_client_that_is_pointed_elsewhere_has_another_label():
    """A label is of where the client goes now; key, address, flags and the class's address may all change."""
    stub = Stub(FUTURES_URL=LIVE)
    assert account_label(stub.order) == LABEL
    stub.FUTURES_URL = "http://127.0.0.1:1/fapi"
    assert account_label(stub.order) == f"{LABEL}@127.0.0.1:1"
    stub.API_KEY = "other"
    assert account_label(stub.order) == f"{key_label('other')}@127.0.0.1:1"
    stub.testnet = True
    assert account_label(stub.order) == f"{key_label('other')}@testnet"
    stub.FUTURES_TESTNET_URL = "http://127.0.0.1:2/fapi"
    assert account_label(stub.order) == f"{key_label('other')}@127.0.0.1:2"


def test_a_client_inside_another_proxy_goes_where_it_goes():
    """What a bot has put around its client has none of the class's addresses, and is looked through."""
    assert label_of(wrapt.ObjectProxy(Stub(testnet=True))) == f"{LABEL}@testnet"


def test_not_all_clients_that_ever_were_are_remembered():
    """A bot that makes a client for each of a thousand ports has its labels right, and keeps few."""
    for port in range(1_000):
        stub = Stub(FUTURES_URL=f"http://127.0.0.1:{port}/fapi")
        assert account_label(stub.order) == f"{LABEL}@127.0.0.1:{port}"
    assert len(accounts._labels) <= accounts.MAX_LABELS


@pytest.mark.parametrize(
    "flag", [pytest.param("testnet", marks=needs_testnet), pytest.param("demo", marks=needs_demo)]
)
def test_python_binances_own_flags(flag):
    """A genuine client made for the testnet or the demo exchange has that in its label."""
    if "ping" not in Client.__init__.__code__.co_varnames:
        pytest.skip("this python-binance cannot be made without a request")
    client = Client(LOCAL_KEY, "s", ping=False, **{flag: True})
    assert account_label(client.futures_create_order) == f"{LABEL}@{flag}"
    close_client(client)


def test_an_orders_record_says_where_it_went(exchange, client, recorded):
    """An order through a genuine client on a local exchange has the exchange's host and port."""
    client.futures_create_order(**OPEN)
    exit_shim.wrap(client).futures_create_order(**CLOSE)
    (record,) = recorded()
    assert record.intent.account == f"{LABEL}@127.0.0.1:{exchange.port}"


async def test_an_async_clients_order_too(exchange, async_client, recorded):
    """The same of an AsyncClient, under the name that the shim was given."""
    assert isinstance(async_client, AsyncClient)
    await async_client.futures_create_order(**OPEN)
    shim = exit_shim.ExitShim(account="main", sinks=[])
    await shim.wrap(async_client).futures_create_order(**CLOSE)
    shim.flush()
    (record,) = recorded()
    assert record.intent.account == f"main@127.0.0.1:{exchange.port}"


def test_an_accounts_name_has_no_at():
    """It could be taken for the place of its orders."""
    with pytest.raises(ValueError, match="account='a@testnet' has an @"):
        exit_shim.ExitShim(account="a@testnet")
