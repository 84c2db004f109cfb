"""A guard that enforces on ccxt's exchanges: it holds and releases as with python-binance."""

import contextlib
import pickle

import pytest
from ccxt_world import LIMIT, SELL, STOP, SYMBOL, TARGET, Desk, connect, need_ccxt
from guarded_bot import ENFORCE, LEGACY, MONITOR, OWNER

import exit_shim

need_ccxt()

import ccxt  # noqa: E402 - where it is installed

COVER = (*SELL, {**STOP, "stopLossPrice": 48_000})
ETH = "ETH/USDT:USDT"


@pytest.fixture
def make(exchange):
    """A function that returns the desk of a policy and a wrapped client with a position."""
    with contextlib.ExitStack() as desks:

        def make_one(policy=ENFORCE, **settings):
            desk = Desk(policy)
            desks.callback(desk.shim.close)
            client = desk.shim.wrap(connect(exchange, **settings))
            client.create_order(SYMBOL, "market", "buy", 0.01)
            return desk, client

        yield make_one


def by(module, method, *args):
    with exit_shim.attributed(module):
        return method(*args)


async def by_async(module, method, *args):
    with exit_shim.attributed(module):
        return await method(*args)


def test_a_legacy_exit_is_denied_under_cover_and_released_without(exchange, make):
    """The exception is ccxt's and ours, and can be pickled; a bare position gets its stop."""
    desk, client = make()
    answer = by(LEGACY, client.create_order, *SELL, STOP)
    assert desk.take("verdict", "outcome") == [("warn", "accepted")]
    by(OWNER, client.create_order, *COVER)
    by(OWNER, client.cancel_order, answer["id"], SYMBOL, {"trigger": True})
    seen = len(exchange.order_requests)
    for place in (
        lambda: client.create_order(*SELL, STOP),
        lambda: client.create_order(*SELL, TARGET),
        lambda: client.create_stop_loss_order(*SELL, 51_000, {"reduceOnly": True}),
        lambda: client.create_order(*LIMIT),
    ):
        with pytest.raises(ccxt.InvalidOrder) as denied:
            by(LEGACY, place)
        for error in (denied.value, pickle.loads(pickle.dumps(denied.value))):
            assert isinstance(error, exit_shim.ExitOrderDenied)
            assert isinstance(error, ccxt.InvalidOrder)
            assert (error.code, error.reasons[0].code) == (-2010, "OWNERSHIP_CONFLICT")
            assert str(error).startswith('binance {"code":-2010,"msg":"exit_shim denied placing ')
    assert len(exchange.order_requests) == seen
    assert desk.take("verdict", "outcome", "error_code")[-4:] == [("deny", "denied", -2010)] * 4


def limit_of(symbol, price):
    return {
        "symbol": symbol,
        "type": "limit",
        "side": "sell",
        "amount": 0.01,
        "price": price,
        "params": {"reduceOnly": True},
    }


def test_of_a_batch_only_the_denied_orders_are_left_out(exchange, make):
    """Each stands in ccxt's list as a refused one does, also where nothing of the batch goes out."""
    desk, client = make()
    client.create_order(ETH, "market", "buy", 1)
    by(OWNER, client.create_order, *COVER)
    desk.take()
    batch = [limit_of(SYMBOL, 90_000), limit_of(ETH, 4_900), limit_of(SYMBOL, 91_000)]
    orders = by(LEGACY, client.create_orders, batch)
    told = sorted((str(order["id"]), order["status"], order["info"].get("code")) for order in orders)
    assert told[0][1:] == ("open", None)
    assert told[1:] == [("None", "rejected", -2010)] * 2
    assert sorted(desk.take("batch_index", "outcome")) == [(0, "denied"), (1, "accepted"), (2, "denied")]
    assert [order["status"] for order in by(LEGACY, client.create_orders, batch[:1])] == ["rejected"]
    assert exchange.order_requests[-1].params["batchOrders"].count("ETHUSDT") == 1


def test_a_simulated_order_is_ccxts_own(make):
    """With on_deny = "simulate" the bot gets a parsed order, and can fetch and cancel it by either id."""
    desk, client = make(MONITOR)
    by(OWNER, client.create_order, *COVER)
    desk.take()
    order = by(LEGACY, client.create_order, *SELL, {**TARGET, "clientAlgoId": "mine"})
    assert int(order["id"]) < 0
    assert (order["status"], order["symbol"], order["clientOrderId"]) == ("open", SYMBOL, "mine")
    assert (order["triggerPrice"], order["amount"], order["reduceOnly"]) == (90_000, 0.01, True)
    assert "exit_shim_simulated" in order["info"]
    for key, params in ((order["id"], {}), (None, {"clientAlgoId": "mine"})):
        fetched = by(LEGACY, client.fetch_order, key, SYMBOL, {"trigger": True, **params})
        assert (fetched["id"], fetched["status"]) == (order["id"], "open")
    by(LEGACY, client.cancel_order, order["id"], SYMBOL, {"trigger": True})
    fetched = by(LEGACY, client.fetch_order, order["id"], SYMBOL, {"trigger": True})
    assert fetched["status"] == "canceled"
    limit = by(LEGACY, client.create_order, *LIMIT)
    assert by(LEGACY, client.fetch_order, limit["id"], SYMBOL)["status"] == "open"
    assert by(LEGACY, client.cancel_order, limit["id"], SYMBOL)["status"] == "canceled"
    raw = by(
        LEGACY,
        client.fapiPrivatePostOrder,
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "LIMIT",
            "quantity": "0.01",
            "price": "92000",
            "timeInForce": "GTC",
            "reduceOnly": "true",
        },
    )
    assert int(raw["orderId"]) < 0
    assert {outcome for (outcome,) in desk.take("outcome")} == {"simulated"}


def test_where_ccxt_cannot_parse_none_the_order_is_denied(make):
    """With on_deny = "return_none" a caller gets the exception: ccxt reads what `request` returns."""
    desk, client = make(ENFORCE + 'on_deny = "return_none"\n')
    by(OWNER, client.create_order, *COVER)
    with pytest.raises(exit_shim.ExitOrderDenied):
        by(LEGACY, client.create_order, *SELL, TARGET)
    assert desk.take("outcome")[-1] == ("denied",)


def test_a_cancel_that_would_bare_the_position_is_held(exchange, make):
    """STRIPPED at enforce holds a cancel of the last stop, by id, by list of one store, and by cancel-all."""
    desk, client = make('level = "warn"\n[rules.STRIPPED]\nlevel = "enforce"\n')
    stop = by(OWNER, client.create_order, *COVER)
    for cancel in (
        lambda: client.cancel_order(stop["id"], SYMBOL, {"trigger": True}),
        lambda: client.cancel_all_orders(SYMBOL, {"trigger": True}),
    ):
        with pytest.raises(exit_shim.ExitOrderDenied):
            by(LEGACY, cancel)
    assert [order.algo_id for order in exchange.engine.open_algos()] == [int(stop["id"])]
    assert [reason for (reason,) in desk.take("outcome")] == ["accepted", "denied", "denied"]


@pytest.mark.parametrize("package", ["ccxt.async_support", "ccxt.pro"])
async def test_an_async_client_is_guarded_alike(exchange, package):
    """Denied by await, as a task, and over the WebSocket; simulated orders are awaited too."""
    desk = Desk(ENFORCE)
    client = desk.shim.wrap(connect(exchange, package=package))
    ways = [client.create_order]
    if package == "ccxt.pro":
        ways.append(client.create_order_ws)
    await client.create_order(SYMBOL, "market", "buy", 0.01)
    await by_async(OWNER, client.create_order, *COVER)
    for place in ways:
        with pytest.raises(ccxt.InvalidOrder) as denied:
            await by_async(LEGACY, place, *SELL, STOP)
        assert isinstance(denied.value, exit_shim.ExitOrderDenied)
    desk.shim.close()
    desk = Desk(MONITOR)
    client = desk.shim.wrap(client)
    await by_async(OWNER, client.create_order, *SELL, {**STOP, "stopLossPrice": 47_000})
    for place in (getattr(client, way.__name__) for way in ways):
        order = await by_async(LEGACY, place, *SELL, TARGET)
        assert (int(order["id"]) < 0, order["status"], order["triggerPrice"]) == (True, "open", 90_000)
        fetched = await by_async(LEGACY, client.fetch_order, order["id"], SYMBOL, {"trigger": True})
        assert fetched["id"] == order["id"]
    desk.shim.close()
    await client.close()
