"""Small bots in the styles of the wild. `# site:` marks a line that sends: action, how, reach, kind."""

SOURCES = {
    "direct calls": """
class Trader:
    def __init__(self, client):
        self.client = client

    def enter(self, symbol):
        self.client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity=1)  # site: place direct wrap entry

    def protect(self, symbol):
        self.client.futures_create_order(  # site: place direct wrap sl
            symbol=symbol, side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True
        )
        self.client.futures_get_open_orders(symbol=symbol)
        self.client.futures_cancel_all_open_orders(symbol=symbol)  # site: cancel direct wrap
""",
    "constants of the client": """
from binance.enums import *
from binance.client import Client

client = Client("k", "s")

def stop(symbol, side):
    return client.futures_create_order(symbol=symbol, side=SIDE_SELL, type=FUTURE_ORDER_TYPE_STOP_MARKET, stopPrice=1, quantity=1)  # site: place direct wrap conditional

def target(symbol):
    return client.futures_create_order(symbol=symbol, side=Client.SIDE_SELL, type=Client.FUTURE_ORDER_TYPE_TAKE_PROFIT_MARKET, stopPrice=2, closePosition="true")  # site: place direct wrap tp
""",
    "a dict of parameters": """
def close(client, symbol, amount):
    params = {"symbol": symbol, "side": "SELL", "type": "MARKET", "quantity": amount, "reduceOnly": "true"}
    return client.futures_create_order(**params)  # site: place direct wrap close

def anything(client, **params):
    return client.futures_create_order(**params)  # site: place direct wrap
""",
    "a batch": """
def ladder(client, symbol):
    client.futures_place_batch_order(batchOrders=[  # site: place direct wrap tp+sl
        {"symbol": symbol, "side": "SELL", "type": "TAKE_PROFIT_MARKET", "stopPrice": "2", "closePosition": "true"},
        {"symbol": symbol, "side": "SELL", "type": "STOP_MARKET", "stopPrice": "1", "closePosition": "true"},
    ])
""",
    "handed to a thread and a partial": """
import asyncio
import functools

async def go(client, symbol):
    await asyncio.to_thread(client.futures_create_order, symbol=symbol, side="SELL", type="TRAILING_STOP_MARKET", callbackRate=1, reduceOnly=True, quantity=1)  # site: place bound wrap trailing
    await asyncio.get_event_loop().run_in_executor(None, functools.partial(client.futures_cancel_order, symbol=symbol, orderId=1))  # site: cancel bound wrap
""",
    "a retry helper": """
import time

def retry(fn, *args, **kwargs):
    for _ in range(3):
        try:
            return fn(*args, **kwargs)  # site: place bound wrap
        except Exception:
            time.sleep(1)

class Bot:
    def sl(self):
        retry(self.client.futures_create_order, symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True)  # site: place bound wrap sl
""",
    "getattr and names": """
def call(client, name, **kw):
    return getattr(client, name)(**kw)

def stop(client):
    call(client, "futures_create_order", symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True)  # site: place string wrap sl
    getattr(client, "futures_cancel_all_open_orders")(symbol="BTCUSDT")  # site: cancel string wrap
    if hasattr(client, "futures_create_order"):
        print("futures_create_order")
""",
    "an alias": """
def run(client):
    place = client.futures_create_order
    place(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True)  # site: place bound wrap sl

class Holder:
    def __init__(self, client):
        self.send = client.futures_create_algo_order

    def go(self):
        self.send(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", triggerPrice=1, closePosition=True)  # site: place bound wrap sl
""",
    "raw HTTP with requests": """
import hashlib, hmac, time, requests
from urllib.parse import urlencode

BASE = "https://fapi.binance.com"

def sign(params): return urlencode(params)

def open_order(params):
    return requests.post(BASE + "/fapi/v1/order?" + sign(params), headers={})  # site: place raw raw

def cancel(symbol):
    url = f"{BASE}/fapi/v1/allOpenOrders"
    return requests.delete(url, params={"symbol": symbol})  # site: cancel raw raw

def account():
    return requests.get(BASE + "/fapi/v2/account")

def order():
    return requests.get(BASE + "/fapi/v1/order")
""",
    "a signed request of one's own": """
class Api:
    def signed(self, method, path, payload=None):
        return self.session.request(method, self.base + path, params=payload)

    def stop(self, symbol):
        return self.signed("POST", "/fapi/v1/algoOrder", {"symbol": symbol, "side": "SELL", "type": "STOP_MARKET", "closePosition": "true"})  # site: place raw neither sl

    def find(self, symbol):
        return self.signed("GET", "/fapi/v1/order", {"symbol": symbol})
""",
    "python-binance's raw request": """
def stop(client):
    client._request_futures_api("post", "algoOrder", True, data={"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "closePosition": "true"})  # site: place raw wrap sl
    client._request_futures_api("get", "order", True, data={})
""",
    "the WebSocket API": """
import json

def place(ws, params):
    ws.send(json.dumps({"id": 1, "method": "order.place", "params": params}))  # site: place raw neither

def cancel(ws, params):
    request = {"id": 2, "method": "order.cancel", "params": params}
    ws.send(json.dumps(request))  # site: cancel raw neither
""",
    "ccxt": """
import ccxt

exchange = ccxt.binanceusdm({"apiKey": "k"})

def go(symbol):
    exchange.create_order(symbol, "market", "buy", 1)  # site: place direct wrap entry
    exchange.create_order(symbol, "market", "sell", 1, None, {"stopLossPrice": 1})  # site: place direct wrap sl
    exchange.cancel_all_orders(symbol)  # site: cancel direct wrap
    exchange.fetch_balance()
""",
    "ccxt in an attribute, async": """
import ccxt.async_support as ccxt

class Bot:
    def __init__(self, name):
        self.ex = getattr(ccxt, name)({})

    async def tp(self, symbol):
        await self.ex.create_order(symbol, "TAKE_PROFIT_MARKET", "sell", 1, params={"stopPrice": 2})  # site: place direct wrap sl
        await self.ex.fapiPrivatePostOrder({"symbol": symbol, "side": "SELL", "type": "MARKET", "reduceOnly": "true"})  # site: place direct wrap
""",
    "the connector": """
from binance.um_futures import UMFutures

um = UMFutures(key="k", secret="s")

def go():
    um.new_order(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition="true")  # site: place direct wrap sl
    um.cancel_open_orders(symbol="BTCUSDT")  # site: cancel direct wrap
    um.balance()
""",
    "the official SDK": """
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

client = DerivativesTradingUsdsFutures(config_rest_api=None)

def go():
    client.rest_api.new_algo_order(algo_type="CONDITIONAL", symbol="BTCUSDT", side="SELL", type="STOP_MARKET", trigger_price=1, close_position="true")  # site: place direct wrap sl
    client.rest_api.cancel_algo_order(algo_id=1)  # site: cancel direct wrap
""",
    "a client of one's own": """
from binance import Client

class MyClient(Client):
    def stop(self, symbol):
        return self.futures_create_order(symbol=symbol, side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True)  # site: place direct install sl
""",
    "spot is not futures": """
from binance import Client

client = Client()

def buy():
    client.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)
    client.order_market_sell(symbol="BTCUSDT", quantity=1)
    client.cancel_order(symbol="BTCUSDT", orderId=1)
""",
    "the same names for other things": """
class Shop:
    def create_order(self, item):
        return {"item": item}

    def cancel_order(self, item):
        self.db.execute("DELETE FROM orders")

def serve(app, shop):
    @app.post("/order")
    def order(item):
        return shop.create_order(item)

    shop.cancel_order(1)
""",
    "hedge mode, unknown values": """
def close(client, symbol, side, kind, flag):
    client.futures_create_order(symbol=symbol, side=side, positionSide="LONG", type="MARKET", quantity=1)  # site: place direct wrap
    client.futures_create_order(symbol=symbol, side="SELL", type=kind, quantity=1)  # site: place direct wrap
    client.futures_create_order(symbol=symbol, side="SELL", type="LIMIT", price=1, quantity=1, reduceOnly=flag)  # site: place direct wrap
    client.futures_modify_order(symbol=symbol, side="SELL", quantity=1, price=1, orderId=1)  # site: change direct wrap
""",
    "a nested function and a lambda": """
def main(client, timer):
    def sl():
        client.futures_create_order(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True)  # site: place direct wrap sl

    timer(5, lambda: client.futures_cancel_order(symbol="BTCUSDT", orderId=1))  # site: cancel direct wrap
    timer(6, sl)
""",
    "a class of one's own that is called Client": """
class Client:
    def create_order(self):
        return None

class Paper(Client):
    def stop(self):
        self.create_order()
        return self.futures_create_order(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True)  # site: place direct wrap sl
""",
    "constants from elsewhere": """
from enum import Enum
from config import SELL, STOP_MARKET
from shared.types import OrderKind

class Kind(Enum):
    TAKE = "TAKE_PROFIT_MARKET"

def stop(client, symbol):
    client.futures_create_order(symbol=symbol, side=SELL, type=STOP_MARKET, stopPrice=1, closePosition="true")  # site: place direct wrap sl
    client.futures_create_order(symbol=symbol, side=SELL, type=OrderKind.STOP_MARKET.value, stopPrice=1, closePosition="true")  # site: place direct wrap sl
    client.futures_create_order(symbol=symbol, side=SELL, type=Kind.TAKE.value, stopPrice=1, closePosition="true")  # site: place direct wrap tp
    client.futures_create_order(symbol=symbol, side=SELL, type=OrderKind.OTHER.value, stopPrice=1, quantity=1)  # site: place direct wrap
""",
    "names for a rate limiter, and a method under a name": """
class Bot:
    async def wait(self, name, weight=1):
        await self.bucket.take(name, weight)

    async def stop(self, payload):
        await self.wait("futures_create_order", weight=1)
        self.limiter.acquire("futures_create_order")
        fn = getattr(self.client, "futures_create_order", None)
        if callable(fn):
            return self.retry(fn, payload)  # site: place string wrap
        method = self.client.futures_cancel_order
        return self.retry(method, payload)  # site: cancel bound wrap
""",
    "verbs in the names of helpers": """
class Api:
    ROOT = "https://fapi.binance.com/fapi/v1/"
    PATHS = {"order": "order", "ping": "ping"}

    def __init__(self):
        self.root = "https://fapi.binance.com"
        self.paths = {"algo": "/fapi/v1/algoOrder"}

    def stop(self, params):
        return self._post("/fapi/v1/order", params)  # site: place raw neither

    def algo(self, params):
        return self.signedPost(self.root + self.paths["algo"], params)  # site: place raw neither

    def clean(self, params):
        return self._delete_request("allOpenOrders?", params)  # site: cancel raw neither

    def cancel(self, params):
        url = self.ROOT + self.PATHS["order"]
        return self.http.delete(url, params=params)  # site: cancel raw neither

    def find(self, params):
        self.http.delete(self.ROOT + self.PATHS["ping"])
        return self._get_request("order?", params)

    def serve(self, app):
        app.post("/order")
        app.post_message("hello")
""",
    "the WebSocket API of spot": """
import json

HOST = "wss://ws-api.binance.com/ws-api/v3"

def place(ws, params):
    ws.send(json.dumps({"id": 1, "method": "order.place", "params": params}))
""",
    "the WebSocket API of another exchange": """
class BybitApi:
    def cancel_order(self, params):
        self.submit("order.cancel", params)
""",
    "the WebSocket API of spot and futures": """
class BinanceApi:
    def spot_order(self, params):
        self.send_payload("order.place", params)

    def futures_order(self, params):
        self.send_payload("order.place", params)  # site: place raw neither
""",
    "a rest_api of one's own": """
class Gateway:
    def __init__(self):
        self.rest_api = RestApi(self)

    def cancel_order(self, request):
        self.rest_api.cancel_order(request)

class RestApi:
    def cancel_order(self, request):
        self.add_request("DELETE", "/fapi/v1/order", params=request)  # site: cancel raw neither
""",
    "a connector of one's own over ccxt": """
import ccxt

class Connector:
    def __init__(self, client):
        self.client = client

    def create_order(self, symbol, **params):
        return self.client.create_order(symbol, "market", "sell", 1, None, params)  # site: place direct wrap

    def create_market_buy_order_with_cost(self, symbol, cost):
        return self.client.create_market_buy_order_with_cost(symbol, cost)  # site: place direct wrap

class Trader:
    def __init__(self, connector):
        self.connector = connector
        connector.set_leverage(5)

    def leave(self, symbol):
        try:
            self.connector.create_order(symbol)
        except ccxt.NetworkError:
            pass
""",
    "a client that a function makes": """
from ccxt import binanceusdm
from binance.um_futures import UMFutures

def get_exchange():
    return binanceusdm({"enableRateLimit": True})

def get_um() -> UMFutures:
    return build()

def go(symbol):
    ex, um = get_exchange(), get_um()
    ex.cancel_all_orders(symbol)  # site: cancel direct wrap
    um.new_order(symbol=symbol, side="SELL", type="MARKET", quantity=1, reduceOnly="true")  # site: place direct wrap close
""",
    "raw requests by other transports": """
from urllib.request import Request, urlopen

def stop(params):
    # Prose such as "import requests" is no import.
    urlopen(Request("https://fapi.binance.com/fapi/v1/algoOrder", params, method="POST"))  # site: place raw neither
""",
    "raw requests by httpx": """
import json, httpx

def stop(params):
    return httpx.post("https://fapi.binance.com/fapi/v1/algoOrder", params=params)  # site: place raw raw

def message(ws, params):
    ws.send(json.dumps({"method": "order.cancel", "params": params}))  # site: cancel raw neither
""",
    "raw requests by an inherited class": """
from aiohttp.client import ClientSession

class Session(ClientSession):
    async def stop(self, params):
        return await self.post("/fapi/v1/order", params=params)  # site: place raw raw
""",
    "raw requests by the libraries' own ways": """
from binance.um_futures import UMFutures
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

def go(config):
    um, client = UMFutures("k", "s"), DerivativesTradingUsdsFutures(config_rest_api=config)
    um.sign_request("POST", "/fapi/v1/algoOrder", {"symbol": "BTCUSDT"})  # site: place raw wrap
    client.rest_api.send_signed_request("/fapi/v1/order", "DELETE", {"symbol": "BTCUSDT"})  # site: cancel raw wrap
""",
    "implicit methods of ccxt": """
import ccxt

def go():
    ex = ccxt.binance()
    ex.papiPostUmAlgoOrder({"symbol": "BTCUSDT"})  # site: place direct wrap
    ex.fapiprivate_put_batchorders({"batchOrders": []})  # site: change direct wrap
    ex.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT"})  # site: cancel direct wrap
    ex.fapiPrivateGetOrder({"symbol": "BTCUSDT"})
""",
    "classes that inherit from clients": """
import ccxt
from binance.um_futures import UMFutures

class Exchange(ccxt.binanceusdm):
    def leave(self, symbol):
        self.cancel_all_orders(symbol)  # site: cancel direct wrap

class Client(UMFutures):
    def leave(self, symbol):
        self.cancel_open_orders(symbol)  # site: cancel direct wrap
""",
    "ccxt at another exchange": """
import ccxt

def go(symbol):
    bybit = ccxt.bybit()
    other = ccxt.pro.okx()
    other = ccxt.pro.binanceusdm()
    bybit.cancel_all_orders(symbol)
    other.cancel_all_orders(symbol)  # site: cancel direct wrap
""",
}
