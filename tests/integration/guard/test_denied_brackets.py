"""What a caller gets whose several orders are all denied: an adapter's like one order, a batch in parts."""

import pytest

import exit_shim
from exit_shim.guard.policy import parse_policy
from exit_shim.testing import FakeClient, LocalExchange

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
TARGET = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "price": "70000",
    "quantity": "0.005",
    "timeInForce": "GTC",
    "reduceOnly": "true",
}
LEGACY, OWNER = "position_monitor", "exit_brain_v3"


class Adapter:
    """A bot's own layer over the genuine client, with a bracket of two targets."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def place_bracket(self, symbol, near, far):
        """Place two targets; answers with a dict."""
        sent = [
            self._client.futures_create_order(**{**TARGET, "symbol": symbol, "price": price})
            for price in (near, far)
        ]
        return {"near": sent[0], "far": sent[1]}

    def place_all(self, orders):
        """Place what is listed; answers with a dict."""
        return {"placed": [self._client.futures_create_order(**order) for order in orders]}


def both(symbol, near, far):
    """The orders of a bracket, under Binance's names."""
    return [{**TARGET, "symbol": symbol, "price": price} for price in (near, far)]


DOORS = [
    exit_shim.Door("place_bracket", parse=both),
    exit_shim.Door("place_all", payload="batch", list_fields=("orders",)),
]
CALLS = {
    "reads": lambda used: used.place_bracket("BTCUSDT", "70000", "72000"),
    "batch": lambda used: used.place_all(orders=both("BTCUSDT", "70000", "72000")),
}


@pytest.fixture
def make():
    """A wrapped adapter on an exchange of its own where an owner's stop covers the position."""
    shims = []

    def wrapped(on_deny):
        policy = parse_policy(f'level = "enforce"\non_deny = "{on_deny}"\n')
        shim = exit_shim.ExitShim(journal=False, policy=policy, mode="EXIT_BRAIN_V3", sinks=[])
        shims.append(shim)
        exchange = LocalExchange()
        used = shim.wrap(Adapter(FakeClient(exchange=exchange)), doors=DOORS)
        used.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        with exit_shim.attributed(OWNER):
            used.futures_create_order(**STOP)
        return used, exchange

    yield wrapped
    for shim in shims:
        shim.close()


@pytest.mark.parametrize("way", CALLS)
def test_an_adapters_bracket_that_is_denied_whole_raises(make, way):
    """Its caller expects a dict, and would not look for errors in a list; nothing was sent."""
    used, exchange = make("raise")
    with exit_shim.attributed(LEGACY), pytest.raises(exit_shim.ExitOrderDenied) as denied:
        CALLS[way](used)
    assert denied.value.reasons[0].code == "OWNERSHIP_CONFLICT"
    assert exchange.engine.open_orders() == []


@pytest.mark.parametrize("way", CALLS)
def test_an_adapters_bracket_that_is_denied_whole_is_none(make, way):
    """With on_deny = "return_none" it is answered with None, like one order."""
    used, exchange = make("return_none")
    with exit_shim.attributed(LEGACY):
        assert CALLS[way](used) is None
    assert exchange.engine.open_orders() == []


@pytest.mark.parametrize("on_deny", ["raise", "return_none"])
def test_a_batch_that_is_denied_whole_is_answered_in_parts(make, on_deny):
    """python-binance's own batch is answered as the exchange would: with an error for each order."""
    used, exchange = make(on_deny)
    with exit_shim.attributed(LEGACY):
        answer = used.futures_place_batch_order(batchOrders=both("BTCUSDT", "70000", "72000"))
    assert [element["code"] for element in answer] == [-2010, -2010]
    assert exchange.engine.open_orders() == []
