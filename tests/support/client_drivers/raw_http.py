"""Requests that a bot signs and sends itself; each transport sends them in its own style."""

import hashlib
import hmac
import json
import time
from urllib.parse import urlencode

from client_drivers.driver import CONDITIONAL, SYMBOL, Driver, by_ids


class RawHttp(Driver):
    """Binance's paths and fields; a refusal is an answer like any other."""

    ways = ("raw",)
    can_be_asked = False  # a session does not know the secret

    def connect(self, url, key, secret, timeout=30):
        self.url, self.secret = url, secret
        self.client = self.make_session({"X-MBX-APIKEY": key}, timeout)

    def make_session(self, headers, timeout):
        """Return a session with headers and a time limit."""
        raise NotImplementedError

    def send(self, verb, path, query):
        """Send a signed request."""
        raise NotImplementedError

    def ask(self, verb, path, fields):
        """Sign a request, and send it."""
        signed = urlencode({**fields, "recvWindow": 10_000, "timestamp": int(time.time() * 1000)})
        signature = hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return self.send(verb, f"{self.url}/fapi/v1/{path}", f"{signed}&signature={signature}")

    def place(self, fields):
        if fields["type"] in CONDITIONAL:
            names = {"stopPrice": "triggerPrice"}
            given = {names.get(name, name): value for name, value in fields.items()}
            return self.ask("POST", "algoOrder", {"algoType": "CONDITIONAL", **given})
        return self.ask("POST", "order", fields)

    def batch(self, orders):
        return self.ask("POST", "batchOrders", {"batchOrders": json.dumps(orders)})

    def amend(self, order_id, fields):
        return self.ask("PUT", "order", {"orderId": order_id, **fields})

    def cancel(self, ids, symbol=SYMBOL):
        return self.ask("DELETE", *named(ids, symbol))

    def cancel_all(self, store, symbol=SYMBOL):
        path = "algoOpenOrders" if store == "conditional" else "allOpenOrders"
        return self.ask("DELETE", path, {"symbol": symbol})

    def query(self, ids, symbol=SYMBOL):
        return self.ask("GET", *named(ids, symbol))

    def disconnect(self):
        return self.client.close()

    def read(self, answer):
        return answer.json()


def named(ids, symbol):
    """Return the path and the fields that name an order of either store."""
    if ids.order_id is not None:
        return "order", {"symbol": symbol, **by_ids(ids)}
    return "algoOrder", {"algoId": ids.algo_id} if ids.algo_id else {"clientAlgoId": ids.client_order_id}
