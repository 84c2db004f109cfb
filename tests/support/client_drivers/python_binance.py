"""python-binance, sync and async."""

from binance import AsyncClient, Client
from binance.exceptions import BinanceAPIException

from client_drivers.driver import SYMBOL, Driver, by_ids


class PythonBinance(Driver):
    """A `Client`, with the method names of python-binance and Binance's fields."""

    library = "python-binance"
    generates_client_ids = True
    refusals = (BinanceAPIException,)

    def connect(self, url, key, secret, timeout=30):
        self.client = Client(key, secret, {"timeout": timeout}, ping=False)
        self.client.FUTURES_URL = f"{url}/fapi"

    def place(self, fields):
        return self.client.futures_create_order(**fields)

    def batch(self, orders):
        return self.client.futures_place_batch_order(batchOrders=orders)

    def amend(self, order_id, fields):
        return self.client.futures_modify_order(orderId=order_id, **fields)

    def cancel(self, ids, symbol=SYMBOL):
        return self.client.futures_cancel_order(symbol=symbol, **by_ids(ids))

    def cancel_all(self, store, symbol=SYMBOL):
        is_conditional = {"conditional": True} if store == "conditional" else {}
        return self.client.futures_cancel_all_open_orders(symbol=symbol, **is_conditional)

    def query(self, ids, symbol=SYMBOL):
        return self.client.futures_get_order(symbol=symbol, **by_ids(ids))

    def disconnect(self):
        return self.client.session.close()


class PythonBinanceAsync(PythonBinance):
    """An `AsyncClient`: the same names, awaited."""

    is_async = True

    def connect(self, url, key, secret, timeout=30):
        async def make():
            return AsyncClient(key, secret, {"timeout": timeout})

        self.client = self.finish(make())
        self.client.FUTURES_URL = f"{url}/fapi"

    def disconnect(self):
        return self.client.close_connection()
