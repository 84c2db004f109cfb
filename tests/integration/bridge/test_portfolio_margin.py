"""Portfolio margin through the bridge: the methods for conditional orders, which answer 404 today, work."""

import pytest
from binance import Client
from binance.exceptions import BinanceAPIException
from bridge_worlds import SYMBOL, sync_client

import exit_shim
from exit_shim.testing import LocalExchange, faults

STOP = {
    "symbol": SYMBOL, "side": "SELL", "strategyType": "STOP_MARKET", "stopPrice": 50000, "quantity": 0.01,
    "reduceOnly": "true", "newClientStrategyId": "mine",
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    not hasattr(Client, "papi_create_um_conditional_order"), reason="this python-binance has no papi methods"
)


@pytest.fixture
def exchange():
    """The local exchange of today."""
    with LocalExchange() as exchange:
        yield exchange


@pytest.fixture
def client(exchange):
    """A client whose portfolio margin is the local exchange, with an open position."""
    with sync_client(exchange) as client:
        client.papi_create_um_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        yield client


def test_the_dead_methods_work(client):
    """A conditional order is placed, listed, found and cancelled under its strategyId."""
    shim = exit_shim.ExitShim(journal=False, bridge=True, sinks=[])
    bot = shim.wrap(client)
    placed = bot.papi_create_um_conditional_order(**STOP)
    assert (placed["newClientStrategyId"], placed["strategyStatus"], placed["strategyType"]) == (
        "mine", "NEW", "STOP_MARKET",
    )  # fmt: skip
    (listed,) = bot.papi_get_um_conditional_open_orders(symbol=SYMBOL)
    assert (listed["strategyId"], float(listed["stopPrice"])) == (placed["strategyId"], 50000)
    found = bot.papi_get_um_conditional_open_order(symbol=SYMBOL, strategyId=placed["strategyId"])
    assert found["newClientStrategyId"] == "mine"
    gone = bot.papi_cancel_um_conditional_order(symbol=SYMBOL, strategyId=placed["strategyId"])
    assert gone["strategyStatus"] == "CANCELED"
    assert bot.papi_get_um_conditional_open_orders(symbol=SYMBOL) == []
    assert shim.internal_errors.count == 0
    shim.close()


@pytest.mark.parametrize("failure", [faults.service_unavailable(), faults.no_such_algo_order()])
def test_a_cancel_does_not_wait_for_what_only_its_answer_needs(exchange, client, failure):
    """The stop is cancelled although the question before it fails."""
    shim = exit_shim.ExitShim(journal=False, bridge=True, sinks=[])
    bot = shim.wrap(client)
    placed = bot.papi_create_um_conditional_order(**STOP, triggerPrice=None)
    exchange.faults.inject(failure, method="GET", path="algoOrder", times=1)
    gone = bot.papi_cancel_um_conditional_order(symbol=SYMBOL, strategyId=placed["strategyId"])
    assert (gone["strategyId"], gone["strategyStatus"]) == (placed["strategyId"], "CANCELED")
    assert exchange.open_algo_orders() == []
    assert shim.internal_errors.count == 0
    shim.close()


def test_without_the_bridge_they_are_dead(client):
    """An unbridged client is told that there is no such path."""
    with pytest.raises(BinanceAPIException):
        client.papi_create_um_conditional_order(**STOP)
