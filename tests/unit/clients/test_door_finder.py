"""No order can leave a genuine client by a method that the door table does not know."""

import contextlib
import inspect
import re

import pytest
from abilities import ALGO
from binance import AsyncClient, Client

from exit_shim.clients.python_binance_doors import METHODS, RAW_REQUESTS
from exit_shim.testing.no_event_loop import prevent_event_loop

ORDER_PATHS = re.compile(r"(order|algo|countdown|oco|batch)", re.IGNORECASE)
FUTURES = re.compile(r"/(fapi|dapi|papi)/")

NOT_DOORS = {
    "papi_create_margin_order": "a margin order: no futures position, so no exit of one",
    "papi_margin_order_oco": "a margin order",
    "papi_cancel_margin_order": "a margin order",
    "papi_cancel_margin_order_list": "a margin order",
    "papi_cancel_margin_all_open_orders": "a margin order",
}
"""Methods that change orders and are no doors, each with the reason."""

ARGUMENTS = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 1, "batchOrders": [{}]}


EVERYWHERE = {
    f"futures_{market}{what}"
    for market in ("", "coin_")
    for what in ("create_order", "cancel_order", "cancel_orders", "cancel_all_open_orders")
}
"""Doors that every release has."""


class SentError(Exception):
    """Stands where the request would leave."""


class Wire:
    """Replaces the transport of a client and keeps what would have been sent."""

    def __init__(self):
        self.sent = []

    def http(self, method, uri, *_, **__):
        self.sent.append((method.lower(), uri))
        raise SentError

    def websocket(self, method, *_, **__):
        self.sent.append(("ws", method))
        raise SentError

    def changes_orders(self):
        return any(
            (verb == "ws" and re.search(r"^(algo)?order\w*\.(place|modify|cancel)", what, re.IGNORECASE))
            or (verb in {"post", "put", "delete"} and FUTURES.search(what) and ORDER_PATHS.search(what))
            for verb, what in self.sent
        )


def bare(client_class, wire):
    """A client that was never connected, with `wire` where its requests leave."""
    client = client_class.__new__(client_class)
    client.__dict__.update(session=None, tld="com", testnet=False, demo=False, API_KEY="k", API_SECRET="s")
    client.__dict__.update(timestamp_offset=0, PRIVATE_KEY=None, response=None, verbose=False)
    client._request = wire.http
    for name in ("_ws_futures_api_request", "_ws_futures_api_request_sync"):
        setattr(client, name, wire.websocket)
    return client


def call(method):
    """Call a method with whatever it asks for; a coroutine is driven until it sends."""
    wanted = inspect.signature(method).parameters.values()
    takes_any = any(one.kind is one.VAR_KEYWORD for one in wanted)
    needed = {
        one.name: ARGUMENTS.get(one.name, "x")
        for one in wanted
        if one.default is one.empty and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    found = method(**({**ARGUMENTS, "batchOrders": [{}]} if takes_any else {}) | needed)
    if inspect.iscoroutine(found):
        try:
            found.send(None)
        finally:
            found.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("client_class", [Client, AsyncClient])
def test_every_method_that_changes_orders_is_a_door(client_class):
    """Every public method is driven; those that send an order-changing request are known or excused."""
    found = set()
    for name in dir(client_class):
        if name.startswith("_") or not inspect.isfunction(inspect.getattr_static(client_class, name)):
            continue  # a class method makes clients; it sends nothing for one
        wire = Wire()
        # What a method raises before it sends is not the question, and loops that it makes stay open.
        with contextlib.suppress(Exception), prevent_event_loop():
            call(getattr(bare(client_class, wire), name))
        if wire.changes_orders():
            found.add(name)
    doors = {door.method for door in METHODS}
    assert found - doors - set(NOT_DOORS) == set(), "these change orders and nobody would see it"
    missing_here = {name for name in doors if not hasattr(client_class, name)}
    assert doors - missing_here <= found, "these are doors and were not seen to send anything"
    assert found >= EVERYWHERE
    assert len(found) > 40 or not ALGO


def test_every_seam_is_where_requests_leave():
    """The raw request methods of the table are all that python-binance has for futures."""
    seams = {door.method for door in RAW_REQUESTS if ALGO or hasattr(Client, door.method)}
    raw = {
        name
        for name in dir(Client)
        if re.fullmatch(r"_(request_(futures|papi)|ws_futures).*", name) and "data" not in name
    }
    assert raw == seams
