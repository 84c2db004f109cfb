"""The door table against the genuine clients."""

import random

import pytest
from abilities import (
    ALGO,
    GENERATES_BATCH_IDS,
    GENERATES_IDS,
    HELPERS,
    NO_POSITION,
    STOP_ID,
    needs_algo,
    needs_generated_ids,
)
from binance import AsyncClient, Client
from binance.exceptions import BinanceAPIException

import exit_shim
from exit_shim.clients.proxy import proxy_class
from exit_shim.clients.python_binance import PYTHON_BINANCE
from exit_shim.clients.python_binance_doors import DOORS

SYNC_ONLY = {"futures_coin_modify_order", "futures_coin_countdown_cancel_all"}
"""python-binance 1.0.37 has these on `Client` alone."""

STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "closePosition": "true",
    "stopPrice": "50000",
}
CLOSE = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.01", "reduceOnly": "true"}


@needs_algo
def test_a_release_of_today_has_every_ability():
    """What tests expect by ability is expected in full of a release that knows the Algo Service."""
    assert GENERATES_IDS
    assert GENERATES_BATCH_IDS
    assert HELPERS


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.method)
def test_every_door_is_a_method_of_both_clients(door):
    """A row of the table names a method that python-binance has, sync and async; older ones have fewer."""
    has = [callable(getattr(owner, door.method, None)) for owner in (Client, AsyncClient)]
    if ALGO:
        assert has == [True, door.method not in SYNC_ONLY]
    else:
        assert has != [False, True]
    assert door.method in vars(proxy_class(PYTHON_BINANCE))


@pytest.mark.parametrize("door", [door for door in DOORS if door.implies], ids=lambda door: door.method)
def test_every_door_sends_what_it_implies(door, client, exchange):
    """The fields that a row says its method sets itself are the ones that arrive at the exchange."""
    if not hasattr(client, door.method):
        pytest.skip(f"this python-binance has no {door.method}")
    with pytest.raises(BinanceAPIException):
        getattr(client, door.method)(symbol="NOSUCH")
    sent = exchange.requests[-1].params
    assert dict(door.implies).items() <= sent.items()


@needs_generated_ids
def test_the_id_on_the_wire_is_the_id_in_the_record(client, exchange, recorded):
    """The client order id is known before the send: what arrives is what the journal has."""
    wrapped = exit_shim.wrap(client)
    wrapped.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    wrapped.futures_create_order(**STOP)
    wrapped.futures_place_batch_order(batchOrders=[dict(CLOSE)])
    arrived = [request.params for request in exchange.order_requests][1:]
    stop, batch = (record.intent.order.client_order_id for record in recorded())
    assert arrived[0][STOP_ID] == stop
    if GENERATES_BATCH_IDS:
        assert batch in arrived[1]["batchOrders"]
    else:
        assert batch is None
        assert "newClientOrderId" not in arrived[1]["batchOrders"]
    assert stop.startswith(client.CONTRACT_ORDER_PREFIX)


def test_the_generator_is_the_clients_own(client, exchange):
    """Seeded alike, a bot gets the same ids with the shim as without it: one draw an order, no more."""
    ids = []
    for own in (client, exit_shim.wrap(client)):
        random.seed(7)
        for _ in range(2):
            own.futures_create_order(**{**CLOSE, "side": "BUY", "reduceOnly": "false"})
            with pytest.raises(BinanceAPIException, match="-1"):
                own.futures_create_order(**{**STOP, "stopPrice": "x"})
        sent = [request.params for request in exchange.order_requests[-4:]]
        ids.append([params.get("clientAlgoId") or params.get("newClientOrderId") for params in sent])
    assert ids[0] == ids[1]
    assert all(ids[0]) is GENERATES_IDS


def test_the_bots_own_id_is_left_alone(client, exchange, recorded):
    """An id that the bot chose goes out and is recorded as it is."""
    wrapped = exit_shim.wrap(client)
    with pytest.raises(BinanceAPIException, match=str(NO_POSITION)):
        wrapped.futures_create_order(**{**STOP, STOP_ID: "mine-1"})
    assert exchange.requests[-1].params[STOP_ID] == "mine-1"
    assert recorded()[0].intent.order.client_order_id == "mine-1"


def test_a_fake_gets_no_id():
    """A fake or adapter is called with exactly what the bot gave."""
    seen = []

    class Fake:
        def futures_create_order(self, **params):
            seen.append(params)
            return {}

    exit_shim.wrap(Fake()).futures_create_order(**STOP)
    assert seen == [STOP]


@pytest.mark.parametrize("orders", [None, "not a list", [None], ["text"], [[]], 7])
def test_a_batch_of_anything_reaches_the_client(orders):
    """What is no list of orders is the client's to judge, not ours."""
    seen = []

    class Fake:
        def futures_place_batch_order(self, **params):
            seen.append(params)

    exit_shim.wrap(Fake()).futures_place_batch_order(batchOrders=orders)
    assert seen == [{"batchOrders": orders}]


@pytest.mark.parametrize(
    ("verb", "path", "operation"),
    [
        ("post", "um/algo/order", "place"),
        ("delete", "um/algo/order", "cancel"),
        ("delete", "um/algo/algoOrder", "cancel"),
        ("delete", "um/algo/allOpenOrders", "cancel"),
        ("get", "um/algo/algoOrder", "query"),
    ],
)
def test_portfolio_margins_algo_paths_are_seen(verb, path, operation):
    """A raw request to where portfolio margin keeps conditional orders by now is read as an order."""
    (door,) = [door for door in DOORS if door.method == "_request_papi_api"]
    fields = {
        "symbol": "BTCUSDT",
        "algoId": 7,
        "type": "STOP_MARKET",
        "side": "SELL",
        "closePosition": "true",
    }
    row, read = door.route((verb, path), {"signed": True, "data": fields})
    assert (row.operation, read) == (operation, fields)
