"""The user stream over random lives, and through ThreadedWebsocketManager: the old sequence, under one id."""

import asyncio
import importlib.util
import queue

import binance
import pytest
from bridge_worlds import SYMBOL, World, sockets_of
from effort import examples
from hypothesis import HealthCheck, given, settings
from test_old_contract import TWO_POOLS, act, histories
from test_stream import comparable, listening

import exit_shim
from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

LAST = {
    "symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "price": "40000", "quantity": "0.02",
    "timeInForce": "GTC", "newClientOrderId": "the-last",
}  # fmt: skip
LIVES = settings(max_examples=examples(16), deadline=None, suppress_health_check=list(HealthCheck))


def hear(history, *, is_bridged, hedge):
    """Live a history, and return the events of each order that the bot hears."""
    last = {**LAST, **({"positionSide": "LONG"} if hedge else {})}
    with World(is_bridged=is_bridged, is_async=True, hedge=hedge) as world:
        stream = world._run(open_stream(world))
        socket = world._run(stream.__aenter__())
        socket.max_queue_size = socket.MAX_QUEUE_SIZE = 10_000
        for verb, what in [*history, ("place", last)]:
            act(world, verb, what)
            world.exchange.advance(10)
        events = world._run(read_to_the_last(socket))
        world._run(stream.__aexit__(None, None, None))
        lives = {}
        for event in events:
            body = comparable(event, world.labels)
            lives.setdefault(body["i"], []).append(body)
        return lives


async def open_stream(world):
    return listening(sockets_of(world.client, world.exchange), is_bridged=world.is_bridged)


async def read_to_the_last(socket):
    """Read the events of orders, up to that of the order placed last."""
    events = []
    while not (events and events[-1]["o"]["c"] == "the-last"):
        event = await asyncio.wait_for(socket.recv(), 10)
        if event["e"] == "ORDER_TRADE_UPDATE":
            events.append(event)
    return events


@LIVES
@given(history=histories(hedge=False, pools=TWO_POOLS))
def test_each_order_has_the_events_of_the_old_exchange(history):
    """Whatever a bot does, it hears of each order what it heard on 2025-12-08."""
    old, new = (hear(history, is_bridged=is_bridged, hedge=False) for is_bridged in (False, True))
    assert new == old


@LIVES
@given(history=histories(hedge=True, pools=TWO_POOLS))
def test_each_order_has_its_old_events_in_hedge_mode(history):
    """The same with two positions a symbol."""
    old, new = (hear(history, is_bridged=is_bridged, hedge=True) for is_bridged in (False, True))
    assert new == old


@pytest.mark.skipif(
    importlib.util.find_spec("binance.ws") is None,
    reason="the threads of the first releases hear nothing here; why is not known",
)
def test_the_threads_of_a_bot_hear_the_old_events():
    """Through ThreadedWebsocketManager, a stop that fires is filled under the orderId of its placing."""
    events = queue.Queue()
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    with (
        LocalExchange() as exchange,
        redirect_clients(exchange.url, exchange.register),
        shim.install(bridge=True),
    ):
        client = binance.Client(LOCAL_KEY, LOCAL_SECRET)
        manager = binance.ThreadedWebsocketManager(LOCAL_KEY, LOCAL_SECRET)
        manager.start()
        manager.start_futures_user_socket(callback=events.put)
        bought = 0
        while events.empty() and bought < 200:
            client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.002)
            bought += 1
            try:
                events.put(events.get(timeout=0.1))
            except queue.Empty:
                continue
        stop = client.futures_create_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", stopPrice=50000, closePosition="true"
        )
        exchange.set_mark(SYMBOL, 49_000)
        seen = []
        while ("FILLED", stop["orderId"]) not in seen:
            event = events.get(timeout=60)
            if event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["ot"] == "STOP_MARKET":
                seen.append((event["o"]["X"], event["o"]["i"]))
        manager.stop()
        manager.join(60)
        close_client(client)
    shim.close()
    assert [status for status, _ in seen] == ["NEW", "EXPIRED", "NEW", "FILLED"]
    assert {number for _, number in seen} == {stop["orderId"]}
