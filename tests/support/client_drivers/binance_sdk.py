"""Binance's official SDK, USDⓈ-M futures over REST."""

import re

from binance_common.configuration import ConfigurationRestAPI
from binance_common.errors import Error
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)
from binance_sdk_derivatives_trading_usds_futures.rest_api.models import (
    PlaceMultipleOrdersBatchOrdersParameterInner,
)

from client_drivers.driver import CONDITIONAL, SYMBOL, Driver

NUMBERS = frozenset({"quantity", "price", "triggerPrice", "activatePrice", "callbackRate"})


def snake(fields):
    """Return Binance's fields under the SDK's names, with the numbers that it asks for."""
    return {
        re.sub(
            "[A-Z]", lambda letter: f"_{letter[0].lower()}", "triggerPrice" if name == "stopPrice" else name
        ): (float(value) if name in NUMBERS or name == "stopPrice" else value)
        for name, value in fields.items()
    }


class BinanceSdk(Driver):
    """The methods of `client.rest_api`."""

    library = "binance-sdk-derivatives-trading-usds-futures"
    refusals = (Error,)
    hides = frozenset({"unavailable"})  # its ServerError has no text of the exchange's

    def connect(self, url, key, secret, timeout=30):
        configuration = ConfigurationRestAPI(
            api_key=key, api_secret=secret, base_path=url, timeout=int(timeout * 1000)
        )
        self.client = DerivativesTradingUsdsFutures(config_rest_api=configuration)

    def place(self, fields):
        if fields["type"] in CONDITIONAL:
            return self.client.rest_api.new_algo_order(algo_type="CONDITIONAL", **snake(fields))
        return self.client.rest_api.new_order(**snake(fields))

    def batch(self, orders):
        rows = [PlaceMultipleOrdersBatchOrdersParameterInner(**snake(order)) for order in orders]
        return self.client.rest_api.place_multiple_orders(rows)

    def amend(self, order_id, fields):
        given = snake({name: value for name, value in fields.items() if name != "type"})
        return self.client.rest_api.modify_order(order_id=order_id, **given)

    def cancel(self, ids, symbol=SYMBOL):
        if ids.order_id is None:
            given = {"algo_id": ids.algo_id} if ids.algo_id else {"client_algo_id": ids.client_order_id}
            return self.client.rest_api.cancel_algo_order(**given)
        return self.client.rest_api.cancel_order(symbol, order_id=ids.order_id)

    def cancel_all(self, store, symbol=SYMBOL):
        if store == "conditional":
            return self.client.rest_api.cancel_all_algo_open_orders(symbol)
        return self.client.rest_api.cancel_all_open_orders(symbol)

    def query(self, ids, symbol=SYMBOL):
        if ids.order_id is None:
            given = {"algo_id": ids.algo_id} if ids.algo_id else {"client_algo_id": ids.client_order_id}
            return self.client.rest_api.query_algo_order(**given)
        return self.client.rest_api.query_order(symbol, order_id=ids.order_id)

    def read(self, answer):
        data = answer.data() if hasattr(answer, "data") else answer
        return [plain(each) for each in data] if isinstance(data, list) else plain(data)

    def error_code_of(self, error):
        code = getattr(error, "status_code", None)
        return code if isinstance(error, Error) and isinstance(code, int) and code < 0 else None


def plain(model):
    """Return a model of the SDK as Binance's dict."""
    inner = getattr(model, "actual_instance", None) or model
    return inner.model_dump(by_alias=True, exclude_none=True) if hasattr(inner, "model_dump") else inner
