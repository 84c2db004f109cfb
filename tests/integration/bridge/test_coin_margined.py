"""COIN-M through the bridge: the Algo Service is asked once the exchange has refused the order itself."""

import pytest
from binance.exceptions import BinanceAPIException
from bridge_worlds import sync_client

import exit_shim
from exit_shim.testing import LocalExchange

SYMBOL = "BTCUSD_PERP"
STOP = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": "true"}


@pytest.fixture(params=[None, "2026-06-29"])
def exchange(request):
    """The exchange of today, and that of the day before COIN-M moved its conditional orders."""
    with LocalExchange(rules=request.param) as exchange:
        yield exchange


def test_a_stop_keeps_its_contract_before_and_after_the_move(exchange):
    """A stop is placed, listed, found and cancelled by its orderId under the rules of either day."""
    shim = exit_shim.ExitShim(journal=False, bridge=True, sinks=[])
    with sync_client(exchange) as client:
        bot = shim.wrap(client)
        bot.futures_coin_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=1)
        placed = bot.futures_coin_create_order(**STOP, newClientOrderId="mine")
        assert (placed["clientOrderId"], placed["status"], placed["type"]) == ("mine", "NEW", "STOP_MARKET")
        assert [row["orderId"] for row in bot.futures_coin_get_open_orders(symbol=SYMBOL)] == [
            placed["orderId"]
        ]
        found = bot.futures_coin_get_order(symbol=SYMBOL, orderId=placed["orderId"])
        assert float(found["stopPrice"]) == 50000
        assert bot.futures_coin_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])["status"] == "CANCELED"
        assert bot.futures_coin_get_open_orders(symbol=SYMBOL) == []
        assert shim.internal_errors.count == 0
    shim.close()


def test_without_the_bridge_a_stop_is_refused():
    """Today a stop on COIN-M is refused with -4120 by an unbridged client."""
    with LocalExchange() as exchange, sync_client(exchange) as client:
        with pytest.raises(BinanceAPIException) as refused:
            client.futures_coin_create_order(**STOP)
        assert refused.value.code == -4120
