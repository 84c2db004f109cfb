"""The life of python-binance: sync, async, the threaded streams and orders by WebSocket.

Its clients take no addresses, so their class attributes are set. `exit-shim run --local` needs not even that.
"""

import asyncio
import re
import threading
import time

from binance import AsyncClient, BinanceSocketManager, Client, ThreadedWebsocketManager
from binance.exceptions import BinanceAPIException
from life import KEY, SECRET, Life, within

SYMBOL = {"symbol": "BTCUSDT"}
MARKETS = {"STREAM": "spot", "DSTREAM": "coin"}
ALGO = hasattr(Client, "futures_create_algo_order")
"""This release sends stops to the Algo Service."""


def redirect(life):
    """Point every client class at the exchange, its testnet and demo addresses included."""
    owners = (*Client.__mro__[:-1], *AsyncClient.__mro__[:-1], BinanceSocketManager)
    for owner in dict.fromkeys(owners):
        for name, address in list(vars(owner).items()):
            if isinstance(address, str) and re.match(r"(https|wss)://", address):
                at = life.local(address)
                # Here one port has the streams of all markets; a path tells them apart.
                if market := MARKETS.get(name.partition("_")[0]):
                    at = at.rstrip("/") + f"/{market}/"
                setattr(owner, name, at)


def look(life, client):
    """Read the exchange, the account and the market."""
    reads = {
        "futures_ping": {},
        "futures_time": {},
        "futures_exchange_info": {},
        "futures_account": {},
        "futures_account_balance": {},
        "futures_position_information": {},
        "futures_get_position_mode": {},
        "futures_leverage_bracket": SYMBOL,
        "futures_commission_rate": SYMBOL,
        "futures_symbol_ticker": SYMBOL,
        "futures_ticker": SYMBOL,
        "futures_orderbook_ticker": SYMBOL,
        "futures_mark_price": SYMBOL,
        "futures_order_book": SYMBOL,
        "futures_klines": {**SYMBOL, "interval": "1h", "limit": 10},
        "futures_continous_klines": {"pair": "BTCUSDT", "contractType": "PERPETUAL", "interval": "1h"},
        "futures_mark_price_klines": {**SYMBOL, "interval": "1h"},
        "futures_index_price_klines": {"pair": "BTCUSDT", "interval": "1h"},
        "futures_recent_trades": SYMBOL,
        "futures_historical_trades": SYMBOL,
        "futures_aggregate_trades": SYMBOL,
        "futures_funding_rate": SYMBOL,
        "futures_open_interest": SYMBOL,
        "futures_open_interest_hist": {**SYMBOL, "period": "1h"},
        "futures_global_longshort_ratio": {**SYMBOL, "period": "1h"},
        "futures_income_history": {},
        "futures_account_trades": SYMBOL,
        "futures_get_all_orders": SYMBOL,
        "futures_adl_quantile_estimate": SYMBOL,
        "futures_liquidation_orders": {},
        "get_exchange_info": {},
        "get_account": {},
        "get_symbol_ticker": SYMBOL,
        "get_all_tickers": {},
        "get_ticker": SYMBOL,
        "get_klines": {**SYMBOL, "interval": "1h"},
        "get_order_book": SYMBOL,
        "get_system_status": {},
        "futures_coin_exchange_info": {},
    }
    for name, parameters in reads.items():
        if hasattr(client, name):
            with life.step(name):
                assert getattr(client, name)(**parameters) is not None
    with life.step("historical klines"):
        rows = client.futures_historical_klines("BTCUSDT", "1h", "30 days ago UTC")
        assert len(rows) >= 719, len(rows)
        assert len(client.get_historical_klines("BTCUSDT", "1h", "2 days ago UTC")) >= 47


def trade(life, client):
    """Place, change and cancel orders."""
    order = client.futures_create_order
    with life.step("leverage, margin type, position mode"):
        client.futures_change_leverage(**SYMBOL, leverage=10)
        client.futures_change_margin_type(**SYMBOL, marginType="ISOLATED")
        client.futures_change_margin_type(**SYMBOL, marginType="CROSSED")
    with life.step("market order"):
        made = order(**SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        assert client.futures_get_order(**SYMBOL, orderId=made["orderId"])["status"] == "FILLED"
        assert float(client.futures_position_information(**SYMBOL)[0]["positionAmt"]) == 0.01
    with life.step("limit order, cancel"):
        made = order(**SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=50_000)
        assert client.futures_get_open_orders(**SYMBOL)[0]["orderId"] == made["orderId"]
        client.futures_cancel_order(**SYMBOL, orderId=made["orderId"])
    with life.step("stop, take profit, trailing stop, cancel-all"):
        sell = {**SYMBOL, "side": "SELL"}
        order(**sell, type="STOP_MARKET", stopPrice=50_000, closePosition=True)
        order(**sell, type="TAKE_PROFIT_MARKET", stopPrice=70_000, quantity=0.01, reduceOnly=True)
        order(**sell, type="STOP", stopPrice=50_000, price=49_990, quantity=0.01, timeInForce="GTC")
        order(**sell, type="TRAILING_STOP_MARKET", callbackRate=1, quantity=0.01, reduceOnly=True)
        if ALGO:
            assert len(client.futures_get_open_algo_orders()) == 4
            client.futures_cancel_all_algo_open_orders(**SYMBOL)
        else:
            assert len(client.futures_get_open_orders(**SYMBOL)) == 4
        client.futures_cancel_all_open_orders(**SYMBOL)
    with life.step("batch, countdown"):
        wanted = {
            **SYMBOL,
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.01",
            "price": "50000",
        }
        made = client.futures_place_batch_order(batchOrders=[{**wanted}, {**wanted}])
        client.futures_cancel_orders(**SYMBOL, orderIdList=[one["orderId"] for one in made])
        client.futures_countdown_cancel_all(**SYMBOL, countdownTime=60_000)
    refusals(life, client)


def refusals(life, client):
    """Be refused with Binance's codes."""
    sell = {**SYMBOL, "side": "SELL"}
    cases = {
        -2019: {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": 100},
        -2021: {**sell, "type": "STOP_MARKET", "stopPrice": 90_000, "quantity": 0.01},
        -1111: {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.0100001"},
        -1121: {"symbol": "NOTHING", "side": "BUY", "type": "MARKET", "quantity": 1},
    }
    for code, fields in cases.items():
        with life.refused(code, BinanceAPIException):
            client.futures_create_order(**fields)


async def by_websocket(life):
    """Trade and listen on the event loop."""
    client = await AsyncClient.create(KEY, SECRET)
    with life.step("async: order, user data stream"):
        async with BinanceSocketManager(client).futures_user_socket() as user:
            await client.futures_create_order(**SYMBOL, side="BUY", type="MARKET", quantity=0.01)
            seen = set()
            while not {"ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"} <= seen:
                seen.add((await within(user.recv())).get("e"))
    if hasattr(client, "ws_futures_create_order"):
        with life.step("ws_futures_*: orders"):
            wanted = {**SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": 0.01}
            made = await within(client.ws_futures_create_order(**wanted, price=50_000))
            await within(client.ws_futures_get_order(**SYMBOL, orderId=made["orderId"]))
            await within(
                client.ws_futures_edit_order(
                    **SYMBOL, side="BUY", quantity=0.01, price=50_010, orderId=made["orderId"]
                )
            )
            await within(client.ws_futures_cancel_order(**SYMBOL, orderId=made["orderId"]))
        with life.step("ws_futures_*: reads"):
            for name in ("v2_account_position", "account_position", "v2_account_balance", "account_balance"):
                assert await within(getattr(client, f"ws_futures_{name}")())
            await within(client.ws_futures_v2_account_status())
            await within(client.ws_futures_account_status())
            assert await within(client.ws_futures_get_order_book(**SYMBOL))
            assert await within(client.ws_futures_get_all_tickers())
            assert await within(client.ws_futures_get_order_book_ticker(**SYMBOL))
    if hasattr(client, "ws_futures_create_algo_order"):
        with life.step("ws_futures_*: conditional orders"):
            made = await within(
                client.ws_futures_create_algo_order(
                    **SYMBOL,
                    side="SELL",
                    type="STOP_MARKET",
                    triggerPrice=50_000,
                    quantity=0.01,
                    algoType="CONDITIONAL",
                )
            )
            await within(client.ws_futures_cancel_algo_order(algoId=made["algoId"]))
    await client.close_connection()


def by_thread(life):
    """Listen with ThreadedWebsocketManager."""
    manager = ThreadedWebsocketManager(KEY, SECRET)
    manager.start()
    futures = {
        "futures user": ("start_futures_user_socket", {}),
        "futures klines": ("start_kline_futures_socket", SYMBOL),
        "futures aggTrades": ("start_aggtrade_futures_socket", SYMBOL),
        "futures mark price": ("start_symbol_mark_price_socket", SYMBOL),
        "futures all mark prices": ("start_all_mark_price_socket", {}),
        "futures book tickers": ("start_symbol_ticker_futures_socket", SYMBOL),
        "futures ticker": ("start_individual_symbol_ticker_futures_socket", SYMBOL),
        "futures depth": ("start_futures_depth_socket", SYMBOL),
        "futures multiplex": (
            "start_futures_multiplex_socket",
            {"streams": ["btcusdt@kline_1m", "btcusdt@markPrice"]},
        ),
        "klines": ("start_kline_socket", SYMBOL),
        "trades": ("start_trade_socket", SYMBOL),
        "depth": ("start_depth_socket", SYMBOL),
        "ticker": ("start_symbol_ticker_socket", SYMBOL),
        "mini tickers": ("start_miniticker_socket", {}),
        "multiplex": ("start_multiplex_socket", {"streams": ["btcusdt@kline_1m", "btcusdt@trade"]}),
    }
    heard = {name: threading.Event() for name in futures}
    for name, (method, parameters) in futures.items():
        getattr(manager, method)(callback=lambda _, name=name: heard[name].set(), **parameters)
    client = Client(KEY, SECRET)
    for name, event in heard.items():
        with life.step(f"threaded: {name}"):
            if "user" in name:
                time.sleep(1.5)
                client.futures_create_order(**SYMBOL, side="BUY", type="MARKET", quantity=0.01)
            life.move_until(event.is_set)
    client.close_connection()
    manager.stop()


def live(life):
    """Live the whole life."""
    redirect(life)
    for flags in ({}, {"testnet": True}, {"demo": True}):
        if "demo" in flags and not hasattr(Client, "API_DEMO_URL"):
            continue
        with life.step(f"Client({', '.join(flags)}) pings"):
            Client(KEY, SECRET, **flags).close_connection()
    client = Client(KEY, SECRET)
    trade(life, client)
    look(life, client)
    asyncio.run(by_websocket(life))
    by_thread(life)


if __name__ == "__main__":
    the_life = Life()
    live(the_life)
    the_life.end()
