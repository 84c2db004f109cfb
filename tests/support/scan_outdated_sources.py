"""Small bots that speak to the exchange of before 2025-12-09. `# outdated:` marks a line, with its code."""

STOP = 'symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition=True'

SOURCES = {
    "the id of a stop": f"""
def stop(client):
    order = client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)
    print(order["orderId"])
    order = client.futures_create_order({STOP})
    print(order["orderId"])  # outdated: ALGO_ID_IGNORED
    return order.get("orderId")  # outdated: ALGO_ID_IGNORED
""",
    "at once, awaited": f"""
async def stop(client):
    return (await client.futures_create_order({STOP}))["orderId"]  # outdated: ALGO_ID_IGNORED
""",
    "one level up": f"""
class Bot:
    async def stop(self):
        try:
            return await self.client.futures_create_order({STOP})
        except ValueError:
            return None

    async def target(self, kind):
        made = await self.client.futures_create_order(symbol="X", side="SELL", type=kind, stopPrice=1, closePosition=True)
        return made

    async def protect(self):
        stop = await self.stop()
        self.stop_id = stop["orderId"]  # outdated: ALGO_ID_IGNORED
        self.take = await self.target("TAKE_PROFIT_MARKET")
        take = await self.target("TAKE_PROFIT_MARKET")
        return take.get("orderId", 0)  # outdated: ALGO_ID_IGNORED
""",
    "a helper for any type": """
class Exchange:
    async def create_order(self, symbol, order_type, **fields):
        return await self.client.futures_create_order(symbol=symbol, type=order_type, **fields)

class Strategy:
    async def open(self, symbol):
        tp_order = await self.exchange.create_order(symbol=symbol, order_type="LIMIT", price=1)
        self.tp = tp_order["orderId"]
        sl_order = await self.exchange.create_order(symbol=symbol, order_type="STOP_MARKET", stop_price=1)
        if sl_order:
            self.log(f"stop {sl_order['orderId']}")  # outdated: ALGO_ID_IGNORED
""",
    "an attribute": f"""
class Bot:
    def stop(self):
        self.order = self.client.futures_create_order({STOP})

    def cancel(self):
        self.client.futures_cancel_algo_order(algoId=self.order["orderId"])  # outdated: ALGO_ID_IGNORED
""",
    "adapted": f"""
def stop(client):
    order = client.futures_create_order({STOP})
    return order.get("algoId") or order.get("orderId")

def entry(client):
    order = client.futures_create_order(symbol="BTCUSDT", side="BUY", type="LIMIT", price=1, quantity=1)
    return order["orderId"]

def any_kind(client, **params):
    return client.futures_create_order(**params)

def use(client):
    return any_kind(client, symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)["orderId"]

def orders(client):
    client.futures_cancel_all_open_orders(symbol="BTCUSDT")
    client.futures_cancel_all_algo_open_orders(symbol="BTCUSDT")
    return client.futures_get_open_orders() + client.futures_get_open_orders(conditional=True)
""",
    "one of the two stores": f"""
def stop(client):
    client.futures_create_order({STOP})

def clean(client):
    for order in client.futures_get_open_orders():  # outdated: ALGO_STORE_IGNORED
        client.futures_cancel_order(orderId=order["orderId"])
    client.futures_cancel_all_open_orders(symbol="BTCUSDT")  # outdated: ALGO_STORE_IGNORED
""",
    "both are listed, one is cancelled": f"""
def stop(client):
    client.futures_create_order({STOP})
    client.futures_get_open_orders()
    client._request_futures_api("get", "openAlgoOrders", True, data={{}})
    client.futures_cancel_all_open_orders(symbol="BTCUSDT")  # outdated: ALGO_STORE_IGNORED
""",
    "no conditional orders at all": """
def grid(client):
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="LIMIT", price=1, quantity=1)
    client.futures_get_open_orders()
    client.futures_cancel_all_open_orders(symbol="BTCUSDT")
""",
    "raw HTTP": """
import requests

def stop(base):
    params = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "closePosition": "true"}
    requests.post(base + "/fapi/v1/order", params=params)  # outdated: STOPS_TO_OLD_PATH

def place(kind):
    params = {"type": kind}
    return requests.post("https://fapi.binance.com/fapi/v1/order", params=params)  # outdated: STOPS_TO_OLD_PATH

def target():
    place("TAKE_PROFIT_MARKET")

def limit():
    requests.post("https://fapi.binance.com/fapi/v1/order", params={"type": "LIMIT"})

def orders():
    return requests.get("https://fapi.binance.com/fapi/v1/openOrders")  # outdated: ALGO_STORE_IGNORED
""",
    "raw HTTP that knows stops": """
class Adapter:
    def order(self, kind, price):
        params = {"type": kind}
        if kind in ("STOP_MARKET", "TAKE_PROFIT_MARKET"):
            params["stopPrice"] = price
        answer = self.client._post("/fapi/v1/order", params)  # outdated: STOPS_TO_OLD_PATH
        return answer["orderId"]

    def limit(self, kind):
        return self.client._post("/fapi/v1/order", {"type": kind})

    def cancel(self, symbol):
        return self.client._delete("/fapi/v1/allOpenOrders", {"symbol": symbol})  # outdated: ALGO_STORE_IGNORED
""",
    "raw HTTP that chooses": """
class Api:
    def place(self, params):
        path = "/fapi/v1/algoOrder" if params["type"] == "STOP_MARKET" else "/fapi/v1/order"
        return self.request("POST", path, params)

    def stop(self):
        return self.place({"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"})
""",
    "raw HTTP with both paths": """
class Api:
    def place(self, params):
        if "stopPrice" in params:
            return self.request("POST", "/fapi/v1/algoOrder", params)
        return self.request("POST", "/fapi/v1/order", params)

    def stop(self):
        return self.place({"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 1})
""",
    "one of two answers": f"""
def exit_order(client, price):
    if price:
        return client.futures_create_order(symbol="BTCUSDT", side="SELL", type="LIMIT", price=price, quantity=1)
    return client.futures_create_order({STOP})

def use(client):
    return exit_order(client, 1)["orderId"]
""",
    "batches and retired methods": """
def go(client):
    client.futures_place_batch_order(batchOrders=[{"type": "LIMIT"}, {"type": "STOP_MARKET"}])  # outdated: STOPS_TO_OLD_PATH
    client.futures_place_batch_order(batchOrders=[{"type": "LIMIT"}, {"type": "LIMIT"}])
    client.papi_create_um_conditional_order(strategyType="STOP_MARKET")  # outdated: STOPS_TO_OLD_PATH
    client._request_futures_api("post", "order", True, data={"type": "STOP_MARKET"})  # outdated: STOPS_TO_OLD_PATH
""",
    "the connector": """
from binance.um_futures import UMFutures

um = UMFutures()

def stop():
    um.new_order(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition="true")  # outdated: STOPS_TO_OLD_PATH
    um.new_order("BTCUSDT", "SELL", "LIMIT", price=1, quantity=1)
    um.cancel_open_orders(symbol="BTCUSDT")  # outdated: ALGO_STORE_IGNORED
""",
    "ccxt": """
import ccxt

ex = ccxt.binanceusdm()

def stop(symbol):
    order = ex.create_order(symbol, "market", "sell", 1, None, {"stopLossPrice": 1})
    ex.fetch_open_orders(symbol)  # outdated: ALGO_STORE_IGNORED
    ex.cancel_all_orders(symbol)  # outdated: ALGO_STORE_IGNORED
    ex.fapiPrivatePostOrder({"type": "STOP_MARKET"})  # outdated: STOPS_TO_OLD_PATH
    return order["id"]
""",
    "ccxt with both stores": """
import ccxt

ex = ccxt.binanceusdm()

def stop(symbol):
    ex.create_order(symbol, "STOP_MARKET", "sell", 1, None, {"stopPrice": 1})
    ex.cancel_all_orders(symbol)
    ex.cancel_all_orders(symbol, {"trigger": True})
    return ex.fetch_open_orders(symbol) + ex.fetch_open_orders(symbol, params={"trigger": True})
""",
}
