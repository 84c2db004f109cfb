"""The user data stream through the bridge: consumers of the old events see the old sequence."""

import asyncio
import contextlib

from abilities import needs_sockets
from bridge_worlds import OLD_DAY, SYMBOL, async_client, number, sockets_of, user_socket

import exit_shim
from exit_shim.clients.python_binance_releases import hears_user_stream
from exit_shim.testing import LocalExchange

STOP = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": "true"}
TAKE = {
    "symbol": SYMBOL, "side": "SELL", "type": "TAKE_PROFIT", "stopPrice": 70000, "price": 70100,
    "quantity": 0.004, "reduceOnly": "true",
}  # fmt: skip
TRAIL = {
    "symbol": SYMBOL, "side": "SELL", "type": "TRAILING_STOP_MARKET", "callbackRate": 1,
    "activationPrice": 65000, "quantity": 0.002, "reduceOnly": "true",
}  # fmt: skip
DROPPED = {"T", "E", "AP", "cr", "actualOrderId", "si", "ss", "st", "b", "a"}


async def live(*, is_bridged):
    """Return the events that a bot hears which places, cancels and lets fire."""
    with LocalExchange(rules=None if is_bridged else OLD_DAY) as exchange:
        client = await async_client(exchange)
        shim = exit_shim.ExitShim(journal=False, bridge=is_bridged, sinks=[])
        wrapped = shim.wrap(client)
        manager = sockets_of(wrapped, exchange)
        place = wrapped.futures_create_order if is_bridged else placing_old(client)
        names, events = {}, []
        async with listening(manager, is_bridged=is_bridged) as socket:
            await client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
            for number_, order in enumerate((STOP, TAKE, TRAIL)):
                placed = await place(**order, newClientOrderId=f"name-{number_}")
                names[placed["orderId"]] = placed["clientOrderId"]
            await wrapped.futures_cancel_order(symbol=SYMBOL, origClientOrderId="name-2")
            exchange.set_mark(SYMBOL, 70_200)
            exchange.set_mark(SYMBOL, 49_000)
            await client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.003)
            while not is_last(events):
                events.append(await asyncio.wait_for(socket.recv(), 10))
        await client.close_connection()
        shim.close()
        return [comparable(event, names) for event in events if event["e"] == "ORDER_TRADE_UPDATE"], events


@contextlib.asynccontextmanager
async def listening(manager, *, is_bridged):
    """Connect the user data stream; the first releases cannot close it with today's websockets."""
    socket = user_socket(manager)
    # How long it listens before it sees that it is closed.
    socket.TIMEOUT = 0.2
    if not (is_bridged or hears_user_stream(type(manager))):
        # The local exchange sends nothing to the old address, whatever the day of its rules.
        socket._url, socket._prefix = f"{socket._url}private/", "ws?listenKey="
    await socket.connect()
    try:
        yield socket
    finally:
        connection = socket.ws
        try:
            await socket.__aexit__(None, None, None)
        except AttributeError:
            await connection.close()


def placing_old(client):
    return lambda **order: client._request_futures_api("post", "order", True, data=order)


def is_last(events):
    """Return whether the last order's fill was heard."""
    return any(event.get("o", {}).get("q") == "0.003" and event["o"].get("X") == "FILLED" for event in events)


def comparable(event, names):
    body = {name: number(value) for name, value in event["o"].items() if name not in DROPPED}
    body["i"] = names.get(event["o"]["i"], "entry")
    if body["i"] == "entry":
        body.pop("c"), body.pop("t")
    return body


@needs_sockets
async def test_the_old_sequence_of_order_events():
    """Each ORDER_TRADE_UPDATE of the old exchange comes through the bridge, in its order, under one id."""
    old, _ = await live(is_bridged=False)
    new, events = await live(is_bridged=True)
    assert new == old
    assert {"NEW", "CANCELED", "TRIGGERING", "FINISHED"} <= {
        event["o"]["X"] for event in events if event["e"] == "ALGO_UPDATE"
    }
