"""Two exchanges side by side: the rules of 2025-12-08 without the bridge, and those of today with it."""

import asyncio
import contextlib
import json
from decimal import Decimal, InvalidOperation

from binance import AsyncClient, BinanceSocketManager, Client
from binance.exceptions import BinanceAPIException

import exit_shim
from exit_shim.exchange.engine.errors import ExchangeError
from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

SYMBOL = "BTCUSDT"
OLD_DAY = "2025-12-08"

TODAYS = {"algoId", "clientAlgoId", "algoStatus", "triggerPrice", "actualOrderId"}
TIMES = {"time", "updateTime", "workingTime"}
AVERAGES = {"avgPrice", "cumQuote", "cumQty"}
LISTED_ONLY = {"pair", "cumBase"}
DROPPED = TODAYS | TIMES | LISTED_ONLY

SAME_CODES = {-4129: -4509}
"""Declared differences between codes: the old one, and today's."""


PATHS = {"FUTURES_URL": "/fapi", "FUTURES_COIN_URL": "/dapi", "PAPI_URL": "/papi"}


def aim(client, exchange):
    """Point one client at an exchange, whatever other clients are pointed at."""
    for name, path in PATHS.items():
        setattr(client, name, exchange.url + path)
    return client


@contextlib.contextmanager
def sync_client(exchange, kind=Client):
    """Make a client of any release for an exchange; old ones ping when they are made."""
    with redirect_clients(exchange.url, exchange.register):
        client = aim(kind(LOCAL_KEY, LOCAL_SECRET), exchange)
    yield client
    close_client(client)


async def async_client(exchange):
    """Make an async client for an exchange."""
    with redirect_clients(exchange.url, exchange.register):
        client = await AsyncClient.create(LOCAL_KEY, LOCAL_SECRET)
    return aim(client, exchange)


def sockets_of(client, exchange):
    """Make a manager of sockets for an exchange."""
    with redirect_clients(exchange.url, exchange.register):
        return BinanceSocketManager(client)


def user_socket(manager):
    """Return the socket of the user data stream; the first releases call it otherwise."""
    return getattr(manager, "futures_user_socket", manager.futures_socket)()


class World:
    """One exchange with a client of python-binance on it; every call is answered in a form to compare."""

    def __init__(self, *, is_bridged, is_async=False, hedge=False, by_websocket=False):
        self.is_bridged = is_bridged
        self.by_websocket = by_websocket
        self.is_async = is_async
        self.exchange = LocalExchange(rules=None if is_bridged else OLD_DAY, hedge_mode=hedge)
        self.names = {}
        self.ids = {}

    def __enter__(self):
        self.exchange.start()
        self.exchange.register(LOCAL_KEY, LOCAL_SECRET)
        self.loop = asyncio.new_event_loop() if self.is_async else None
        self.undo = contextlib.ExitStack()
        if self.is_async:
            self.bare = self._run(async_client(self.exchange))
        else:
            self.bare = self.undo.enter_context(sync_client(self.exchange))
        self.shim = exit_shim.ExitShim(journal=False, bridge=True, sinks=[]) if self.is_bridged else None
        self.client = self.shim.wrap(self.bare) if self.is_bridged else self.bare
        return self

    def __exit__(self, *_):
        if self.is_async:
            self._run(self.bare.close_connection())
            self.loop.close()
        self.undo.close()
        if self.shim is not None:
            self.shim.close()
        self.exchange.stop()

    def _run(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    def call(self, method, **params):
        """Call a method and return what it says, comparable between the worlds."""
        if self.by_websocket and f"ws_{method}" in BY_WEBSOCKET:
            method = f"ws_{method}"
        function, args = getattr(self.client, method), ()
        # Newer releases would send it to a store that the old exchange does not have.
        if method == "futures_create_order" and not self.is_bridged:
            function, args, params = self.bare._request_futures_api, ("post", "order", True), {"data": params}
        elif method == "ws_futures_create_order" and not self.is_bridged:
            name = "_ws_futures_api_request" + ("" if self.is_async else "_sync")
            function, args, params = getattr(self.bare, name), ("order.place", True, params), {}
        try:
            answer = function(*args, **params)
            answer = self._run(answer) if self.is_async else answer
        except BinanceAPIException as error:
            return "refused", SAME_CODES.get(error.code, error.code)
        self._learn(answer)
        return self._comparable(answer, drop_averages=method not in READS)

    def move(self, price):
        """Move the price; return what is comparable of the state afterwards."""
        self.exchange.set_mark(SYMBOL, price)
        return self.state()

    def fill(self, name, quantity):
        """Fill a resting ordinary order in part."""
        try:
            self.exchange.fill_order(SYMBOL, self.reference(name), quantity)
        except ExchangeError as error:
            return "refused", error.code
        return self.state()

    def state(self):
        """Return positions, and the names of what rests."""
        positions = [(row["positionSide"], number(row["positionAmt"])) for row in self.exchange.positions()]
        resting = {
            row.get("clientOrderId") or row.get("clientAlgoId") for row in self.exchange.orders(SYMBOL)
        }
        if not self.is_bridged:
            resting |= {row["clientOrderId"] for row in self.bare_open()}
        return sorted(positions), sorted(resting)

    def bare_open(self):
        rows = self.bare.futures_get_open_orders(symbol=SYMBOL)
        return self._run(rows) if self.is_async else rows

    def id_of(self, name):
        """Return the order id that this world's bot knows an order by; one that never was for None."""
        return self.ids.get(name, 77)

    def _learn(self, answer):
        for row in answer if isinstance(answer, list) else [answer]:
            if isinstance(row, dict) and row.get("orderId") and row.get("clientOrderId"):
                self.ids[row["clientOrderId"]] = row["orderId"]
                self.names[row["orderId"]] = row["clientOrderId"]

    def _comparable(self, answer, *, drop_averages):
        if isinstance(answer, list):
            rows = [self._comparable(row, drop_averages=drop_averages) for row in answer]
            return sorted(rows, key=lambda row: json.dumps(row, default=str, sort_keys=True))
        if not isinstance(answer, dict):
            return answer
        if "code" in answer:
            return "refused", SAME_CODES.get(answer["code"], answer["code"])
        dropped = DROPPED | (AVERAGES if drop_averages else set())
        row = {name: number(value) for name, value in answer.items() if name not in dropped}
        if "orderId" in row:
            row["orderId"] = self.names.get(answer["orderId"], "?")
        return row


BY_WEBSOCKET = {"ws_futures_create_order", "ws_futures_get_order", "ws_futures_cancel_order"}

READS = {
    "ws_futures_get_order",
    "futures_get_order",
    "futures_get_open_orders",
    "futures_get_all_orders",
    "futures_v1_get_open_order",
}


def number(value):
    """Return a number's own value, so that zeros do not count; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return Decimal(value).normalize() + 0
    except InvalidOperation:
        return value
