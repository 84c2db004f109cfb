"""ccxt's USDⓈ-M exchange: sync, async, and with orders by WebSocket."""

import json
import re

import ccxt
import ccxt.async_support
import ccxt.pro

from client_drivers.driver import SYMBOL, Driver

PLAIN = ("symbol", "type", "side", "quantity", "price", "triggerPrice", "stopPrice")
"""The fields that have an argument or a parameter of ccxt's own."""

_markets = {}


def unified(fields):
    """Return the arguments of `create_order` that stand for Binance's fields."""
    rest = {name: value for name, value in fields.items() if name not in PLAIN}
    kind, trigger = fields["type"], fields.get("triggerPrice", fields.get("stopPrice"))
    is_whole = rest.pop("closePosition", "false") == "true"
    if is_whole:
        rest |= {"stopPrice": trigger, "closePosition": True}
    elif kind in {"STOP", "STOP_MARKET"}:
        rest["stopLossPrice"] = trigger
    elif kind in {"TAKE_PROFIT", "TAKE_PROFIT_MARKET"}:
        rest["takeProfitPrice"] = trigger
    elif kind == "TRAILING_STOP_MARKET":
        rest["trailingPercent"] = rest.pop("callbackRate")
        if "activatePrice" in rest:
            rest["trailingTriggerPrice"] = rest.pop("activatePrice")
    return {
        "symbol": to_ccxt(fields["symbol"]),
        "type": kind if is_whole else "limit" if "price" in fields else "market",
        "side": fields["side"].lower(),
        "amount": number(fields.get("quantity")),
        "price": number(fields.get("price")),
        "params": rest,
    }


def number(value):
    """Return an amount as bots pass it to ccxt."""
    return None if value is None else float(value)


def to_ccxt(symbol):
    """Return ccxt's name of a contract."""
    return f"{symbol.removesuffix('USDT')}/USDT:USDT"


def point(addresses, url):
    """Put the exchange into a table of addresses, whatever its depth."""
    host = url.partition("://")[2]
    for name, address in addresses.items():
        if isinstance(address, dict):
            point(address, url)
        elif isinstance(address, str):
            scheme, _, rest = address.partition("://")
            addresses[name] = f"{scheme.removesuffix('s')}://{host}/{rest.partition('/')[2]}"


class Ccxt(Driver):
    """The unified calls of `ccxt.binanceusdm`."""

    library = "ccxt"
    generates_client_ids = True
    refusals = (ccxt.BaseError,)
    kind = ccxt.binanceusdm

    def connect(self, url, key, secret, timeout=30):
        self.client = self.make(key, secret, timeout)
        point(self.client.urls["api"], url)
        if not _markets:
            _markets.update(self.finish(self.client.load_markets()))
        self.client.set_markets(_markets)

    def make(self, key, secret, timeout):
        """Make an exchange with its defaults."""
        settings = {"apiKey": key, "secret": secret, "timeout": int(timeout * 1000), "enableRateLimit": False}
        return self.kind({**settings, "options": {"fetchCurrencies": False}})

    def place(self, fields):
        return self.client.create_order(**unified(fields))

    def batch(self, orders):
        return self.client.create_orders([unified(order) for order in orders])

    def amend(self, order_id, fields):
        order = unified({"type": "LIMIT", **fields})
        return self.client.edit_order(str(order_id), **order)

    def cancel(self, ids, symbol=SYMBOL):
        return self.client.cancel_order(number_of(ids), to_ccxt(symbol), naming(ids))

    def cancel_all(self, store, symbol=SYMBOL):
        return self.client.cancel_all_orders(
            to_ccxt(symbol), {"trigger": True} if store == "conditional" else {}
        )

    def query(self, ids, symbol=SYMBOL):
        return self.client.fetch_order(number_of(ids), to_ccxt(symbol), naming(ids))

    def disconnect(self):
        return self.client.session.close()

    def read(self, answer):
        if isinstance(answer, list):
            return [self.read(each) for each in answer]
        return answer["info"] if isinstance(answer, dict) and "info" in answer else answer

    def error_code_of(self, error):
        match = re.search(r'"code"\s*:\s*"?(-\d+)', str(error))
        return None if match is None else int(match[1])


def number_of(ids):
    """Return the id that ccxt takes, as text."""
    return str(ids.algo_id or ids.order_id or "") or None


def naming(ids):
    """Return the parameters that say in which store an order is, and its own name."""
    name = {"clientAlgoId": ids.client_order_id} if number_of(ids) is None else {}
    return {"trigger": True, **name} if ids.algo_id or name else {}


class CcxtAsync(Ccxt):
    """The same calls of `ccxt.async_support.binanceusdm`."""

    is_async = True
    kind = ccxt.async_support.binanceusdm

    def make(self, key, secret, timeout):
        async def made():
            return super(CcxtAsync, self).make(key, secret, timeout)

        return self.finish(made())

    def disconnect(self):
        return self.client.close()


class CcxtPro(CcxtAsync):
    """`ccxt.pro.binanceusdm`, whose single orders go by WebSocket."""

    by_websocket = True
    kind = ccxt.pro.binanceusdm

    def place(self, fields):
        return self.client.create_order_ws(**unified(fields))

    def amend(self, order_id, fields):
        return self.client.edit_order_ws(str(order_id), **unified({"type": "LIMIT", **fields}))

    def cancel(self, ids, symbol=SYMBOL):
        return self.client.cancel_order_ws(number_of(ids), to_ccxt(symbol), naming(ids))

    def error_code_of(self, error):
        code = super().error_code_of(error)
        if code is None and isinstance(error, ccxt.BaseError):
            match = re.search(r"\{.*\}", str(error))
            read = json.loads(match[0]) if match else {}
            code = read.get("code")
        return code
