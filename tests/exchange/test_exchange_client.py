"""python-binance's own clients on the exchange over HTTP."""

import inspect
from decimal import Decimal

import pytest
from binance.exceptions import BinanceAPIException

WRONG = {
    "stop without position": (
        {"side": "SELL", "type": "STOP_MARKET", "stopPrice": "59000", "closePosition": True}, -4509,
    ),
    "stop that would fire": (
        {"side": "SELL", "type": "STOP_MARKET", "stopPrice": "61000", "quantity": "0.01"}, -2021,
    ),
    "market close position": ({"side": "SELL", "type": "MARKET", "closePosition": "true"}, -4136),
    "reduce only while flat": (
        {"side": "SELL", "type": "MARKET", "quantity": 0.01, "reduceOnly": True}, -2022,
    ),
    "float in scientific notation": ({"side": "BUY", "type": "MARKET", "quantity": 0.00001}, -1102),
}  # fmt: skip


@pytest.mark.parametrize(("order", "code"), WRONG.values(), ids=WRONG)
def test_the_client_raises_the_exchange_error(client, order, code):
    """A refusal arrives as BinanceAPIException with its code and HTTP 400."""
    with pytest.raises(BinanceAPIException) as caught:
        client.futures_create_order(symbol="BTCUSDT", **order)
    assert (caught.value.code, caught.value.status_code) == (code, 400)


def test_the_client_reroutes_conditional_orders(client, exchange):
    """futures_create_order with a stop type lands on algoOrder under a clientAlgoId of its own."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    placed = client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=59000, closePosition=True
    )
    record = exchange.order_requests[-1]
    assert (record.path, record.params["triggerPrice"]) == ("/fapi/v1/algoOrder", "59000")
    assert record.params["clientAlgoId"] == placed["clientAlgoId"]
    assert exchange.open_algo_orders()[0]["algoId"] == placed["algoId"]
    assert client.futures_get_open_orders() == []
    assert client.futures_cancel_order(symbol="BTCUSDT", algoId=placed["algoId"])["code"] == "200"


def test_a_life_in_one_way_mode_ends_exact(client, exchange):
    """Open, protect, take half of the profit, stop the rest out: the wallet is right to the last digit."""
    client.futures_change_leverage(symbol="BTCUSDT", leverage=10)
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.1)
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=59000.0, closePosition="true"
    )
    client.futures_create_order(
        symbol="BTCUSDT",
        side="SELL",
        type="TAKE_PROFIT_MARKET",
        stopPrice=61000.0,
        quantity=0.05,
        reduceOnly=True,
    )
    exchange.set_mark("BTCUSDT", "61000")
    (position,) = client.futures_position_information(symbol="BTCUSDT")
    assert position["positionAmt"] == "0.050"
    exchange.set_mark("BTCUSDT", "58990.1")
    assert client.futures_position_information() == []
    fees = Decimal("0.0005") * (6000 + 3050 + Decimal("2949.505"))
    wallet = 10_000 + 50 + (Decimal("2949.505") - 3000) - fees
    (row,) = client.futures_account_balance()
    assert Decimal(row["balance"]) == wallet.quantize(Decimal("1e-8"))
    statuses = {row["algoStatus"] for row in client.futures_get_all_algo_orders(symbol="BTCUSDT")}
    assert statuses == {"FINISHED"}


def test_a_batch_answers_for_each_element(client):
    """A good order, a refused one and a conditional one come back in place, and nothing is raised."""
    answer = client.futures_place_batch_order(
        batchOrders=[
            {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"},
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "type": "MARKET",
                "quantity": "0.010",
                "reduceOnly": "nope",
            },
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "type": "STOP_MARKET",
                "quantity": "0.010",
                "stopPrice": "1",
            },
        ]
    )
    assert answer[0]["symbol"] == "BTCUSDT"
    assert [element.get("code") for element in answer] == [None, -4062, -4120]


def test_a_batch_with_a_python_bool_is_no_json(client):
    """The client writes True into the JSON; the exchange refuses the whole batch."""
    orders = [{"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010", "reduceOnly": True}]
    with pytest.raises(BinanceAPIException) as caught:
        client.futures_place_batch_order(batchOrders=orders)
    assert caught.value.code == -1130


@pytest.mark.parametrize("count", [0, 6])
def test_a_batch_has_one_to_five_orders(client, count):
    """None or more than five is -4082."""
    orders = [
        {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "MARKET",
            "quantity": "0.010",
            "newClientOrderId": str(index),
        }
        for index in range(count)
    ]
    with pytest.raises(BinanceAPIException) as caught:
        client.futures_place_batch_order(batchOrders=orders)
    assert caught.value.code == -4082


def test_several_orders_cancel_at_once(client):
    """Both spellings that python-binance sends work, and a missing one is an element with -2011."""
    limit = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    ids = [client.futures_create_order(**limit, price=price)["orderId"] for price in (59000, 58000, 57000)]
    first = client.futures_cancel_orders(symbol="BTCUSDT", orderidlist=[ids[0], 5])
    assert [row.get("status", row.get("code")) for row in first] == ["CANCELED", -2011]
    second = client.futures_cancel_orders(symbol="BTCUSDT", orderIdList=ids[1:])
    assert [row["status"] for row in second] == ["CANCELED", "CANCELED"]


def test_both_ways_of_signing_are_accepted(client):
    """A client id with reserved characters is signed decoded and sent encoded."""
    name = "a:b/c.d_e-f"
    placed = client.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01, newClientOrderId=name
    )
    assert placed["clientOrderId"] == name
    assert client.futures_get_order(symbol="BTCUSDT", origClientOrderId=name)["status"] == "FILLED"


def test_every_read_of_the_client_is_answered(client):
    """Each reading method of python-binance that bots use gets a plausible answer."""
    assert client.ping() == client.futures_ping() == {}
    assert client.get_server_time()["serverTime"] == pytest.approx(
        client.futures_time()["serverTime"], abs=5000
    )
    assert client.futures_exchange_info()["timezone"] == "UTC"
    assert client.futures_mark_price(symbol="BTCUSDT")["symbol"] == "BTCUSDT"
    assert client.futures_symbol_ticker(symbol="BTCUSDT")["price"] == "60000.00"
    assert client.futures_orderbook_ticker(symbol="BTCUSDT")["bidPrice"] == "60000.00"
    assert client.futures_account()["canTrade"] is True
    assert client.futures_get_position_mode() == {"dualSidePosition": False}
    assert client.futures_account_trades(symbol="BTCUSDT") == []
    assert client.futures_get_all_orders(symbol="BTCUSDT") == []
    key = client.futures_stream_get_listen_key()
    assert client.futures_stream_keepalive(key) == {"listenKey": key}
    assert client.futures_stream_close(key) == {}


def test_headers_report_what_was_used(client):
    """Every answer has the weight used, and those to orders the order counts."""
    client.futures_account()
    first = int(client.response.headers["X-MBX-USED-WEIGHT-1M"])
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    assert int(client.response.headers["X-MBX-USED-WEIGHT-1M"]) in {first, 0}
    assert client.response.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert client.response.headers["X-MBX-ORDER-COUNT-1M"] == "1"


async def test_a_life_in_hedge_mode_on_the_async_client(async_client, exchange):
    """The async client opens both sides, protects them, and each side's stop closes its own."""
    client = async_client
    await client.futures_change_position_mode(dualSidePosition="true")
    order = {"symbol": "ETHUSDT", "type": "MARKET", "quantity": "1"}
    await client.futures_create_order(side="BUY", positionSide="LONG", **order)
    await client.futures_create_order(side="SELL", positionSide="SHORT", **order)
    stop = {"symbol": "ETHUSDT", "type": "STOP_MARKET", "closePosition": True}
    await client.futures_create_order(side="SELL", positionSide="LONG", stopPrice="2900", **stop)
    await client.futures_create_order(side="BUY", positionSide="SHORT", stopPrice="3100", **stop)
    exchange.set_mark("ETHUSDT", 3100)
    exchange.set_mark("ETHUSDT", 2900)
    assert exchange.positions() == exchange.open_algo_orders() == []
    fees = Decimal("0.0005") * (3000 + 3000 + 3100 + 2900)
    (row,) = await client.futures_account_balance()
    assert Decimal(row["balance"]) == 10_000 - 100 - 100 - fees


async def test_the_async_client_batches_and_cancels(async_client):
    """The async client's own way of signing a batch is accepted."""
    limit = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    placed = await async_client.futures_place_batch_order(batchOrders=[{**limit, "price": "59000"}])
    ids = [row["orderId"] for row in placed]
    gone = await async_client.futures_cancel_orders(symbol="BTCUSDT", orderidlist=ids)
    assert [row["status"] for row in gone] == ["CANCELED"]
    with pytest.raises(BinanceAPIException) as caught:
        await async_client.futures_cancel_order(symbol="BTCUSDT", orderId=ids[0])
    assert caught.value.code == -2011


async def done(answer):
    """What a client answers, whether it is the sync or the async one."""
    return await answer if inspect.isawaitable(answer) else answer


@pytest.mark.parametrize("hedge", [False, True], ids=["one-way", "hedge"])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_whole_life_on_a_thin_book_ends_exact(client, async_client, exchange, kind, hedge):
    """Walk the book in, protect, amend, be filled in part, trail the rest out: exact to the last digit."""
    own = client if kind == "sync" else async_client
    if hedge:
        await done(own.futures_change_position_mode(dualSidePosition="true"))
    side = {"positionSide": "LONG"} if hedge else {}
    terms = {"symbol": "BTCUSDT", "side": "SELL", **(side or {"reduceOnly": True})}
    exchange.set_book("BTCUSDT", [(59_990, 1)], [(60_010, "0.040"), (60_020, "0.060")])
    await done(
        own.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.100", **side)
    )
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "closePosition": True, **side}
    await done(own.futures_create_order(**stop, stopPrice=59_000))
    await done(own.futures_create_order(**terms, type="TAKE_PROFIT_MARKET", stopPrice=60_500, quantity=0.03))
    limit = await done(
        own.futures_create_order(**terms, type="LIMIT", timeInForce="GTC", price=62_000, quantity="0.050")
    )
    await done(
        own.futures_modify_order(
            symbol="BTCUSDT", side="SELL", orderId=limit["orderId"], price=61_000, quantity="0.040"
        )
    )
    await done(own.futures_create_order(**terms, type="TRAILING_STOP_MARKET", callbackRate=1, quantity=0.05))
    exchange.walk("BTCUSDT", [{"last": 60_500, "bid": 60_490, "ask": 60_500}])
    exchange.trade("BTCUSDT", 61_000, "0.020")
    found = await done(own.futures_get_order(symbol="BTCUSDT", orderId=limit["orderId"]))
    assert (found["status"], found["executedQty"]) == ("PARTIALLY_FILLED", "0.020")
    # What rests occupies the position, and the trailing stop would be rejected beside it.
    await done(own.futures_cancel_order(symbol="BTCUSDT", orderId=limit["orderId"]))
    exchange.walk("BTCUSDT", [{"last": 60_390, "bid": 60_380}])
    assert await done(own.futures_position_information()) == exchange.orders() == []
    assert exchange.open_algo_orders() == []
    entry = Decimal("0.04") * 60_010 + Decimal("0.06") * 60_020
    market = Decimal("0.03") * 60_490 + Decimal("0.05") * 60_380
    maker = Decimal("0.02") * 61_000
    fees = Decimal("0.0005") * (entry + market) + Decimal("0.0002") * maker
    (row,) = await done(own.futures_account_balance())
    assert Decimal(row["balance"]) == (10_000 + market + maker - entry - fees).quantize(Decimal("1e-8"))
    assert row["availableBalance"] == row["balance"]
