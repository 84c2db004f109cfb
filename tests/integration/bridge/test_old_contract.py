"""The bridge keeps the old contract: the same life on the old exchange, and on today's through the bridge."""

import gc

import pytest
from abilities import GENERATES_BATCH_IDS, needs_websocket_orders
from binance import AsyncClient
from bridge_worlds import SYMBOL, World
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exit_shim.clients.python_binance import sends_stops_where_accepted

PRICES = st.sampled_from([48_000, 52_000, 56_000, 60_000, 64_000, 68_000, 72_000])
TRIGGERS = st.sampled_from([46_000, 50_000, 54_000, 58_000, 62_000, 66_000, 70_000, 74_000])
QUANTITIES = st.sampled_from([0.002, 0.01, 0.05])
SIDES = st.sampled_from(["BUY", "SELL"])
# A name in both stores at once is a declared difference.
STOPS, OTHERS = (st.integers(0, 7).map(f"{what}-{{}}".format) for what in ("stop", "order"))
NAMES = STOPS | OTHERS
TYPES = ["STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TAKE_PROFIT", "TRAILING_STOP_MARKET"]


@st.composite
def orders(draw, *, hedge):
    """An order as bots of 2024 place it."""
    kind = draw(st.sampled_from(["MARKET", "LIMIT", *TYPES]))
    order = {"symbol": SYMBOL, "side": draw(SIDES), "type": kind}
    order["newClientOrderId"] = draw(STOPS if kind in TYPES else OTHERS)
    whole = kind in {"STOP_MARKET", "TAKE_PROFIT_MARKET"} and draw(st.booleans())
    if whole:
        order["closePosition"] = "true"
    else:
        order["quantity"] = str(draw(QUANTITIES))
        if kind != "MARKET" and not hedge and draw(st.booleans()):
            order["reduceOnly"] = "true"
    if hedge:
        order["positionSide"] = draw(st.sampled_from(["LONG", "SHORT"]))
    if kind in {"LIMIT", "STOP", "TAKE_PROFIT"}:
        order |= {"price": str(draw(PRICES)), "timeInForce": "GTC"}
    if kind == "TRAILING_STOP_MARKET":
        order["callbackRate"] = "1"
        if draw(st.booleans()):
            order["activationPrice"] = str(draw(TRIGGERS))
    elif kind in TYPES:
        order["stopPrice"] = str(draw(TRIGGERS))
    return order


@st.composite
def actions(draw, *, hedge):
    """One thing that a bot does, or that happens to it."""
    verb = draw(st.sampled_from(["place"] * 5 + ["batch", "get", "open", "all", "cancel", "cancel_list",
                                               "cancel_all", "open_all", "move", "move"]))  # fmt: skip
    if verb == "batch" and not GENERATES_BATCH_IDS:
        # "batch_lists" of the differences: only the bridge can place those of an old release.
        verb = "place"
    if verb == "place":
        return verb, draw(orders(hedge=hedge))
    if verb == "batch":
        return verb, draw(st.lists(orders(hedge=hedge), min_size=1, max_size=4))
    if verb in {"get", "cancel"}:
        return verb, (draw(st.sampled_from(["id", "name"])), draw(NAMES))
    if verb == "cancel_list":
        return verb, draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return verb, draw(PRICES) if verb == "move" else None


def act(world, verb, what):
    """Do one action in a world, and return what the bot sees of it."""
    if verb == "place":
        return world.call("futures_create_order", **what)
    if verb == "batch":
        return world.call("futures_place_batch_order", batchOrders=[dict(order) for order in what])
    if verb in {"get", "cancel"}:
        by, name = what
        reference = {"orderId": world.id_of(name)} if by == "id" else {"origClientOrderId": name}
        return world.call(f"futures_{'get' if verb == 'get' else 'cancel'}_order", symbol=SYMBOL, **reference)
    if verb == "cancel_list":
        ids = [world.id_of(name) for name in what]
        return world.call("futures_cancel_orders", symbol=SYMBOL, orderidlist=ids)
    if verb == "move":
        return world.move(what)
    method, symbol = {
        "open": ("futures_get_open_orders", {"symbol": SYMBOL}),
        "open_all": ("futures_get_open_orders", {}),
        "all": ("futures_get_all_orders", {"symbol": SYMBOL}),
        "cancel_all": ("futures_cancel_all_open_orders", {"symbol": SYMBOL}),
    }[verb]
    return world.call(method, **symbol)


def live_twice(history, **settings_of_worlds):
    """Live a history in both worlds, and compare every answer and the state after each step."""
    with (
        World(is_bridged=False, **settings_of_worlds) as old,
        World(is_bridged=True, **settings_of_worlds) as new,
    ):
        for place, (verb, what) in enumerate(history):
            seen = [act(world, verb, what) for world in (old, new)]
            assert seen[0] == seen[1], (place, verb, what)
            assert old.state() == new.state(), (place, verb, what)
            for world in (old, new):
                world.exchange.advance(10)
        assert new.shim.internal_errors.count == 0


def histories(*, hedge):
    return st.lists(actions(hedge=hedge), min_size=1, max_size=30)


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
