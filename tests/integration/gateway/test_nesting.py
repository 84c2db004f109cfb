"""An order that passes several layers is one record, with the outermost caller; raw requests and adapters."""

import asyncio
import os
import signal

import pytest
from abilities import HELPERS, STOP_NUMBER, STOP_PATH, STOP_PRICE

import exit_shim
from exit_shim import Door
from exit_shim.testing.close_client import close_client

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", STOP_PRICE: "50000"}
REDUCING = {**STOP, "quantity": "0.01", "reduceOnly": "true"}


def order_of(symbol, side, kind, **more):
    """The order in Binance's terms, for an adapter that has its own."""
    types = {"stop": "STOP_MARKET", "target": "TAKE_PROFIT_MARKET"}
    return {
        "symbol": symbol,
        "side": side,
        "type": types[kind],
        "closePosition": True,
        "stopPrice": more["at"],
    }


class Adapter:
    """A bot's own client around another."""

    def __init__(self, client):
        self.client = client

    def place_order(self, symbol, side, kind, **more):
        return self.client.futures_create_order(**order_of(symbol, side, kind, **more))

    def bracket(self, symbol):
        return [
            self.place_order(symbol, "SELL", kind, at=at) for kind, at in (("stop", 50000), ("target", 70000))
        ]

    def _signed_request(self, verb, path, params):
        return self.client._request_futures_api(verb.lower(), path.split("/", 3)[3], True, data=params)


PLACE = Door("place_order", parse=order_of)
BRACKET = Door("bracket", parse=lambda symbol: [order_of(symbol, "SELL", "stop", at=50000)])
SIGNED = Door(
    "_signed_request", routes={("post", "fapi/v1/order"): Door(""), ("post", "fapi/v1/algoOrder"): Door("")}
)


@pytest.fixture
def long(client, exchange):
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    return client


def summary(record):
    line = record.flat()
    return line["door"], line["kind"], line["symbol"], line["outcome"]


def test_an_adapters_method_is_a_door_by_declaration(long, recorded):
    """A method of one's own class is a door, told what its arguments mean; the answer concludes it."""
    adapter = exit_shim.wrap(Adapter(long), doors=[PLACE])
    adapter.place_order("BTCUSDT", "SELL", "stop", at=50000)
    (record,) = recorded()
    assert summary(record) == ("place_order", "sl", "BTCUSDT", "accepted")
    assert record.intent.attribution.function == "test_an_adapters_method_is_a_door_by_declaration"


def test_an_adapter_over_a_wrapped_client_is_one_record(long, recorded):
    """The adapter's door is the outer one; the client's inside it carries the same order."""
    adapter = exit_shim.wrap(Adapter(exit_shim.wrap(long)), doors=[PLACE])
    adapter.place_order("BTCUSDT", "SELL", "stop", at=50000)
    assert [summary(record)[0] for record in recorded()] == ["place_order"]


def test_what_the_outer_layer_did_not_declare_is_recorded_inside(long, recorded):
    """An adapter that declares one order and places two hides none."""
    adapter = exit_shim.wrap(Adapter(exit_shim.wrap(long)), doors=[BRACKET])
    adapter.bracket("BTCUSDT")
    assert [summary(record)[:2] for record in recorded()] == [
        ("bracket", "sl"),
        ("futures_create_order", "tp"),
    ]


def test_what_a_signal_handler_places_amid_the_same_order_is_its_own(recorded):
    """Two orders that are alike, one of them amid the other's sending, are two records."""

    class Interrupted:
        sent = 0

        def futures_create_order(self, **params):
            self.sent += 1
            if self.sent == 1:
                os.kill(os.getpid(), signal.SIGUSR1)
            return {"orderId": self.sent}

    inside = Interrupted()
    client = exit_shim.wrap(inside)
    former = signal.signal(signal.SIGUSR1, lambda *_: client.futures_create_order(**REDUCING))
    try:
        client.futures_create_order(**REDUCING)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert inside.sent == len(recorded()) == 2


def test_a_retry_inside_is_a_second_order(recorded):
    """Sending the same order twice inside one call is two orders at the exchange, and two records."""

    class Stubborn:
        def futures_create_order(self, **params):
            return {}

    class Retrying:
        client = exit_shim.wrap(Stubborn())

        def place_order(self, symbol, side, kind, **more):
            for _ in range(2):
                self.client.futures_create_order(**order_of(symbol, side, kind, **more))

    exit_shim.wrap(Retrying(), doors=[PLACE]).place_order("BTCUSDT", "SELL", "stop", at=1)
    assert [summary(record)[0] for record in recorded()] == ["place_order", "futures_create_order"]


async def test_what_a_task_places_after_the_call_is_its_own(recorded):
    """A task started inside a call inherits its context, not its order."""
    later = []

    class Spawning:
        async def futures_create_order(self, **params):
            if not later:
                later.append(asyncio.create_task(self.again()))
            return {}

        async def again(self):
            await asyncio.sleep(0)
            await wrapped.futures_create_order(**REDUCING)

    wrapped = exit_shim.wrap(Spawning())
    await wrapped.futures_create_order(**REDUCING)
    await later[0]
    assert len(recorded()) == 2


def test_raw_requests_are_doors(long, exchange, recorded):
    """_request_futures_api called from outside with an order path is recorded as what it does."""
    wrapped = exit_shim.wrap(long)
    placed = wrapped._request_futures_api(
        "post", STOP_PATH, True, data={**REDUCING, "algoType": "CONDITIONAL"}
    )
    wrapped._request_futures_api("get", "openOrders", True, data={"symbol": "BTCUSDT"})
    wrapped._request_futures_api(
        "delete", STOP_PATH, True, data={"symbol": "BTCUSDT", STOP_NUMBER: placed[STOP_NUMBER]}
    )
    assert [(r.intent.operation, *summary(r)) for r in recorded()] == [
        ("place", "_request_futures_api", "sl", "BTCUSDT", "accepted"),
        ("cancel", "_request_futures_api", "sl", "BTCUSDT", "accepted"),
    ]


async def test_raw_requests_of_an_async_client(async_client, exchange, recorded):
    """The same through AsyncClient's twin."""
    wrapped = exit_shim.wrap(async_client)
    await wrapped.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    await wrapped._request_futures_api("post", STOP_PATH, True, data={**REDUCING, "algoType": "CONDITIONAL"})
    assert [summary(record)[:2] for record in recorded()] == [("_request_futures_api", "sl")]


def test_an_adapters_raw_request_is_a_door(long, recorded):
    """An adapter's own signed request is declared by its verbs and paths."""

    class Raw:
        def __init__(self, client):
            self.client = client

        def _signed_request(self, method, path, data):
            return self.client._request_futures_api(method.lower(), path.split("/")[-1], True, data=data)

    adapter = exit_shim.wrap(Raw(long), doors=[SIGNED])
    adapter._signed_request("POST", f"/fapi/v1/{STOP_PATH}", data={**REDUCING, "algoType": "CONDITIONAL"})
    assert [summary(record)[:2] for record in recorded()] == [("_signed_request", "sl")]


def test_installed_and_wrapped_is_one_record(exchange, recorded):
    """With the classes' doors on, a wrapped client's order is recorded once, and a bare one's too."""
    from binance.client import Client  # noqa: PLC0415 - made inside on purpose

    with exit_shim.shim.default_shim().install():
        bare = Client("local-key", "local-secret")
        bare.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        bare.futures_create_order(**REDUCING)
        exit_shim.wrap(bare).futures_create_order(**REDUCING)
        if HELPERS:
            bare.futures_market_sell_order(symbol="BTCUSDT", quantity=0.004, reduceOnly="true")
    assert [summary(record)[0] for record in recorded()] == [
        "futures_create_order",
        "futures_create_order",
        *["futures_market_sell_order"] * HELPERS,
    ]
    assert exit_shim.shim.default_shim().gateway.entry_orders() == 1
    close_client(bare)


class Signing:
    """An adapter that has one raw request, written as bots write it."""

    def __init__(self):
        self.sent = []

    def positional(self, method, path, params):
        self.sent.append(params)
        return {"orderId": 1}

    def renamed(self, endpoint, http_method, payload, headers=None):
        return self.positional(http_method, endpoint, payload)

    def spread(self, verb, url, **fields):
        return self.positional(verb, url, fields)

    def encoded(self, method, path, body):
        return self.positional(method, path, body)


ORDER_ROUTES = {
    ("post", "fapi/v1/order"): Door(""),
    ("delete", "fapi/v1/order"): Door("", "cancel", "reference"),
}
PATH = "/fapi/v1/order"
CALLS = {
    "positional": lambda client, fields: client.positional("POST", PATH, fields),
    "keyword": lambda client, fields: client.positional(method="POST", path=PATH, params=fields),
    "turned round": lambda client, fields: client.renamed(PATH, "POST", fields, {"X-A": "1"}),
    "another name": lambda client, fields: client.renamed(http_method="post", endpoint=PATH, payload=fields),
    "spread": lambda client, fields: client.spread("POST", PATH, **fields),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_fields_of_a_raw_request_are_found_wherever_they_are(recorded, call):
    """Verb, path and payload of a signed request have any name and place; it goes out as it is."""
    own = Signing()
    doors = [Door(name, routes=ORDER_ROUTES) for name in ("positional", "renamed", "spread")]
    CALLS[call](exit_shim.wrap(own, doors=doors), dict(REDUCING))
    assert own.sent == [REDUCING]
    assert [summary(record)[1:] for record in recorded()] == [("sl", "BTCUSDT", "accepted")]


def test_a_cancel_by_a_positional_payload_names_its_order(recorded):
    """A raw cancel is recorded as one, with the order that it is about."""
    client = exit_shim.wrap(Signing(), doors=[Door("positional", routes=ORDER_ROUTES)])
    client.positional("DELETE", PATH, {"symbol": "BTCUSDT", "orderId": 7})
    (record,) = recorded()
    assert (record.intent.operation, record.intent.targets[0].order_id) == ("cancel", 7)


def test_a_placing_door_that_cancels_inside_hides_no_cancel(long, recorded):
    """The cancel that an adapter makes on its way to a new stop is a record of its own."""

    class Moving:
        client = exit_shim.wrap(long)

        def place_order(self, symbol, side, kind, **more):
            self.client.futures_cancel_order(symbol=symbol, **{STOP_NUMBER: self.before})
            return self.client.futures_create_order(**order_of(symbol, side, kind, **more))

    adapter = Moving()
    adapter.before = long.futures_create_order(**order_of("BTCUSDT", "SELL", "stop", at=40000))[STOP_NUMBER]
    exit_shim.wrap(adapter, doors=[PLACE]).place_order("BTCUSDT", "SELL", "stop", at=50000)
    found = {(record.intent.operation, record.intent.door) for record in recorded()}
    assert found == {("place", "place_order"), ("cancel", "futures_cancel_order")}
    assert len(recorded()) == 2
