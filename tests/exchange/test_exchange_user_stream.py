"""The user data stream as python-binance's own sockets hear it: every event, in the order of production."""

import asyncio
import itertools
import json
import queue
import socket
import time
from decimal import Decimal

import aiohttp
import pytest
from binance import BinanceSocketManager
from binance.exceptions import BinanceAPIException

from exit_shim.exchange.engine.algo import AlgoRef, NewAlgo
from exit_shim.exchange.engine.exchange_rules import find_rules
from exit_shim.exchange.engine.listen_keys import LIFETIME
from exit_shim.exchange.engine.orders import NewOrder
from exit_shim.exchange.faults import duplicated_event, lost_event, silent_stream
from exit_shim.exchange.ws import hub, message_queue
from exit_shim.testing import LocalExchange

START = 1_790_000_000_000


def kinds(events):
    """Say of each event what it is: its type, with execution or status."""
    found = []
    for event in events:
        body = event.get("o", {})
        more = body.get("x") or body.get("X") or ""
        if event["e"] == "ORDER_TRADE_UPDATE" and more != body["X"]:
            more += f" {body['X']}"
        found.append(f"{event['e']} {more}".strip())
    return found


FILL_ON_ARRIVAL = [
    "TRADE_LITE",
    "ORDER_TRADE_UPDATE NEW",
    "ACCOUNT_UPDATE",
    "ORDER_TRADE_UPDATE TRADE FILLED",
]


async def test_a_market_order_is_told_as_on_production(streams):
    """TRADE_LITE, NEW, ACCOUNT_UPDATE and TRADE, key by key as production captures have them."""
    user = await streams.user()
    order = await streams.order("BUY", "4.9", symbol="DOTUSDT", newClientOrderId="mine")
    lite, new, account, trade = await streams.hear(user, 4)
    base = {"s": "DOTUSDT", "c": "mine", "S": "BUY", "o": "MARKET", "f": "GTC", "q": "4.9", "p": "0"}
    rest = {
        "b": "0", "a": "0", "m": False, "R": False, "wt": "CONTRACT_PRICE", "ot": "MARKET", "ps": "BOTH",
        "cp": False, "rp": "0", "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0,
        "er": "0",
    }  # fmt: skip
    number = order["orderId"]
    assert lite == {
        "e": "TRADE_LITE", "E": START, "T": START, "s": "DOTUSDT", "q": "4.9", "p": "0.000000", "m": False,
        "c": "mine", "S": "BUY", "L": "1.135900", "l": "4.9", "t": lite["t"], "i": number,
    }  # fmt: skip
    assert new["o"] == {
        **base, "ap": "0", "sp": "0", "x": "NEW", "X": "NEW", "i": number, "l": "0", "z": "0", "L": "0",
        "n": "0", "N": "USDT", "T": START, "t": 0, **rest,
    }  # fmt: skip
    assert trade["o"] == {
        **base, "ap": "1.1359", "sp": "0", "x": "TRADE", "X": "FILLED", "i": number, "l": "4.9", "z": "4.9",
        "L": "1.1359", "n": "0.00278296", "N": "USDT", "T": START, "t": lite["t"], **rest,
    }  # fmt: skip
    assert list(trade["o"]) == [*base, "ap", "sp", "x", "X", "i", *"lzLnNTt", *rest]
    assert account == {
        "e": "ACCOUNT_UPDATE", "T": START, "E": START, "a": {
            "B": [{"a": "USDT", "wb": "9999.99721704", "cw": "9999.99721704", "bc": "0"}],
            "P": [{
                "s": "DOTUSDT", "pa": "4.9", "ep": "1.1359", "cr": "0", "up": "0", "mt": "cross", "iw": "0",
                "ps": "BOTH", "ma": "USDT", "bep": "1.13646795",
            }],
            "m": "ORDER",
        },
    }  # fmt: skip


async def test_a_stop_is_told_from_placing_to_its_fill(streams):
    """ALGO_UPDATE goes NEW, TRIGGERING; the fill comes before TRIGGERED and FINISHED, under one client id."""
    user = await streams.user()
    await streams.order("BUY", "0.01")
    await streams.hear(user, 4)
    placed = await streams.stop("SELL", triggerPrice="59000", closePosition="true", clientAlgoId="guard")
    (new,) = await streams.hear(user, 1)
    assert new == {"e": "ALGO_UPDATE", "T": START, "E": START, "o": {
        "caid": "guard", "aid": placed["algoId"], "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BTCUSDT",
        "S": "SELL", "ps": "BOTH", "f": "GTE_GTC", "q": "0", "X": "NEW", "ai": "", "tp": "59000", "p": "0",
        "V": "EXPIRE_MAKER", "wt": "CONTRACT_PRICE", "pm": "NONE", "cp": True, "pP": False, "R": True,
        "tt": 0, "gtd": 0, "ia": False,
    }}  # fmt: skip
    streams.exchange.set_mark("BTCUSDT", 58_900)
    told = await streams.hear(user, 7)
    assert kinds(told) == [
        "ALGO_UPDATE TRIGGERING",
        *FILL_ON_ARRIVAL,
        "ALGO_UPDATE TRIGGERED",
        "ALGO_UPDATE FINISHED",
    ]
    triggering, lite, child, triggered, finished = (
        told[n]["o"] if n != 1 else told[n] for n in (0, 1, 4, 5, 6)
    )
    times = [event["T"] - START for event in told]
    assert times == [event["E"] - START for event in told]
    assert times[0] == 0
    assert 17 <= times[1] <= 40
    assert times[1:5] == [times[1]] * 4
    assert all(1 <= late - early <= 11 for early, late in itertools.pairwise(times[4:]))
    assert not {"ap", "aq", "act"} & set(triggering)
    child_id = str(child["i"])
    assert [(e["ai"], e["ap"], e["aq"], e["act"]) for e in (triggered, finished)] == [
        (child_id, "0", "0", "MARKET"),
        (child_id, "58900", "0.01", "MARKET"),
    ]
    assert (child["c"], child["o"], child["ot"], child["sp"], child["rp"]) == (
        "guard", "MARKET", "MARKET", "0", "-11",
    )  # fmt: skip
    assert (lite["c"], finished["tt"]) == ("guard", START)


async def test_a_resting_order_is_told_through_amendment_and_cancel(streams):
    """NEW with its open notional, AMENDMENT with its modifyId, CANCELED; nothing of it moves the account."""
    user = await streams.user()
    order = await streams.limit("BUY", "0.01", "59000")
    await streams.client.futures_modify_order(
        symbol="BTCUSDT", orderId=order["orderId"], side="BUY", quantity="0.02", price="58000", modifyId=7
    )
    await streams.client.futures_cancel_order(symbol="BTCUSDT", orderId=order["orderId"])
    told = await streams.hear(user, 3)
    assert kinds(told) == [
        "ORDER_TRADE_UPDATE NEW",
        "ORDER_TRADE_UPDATE AMENDMENT NEW",
        "ORDER_TRADE_UPDATE CANCELED",
    ]
    assert [(e["o"]["p"], e["o"]["q"], e["o"]["b"], e["o"].get("M")) for e in told] == [
        ("59000", "0.01", "590", None),
        ("58000", "0.02", "1160", 7),
        ("58000", "0.02", "0", None),
    ]


async def test_a_resting_order_that_fills_has_no_second_new(streams):
    """A maker's fill is TRADE_LITE, ACCOUNT_UPDATE and TRADE, as maker."""
    user = await streams.user()
    await streams.limit("BUY", "0.01", "59000")
    streams.exchange.set_mark("BTCUSDT", 59_000)
    _, lite, account, trade = await streams.hear(user, 4)
    assert kinds([lite, account, trade]) == [
        "TRADE_LITE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE TRADE FILLED",
    ]
    assert lite["m"] is trade["o"]["m"] is True
    assert trade["o"]["n"] == "0.118"


async def test_an_amendment_that_crosses_is_told_after_its_trade_lite(streams):
    """An order amended into the book fills as taker: TRADE_LITE, AMENDMENT, ACCOUNT_UPDATE, TRADE."""
    user = await streams.user()
    order = await streams.limit("BUY", "0.01", "59000")
    await streams.client.futures_modify_order(
        symbol="BTCUSDT", orderId=order["orderId"], side="BUY", quantity="0.01", price="60100"
    )
    assert kinds(await streams.hear(user, 5))[1:] == [
        "TRADE_LITE",
        "ORDER_TRADE_UPDATE AMENDMENT NEW",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE TRADE FILLED",
    ]


async def test_what_a_closing_fill_takes_with_it_is_told_after_it(streams):
    """Conditional orders that need the position, and orders that only reduce it, expire after the fill."""
    user = await streams.user()
    await streams.order("BUY", "0.01")
    await streams.stop("SELL", triggerPrice="59000", closePosition="true")
    await streams.limit("SELL", "0.01", "61000", reduceOnly="true")
    await streams.hear(user, 6)
    await streams.order("SELL", "0.01", reduceOnly="true")
    told = await streams.hear(user, 6)
    assert kinds(told[:4]) == FILL_ON_ARRIVAL
    assert sorted(kinds(told[4:])) == ["ALGO_UPDATE EXPIRED", "ORDER_TRADE_UPDATE EXPIRED"]
    (expired,) = (event["o"] for event in told[4:] if event["e"] == "ORDER_TRADE_UPDATE")
    assert expired["er"] == "4"


async def test_a_cancelled_conditional_order_is_told(streams):
    """ALGO_UPDATE CANCELED looks like NEW but for its status."""
    user = await streams.user()
    placed = await streams.stop("BUY", triggerPrice="61000", quantity="0.01")
    await streams.client.futures_cancel_algo_order(algoId=placed["algoId"])
    new, cancelled = await streams.hear(user, 2)
    assert cancelled["o"] == {**new["o"], "X": "CANCELED"}


async def test_a_denied_child_is_told_with_its_reason(streams):
    """A reduce-only stop that fires while flat ends REJECTED, with `rm`, and no order appears."""
    user = await streams.user()
    await streams.stop("SELL", triggerPrice="59000", quantity="0.01", reduceOnly="true")
    streams.exchange.set_mark("BTCUSDT", 58_000)
    told = await streams.hear(user, 3)
    assert kinds(told) == ["ALGO_UPDATE NEW", "ALGO_UPDATE TRIGGERING", "ALGO_UPDATE REJECTED"]
    assert (told[2]["o"]["rm"], told[2]["o"]["ai"]) == ("Reduce Only reject", "")
    assert "rm" not in told[1]["o"]


async def test_a_trailing_stop_is_told_again_when_it_activates(streams):
    """Two NEW: the second with `ia` true, once the activation price is met."""
    user = await streams.user()
    await streams.order("BUY", "0.01")
    await streams.hear(user, 4)
    await streams.stop(
        "SELL", type="TRAILING_STOP_MARKET", activatePrice="61000", callbackRate="1", quantity="0.01"
    )
    streams.exchange.set_mark("BTCUSDT", 61_000)
    streams.exchange.set_mark("BTCUSDT", 60_000)
    told = await streams.hear(user, 3)
    assert kinds(told) == ["ALGO_UPDATE NEW", "ALGO_UPDATE NEW", "ALGO_UPDATE TRIGGERING"]
    assert [(event["o"]["ia"], event["o"]["cr"]) for event in told] == [
        (False, "1"),
        (True, "1"),
        (True, "1"),
    ]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"timeInForce": "IOC"}, "2"),
        ({"timeInForce": "GTD", "goodTillDate": START + 700_000}, "0"),
    ],
)
async def test_an_order_that_runs_out_is_told_with_its_reason(streams, terms, reason):
    """An IOC that finds nothing and a GTD that ends are EXPIRED; `er` tells them apart."""
    user = await streams.user()
    await streams.limit("BUY", "0.01", "59000", **terms)
    streams.advance(700_000)
    await streams.client.futures_ping()
    new, expired = await streams.hear(user, 2)
    assert kinds([new, expired]) == ["ORDER_TRADE_UPDATE NEW", "ORDER_TRADE_UPDATE EXPIRED"]
    assert (expired["o"]["er"], expired["o"]["z"]) == (reason, "0")


async def test_changed_settings_are_told(streams):
    """A new leverage is ACCOUNT_CONFIG_UPDATE, a new margin type ACCOUNT_UPDATE without balances."""
    user = await streams.user()
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=25)
    await streams.client.futures_change_margin_type(symbol="BTCUSDT", marginType="ISOLATED")
    leverage, margin = await streams.hear(user, 2)
    assert leverage == {
        "e": "ACCOUNT_CONFIG_UPDATE", "T": START, "E": START, "ac": {"s": "BTCUSDT", "l": 25},
    }  # fmt: skip
    assert (margin["a"]["m"], margin["a"]["B"]) == ("MARGIN_TYPE_CHANGE", [])
    assert [(row["s"], row["mt"]) for row in margin["a"]["P"]] == [("BTCUSDT", "isolated")]


async def test_hedge_mode_tells_the_side_that_changed(make_streams):
    """ACCOUNT_UPDATE has only the position side that a fill moved, and counts what it realised."""
    streams = await make_streams(hedge_mode=True)
    user = await streams.user()
    await streams.order("BUY", "0.02", positionSide="LONG")
    await streams.order("SELL", "0.01", positionSide="SHORT")
    streams.exchange.set_mark("BTCUSDT", 61_000)
    await streams.order("SELL", "0.01", positionSide="LONG")
    told = await streams.hear(user, 12)
    rows = [event["a"]["P"] for event in told if event["e"] == "ACCOUNT_UPDATE"]
    assert [[(row["ps"], row["pa"], row["cr"], row["up"]) for row in each] for each in rows] == [
        [("LONG", "0.02", "0", "0")],
        [("SHORT", "-0.01", "0", "0")],
        [("LONG", "0.01", "10", "10")],
    ]


async def test_an_isolated_position_shows_its_wallet(streams):
    """`mt` and `iw` of an isolated position: its margin at the chosen leverage."""
    await streams.client.futures_change_margin_type(symbol="BTCUSDT", marginType="ISOLATED")
    user = await streams.user()
    await streams.order("BUY", "0.01")
    _, _, account, _ = await streams.hear(user, 4)
    assert [(row["mt"], row["iw"]) for row in account["a"]["P"]] == [("isolated", "30")]


async def test_moved_margin_is_told(streams):
    """Margin put into an isolated position leaves the wallet as it was and the cross wallet smaller."""
    await streams.client.futures_change_margin_type(symbol="BTCUSDT", marginType="ISOLATED")
    await streams.order("BUY", "0.01")
    user = await streams.user()
    await streams.client.futures_change_position_margin(symbol="BTCUSDT", amount="5", type=1)
    (told,) = await streams.hear(user, 1)
    assert told["a"]["m"] == "MARGIN_TRANSFER"
    assert told["a"]["B"] == [{"a": "USDT", "wb": "9999.7", "cw": "9964.7", "bc": "0"}]
    assert [row["iw"] for row in told["a"]["P"]] == ["35"]


async def test_the_assets_mode_is_told(streams):
    """Multi-Assets mode is `ai` of ACCOUNT_CONFIG_UPDATE."""
    user = await streams.user()
    await streams.client.futures_change_multi_assets_mode(multiAssetsMargin="true")
    assert await streams.hear(user, 1) == [
        {"e": "ACCOUNT_CONFIG_UPDATE", "T": START, "E": START, "ai": {"j": True}}
    ]


async def test_before_the_algo_service_a_stop_is_told_as_an_order(streams):
    """Under the rules before 2025-12-09 it is NEW, expires on its trigger, and fills under the same id."""
    engine = streams.exchange.engine
    engine.state.rules = find_rules("2025-12-08")
    user = await streams.user()
    await streams.order("BUY", "0.01")
    await streams.hear(user, 4)
    with streams.exchange.lock:
        for name, side, trigger in (
            ("stop", "SELL", 59_000),
            ("taken back", "BUY", 62_000),
            ("denied", "BUY", 61_000),
        ):
            engine.place_algo(NewAlgo(
                symbol="BTCUSDT", side=side, type="STOP_MARKET", client_id=name, quantity=Decimal("0.01"),
                trigger_price=Decimal(trigger), reduce_only=name == "denied",
            ))  # fmt: skip
        engine.cancel_algo(AlgoRef(client_id="taken back"))
        engine.set_mark("BTCUSDT", 61_000)
        engine.set_mark("BTCUSDT", 58_000)
    told = await streams.hear(user, 10)
    assert kinds(told[:4]) == ["ORDER_TRADE_UPDATE NEW"] * 3 + ["ORDER_TRADE_UPDATE CANCELED"]
    assert kinds(told[4:6]) == ["ORDER_TRADE_UPDATE EXPIRED", "CONDITIONAL_ORDER_TRIGGER_REJECT"]
    assert kinds(told[6:]) == ["ORDER_TRADE_UPDATE EXPIRED", *FILL_ON_ARRIVAL[:3]]
    new, expired, child = (event["o"] for event in (told[0], told[6], told[8]))
    shown = [
        (each["i"], each["c"], each["o"], each["ot"], each["sp"], each["er"])
        for each in (new, expired, child)
    ]
    number = new["i"]
    assert shown == [
        (number, "stop", "STOP_MARKET", "STOP_MARKET", "59000", "0"),
        (number, "stop", "STOP_MARKET", "STOP_MARKET", "59000", "8"),
        (number, "stop", "MARKET", "STOP_MARKET", "59000", "0"),
    ]
    assert (told[5]["or"]["s"], told[5]["or"]["r"]) == ("BTCUSDT", "Reduce Only reject")


async def test_every_listener_hears_the_same(streams, connect):
    """Two connections, of one key and of another, hear the same events in the same order."""
    first = await streams.user()
    with streams.exchange.lock:
        key = streams.exchange.engine.listen_keys.open("second", START)
    second = await connect(f"/private/ws/{key}")
    await streams.order("BUY", "0.01")
    heard = [await second.receive_json(timeout=60) for _ in range(4)]
    assert await streams.hear(first, 4) == heard


async def test_a_listen_key_lives_an_hour_from_its_last_keepalive(streams):
    """POST and PUT extend it; after 60 minutes it is told expired, PUT is -1125, and POST gives a new one."""
    client = streams.client
    key = await client.futures_stream_get_listen_key()
    streams.advance(LIFETIME - 1)
    user = await streams.user()
    streams.advance(LIFETIME - 1)
    assert await client.futures_stream_get_listen_key() == key
    streams.advance(LIFETIME - 1)
    await client.futures_stream_keepalive(key)
    streams.advance(LIFETIME)
    assert await streams.hear(user, 1) == [
        {"e": "listenKeyExpired", "E": streams.clock.now, "listenKey": key}
    ]
    with pytest.raises(BinanceAPIException) as caught:
        await client.futures_stream_keepalive(key)
    assert caught.value.code == -1125
    await streams.order("BUY", "0.01")
    assert await client.futures_stream_get_listen_key() != key
    again = await streams.open(BinanceSocketManager(client).futures_user_socket())
    await client.futures_change_leverage(symbol="BTCUSDT", leverage=5)
    assert [event["e"] for event in await streams.hear(again, 1)] == ["ACCOUNT_CONFIG_UPDATE"]


async def test_a_closed_listen_key_closes_its_stream(streams, connect):
    """DELETE listenKey ends the connection after everything that was told."""
    key = await streams.client.futures_stream_get_listen_key()
    client = await connect(f"/private/ws?listenKey={key}")
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=5)
    await streams.client.futures_stream_close(key)
    assert (await client.receive_json(timeout=60))["e"] == "ACCOUNT_CONFIG_UPDATE"
    assert (await client.receive(timeout=60)).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(
    "address",
    ["/ws/{key}", "/ws?listenKey={key}", "/stream?streams={key}", "/private/ws/madeup", "/market/ws/{key}"],
)
async def test_a_wrong_address_connects_and_stays_silent(streams, connect, address):
    """No route (since 2026-04-23), a dead key or another route: it connects, and gets no user data."""
    key = await streams.client.futures_stream_get_listen_key()
    client = await connect(address.format(key=key))
    await streams.order("BUY", "0.01")
    await client.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    assert (await client.receive_json(timeout=60))["id"] == 1


async def test_events_can_be_chosen(streams, connect):
    """`events` lets only those types through, and /private/stream wraps each with its listen key."""
    key = await streams.client.futures_stream_get_listen_key()
    client = await connect(f"/private/stream?listenKey={key}&events=ACCOUNT_UPDATE/ALGO_UPDATE")
    await streams.order("BUY", "0.01")
    await streams.stop("SELL", triggerPrice="59000", closePosition="true")
    heard = [await client.receive_json(timeout=60) for _ in range(2)]
    assert [(event["stream"], event["data"]["e"]) for event in heard] == [
        (key, "ACCOUNT_UPDATE"),
        (key, "ALGO_UPDATE"),
    ]


async def test_a_key_can_be_subscribed_to_later(streams, connect):
    """SUBSCRIBE with a listen key on /private begins its events, UNSUBSCRIBE ends them."""
    key = await streams.client.futures_stream_get_listen_key()
    client = await connect("/private/ws")
    await client.send_json({"method": "SUBSCRIBE", "params": [f"{key}@TRADE_LITE"], "id": 1})
    assert await client.receive_json(timeout=60) == {"result": None, "id": 1}
    await streams.order("BUY", "0.01")
    assert (await client.receive_json(timeout=60))["e"] == "TRADE_LITE"
    await client.send_json({"method": "UNSUBSCRIBE", "params": [f"{key}@TRADE_LITE"], "id": 2})
    assert await client.receive_json(timeout=60) == {"result": None, "id": 2}
    await streams.order("BUY", "0.01")
    await client.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
    assert await client.receive_json(timeout=60) == {"result": [], "id": 3}


async def test_lost_doubled_and_silent_events(streams, connect):
    """The fault plan drops or doubles an event, and silences one connection while another still hears."""
    first = await streams.user()
    streams.exchange.faults.inject(lost_event(), where={"e": "TRADE_LITE"})
    streams.exchange.faults.inject(duplicated_event(), where={"x": "NEW"})
    await streams.order("BUY", "0.01")
    assert kinds(await streams.hear(first, 4)) == [
        FILL_ON_ARRIVAL[1], FILL_ON_ARRIVAL[1], *FILL_ON_ARRIVAL[2:],
    ]  # fmt: skip
    streams.exchange.faults.inject(silent_stream())
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=5)
    key = await streams.client.futures_stream_get_listen_key()
    second = await connect(f"/private/ws/{key}")
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=6)
    assert (await second.receive_json(timeout=60))["ac"]["l"] == 6
    streams.exchange.faults.clear()
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=7)
    assert (await streams.hear(first, 1))[0]["ac"]["l"] == 7


def test_the_threaded_manager_hears_the_account(exchange, threaded):
    """ThreadedWebsocketManager, from a thread of its own, delivers every event of a fill to its callback."""
    heard = queue.Queue()
    threaded.start_futures_user_socket(heard.put)
    _until(lambda: exchange.engine.feed.active)
    with exchange.lock:
        exchange.engine.place_order(NewOrder(
            symbol="BTCUSDT", side="BUY", type="MARKET", client_id="own", quantity=Decimal("0.01")
        ))  # fmt: skip
    assert kinds([heard.get(timeout=60) for _ in range(4)]) == FILL_ON_ARRIVAL


async def test_a_client_that_does_not_read_is_dropped(streams, monkeypatch):
    """The exchange does not wait for it: its connection ends when its backlog is full, others hear on."""
    monkeypatch.setattr(message_queue, "LARGEST_BACKLOG", 100)
    exchange = streams.exchange
    with await asyncio.to_thread(_connected, exchange, "/market/ws/btcusdt@markPrice"):
        await asyncio.to_thread(
            _until, lambda: exchange.set_mark("BTCUSDT", 60_000) or not exchange.engine.feed.active
        )
    user = await streams.user()
    await streams.client.futures_change_leverage(symbol="BTCUSDT", leverage=101)
    assert [event["ac"]["l"] for event in await streams.hear(user, 1)] == [101]


async def test_a_connection_ends_after_a_day(streams, connect):
    """Connections are closed by the exchange 24 hours after they began."""
    client = await connect("/private/ws/none")
    streams.clock.advance(hub.LONGEST_LIFE)
    assert (await client.receive(timeout=60)).type is aiohttp.WSMsgType.CLOSE


def test_a_stopped_exchange_does_not_wait_for_its_streams():
    """Stopping does not wait for a connected client that never says goodbye."""
    with LocalExchange() as exchange:
        deaf = _connected(exchange, "/market/ws/btcusdt@markPrice")
        began = time.monotonic()
    assert time.monotonic() - began < 30
    deaf.close()


ODD_MESSAGES = {
    "no JSON": ("hello", 3),
    "a number": ("42", 2),
    "no method": ('{"id":1}', 2),
    "an unknown method": ('{"method":"SELL","id":1}', 2),
    "a method that is a list": ('{"method":["SUBSCRIBE"],"id":1}', 2),
    "an id that is a list": ('{"method":"SUBSCRIBE","params":[],"id":[1]}', 2),
    "params that are a name": ('{"method":"SUBSCRIBE","params":"btcusdt@markPrice","id":1}', 2),
    "a stream that is a number": ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
    "a property that is none": ('{"method":"SET_PROPERTY","params":["speed",true],"id":1}', 0),
    "a property without a value": ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', 1),
    "nested": ("[" * 20_000, 3),
    "half of a surrogate pair": (r'{"method":"SUBSCRIBE","params":["\ud800"],"id":1}', 3),
    "too many": (json.dumps({"method": "SUBSCRIBE", "params": [str(n) for n in range(2000)], "id": 1}), 2),
}


@pytest.mark.parametrize(("message", "code"), ODD_MESSAGES.values(), ids=ODD_MESSAGES)
async def test_an_odd_message_gets_an_error_and_hurts_nobody(connect, message, code):
    """What is no command is answered in the documented form, and the connection goes on."""
    client = await connect("/private/ws/none")
    await client.send_str(message)
    assert (await client.receive_json(timeout=60))["error"]["code"] == code
    await client.send_json({"method": "LIST_SUBSCRIPTIONS", "id": "x"})
    assert await client.receive_json(timeout=60) == {"result": ["none"], "id": "x"}


@pytest.mark.parametrize("path", ["/private/ws/none", "/ws-fapi/v1"])
async def test_a_binary_frame_closes_a_socket(connect, path):
    """Messages are text; a binary one ends the connection with 1003."""
    client = await connect(path)
    await client.send_bytes(b'{"id":1,"method":"ping"}')
    ended = await client.receive(timeout=60)
    assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, 1003)


ODD_FRAMES = {
    "binary": b"\x82\x82\0\0\0\0hi",
    "text that is no UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    "a frame longer than allowed": b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\0\0\0\0",
    "reserved bits": b"\xf1\x80\0\0\0\0",
    "an unmasked frame": b"\x81\x02hi",
    "half a frame": b"\x81",
}


@pytest.mark.parametrize("frame", ODD_FRAMES.values(), ids=ODD_FRAMES)
@pytest.mark.parametrize("path", ["/private/ws/none", "/ws-fapi/v1"])
def test_odd_bytes_close_a_socket_and_hurt_nobody(exchange, frame, path):
    """Whatever bytes come after the handshake, the connection ends or waits, and the next one is served."""
    with _connected(exchange, path) as odd:
        odd.sendall(frame)
        odd.shutdown(socket.SHUT_WR)
        odd.settimeout(5)
        while odd.recv(4096):
            pass
    _connected(exchange, path).close()


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /private/ws/x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET /private/ws/x HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
    ids=["without a key", "elsewhere", "plain HTTP"],
)
def test_what_is_no_handshake_is_an_unknown_path(exchange, request_text):
    """A stream address without a proper handshake, or a handshake elsewhere, is -5000 like any wrong path."""
    with socket.create_connection(("127.0.0.1", exchange.port)) as client:
        client.sendall(request_text.encode())
        assert b'"code":-5000' in client.recv(4096)


def _connected(exchange, path):
    client = socket.socket()
    client.settimeout(5)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", exchange.port))
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b" 101 " in client.recv(4096)
    return client


def _until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0)
