"""ccxt's exchanges: each order is one record, with who asked, what it is and what came of it."""

import _thread
import asyncio
import copy
import functools
import operator
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from binance import Client
from ccxt_world import COIN_SYMBOL, LIMIT, SELL, STOP, SYMBOL, TARGET, Desk, connect, need_ccxt

import exit_shim
from exit_shim.clients.accounts import label_of
from exit_shim.clients.ccxt import CCXT
from exit_shim.clients.registry import market_of
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

need_ccxt()

import ccxt  # noqa: E402 - where it is installed
import ccxt.async_support  # noqa: E402
import ccxt.pro  # noqa: E402

ORDER, ALGO = "POST /fapi/v1/order", "POST /fapi/v1/algoOrder"
WHAT = ("door", "operation", "kind", "outcome")
RAW_STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "triggerPrice": 50_000}
RAW_STOP |= {"algoType": "CONDITIONAL", "quantity": "0.01", "reduceOnly": "true"}
RAW_LIMIT = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "quantity": "0.01", "price": "90000"}
RAW_LIMIT |= {"timeInForce": "GTC", "reduceOnly": "true"}


ENTRY = dict(zip(("symbol", "type", "side", "amount", "price"), LIMIT, strict=False))


def target_of(line):
    """What a record says of the one order that it is about."""
    (target,) = line["targets"]
    assert target["module"] == "test_ccxt"
    ids = target.get("order_id") or target.get("algo_id")
    return line["door"], line["operation"], target["kind"], ids


@pytest.fixture
def desk():
    own = Desk()
    yield own
    own.shim.close()


@pytest.fixture(params=["wrap", "install"])
def covered(request, desk, exchange):
    """A function that returns a client of a class on the local exchange, covered in one of the two ways."""
    if request.param == "wrap":
        yield lambda *args, **kwargs: desk.shim.wrap(connect(exchange, *args, **kwargs))
        return
    with desk.shim.install():
        yield functools.partial(connect, exchange)


def open_long(client, amount=0.1):
    client.create_order(SYMBOL, "market", "buy", amount)


def test_each_way_to_place_an_exit_is_one_record(desk, covered):
    """Unified calls, helpers and implicit methods in both spellings are read alike, with ids and trigger."""
    client = covered()
    open_long(client)
    for place, expected in (
        (lambda: client.create_order(*SELL, STOP), (ALGO, "sl", "50000")),
        (lambda: client.createOrder(*SELL, TARGET), (ALGO, "tp", "90000")),
        (lambda: client.create_stop_loss_order(*SELL, 50_000, {"reduceOnly": True}), (ALGO, "sl", "50000")),
        (lambda: client.create_take_profit_order(*SELL, 90_000, {"reduceOnly": True}), (ALGO, "tp", "90000")),
        (lambda: client.create_trigger_order(*SELL, 50_000, {"reduceOnly": True}), (ALGO, "sl", "50000")),
        (lambda: client.create_stop_market_order(*SELL[:1], *SELL[2:4], 50_000, STOP), (ALGO, "sl", "50000")),
        (
            lambda: client.create_trailing_percent_order(*SELL, 1, 90_000, {"reduceOnly": True}),
            (ALGO, "trailing", None),
        ),
        (lambda: client.create_reduce_only_order(*LIMIT[:5]), (ORDER, "other_exit", None)),
        (lambda: client.create_limit_order(*LIMIT[:1], *LIMIT[2:]), (ORDER, "other_exit", None)),
        (lambda: client.fapiPrivatePostAlgoOrder(dict(RAW_STOP)), (ALGO, "sl", "50000")),
        (lambda: client.fapiprivate_post_algoorder(dict(RAW_STOP)), (ALGO, "sl", "50000")),
        (lambda: client.fapiPrivatePostOrder(dict(RAW_LIMIT)), (ORDER, "other_exit", None)),
        (
            lambda: client.request("order", ["fapiPrivate"], "POST", dict(RAW_LIMIT)),
            (ORDER, "other_exit", None),
        ),
    ):
        answer = place()
        (line,) = desk.take()
        assert (line["door"], line["kind"], line["trigger_price"]) == expected
        assert (line["operation"], line["symbol"], line["outcome"]) == ("place", "BTCUSDT", "accepted")
        raw = answer.get("info", answer)
        ids = {int(raw[name]) for name in ("orderId", "algoId") if name in raw}
        assert ids == {line["order_id"] or line["algo_id"]}
        assert line["client_order_id"] in (raw.get("clientOrderId"), raw.get("clientAlgoId"))
        assert (line["module"], line["evidence"]) == ("test_ccxt", "stack")
        assert line["function"].endswith("<lambda>")


def test_the_client_order_id_is_known_before_the_send(desk, covered, exchange):
    """An order of an implicit method without an id is in the journal under the id that went out."""
    client = covered()
    client.urls["api"]["fapiPrivate"] = "http://127.0.0.1:1/fapi/v1"
    for send in (
        lambda: client.fapiPrivatePostAlgoOrder(dict(RAW_STOP)),
        lambda: client.fapiPrivatePostOrder(dict(RAW_LIMIT)),
        lambda: client.create_order(*SELL, STOP),
    ):
        with pytest.raises(ccxt.NetworkError):
            send()
        (line,) = desk.take()
        sent = client.last_request_body
        assert line["client_order_id"].startswith("x-cvBPrNm9")
        assert line["client_order_id"] in sent
        assert line["outcome"] == "not_sent"


def test_changes_and_cancels_know_their_targets(desk, covered):
    """Edits, cancels by each kind of id, lists, and cancel-alls of both stores name kind and module."""
    client = covered()
    open_long(client)
    stop = client.create_order(*SELL, STOP)
    named = client.create_order(*SELL, {**STOP, "clientAlgoId": "mine"})
    limits = client.create_orders([{**ENTRY, "params": {"reduceOnly": True}} for _ in range(3)])
    placed = desk.take(*WHAT, "batch_index")
    batch = "POST /fapi/v1/batchOrders"
    assert placed[2:] == [(batch, "place", "other_exit", "accepted", place) for place in range(3)]
    client.edit_order(limits[0]["id"], *LIMIT[:4], 90_100)
    client.edit_orders([{"id": limits[1]["id"], **ENTRY, "price": 90_200}])
    client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    client.cancel_order(None, SYMBOL, {"trigger": True, "clientOrderId": "mine"})
    client.cancel_orders([order["id"] for order in limits[:2]], SYMBOL)
    client.cancel_orders(None, SYMBOL, {"clientOrderIds": [limits[2]["clientOrderId"]]})
    order_ids, algo_ids = ([int(order["id"]) for order in orders] for orders in (limits, (stop, named)))
    lines = desk.take()
    assert [target_of(line) for line in lines] == [
        ("PUT /fapi/v1/order", "modify", "other_exit", order_ids[0]),
        ("PUT /fapi/v1/batchOrders", "modify", "other_exit", order_ids[1]),
        ("DELETE /fapi/v1/algoOrder", "cancel", "sl", algo_ids[0]),
        ("DELETE /fapi/v1/algoOrder", "cancel", "sl", algo_ids[1]),
        ("DELETE /fapi/v1/batchOrders", "cancel", "other_exit", order_ids[0]),
        ("DELETE /fapi/v1/batchOrders", "cancel", "other_exit", order_ids[1]),
        ("DELETE /fapi/v1/batchOrders", "cancel", "other_exit", order_ids[2]),
    ]
    assert {line["outcome"] for line in lines} == {"accepted"}


def test_a_cancel_all_names_what_it_removes(desk, covered):
    """Of each store its own orders are the targets; a countdown says that it comes later."""
    client = covered()
    open_long(client)
    client.create_order(*SELL, STOP)
    client.create_order(*LIMIT)
    client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 60_000})
    client.cancel_all_orders(SYMBOL, {"trigger": True})
    client.cancel_all_orders(SYMBOL)
    lines = desk.take()[2:]
    assert [(line["door"], line["kind"], len(line["targets"])) for line in lines] == [
        ("POST /fapi/v1/countdownCancelAll", "other_exit", 1),
        ("DELETE /fapi/v1/algoOpenOrders", "sl", 1),
        ("DELETE /fapi/v1/allOpenOrders", "other_exit", 1),
    ]


# Who asked


def place_stop(client):
    return client.create_order(*SELL, STOP)


async def place_stop_async(client):
    return await client.create_order(*SELL, STOP)


WHO = ("module", "function", "evidence", "outcome")


def test_a_method_handed_around_is_whose_fetched_it(desk, covered):
    """A bound method that a thread calls, whichever it is, is asked for where it was fetched."""
    client = covered()
    open_long(client)
    here = "test_a_method_handed_around_is_whose_fetched_it"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(client.create_order, *SELL, STOP).result()
        pool.submit(client.createOrder, *SELL, STOP).result()
        pool.submit(client.create_stop_loss_order, *SELL, 50_000, {"reduceOnly": True}).result()
        pool.submit(client.fapiPrivatePostAlgoOrder, dict(RAW_STOP)).result()
        pool.submit(client.request, "algoOrder", ["fapiPrivate"], "POST", dict(RAW_STOP)).result()
        pool.submit(functools.partial(client.create_order, *SELL), STOP).result()
        lines = desk.take(*WHO)
        evidence = ["carried"] * 4 + ["bind", "carried"]
        assert lines == [("test_ccxt", here, each, "accepted") for each in evidence]
        pool.submit(place_stop, client).result()
    assert desk.take(*WHO) == [("test_ccxt", "place_stop", "stack", "accepted")]


@pytest.mark.parametrize("package", ["ccxt.async_support", "ccxt.pro"])
async def test_async_orders_are_whose_made_the_coroutine(desk, covered, package):
    """Awaited, gathered, made a task, or handed to a task: each is asked for by the function of the bot."""
    client = covered(package=package)
    here = "test_async_orders_are_whose_made_the_coroutine"
    await client.create_order(SYMBOL, "market", "buy", 0.1)
    await place_stop_async(client)
    assert desk.take(*WHO) == [("test_ccxt", "place_stop_async", "stack", "accepted")]
    await asyncio.gather(
        client.create_order(*SELL, STOP),
        client.create_take_profit_order(*SELL, 90_000, {"reduceOnly": True}),
        client.fapiPrivatePostAlgoOrder(dict(RAW_STOP)),
        asyncio.create_task(client.createOrder(*SELL, STOP)),
    )
    lines = desk.take(*WHO)
    assert {(module, function) for module, function, _, _ in lines} == {("test_ccxt", here)}
    assert {evidence for _, _, evidence, _ in lines} <= {"carried", "stack"}
    assert [outcome for *_, outcome in lines] == ["accepted"] * 4
    stop = await asyncio.create_task(place_stop_async(client))
    assert desk.take(*WHO) == [("test_ccxt", "place_stop_async", "stack", "accepted")]
    await client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    assert [target_of(line)[2] for line in desk.take()] == ["sl"]
    await client.close()


async def test_a_sync_client_in_an_executor_is_whose_fetched_its_method(desk, covered):
    """`run_in_executor` and `to_thread` call it on a thread, where nobody of the bot is on the stack."""
    client = covered()
    open_long(client)
    loop, here = asyncio.get_running_loop(), "test_a_sync_client_in_an_executor_is_whose_fetched_its_method"
    await loop.run_in_executor(None, client.create_order, *SELL, STOP)
    await asyncio.to_thread(client.create_order, *SELL, STOP)
    assert desk.take(*WHO) == [("test_ccxt", here, "carried", "accepted")] * 2


async def patiently(awaitable):
    """Await for others, as helpers of bots do."""
    return await awaitable


async def test_who_awaits_for_others_asked_for_nothing(desk, covered):
    """A helper that awaits what a function of the bot has called is not named; the caller is."""
    client = covered(package="ccxt.async_support")
    await client.create_order(SYMBOL, "market", "buy", 0.1)
    here = "test_who_awaits_for_others_asked_for_nothing"
    await patiently(client.create_order(*SELL, STOP))
    await asyncio.create_task(patiently(client.create_order(*SELL, STOP)))
    await asyncio.wait_for(client.create_order(*SELL, STOP), 5)
    assert desk.take(*WHO) == [("test_ccxt", here, "carried", "accepted")] * 3
    await client.create_order(*SELL, STOP)
    assert desk.take(*WHO) == [("test_ccxt", here, "stack", "accepted")]
    await client.close()


class Bots(ccxt.binanceusdm):
    """A bot's own exchange, with a helper and a method of its library's name."""

    def protect(self):
        return self.create_order(*SELL, STOP)

    def create_order(self, *args, **kwargs):
        return super().create_order(*args, **kwargs)


def test_a_bots_own_subclass_is_covered(desk, covered):
    """The subclass keeps its methods, and its orders are recorded once, for the bot's code."""
    client = covered(Bots)
    open_long(client)
    client.protect()
    (line,) = desk.take()
    assert (line["module"], line["function"], line["kind"]) == ("test_ccxt", "Bots.create_order", "sl")
    assert isinstance(client, Bots)


# ccxt.pro: orders over the WebSocket


async def test_orders_over_the_websocket_are_recorded(desk, covered):
    """Placed, changed, cancelled and refused: each is one record, with ids and target."""
    client = covered(package="ccxt.pro")
    await client.create_order(SYMBOL, "market", "buy", 0.1)
    stop = await client.create_order_ws(*SELL, STOP)
    limit = await client.create_order_ws(*LIMIT)
    await client.edit_order_ws(limit["id"], *LIMIT[:4], 90_100)
    await client.cancel_order_ws(limit["id"], SYMBOL)
    await client.cancel_order_ws(stop["id"], SYMBOL, {"trigger": True})
    with pytest.raises(ccxt.ExchangeError):
        await client.create_order_ws(*SELL, {**STOP, "stopLossPrice": 95_000})
    lines = desk.take()
    assert [tuple(line[name] for name in WHAT) for line in lines] == [
        ("WS algoOrder.place", "place", "sl", "accepted"),
        ("WS order.place", "place", "other_exit", "accepted"),
        ("WS order.modify", "modify", "other_exit", "accepted"),
        ("WS order.cancel", "cancel", "other_exit", "accepted"),
        ("WS algoOrder.cancel", "cancel", "sl", "accepted"),
        ("WS algoOrder.place", "place", "sl", "rejected"),
    ]
    assert [lines[0]["algo_id"], lines[1]["order_id"]] == [int(stop["id"]), int(limit["id"])]
    assert [target_of(line)[3] for line in lines[2:5]] == [int(limit["id"])] * 2 + [int(stop["id"])]
    assert lines[5]["error_code"] == -2021
    here = "test_orders_over_the_websocket_are_recorded"
    assert {(line["module"], line["function"]) for line in lines} == {("test_ccxt", here)}
    await asyncio.create_task(client.create_order_ws(*SELL, STOP))
    assert desk.take("module", "function", "evidence") == [("test_ccxt", here, "carried")]
    await client.close()


def test_a_message_shows_its_market():
    """COIN-M has an API of its own, and spot messages of the same name pass unread."""
    parse = CCXT.doors[1].parse
    message = {"id": "1", "method": "order.place", "params": {"symbol": "X", "apiKey": "k", "signature": "s"}}
    usds = parse("wss://ws-fapi.binance.com/ws-fapi/v1", "1", message)
    coin = parse("wss://ws-dapi.binance.com/ws-dapi/v1", "1", message)
    assert (usds.door.method, usds.params) == ("WS order.place", {"symbol": "X"})
    assert [market_of(call.door.method) for call in (usds, coin)] == ["um", "cm"]
    assert parse("wss://ws-api.binance.com:443/ws-api/v3", "1", message) is None
    assert parse("wss://fstream.binance.com/ws", "x", {"method": "SUBSCRIBE", "params": ["x"]}) is None


# Other markets, and other accounts


def test_coin_m_is_recorded_and_spot_is_not(desk, covered):
    """Binancecoinm's orders go by /dapi; binance's spot orders pass uncounted, unrecorded."""
    coin = covered("binancecoinm")
    coin.create_order(COIN_SYMBOL, "market", "buy", 5)
    coin.create_order(COIN_SYMBOL, "market", "sell", 5, None, {"stopLossPrice": 50_000, "reduceOnly": True})
    assert desk.take("door", "symbol", "outcome") == [("POST /dapi/v1/algoOrder", "BTCUSD_PERP", "accepted")]
    entries = desk.shim.gateway.entry_orders()
    spot = covered("binance")
    for _ in range(2):
        with pytest.raises(ccxt.BadRequest, match="Spot orders are not modelled"):
            spot.create_order("BTC/USDT", "limit", "sell", 0.01, 90_000)
    assert desk.take() == []
    assert desk.shim.gateway.entry_orders() == entries
    spot.create_order(SYMBOL, "market", "buy", 0.1)
    spot.create_order(*SELL, STOP)
    assert desk.take("kind", "outcome") == [("sl", "accepted")]


def test_portfolio_margin_is_recorded_by_its_own_doors(desk, covered):
    """With portfolioMargin ccxt sends to /papi, conditional orders to its Algo Service."""
    client = covered(options={"portfolioMargin": True})
    open_long(client)
    client.create_order(*LIMIT)
    stop = client.create_order(*SELL, STOP)
    client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    client.cancel_all_orders(SYMBOL)
    lines = desk.take()
    assert [tuple(line[name] for name in ("door", "kind", "outcome")) for line in lines] == [
        ("POST /papi/v1/um/order", "other_exit", "accepted"),
        ("POST /papi/v1/um/algo/order", "sl", "accepted"),
        ("DELETE /papi/v1/um/algo/order", "sl", "accepted"),
        ("DELETE /papi/v1/um/allOpenOrders", "other_exit", "accepted"),
    ]
    assert lines[1]["algo_id"] == int(stop["id"])


def test_after_the_uninstall_nothing_is_recorded(desk, exchange):
    """Also through the camel-case names, which ccxt copies to a class whenever it makes an exchange."""
    with desk.shim.install():
        client = connect(exchange)
        open_long(client)
        client.createOrder(*SELL, STOP)
    assert desk.take("outcome") == [("accepted",)]
    client.createOrder(*SELL, STOP)
    client.fapiPrivatePostAlgoOrder(dict(RAW_STOP))
    assert desk.take() == []


def test_a_client_from_before_the_install_carries_who_asked(desk, exchange):
    """Its class has camel-case names already, which are covered too."""
    client = connect(exchange)
    open_long(client)
    with desk.shim.install(), ThreadPoolExecutor(1) as pool:
        pool.submit(client.createOrder, *SELL, STOP).result()
    here = "test_a_client_from_before_the_install_carries_who_asked"
    assert desk.take(*WHO) == [("test_ccxt", here, "carried", "accepted")]


def test_binanceus_is_left_alone(desk, covered):
    """It has no futures: its orders are neither recorded nor counted."""
    client = covered("binanceus")
    with pytest.raises(ccxt.BadRequest, match="Spot orders are not modelled"):
        client.create_order("BTC/USDT", "market", "sell", 0.01)
    assert desk.take() == []
    assert desk.shim.gateway.entry_orders() == 0


def test_an_account_is_told_by_key_and_address(exchange):
    """Sandbox, demo, another host and another key are other accounts; all libraries agree on one."""
    live = {"apiKey": "some-api-key", "secret": "some-secret"}
    labels = [
        label_of(kind(live)) for kind in (ccxt.binanceusdm, ccxt.binancecoinm, ccxt.async_support.binance)
    ]
    assert len(set(labels)) == 1
    assert "@" not in labels[0]
    sandbox, demo = ccxt.binanceusdm(live), ccxt.binanceusdm(live)
    sandbox.set_sandbox_mode(True)
    demo.enable_demo_trading(True)
    assert label_of(sandbox) == f"{labels[0]}@testnet"
    assert label_of(demo) == f"{labels[0]}@demo"
    assert label_of(ccxt.binanceusdm({**live, "apiKey": "other-api-key"})) not in labels
    assert label_of(ccxt.binanceusdm()) is None
    local = connect(exchange)
    assert label_of(local) == label_of(Client(LOCAL_KEY, LOCAL_SECRET))


def test_methods_are_copied_deeply(desk, covered):
    """`copy.deepcopy` of a method gives one of a copy of the client, whose orders are recorded too."""
    client = covered()
    open_long(client)
    place = copy.deepcopy([client.create_order])[0]
    assert place.__self__ is not client.create_order.__self__
    place(*SELL, STOP)
    assert desk.take("door", "outcome") == [(ALGO, "accepted")]


def test_a_method_that_is_fetched_from_c_is_there(desk, covered):
    """A method that C code fetches, as `atexit` may, has no frame behind it; it sends all the same."""
    client, fetched = covered(), []
    open_long(client)
    _thread.start_new_thread(fetched.extend, (map(operator.attrgetter("create_order", "request"), [client]),))
    until = time.monotonic() + 60
    while not fetched and time.monotonic() < until:
        time.sleep(0.01)
    ((place, request),) = fetched
    place(*SELL, STOP)
    request("order", ["fapiPrivate"], "POST", dict(RAW_LIMIT))
    assert desk.take("door", "outcome") == [(ALGO, "accepted"), (ORDER, "accepted")]


def test_a_method_that_was_pickled_is_covered_where_it_arrives(exchange):
    """In another process the order of a wrapped client's method goes through that process's shim."""
    client = exit_shim.wrap(connect(exchange))
    open_long(client)
    before = exit_shim.shim.default_shim().summary()["total_orders"]
    pickle.loads(pickle.dumps(client.create_order))(*SELL, STOP)
    assert exit_shim.shim.default_shim().summary()["total_orders"] == before + 1


def test_a_subclass_keeps_its_slots_and_its_heirs(desk, exchange):
    """A wrapped client shares what its class keeps in slots, and no subclass is announced to its class."""
    heirs = []

    class Thrifty(ccxt.binanceusdm):
        __slots__ = ("budget",)

        def __init_subclass__(cls, *, name, **more):
            heirs.append(name)
            super().__init_subclass__(**more)

        def spend(self, amount):
            self.budget -= amount
            return self.budget

    plain = connect(exchange, Thrifty)
    client = desk.shim.wrap(plain)
    plain.budget = 7
    assert (client.spend(2), plain.budget, heirs) == (5, 5, [])
    del client.budget
    assert not hasattr(plain, "budget")
