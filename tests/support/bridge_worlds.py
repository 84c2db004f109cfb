"""Two exchanges side by side: the rules of 2025-12-08 without the bridge, and those of today with it."""

import asyncio
import contextlib
import json
from decimal import Decimal, InvalidOperation

from binance import AsyncClient, BinanceSocketManager, Client
from binance.exceptions import BinanceAPIException

import exit_shim
from exit_shim.exchange.engine.errors import ExchangeError
from exit_shim.testing import LocalExchange, faults
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


class Bridged:
    """A bridged client, with its shim and the client inside."""

    def __init__(self, shim, bare):
        self.shim = shim
        self.bare = bare
        self._client = shim.wrap(bare)

    def __getattr__(self, name):
        return getattr(self._client, name)


@contextlib.contextmanager
def bridged_client(exchange):
    """Make a bridged client that knows of no order; in the end it must have had no internal errors."""
    shim = exit_shim.ExitShim(journal=False, bridge=True, sinks=[])
    with sync_client(exchange) as bare:
        yield Bridged(shim, bare)
    shim.close()
    assert shim.internal_errors.count == 0


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
        self.labels = {}
        self.ids = {}
        self.placed = 0

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
        if method in PLACES:
            self._learn(answer)
        return self._comparable(answer, drop_averages=method not in READS)

    def ask(self, verb, symbol, by, name):
        """Find or cancel an order by its id or its name."""
        order_id = self.id_of(symbol, name)
        # One store led from a name to its newest order; the local exchange's old rules look elsewhere first.
        is_by_id = by == "id" or (not self.is_bridged and (symbol, name) in self.ids)
        reference = {"orderId": order_id} if is_by_id else {"origClientOrderId": name}
        return self.call(f"futures_{verb}_order", symbol=symbol, **reference)

    @contextlib.contextmanager
    def without_its_question(self, symbol, name):
        """Let GET algoOrder not know today's waiting stop of a name."""
        waiting = {row["clientAlgoId"] for row in self.exchange.open_algo_orders(symbol)}
        is_wanted = self.is_bridged and name in waiting
        fault = self.exchange.faults.inject(faults.no_such_algo_order(), times=None) if is_wanted else None
        yield
        if fault is not None:
            fault.cancel()

    def read_pages(self, symbol, size):
        """Return the labels of all orders of a symbol, read from the first one on, page by page."""
        labels, first = [], 1
        while True:
            rows = self.client.futures_get_all_orders(symbol=symbol, orderId=first, limit=size)
            rows = self._run(rows) if self.is_async else rows
            assert len(rows) <= size
            if not rows:
                return sorted(labels)
            labels += [self.labels.get(row["orderId"], "?") for row in rows]
            assert len(set(labels)) == len(labels)
            first = rows[-1]["orderId"] + 1

    def move(self, price, symbol=SYMBOL):
        """Move the price; return what is comparable of the state afterwards."""
        self.exchange.set_mark(symbol, price)
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
        positions = [
            (row["symbol"], row["positionSide"], number(row["positionAmt"]))
            for row in self.exchange.positions()
        ]
        resting = {row.get("clientOrderId") or row.get("clientAlgoId") for row in self.exchange.orders()}
        if not self.is_bridged:
            resting |= {row["clientOrderId"] for row in self.bare_open()}
        return sorted(positions), sorted(resting)

    def bare_open(self):
        rows = self.bare.futures_get_open_orders()
        return self._run(rows) if self.is_async else rows

    def id_of(self, symbol, name):
        """Return the id of the newest order of a name; one that never was for a name that never was."""
        return self.ids.get((symbol, name), 77)

    def without_differences(self, orders):
        """Return orders that do not show the declared differences `name_in_both` and `no_position`."""
        stops = {row["clientAlgoId"] for row in self.exchange.open_algo_orders()}
        others = {row["clientOrderId"] for row in self.exchange.open_orders()}
        return [self._without_difference(order, stops, others, len(orders) > 1) for order in orders]

    def _without_difference(self, order, stops, others, is_in_batch):
        self.placed += 1
        # One that rests may open the position.
        is_refused_today = is_in_batch or self.exchange.open_orders(order["symbol"])
        if "closePosition" in order and is_refused_today:
            order = {name: order[name] for name in order if name != "closePosition"} | {"quantity": "0.2"}
        resting = stops if order["type"] in {"MARKET", "LIMIT"} else others
        if order["newClientOrderId"] in resting:
            return {**order, "newClientOrderId": f"free-{self.placed}"}
        return order

    def _learn(self, answer):
        for row in answer if isinstance(answer, list) else [answer]:
            if isinstance(row, dict) and row.get("orderId") and row.get("clientOrderId"):
                self.ids[row["symbol"], row["clientOrderId"]] = row["orderId"]
                self.labels[row["orderId"]] = f"{row['clientOrderId']} no. {len(self.labels):03}"

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
            row["orderId"] = self.labels.get(answer["orderId"], "?")
        return row


BY_WEBSOCKET = {"ws_futures_create_order", "ws_futures_get_order", "ws_futures_cancel_order"}

PLACES = {"futures_create_order", "ws_futures_create_order", "futures_place_batch_order"}

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
