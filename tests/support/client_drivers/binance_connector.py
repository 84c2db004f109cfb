"""Binance's older connector, binance-futures-connector.

Its package is named `binance`, as python-binance's is, so that pip lays both into one folder. Here the
connector's folder is a further part of that package: the one in tests/support/connector, or the real one in
the folder that EXIT_SHIM_TEST_CONNECTOR names. tests/integration/clients/test_connector.py has it alone.
"""

import os
from pathlib import Path

import binance

FOLDER = os.environ.get("EXIT_SHIM_TEST_CONNECTOR") or str(Path(__file__).parents[1] / "connector")
binance.__path__.append(f"{FOLDER}/binance")

from binance.error import ClientError, ServerError  # noqa: E402
from binance.um_futures import UMFutures  # noqa: E402

from client_drivers.driver import CONDITIONAL, SYMBOL, Driver, by_ids  # noqa: E402

ALGO = "/fapi/v1/algoOrder"


class Connector(Driver):
    """The methods of `UMFutures`, and signed requests for what it has no method for."""

    library = "binance-futures-connector"
    refusals = (ClientError, ServerError)

    def connect(self, url, key, secret, timeout=30):
        self.client = UMFutures(key, secret, base_url=url, timeout=timeout)

    def place(self, fields):
        if fields["type"] in CONDITIONAL:
            names = {"stopPrice": "triggerPrice"}
            given = {names.get(name, name): value for name, value in fields.items()}
            return self.client.sign_request("POST", ALGO, {"algoType": "CONDITIONAL", **given})
        return self.client.new_order(**fields)

    def batch(self, orders):
        return self.client.new_batch_order(orders)

    def amend(self, order_id, fields):
        given = {name: value for name, value in fields.items() if name != "type"}
        return self.client.modify_order(orderId=order_id, **given)

    def cancel(self, ids, symbol=SYMBOL):
        if ids.order_id is None:
            return self.client.sign_request("DELETE", ALGO, algo_ids(ids))
        return self.client.cancel_order(symbol, **by_ids(ids))

    def cancel_all(self, store, symbol=SYMBOL):
        if store == "conditional":
            return self.client.sign_request("DELETE", "/fapi/v1/algoOpenOrders", {"symbol": symbol})
        return self.client.cancel_open_orders(symbol)

    def query(self, ids, symbol=SYMBOL):
        if ids.order_id is None:
            return self.client.sign_request("GET", ALGO, algo_ids(ids))
        return self.client.query_order(symbol, **by_ids(ids))

    def disconnect(self):
        return self.client.session.close()

    def error_code_of(self, error):
        return getattr(error, "error_code", None)


def algo_ids(ids):
    """Return the fields that name a conditional order."""
    return {"algoId": ids.algo_id} if ids.algo_id else {"clientAlgoId": ids.client_order_id}
