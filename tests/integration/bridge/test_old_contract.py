"""The bridge keeps the old contract: the same life on the old exchange, and on today's through the bridge."""

import contextlib
import gc

import pytest
from abilities import GENERATES_BATCH_IDS, needs_websocket_orders
from binance import AsyncClient
from bridge_worlds import SYMBOL, World
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exit_shim.clients.python_binance_releases import sends_stops_where_accepted

PRICES = st.sampled_from([48_000, 52_000, 56_000, 60_000, 64_000, 68_000, 72_000])
TRIGGERS = st.sampled_from([46_000, 50_000, 54_000, 58_000, 62_000, 66_000, 70_000, 74_000])
QUANTITIES = st.sampled_from([0.002, 0.01, 0.05])
SIDES = st.sampled_from(["BUY", "SELL"])
LIMITS = st.sampled_from([1, 2, 3, 1_000])
NAMES = st.integers(0, 3).map("order-{}".format)
STOP_NAMES = st.integers(0, 3).map("stop-{}".format)
ONE_POOL = (NAMES, NAMES)
"""The names of stops and of others: any order may use a name again once its order has ended."""

TWO_POOLS = (STOP_NAMES, NAMES)
OTHER = "ETHUSDT"
SYMBOLS = st.sampled_from([SYMBOL, SYMBOL, OTHER])
SCALES = {SYMBOL: 1, OTHER: 20}
"""How much lower prices are, and higher quantities."""

ENTRY = {
    "symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.05", "newClientOrderId": "order-0",
}  # fmt: skip
TYPES = ["STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TAKE_PROFIT", "TRAILING_STOP_MARKET"]


@st.composite
def orders(draw, *, hedge, pools):
    """An order as bots of 2024 place it."""
    kind = draw(st.sampled_from(["MARKET", "LIMIT", *TYPES]))
    symbol = draw(SYMBOLS)
    scale = SCALES[symbol]
    order = {"symbol": symbol, "side": draw(SIDES), "type": kind}
    order["newClientOrderId"] = draw(pools[kind not in TYPES])
    whole = kind in {"STOP_MARKET", "TAKE_PROFIT_MARKET"} and draw(st.booleans())
    if whole:
        order["closePosition"] = "true"
    else:
        order["quantity"] = str(draw(QUANTITIES) * scale)
        if kind != "MARKET" and not hedge and draw(st.booleans()):
            order["reduceOnly"] = "true"
    if hedge:
        order["positionSide"] = draw(st.sampled_from(["LONG", "SHORT"]))
    if kind in {"LIMIT", "STOP", "TAKE_PROFIT"}:
        order |= {"price": str(draw(PRICES) // scale), "timeInForce": "GTC"}
    if kind == "TRAILING_STOP_MARKET":
        order["callbackRate"] = "1"
        if draw(st.booleans()):
            order["activationPrice"] = str(draw(TRIGGERS) // scale)
    elif kind in TYPES:
        order["stopPrice"] = str(draw(TRIGGERS) // scale)
    return order


VERBS = [
    *["place"] * 6,
    *["get", "get", "cancel", "cancel", "move", "move"],
    *["batch", "open", "open_all", "all", "pages", "cancel_list", "cancel_all"],
]


@st.composite
def actions(draw, *, hedge, pools):
    """One thing that a bot does, or that happens to it."""
    verb = draw(st.sampled_from(VERBS))
    if verb == "batch" and not GENERATES_BATCH_IDS:
        # "batch_lists" of the differences: only the bridge can place those of an old release.
        verb = "place"
    if verb == "place":
        return verb, draw(orders(hedge=hedge, pools=pools))
    if verb == "batch":
        by_name = st.lists(
            orders(hedge=hedge, pools=pools),
            min_size=1,
            max_size=4,
            unique_by=lambda order: order["newClientOrderId"],
        )
        return verb, draw(by_name)
    symbol = draw(SYMBOLS)
    names = pools[0] | pools[1]
    if verb in {"get", "cancel"}:
        return verb, (symbol, draw(st.sampled_from(["id", "name"])), draw(names), draw(st.booleans()))
    if verb == "cancel_list":
        return verb, (symbol, draw(st.lists(names, min_size=1, max_size=4, unique=True)))
    if verb == "pages":
        return verb, (symbol, draw(st.integers(1, 5)))
    return verb, (symbol, draw(PRICES) // SCALES[symbol] if verb == "move" else draw(LIMITS))


def place(world, verb, what):
    """Place an order, or several at once."""
    if verb == "place":
        return world.call("futures_create_order", **what)
    return world.call("futures_place_batch_order", batchOrders=[dict(order) for order in what])


def act(world, verb, what):
    """Do one action in a world, and return what the bot sees of it."""
    if verb in {"place", "batch"}:
        return place(world, verb, what)
    if verb in {"get", "cancel"}:
        *order, is_lost = what
        with world.without_its_question(order[0], order[-1]) if is_lost else contextlib.nullcontext():
            return world.ask(verb, *order)
    symbol, what = what
    if verb == "cancel_list":
        ids = [world.id_of(symbol, name) for name in what]
        return world.call("futures_cancel_orders", symbol=symbol, orderidlist=ids)
    if verb == "move":
        return world.move(what, symbol)
    if verb == "pages":
        return world.read_pages(symbol, what)
    method, params = {
        "open": ("futures_get_open_orders", {"symbol": symbol}),
        "open_all": ("futures_get_open_orders", {}),
        "all": ("futures_get_all_orders", {"symbol": symbol, "limit": what}),
        "cancel_all": ("futures_cancel_all_open_orders", {"symbol": symbol}),
    }[verb]
    return world.call(method, **params)


def comparable(new, verb, what, *, batched):
    """Return what to do in both worlds, such that they differ in nothing that is declared."""
    if verb == "place":
        return new.without_differences([what])[0]
    if verb == "batch":
        return new.without_differences(what)
    # Orders of one millisecond have no order between the stores.
    return (what[0], 1_000) if verb == "all" and batched else what


def live_twice(history, **settings_of_worlds):
    """Live a history in both worlds, and compare every answer and the state after each step."""
    with (
        World(is_bridged=False, **settings_of_worlds) as old,
        World(is_bridged=True, **settings_of_worlds) as new,
    ):
        batched = False
        entry = {**ENTRY, **({"positionSide": "LONG"} if settings_of_worlds.get("hedge") else {})}
        for step, (verb, asked) in enumerate([("place", entry), *history]):
            batched |= verb == "batch"
            what = comparable(new, verb, asked, batched=batched)
            seen = [act(world, verb, what) for world in (old, new)]
            assert seen[0] == seen[1], (step, verb, what)
            assert old.state() == new.state(), (step, verb, what)
            for world in (old, new):
                world.exchange.advance(10)
        assert new.shim.internal_errors.count == 0


def histories(*, hedge, pools=ONE_POOL):
    return st.lists(actions(hedge=hedge, pools=pools), min_size=4, max_size=30)


LIVES = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))


@LIVES
@given(history=histories(hedge=False))
def test_the_same_life_as_on_the_old_exchange(history):
    """Answers, codes and state are those of 2025-12-08, call by call, but for the declared differences."""
    live_twice(history)


@LIVES
@given(history=histories(hedge=True))
def test_the_same_life_in_hedge_mode(history):
    """The same with two positions a symbol."""
    live_twice(history, hedge=True)


@settings(LIVES, max_examples=examples(24))
@given(history=histories(hedge=False))
def test_the_same_life_of_an_async_client(history):
    """The same through an AsyncClient."""
    live_twice(history, is_async=True)


# The client leaves its connection to the WebSocket API open.
leaves_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@leaves_open
@needs_websocket_orders
@settings(LIVES, max_examples=examples(16))
@given(history=histories(hedge=False))
def test_the_same_life_by_websocket(history):
    """The same where orders are placed, asked for and cancelled through the WebSocket API."""
    live_twice(history, by_websocket=True)
    gc.collect()


@leaves_open
@pytest.mark.skipif(
    not sends_stops_where_accepted(AsyncClient, "ws_futures_create_order"),
    reason="this python-binance leaves the connection to the WebSocket API open when its loop ends",
)
@settings(LIVES, max_examples=examples(16))
@given(history=histories(hedge=False))
def test_the_same_life_of_an_async_client_by_websocket(history):
    """The same through an AsyncClient."""
    live_twice(history, is_async=True, by_websocket=True)
    gc.collect()
