"""Small bots whose calls look like orders of Binance's futures; `# site:` marks those that are."""

ELSEWHERE_SOURCES = {
    "spot and futures over the same messages": """
class SpotSocket:
    async def place(self, params):
        return await self.request("order.place", params)

class FuturesSocket:
    async def place(self, params):
        return await self.request("order.place", params)  # site: place raw neither
""",
    "short paths beside spot": """
SPOT = "https://api.binance.com/api/v3/"
FUTURES = "https://fapi.binance.com/fapi/v1/"

class Account:
    def buy(self, data):
        return self._post("order", data)

    def futures_sell(self, data):
        return self._post("order", data)  # site: place raw neither
""",
    "a copy of the API at another exchange": """
HOST = "https://fapi.copydex.io"

class Dex:
    def order(self, data):
        return self.request("POST", "/fapi/v1/order", data)
""",
    "a copy of the API and Binance": """
HOSTS = {"dex": "https://fapi.copydex.io", "binance": "https://fapi.binance.com"}

class Any:
    def order(self, data):
        return self.request("POST", "/fapi/v1/order", data)  # site: place raw neither
""",
    "ccxt for spot": """
import ccxt

exchange = ccxt.binance({"options": {"defaultType": "spot"}})

def buy(symbol):
    return exchange.create_market_buy_order(symbol, 1)
""",
    "ccxt for a market that the bot names elsewhere": """
import ccxt

def make(config):
    return ccxt.binance({"options": {"defaultType": config["market"]}})

exchange = make({})

def close(symbol):
    exchange.cancel_all_orders(symbol)  # site: cancel direct wrap
""",
    "two connectors of one name": """
from binance.spot import Spot
from binance.um_futures import UMFutures

def spot():
    client = Spot("k", "s")
    client.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)

class Futures:
    def __init__(self):
        self.client = UMFutures("k", "s")

    def leave(self, symbol):
        self.client.new_order(symbol=symbol, side="SELL", type="MARKET", quantity=1, reduceOnly="true")  # site: place direct wrap close
""",
    "an exchange of one's own beside ccxt": """
import ccxt

class Paper:
    def create_order(self, symbol, **params):
        self.leverage = 5
        return {}

class Bot:
    def __init__(self):
        self.exchange = Paper()

    def leave(self, symbol):
        try:
            self.exchange.create_order(symbol)
        except ccxt.NetworkError:
            pass
""",
    "a class over a class over ccxt": """
import ccxt

class Base(ccxt.binanceusdm):
    pass

class Exchange(Base):
    def create_order(self, symbol, *args):
        return super().create_order(symbol, *args)  # site: place direct wrap

    def leave(self, symbol):
        self.create_order(symbol)
        self.cancel_all_orders(symbol)  # site: cancel direct wrap
""",
    "ccxt's class and one's own of the same name": """
import ccxt

class Exchange:
    _api: ccxt.Exchange

    def cancel_order(self, id, symbol):
        self.leverage = 2
        return self._api.cancel_order(id, symbol)  # site: cancel direct wrap
""",
    "rows of verb and path": """
class Paths:
    place = ("POST", "/fapi/v1/order")
    show = ("GET", "/fapi/v1/order")

CANCEL = {"one": ["DELETE", "/fapi/v1/order"]}

class Api:
    def __init__(self):
        self.paths = Paths()

    def go(self, params):
        self.request(*self.paths.place, params)  # site: place raw neither
        self.request(*Paths.show, params)
        self.request(*CANCEL["one"], params)  # site: cancel raw neither
        self.signed(("POST", "/fapi/v1/algoOrder"), params)  # site: place raw neither
""",
    "verbs and paths that nobody sends": """
from wsgi import app, limiter, Endpoint

WEIGHTS = {("POST", "/fapi/v1/order"): 1}

@app.post("/fapi/v1/order")
def fake_order(body):
    return {"orderId": 1}

def serve(router, logger, respx, answer):
    router.add("POST", "/fapi/v1/order", fake_order)
    respx.post("https://fapi.binance.com/fapi/v1/order").mock(answer)
    logger.debug("sending", "POST", "/fapi/v1/order")
    limiter.acquire("POST", "/fapi/v1/order")
    Endpoint("DELETE", "/fapi/v1/order", weight=1)
    WEIGHTS.get(("POST", "/fapi/v1/order"))
""",
    "code named after another exchange": """
import ccxt

class BybitAdapter:
    def leave(self, symbol):
        self.client.cancel_all_orders(symbol, {"reduceOnly": True})

class BinanceAdapter:
    def leave(self, symbol):
        self.client.cancel_all_orders(symbol)  # site: cancel direct wrap

def kraken_order(send, params):
    send("POST", "/fapi/v1/order", params)
""",
    "one client for spot, one for futures": """
import ccxt

class Bot:
    def __init__(self):
        self.spot = ccxt.binance({"options": {"defaultType": "spot"}})
        self.futures = ccxt.binance({"options": {"defaultType": "future"}})

    def leave(self, symbol):
        self.spot.create_market_sell_order(symbol, 1)
        self.futures.create_market_sell_order(symbol, 1)  # site: place direct wrap
""",
    "a class that is fetched by its name": """
import ccxt.async_support as exchanges

class Bot:
    def __init__(self, name):
        exchange_class = getattr(exchanges, name)
        self.live = exchange_class({"options": {"defaultType": "swap"}})
        other_class = getattr(exchanges, "bybit")
        self.mirror = other_class({})

    def cancel_order(self, id, symbol):
        self.live.cancel_order(id, symbol)  # site: cancel direct wrap
        self.mirror.cancel_order(id, symbol)
""",
    "a client that has a stand-in": """
import ccxt

class Paper:
    def create_order(self, symbol, *args):
        return {"leverage": 5}

class Bot:
    def __init__(self, is_live):
        self.exchange = ccxt.binanceusdm() if is_live else None
        if not is_live:
            self.exchange = Paper()
        else:
            self.exchange = ccxt.binanceusdm()

    def go(self, symbol):
        self.exchange.create_order(symbol, "market", "buy", 1)  # site: place direct wrap entry
""",
    "layers that have ccxt's method names": """
import ccxt

class Connector:
    def cancel_order(self, id):
        self.leverage = 1
        return self.client.cancel_order(id)  # site: cancel direct wrap

class Exchange:
    def cancel_order(self, id):
        return self.connector.cancel_order(id)
""",
    "methods of the official SDK, handed over and chosen": """
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

class Bot:
    def __init__(self, config):
        client = DerivativesTradingUsdsFutures(config_rest_api=config)
        self.rest = client.rest_api

    def stop(self, is_algo, retry, **fields):
        (self.rest.new_algo_order if is_algo else self.rest.new_order)(**fields)  # site: place direct wrap
        retry(self.rest.cancel_order, orderId=1)  # site: cancel bound wrap
        send = self.rest.new_order
        send(**fields)  # site: place bound wrap
""",
    "verbs of an enum": """
from web import HttpMethod

async def cancel(client, data):
    await client.request(HttpMethod.GET, "/fapi/v1/order", data)
    return await client.request(HttpMethod.DELETE, "/fapi/v1/order", data)  # site: cancel raw neither
""",
    "paths below a version": """
ORDER = "v1/order"

class BinancePerpetual:
    async def place(self, data):
        return await self._api_post(path_url=ORDER, data=data)  # site: place raw neither

class KucoinPerpetual:
    async def place(self, data):
        return await self._api_post(path_url=ORDER, data=data)

class Shop:
    async def place(self, data):
        return await self._api_post(path_url=ORDER, data=data)
""",
    "clients named after their exchanges": """
import ccxt

class Mirror:
    def __init__(self, names):
        self.bybit_client, self.binance_client = (getattr(ccxt, name)({}) for name in names)

    def leave(self, symbol):
        self.bybit_client.cancel_all_orders(symbol, {"positionSide": "LONG"})
        self.binance_client.cancel_all_orders(symbol)  # site: cancel direct wrap
""",
    "a client that a function configures": """
import ccxt

def get_exchange(is_test):
    client = ccxt.binance({"options": {"defaultType": "future"}})
    if is_test:
        client.set_sandbox_mode(True)
        return client
    return client

class Shop:
    def cancel_order(self, item):
        return item

exchange = get_exchange(True)
exchange.cancel_order(1, "BTC/USDT")  # site: cancel direct wrap
""",
    "arguments that ccxt does not know": """
import ccxt

exchange = ccxt.binanceusdm()

class Grid:
    def __init__(self, broker):
        self.exchange = broker

    def leave(self, order):
        self.exchange.cancel_order(order_id=order["id"], symbol=order["symbol"])
        self.exchange.cancel_order(id=order["id"], symbol=order["symbol"])  # site: cancel direct wrap
""",
}
