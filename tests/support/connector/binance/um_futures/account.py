"""The connector's order methods."""

from binance.error import ParameterRequiredError


def new_order(self, symbol: str, side: str, type: str, **kwargs):
    for value, name in ((symbol, "symbol"), (side, "side"), (type, "type")):
        if not value:
            raise ParameterRequiredError([name])
    params = {"symbol": symbol, "side": side, "type": type, **kwargs}
    return self.sign_request("POST", "/fapi/v1/order", params)


def cancel_order(
    self, symbol: str, orderId: int | None = None, origClientOrderId: str | None = None, **kwargs
):
    params = {"symbol": symbol, "orderId": orderId, "origClientOrderId": origClientOrderId, **kwargs}
    return self.sign_request("DELETE", "/fapi/v1/order", params)


def new_batch_order(self, batchOrders: list):
    params = {"batchOrders": batchOrders}
    return self.sign_request("POST", "/fapi/v1/batchOrders", params, True)


def modify_order(
    self,
    symbol: str,
    side: str,
    quantity: float,
    price: float,
    orderId: int | None = None,
    origClientOrderId: str | None = None,
    **kwargs,
):
    params = {"symbol": symbol, "side": side, "quantity": quantity, "price": price}
    params = {**params, "orderId": orderId, "origClientOrderId": origClientOrderId, **kwargs}
    return self.sign_request("PUT", "/fapi/v1/order", params)


def query_order(
    self, symbol: str, orderId: int | None = None, origClientOrderId: str | None = None, **kwargs
):
    params = {"symbol": symbol, "orderId": orderId, "origClientOrderId": origClientOrderId, **kwargs}
    return self.sign_request("GET", "/fapi/v1/order", params)


def cancel_open_orders(self, symbol: str, **kwargs):
    return self.sign_request("DELETE", "/fapi/v1/allOpenOrders", {"symbol": symbol, **kwargs})
