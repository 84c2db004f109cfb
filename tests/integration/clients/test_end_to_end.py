"""One line around a genuine client, over HTTP to the local exchange: the whole way of an order."""

import functools

import pytest
from abilities import ALGO, NO_POSITION, STOP_NUMBER, needs_helpers
from binance import Client
from binance.exceptions import BinanceAPIException

import exit_shim
from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": 50000.0,
    "closePosition": True,
    "workingType": "MARK_PRICE",
}


def open_long(client):
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)


def test_a_stop_is_named_and_concluded(exchange, client, recorded):
    """A stop of a sync client is recorded with who asked, what it is, and the exchange's own id."""
    wrapped = exit_shim.wrap(client)
    open_long(wrapped)
    answer = wrapped.futures_create_order(**STOP)
    (record,) = recorded()
    line = record.flat()
    assert (line["module"], line["function"], line["evidence"]) == (
        "test_end_to_end",
        "test_a_stop_is_named_and_concluded",
        "stack",
    )
    number = line["algo_id" if ALGO else "order_id"]
    assert (line["kind"], line["outcome"], number) == ("sl", "accepted", answer[STOP_NUMBER])
    assert line["client_order_id"] == answer["clientAlgoId" if ALGO else "clientOrderId"]
    assert line["trigger_price"] == "50000.0"
    assert exit_shim.get_exit_order_metrics().get_summary()["total_orders"] == 1


async def test_a_stop_of_an_async_client(exchange, async_client, recorded):
    """The same through AsyncClient, attributed to the code that called, not to the event loop."""
    wrapped = exit_shim.wrap(async_client)
    await wrapped.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    answer = await wrapped.futures_create_order(**STOP)
    (line,) = [record.flat() for record in recorded()]
    assert (line["module"], line["function"]) == ("test_end_to_end", "test_a_stop_of_an_async_client")
    assert line["outcome"] == "accepted"
    assert line["algo_id" if ALGO else "order_id"] == answer[STOP_NUMBER]


def test_a_stop_sent_as_before_the_algo_service_is_refused(recorded):
    """What a python-binance before 1.0.33 sends today: Binance's -4120 reaches the bot, and the record."""
    with LocalExchange() as exchange, redirect_clients(exchange.url, exchange.register):
        client = Client(LOCAL_KEY, LOCAL_SECRET)
        wrapped = exit_shim.wrap(client)
        place = functools.partial(wrapped._request_futures_api, "post", "order", True, data=dict(STOP))
        if not ALGO:
            place = functools.partial(wrapped.futures_create_order, **STOP)
        with pytest.raises(BinanceAPIException) as refused:
            place()
        close_client(client)
    assert refused.value.code == -4120
    (line,) = [record.flat() for record in recorded()]
    assert (line["kind"], line["outcome"], line["error_code"]) == ("sl", "rejected", -4120)


def test_a_refused_order_raises_as_ever_and_is_recorded(exchange, client, recorded):
    """The exchange's refusal reaches the bot as the client's own exception; the record has code and text."""
    wrapped = exit_shim.wrap(client)
    with pytest.raises(BinanceAPIException) as refused:
        wrapped.futures_create_order(**STOP)  # no position: GTE needs one
    assert refused.value.code == NO_POSITION
    (line,) = [record.flat() for record in recorded()]
    assert (line["outcome"], line["error_code"]) == ("rejected", NO_POSITION)
    assert line["error_message"].startswith("Time in Force (TIF) GTE")


def test_each_exit_of_a_batch_is_a_record(exchange, client, recorded):
    """A batch is answered as the exchange answers it; each exit in it is concluded by its own element."""
    wrapped = exit_shim.wrap(client)
    open_long(wrapped)
    exits = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.004",
        "timeInForce": "GTC",
        "reduceOnly": "true",
    }
    answer = wrapped.futures_place_batch_order(
        batchOrders=[
            {**exits, "type": "LIMIT", "price": "66000"},
            {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.002"},
            {**exits, "type": "STOP_MARKET", "stopPrice": "50000"},
        ]
    )
    lines = [record.flat() for record in recorded()]
    assert [(line["batch_index"], line["outcome"], line["error_code"]) for line in lines] == [
        (0, "accepted", None),
        (2, "rejected", -4120) if ALGO else (2, "accepted", None),  # python-binance reroutes none in a batch
    ]
    assert lines[0]["order_id"] == answer[0]["orderId"]
    assert lines[0]["client_order_id"] == answer[0]["clientOrderId"]


@needs_helpers
def test_the_helpers_are_doors(exchange, client, recorded):
    """futures_market_sell_order and its kin carry exits too: their names say side and type."""
    wrapped = exit_shim.wrap(client)
    open_long(wrapped)
    wrapped.futures_limit_sell_order(
        symbol="BTCUSDT", quantity=0.004, price=66000, timeInForce="GTC", reduceOnly="true"
    )
    wrapped.futures_market_sell_order(symbol="BTCUSDT", quantity=0.002, reduceOnly=True)
    lines = [record.flat() for record in recorded()]
    assert [(line["door"], line["type"], line["side"], line["kind"]) for line in lines] == [
        ("futures_limit_sell_order", "LIMIT", "SELL", "other_exit"),
        ("futures_market_sell_order", "MARKET", "SELL", "close"),
    ]


def test_entries_pass_with_only_a_count(exchange, client, recorded):
    """An entry order leaves no record, only a count."""
    wrapped = exit_shim.wrap(client)
    open_long(wrapped)
    wrapped.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", quantity=0.01, price=50000, timeInForce="GTC"
    )
    assert recorded() == []
    assert exit_shim.shim.default_shim().gateway.entry_orders() == 2


def test_hedge_mode_exits_are_told_by_the_side(exchange, client, recorded):
    """In hedge mode SELL+LONG closes, whatever the type, and SELL+SHORT does not."""
    exchange_client = exit_shim.wrap(client)
    exchange_client.futures_change_position_mode(dualSidePosition="true")
    exchange_client.futures_create_order(
        symbol="BTCUSDT", side="BUY", positionSide="LONG", type="MARKET", quantity=0.01
    )
    exchange_client.futures_create_order(
        symbol="BTCUSDT", side="SELL", positionSide="SHORT", type="MARKET", quantity=0.01
    )
    exchange_client.futures_create_order(
        symbol="BTCUSDT", side="SELL", positionSide="LONG", type="MARKET", quantity=0.004
    )
    (line,) = [record.flat() for record in recorded()]
    assert (line["kind"], line["position_side"]) == ("close", "LONG")
