"""The user data stream as a source of the book: what each event says, and a thread that hears them."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from decimal import Decimal

import pytest
import requests
from abilities import ALGO, needs_algo
from binance import AsyncClient, BinanceSocketManager, Client
from record_sink import keep_record

import exit_shim
from exit_shim.clients import python_binance_clone
from exit_shim.clients.accounts import label_of
from exit_shim.clients.python_binance_releases import hears_user_stream
from exit_shim.clients.registry import clone_client
from exit_shim.domain.orders import Reference
from exit_shim.feeds import Gap, Over, Rests, Sized, learned
from exit_shim.feeds import exchange_poller as polling
from exit_shim.feeds import stream_listener as listener
from exit_shim.guard.book import GRACE_S
from exit_shim.guard.live_exits import PositionKey
from exit_shim.guard.policy import parse_policy
from exit_shim.testing import FakeClient, LocalExchange, faults
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
PART = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 51000, "quantity": 0.004,
    "reduceOnly": "true",
}  # fmt: skip
LIMIT = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "price": 70000, "quantity": 0.004,
    "timeInForce": "GTC", "reduceOnly": "true",
}  # fmt: skip
POSITION = PositionKey("mine", "BTCUSDT", "BOTH", "SELL")
OWNER = "exit_brain_v3"

needs_stream = pytest.mark.skipif(
    not hears_user_stream(BinanceSocketManager), reason="this python-binance connects where nothing is sent"
)


def algo(status, number=7, **more):
    """An ALGO_UPDATE as production sends it; `more` fields under its own names."""
    body = {
        "caid": "mine-1", "aid": number, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BTCUSDT", "S": "SELL",
        "ps": "BOTH", "f": "GTC", "q": "0.004", "X": status, "ai": "", "tp": "51000", "p": "0",
        "V": "EXPIRE_MAKER", "wt": "CONTRACT_PRICE", "pm": "NONE", "cp": False, "pP": False, "R": True,
        "tt": 0, "gtd": 0, "ia": False,
    }  # fmt: skip
    return {"e": "ALGO_UPDATE", "T": 1, "E": 1, "o": {**body, **more}}


def order(status, number=9, **more):
    """An ORDER_TRADE_UPDATE of a reduce-only LIMIT order."""
    body = {
        "s": "BTCUSDT", "c": "mine-1", "S": "SELL", "o": "LIMIT", "f": "GTC", "q": "0.004", "p": "70000",
        "sp": "0", "x": "NEW", "X": status, "i": number, "R": True, "ot": "LIMIT", "ps": "BOTH", "cp": False,
    }  # fmt: skip
    return {"e": "ORDER_TRADE_UPDATE", "T": 1, "E": 1, "o": {**body, **more}}


def positions(*rows):
    """An ACCOUNT_UPDATE with these symbols, position sides and amounts."""
    changed = [{"s": symbol, "ps": side, "pa": amount} for symbol, side, amount in rows]
    return {"e": "ACCOUNT_UPDATE", "T": 1, "E": 1, "a": {"B": [], "P": changed, "m": "ORDER"}}


# What an event says


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED", "REJECTED"])
def test_a_stop_that_ended_without_closing_anything_is_over_and_undone(status):
    """Its position is as it was, so it may be without a stop now."""
    named = Reference(algo_id=7, client_order_id="mine-1")
    assert learned(algo(status)) == Over("conditional", named, undone=True)


def test_a_stop_that_triggers_is_over_with_its_child():
    """TRIGGERING, TRIGGERED and FINISHED each end a STOP_MARKET; the child's number is a text in `ai`."""
    named = Reference(algo_id=7, client_order_id="mine-1")
    assert learned(algo("TRIGGERING")) == Over("conditional", named)
    assert learned(algo("TRIGGERED", ai="88")) == Over("conditional", named, child=88)
    assert learned(algo("FINISHED", ai="88", ap="1", aq="0")) == Over("conditional", named, child=88)


def test_a_stop_limit_goes_on_as_its_child():
    """Before TRIGGERED names the child there is nothing to say; FINISHED ends both."""
    assert learned(algo("TRIGGERING", o="STOP")) is None
    assert learned(algo("TRIGGERED", o="STOP", ai="")) is None
    assert learned(algo("TRIGGERED", o="STOP", ai="88")).child_rests
    assert not learned(algo("FINISHED", o="STOP", ai="88")).child_rests


def test_a_placed_exit_rests_with_its_fields():
    """In the terms of the lists of open orders: ids, trigger, quantity, whether it can only reduce."""
    stop = learned(algo("NEW")).order
    assert (stop.algo_id, stop.order_id, stop.client_order_id) == (7, None, "mine-1")
    assert (stop.type, stop.trigger, stop.quantity) == ("STOP_MARKET", Decimal(51000), Decimal("0.004"))
    limit = learned(order("PARTIALLY_FILLED")).order
    assert (limit.order_id, limit.algo_id, limit.type, limit.can_only_reduce) == (9, None, "LIMIT", True)
    hedged = order("NEW", R=False, ps="LONG")
    assert isinstance(learned(hedged), Rests)


@pytest.mark.parametrize(
    "event",
    [
        order("NEW", R=False),
        order("NEW", o="MARKET"),
        order("NEW", R=False, ps="LONG", S="BUY"),
        order("NEW", number=None),
        order("SOMETHING_NEW"),
        algo("NEW", R=False),
        algo("NEW", number="seven"),
        {"e": "TRADE_LITE", "s": "BTCUSDT", "i": 9},
        {"e": "ORDER_TRADE_UPDATE", "o": "no mapping"},
        {"e": "ALGO_UPDATE"},
        {"e": "ACCOUNT_UPDATE", "a": {"P": "no list", "B": []}},
        {"e": "ACCOUNT_UPDATE", "a": {"P": [3, {"s": "BTCUSDT", "pa": "much", "ps": "BOTH"}]}},
        {"e": "CONDITIONAL_ORDER_TRIGGER_REJECT", "or": {}},
        {"e": 5},
        {},
    ],
)
def test_what_is_no_exit_or_not_to_be_read_says_nothing(event):
    """Entries, market orders, other events, and whatever is not as documented."""
    assert learned(event) is None


@pytest.mark.parametrize("status", ["FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"])
def test_an_order_that_ended_is_over(status):
    """Whatever its type: the child of a stop is a MARKET order of the stop's client id."""
    over = learned(order(status, o="MARKET"))
    assert (over.store, over.named, over.undone) == (
        "orders", Reference(9, client_order_id="mine-1"), status in {"CANCELED", "EXPIRED"},
    )  # fmt: skip


def test_a_refused_trigger_of_old_is_an_end():
    """CONDITIONAL_ORDER_TRIGGER_REJECT names the order alone."""
    event = {"e": "CONDITIONAL_ORDER_TRIGGER_REJECT", "or": {"s": "BTCUSDT", "i": 9, "r": "margin"}}
    assert learned(event) == Over("orders", Reference(9), undone=True)


def test_positions_have_a_size_for_each_side_that_can_reduce_them():
    """One-way: the side that reduces has the size, the other none; hedged: the one side that reduces."""
    assert learned(positions(("BTCUSDT", "BOTH", "-0.5"), ("ETHUSDT", "LONG", "0"))) == Sized(
        (
            ("BTCUSDT", "BOTH", "SELL", Decimal(0)),
            ("BTCUSDT", "BOTH", "BUY", Decimal("0.5")),
            ("ETHUSDT", "LONG", "SELL", Decimal(0)),
        )
    )
    assert learned(positions(("ETHUSDT", "SHORT", "-2"))) == Sized((("ETHUSDT", "SHORT", "BUY", Decimal(2)),))


def test_errors_and_an_expired_key_are_gaps():
    """python-binance puts its errors among the events."""
    assert learned({"e": "error", "type": "BinanceWebsocketClosed", "m": ""}) == Gap(
        "python-binance says BinanceWebsocketClosed"
    )
    assert isinstance(learned({"e": "listenKeyExpired", "E": 1, "listenKey": "k"}), Gap)


def test_an_event_of_a_combined_stream_is_read_too():
    """It is wrapped as stream and data."""
    assert isinstance(learned({"stream": "key", "data": algo("NEW")}), Rests)


# What the book makes of it: events handed in by a bot that has a stream of its own


class Bot:
    """A shim and a client in this process; events are handed to it, and time passes when a test says so."""

    def __init__(self):
        self.shim = exit_shim.ExitShim(journal=False, account="mine", sinks=[])
        self.book = self.shim.guard.book
        self.bare = FakeClient(exchange=LocalExchange())
        self.client = self.shim.wrap(self.bare)
        self.bare.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)

    def by(self, module, method="futures_create_order", **params):
        with exit_shim.attributed(module):
            return getattr(self.client, method)(**params)

    def hear(self, *events):
        for event in events:
            self.shim.feed_user_event(event, self.client)

    def wait(self):
        """Have those that were heard of come in."""
        self.book.admit(0.0)

    def lives(self, side="SELL"):
        return [
            (live.target.module, live.target.algo_id or live.target.order_id)
            for live in self.book.exits_of(POSITION._replace(side=side))
        ]


@pytest.fixture
def bot():
    if not ALGO:
        pytest.skip("this python-binance does not know the Algo Service")
    own = Bot()
    yield own
    own.shim.close()


def test_an_exit_from_elsewhere_comes_in_of_no_known_module(bot):
    """Its kind is told by its fields; not before those who may have placed it here could have said so."""
    bot.hear(algo("NEW"), order("NEW", c="mine-2"))
    assert bot.lives() == []
    bot.wait()
    assert bot.lives() == [(None, 7), (None, 9)]
    stop, limit = bot.book.exits_of(POSITION)
    assert (stop.target.kind, stop.store, stop.trigger, stop.quantity) == (
        "sl", "conditional", "51000", "0.004",
    )  # fmt: skip
    assert (limit.target.kind, limit.store, limit.is_protective) == ("other_exit", "orders", False)


def test_the_watchers_thread_lets_them_in(bot):
    """Nobody has to ask: after a moment they are there."""
    bot.hear(algo("NEW"))
    began = time.monotonic()
    while not bot.lives():
        assert time.monotonic() - began < 60
        time.sleep(0.05)
    assert time.monotonic() - began > GRACE_S / 2


def test_an_order_of_this_process_keeps_its_module(bot):
    """Told of before its answer, or after it, or again."""
    real = bot.by(OWNER, **PART)
    number, name = real["algoId"], real["clientAlgoId"]
    bot.hear(algo("NEW", number, caid=name), algo("NEW", number, caid=name))
    bot.wait()
    assert bot.lives() == [(OWNER, number)]
    bot.hear(algo("NEW", number + 1, caid="early"))
    early = bot.by(OWNER, **PART, clientAlgoId="early")
    assert early["algoId"] == number + 1
    bot.wait()
    assert bot.lives() == [(OWNER, number), (OWNER, number + 1)]


def test_one_that_came_in_first_gets_its_module_with_its_answer(bot):
    """An answer that took longer than the grace says whose it is all the same."""
    number = bot.by(OWNER, **PART)["algoId"] + 1
    bot.hear(algo("NEW", number, caid="slow"))
    bot.wait()
    assert bot.lives()[-1] == (None, number)
    assert bot.by(OWNER, **PART, clientAlgoId="slow")["algoId"] == number
    assert bot.lives()[-1] == (OWNER, number)


@needs_algo
def test_no_order_is_held_against_itself():
    """The news of a stop comes before its answer: it is nobody else's duplicate."""
    records = []

    class Sink:
        def on(self, recorded):
            keep_record(records, recorded)

    shim = exit_shim.ExitShim(journal=False, account="mine", policy=parse_policy(""), sinks=[Sink()])
    exchange = LocalExchange()
    client = shim.wrap(FakeClient(exchange=exchange))
    exchange.engine.feed.listeners.append(
        lambda event: (
            shim.feed_user_event(algo("NEW", event.algo.algo_id, caid=event.algo.client_id), client)
            if hasattr(event, "algo")
            else None
        )
    )
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    with exit_shim.attributed(OWNER):
        client.futures_create_order(**PART)
    shim.flush()
    assert {reason.code for reason in records[-1].reasons}.isdisjoint({"DUPLICATE_EXIT", "OVERSIZED"})
    assert len(shim.guard.book._announced) == 1
    shim.close()


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED", "REJECTED", "TRIGGERING", "TRIGGERED", "FINISHED"])
def test_an_exit_that_ended_elsewhere_leaves_at_once(bot, status):
    """By its number; another of the same client's id that is not that one stays."""
    real = bot.by(OWNER, **PART)
    bot.hear(algo(status, real["algoId"] + 50, caid=real["clientAlgoId"]))
    assert bot.lives() == [(OWNER, real["algoId"])]
    bot.hear(algo(status, real["algoId"], caid=real["clientAlgoId"]))
    assert bot.lives() == []


def test_the_fill_of_a_child_ends_its_stop(bot):
    """It comes before FINISHED, and has the stop's client id."""
    real = bot.by(OWNER, **PART)
    bot.hear(order("FILLED", 99, o="MARKET", c=real["clientAlgoId"]))
    assert bot.lives() == []


def test_a_stop_limit_that_triggered_rests_as_its_child_under_its_module(bot):
    """The LIMIT order is the module's, and no stop any more; its end is its own."""
    real = bot.by(OWNER, **{**PART, "type": "STOP", "price": 50900})
    name = real["clientAlgoId"]
    child = order("NEW", 99, c=name)
    bot.hear(child, algo("TRIGGERED", real["algoId"], o="STOP", caid=name, ai="99"), child)
    bot.wait()
    assert bot.lives() == [(OWNER, 99)]
    assert not bot.book.exits_of(POSITION)[0].is_protective
    bot.hear(order("FILLED", 99, c=name))
    assert bot.lives() == []


def test_late_news_brings_nothing_back(bot):
    """Not the placing of one that this process cancelled, nor one that the exchange ended."""
    real = bot.by(OWNER, **PART)
    bot.by(OWNER, "futures_cancel_algo_order", algoId=real["algoId"])
    bot.hear(algo("NEW", real["algoId"], caid=real["clientAlgoId"]))
    bot.hear(algo("CANCELED", 70), algo("NEW", 70))
    bot.hear(algo("NEW", 71), algo("CANCELED", 71))
    bot.wait()
    assert bot.lives() == []


def test_an_end_before_the_answer_holds(bot):
    """A LIMIT order that is filled before its answer arrives does not rest afterwards."""
    number = bot.by(OWNER, **LIMIT)["orderId"] + 1
    bot.hear(order("NEW", number, c="quick"), order("FILLED", number, c="quick"))
    assert bot.by(OWNER, **LIMIT, newClientOrderId="quick")["orderId"] == number
    bot.wait()
    assert (OWNER, number) not in bot.lives()


def test_an_id_used_again_is_a_new_order(bot):
    """What is told of the earlier one does not touch the later."""
    first = bot.by(OWNER, **PART, clientAlgoId="again")["algoId"]
    bot.by(OWNER, "futures_cancel_algo_order", algoId=first)
    second = bot.by(OWNER, **PART, clientAlgoId="again")["algoId"]
    bot.hear(algo("CANCELED", first, caid="again"))
    assert bot.lives() == [(OWNER, second)]


def test_ended_ids_are_remembered_up_to_a_bound(bot, monkeypatch):
    """The oldest are forgotten."""
    monkeypatch.setattr("exit_shim.guard.live_exits.MAX_ENDED", 3)
    bot.hear(*(algo("CANCELED", number) for number in range(10, 20)))
    assert [key[1][1] for key in bot.book._exits._ended] == [17, 18, 19]


def test_position_sizes_follow(bot):
    """Each ACCOUNT_UPDATE sets both sides; older looks do not undo it."""
    asked = time.time_ns()
    bot.hear(positions(("BTCUSDT", "BOTH", "0.010")))
    assert (bot.book.size(POSITION), bot.book.size(POSITION._replace(side="BUY"))) == (Decimal("0.010"), 0)
    bot.book.set_size(POSITION, Decimal(5), asked)
    assert bot.book.size(POSITION) == Decimal("0.010")
    bot.hear(positions(("BTCUSDT", "BOTH", "-0.020")))
    assert (bot.book.size(POSITION), bot.book.size(POSITION._replace(side="BUY"))) == (0, Decimal("0.020"))


def test_a_stop_cancelled_elsewhere_strips_an_open_position_alone(bot):
    """With the position gone there is nothing that is stripped; one from elsewhere makes up for it."""
    bot.hear(positions(("BTCUSDT", "BOTH", "0.01")))
    real = bot.by(OWNER, **PART)
    bot.hear(algo("CANCELED", real["algoId"]))
    assert [position for position, _ in bot.book.lost_stops()] == [POSITION]
    bot.hear(algo("NEW", 70, caid="app"))
    bot.wait()
    assert bot.book.lost_stops() == []
    bot.hear(algo("CANCELED", 70, caid="app"))
    assert [position for position, _ in bot.book.lost_stops()] == [POSITION]
    bot.hear(positions(("BTCUSDT", "BOTH", "0")))
    assert bot.book.lost_stops() == []
    real = bot.by(OWNER, **PART)
    bot.hear(algo("EXPIRED", real["algoId"]))
    assert bot.book.lost_stops() == []


def test_an_order_in_doubt_is_so_no_more_when_it_is_told_of(bot):
    """It keeps its module and gets its number."""
    bot.bare.exchange.faults.inject(faults.reset_after_execution())
    with pytest.raises(requests.ConnectionError):
        bot.by(OWNER, **PART, clientAlgoId="d")
    (live,) = bot.book.exits_of(POSITION)
    assert live.in_doubt
    bot.hear(algo("NEW", 70, caid="d"))
    bot.wait()
    (live,) = bot.book.exits_of(POSITION)
    assert (live.in_doubt, live.target.module, live.target.algo_id) == (False, OWNER, 70)


def test_whatever_is_handed_in_raises_nothing(bot, monkeypatch):
    """The bot's own callback goes on."""
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    for odd in (
        None,
        5,
        "text",
        [],
        {"e": "ALGO_UPDATE", "o": {"aid": 7, "X": object()}},
        algo("NEW", q="much"),
    ):
        bot.shim.feed_user_event(odd, bot.client)
    bot.shim.feed_user_event(algo("NEW", 71), "mine")
    bot.wait()
    assert (None, 71) in bot.lives()


def test_a_gap_that_is_handed_in_makes_the_book_unsure_where_it_is_watched(bot):
    """Only a look that came well after it sets that right; where nobody looks, it never could."""
    gap = {"e": "error", "type": "BinanceWebsocketClosed", "m": ""}
    bot.hear(gap)
    assert bot.book.why_unsure("mine", "BTCUSDT") is None
    bot.shim.watch(bot.client, every=60)
    bot.hear(gap)
    assert bot.book.why_unsure("mine", "BTCUSDT") == (
        "the user data stream was interrupted: python-binance says BinanceWebsocketClosed"
    )
    assert bot.book.why_unsure("another", "BTCUSDT") is None
    bot.shim.account_feeds.pollers[0].look()
    assert bot.book.why_unsure("mine", "BTCUSDT") is not None
    until(lambda: bot.book.why_unsure("mine", "BTCUSDT") is None)


def test_looks_that_are_asked_for_again_and_again_keep_apart(bot, monkeypatch):
    """However often the stream is interrupted; the last interruption is followed by a look all the same."""
    monkeypatch.setattr(polling, "SOON_S", 0.1)
    monkeypatch.setattr(polling, "APART_S", 1.0)
    looks = []
    monkeypatch.setattr(polling.ExchangePoller, "look", lambda _: looks.append(time.monotonic()))
    bot.shim.watch(bot.client, every=3600)
    until(lambda: looks)
    while len(looks) < 4:
        bot.hear({"e": "error", "type": "BinanceWebsocketClosed", "m": ""})
        time.sleep(0.01)
    assert looks[2] - looks[1] >= 1.0
    assert looks[3] - looks[2] >= 1.0


# The thread


def until(true, patience=60.0):
    """Wait until something is so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < patience
        time.sleep(0.02)


def streaming():
    """The threads that listen."""
    return [thread for thread in threading.enumerate() if thread.name == listener.StreamListener.thread_name]


def looks_at(exchange):
    """The looks so far; before the first one an exchange must not stop: a connection is being made."""
    return [one for one in exchange.requests if one.path.endswith("positionRisk")]


class Watched:
    """A shim that watches the local exchange, and a client of somebody else's on the same account."""

    def __init__(self, exchange, client, bare):
        self.exchange = exchange
        self.other = bare
        self.shim = exit_shim.ExitShim(journal=False, account="mine", sinks=[])
        self.client = self.shim.wrap(client)
        self.book = self.shim.guard.book
        self.position = POSITION._replace(account=label_of(client, "mine"))

    def unsure(self):
        return self.book.why_unsure(self.position.account, "BTCUSDT")

    def watch(self):
        self.shim.watch(self.client, every=3600, stream=True)
        until(lambda: "looked at" in str(self.unsure()))
        return self

    def lives(self):
        return [live.target.module for live in self.book.exits_of(self.position)]

    def looks(self):
        return looks_at(self.exchange)

    def has_key(self):
        keys = self.exchange.engine.listen_keys
        return keys.is_live(keys._keys[LOCAL_KEY][0], self.exchange.engine.now())

    def close(self):
        until(self.looks)
        self.shim.close()
        until(lambda: not streaming())


@pytest.fixture
def watched(exchange, client):
    made = []

    def make(own=None):
        made.append(Watched(exchange, client if own is None else own, client))
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        return made[-1]

    yield make
    for one in made:
        one.close()


@needs_stream
def test_what_others_do_is_known_as_it_happens(watched):
    """Placed, cancelled and fired elsewhere, position sizes: all of it without a look."""
    own = watched().watch()
    with exit_shim.attributed(OWNER):
        first = own.client.futures_create_order(**PART)
        own.client.futures_create_order(**STOP)
    assert own.lives() == [OWNER, OWNER]
    until(lambda: own.unsure() is None)
    looks = len(own.looks())
    own.other.futures_create_order(**{**PART, "stopPrice": 52000})
    until(lambda: own.lives() == [OWNER, OWNER, None])
    own.other.futures_cancel_algo_order(algoId=first["algoId"])
    until(lambda: own.lives() == [OWNER, None])
    own.other.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.02)
    until(lambda: own.book.size(own.position) == Decimal("0.03"))
    own.exchange.set_mark("BTCUSDT", 49_000)
    until(lambda: own.lives() == [] and own.book.size(own.position) == 0)
    assert len(own.looks()) == looks


@needs_stream
async def test_an_async_client_is_watched_too(exchange, client, async_client, watched):
    """By a client of the shim's own for the looks, and another for the stream; the bot's is not touched."""
    client.futures_create_order(**PART)
    own = await asyncio.to_thread(lambda: watched(async_client).watch())
    assert async_client.response.url.path.endswith("/time")
    await asyncio.to_thread(until, lambda: own.lives() == [None])
    with exit_shim.attributed(OWNER):
        placed = await own.client.futures_create_order(**{**PART, "stopPrice": 50500})
    assert own.lives() == [None, OWNER]
    await asyncio.to_thread(client.futures_cancel_algo_order, algoId=placed["algoId"])
    await asyncio.to_thread(until, lambda: own.lives() == [None])
    await asyncio.to_thread(own.close)


@needs_stream
def test_close_ends_the_thread_and_the_listen_key_lives(watched):
    """The key is the account's: the bot's own stream goes on with it."""
    own = watched().watch()
    assert len(streaming()) == 1
    own.close()
    assert own.has_key()
    assert {one.method for one in own.exchange.requests if one.path.endswith("listenKey")} == {"POST"}
    assert own.unsure() is None


@needs_stream
def test_a_dropped_connection_is_made_again_and_the_exchange_looked_at(watched, monkeypatch):
    """What happened meanwhile is known after the look, and until then the book is unsure."""
    own = watched().watch()
    until(lambda: own.unsure() is None)
    with exit_shim.attributed(OWNER):
        placed = own.client.futures_create_order(**PART)
    monkeypatch.setattr(listener, "PAUSES_S", (3.0, 3.0))
    looks, key = len(own.looks()), own.exchange.engine.listen_keys
    own.exchange.engine.close_listen_key(LOCAL_KEY)  # ends the connection, as the bot's own stream may
    until(lambda: own.unsure() == "the user data stream is not connected")
    own.other.futures_cancel_algo_order(algoId=placed["algoId"])
    assert own.lives() == [OWNER]
    until(lambda: own.lives() == [])
    until(lambda: own.unsure() is None)
    assert len(own.looks()) > looks
    assert key._keys[LOCAL_KEY]


@needs_stream
def test_a_stream_that_cannot_be_had_is_told_of_once(watched, monkeypatch):
    """With what to do; it is tried again, the looks go on, and they make the book sure."""
    told = []
    own = watched()
    monkeypatch.setattr(listener, "PAUSES_S", (0.05, 0.05))
    monkeypatch.setattr(
        own.shim.internal_errors, "report", lambda step, error: told.append((step, str(error)))
    )
    monkeypatch.setattr(AsyncClient, "futures_stream_get_listen_key", refuse := Refusal())
    own.shim.watch(own.client, every=3600, stream=True)
    until(lambda: refuse.times > 3)
    ((step, said),) = told
    assert step == "listen to the user data stream"
    assert "Check that the API key may be used from this address, and that WebSockets get through" in said
    assert LOCAL_SECRET not in said
    own.shim.account_feeds.pollers[0].look_soon()
    until(lambda: own.unsure() is None)


class Refusal:
    """Refuses every listen key, with the account's secret in the text."""

    times = 0

    async def __call__(self, *_):
        self.times += 1
        raise PermissionError(f"no key for {LOCAL_SECRET}")


@pytest.mark.parametrize(
    ("release", "home", "said"),
    [
        (False, True, "install 1.0.36 or later"),
        pytest.param(True, False, "say where its stream is", marks=needs_stream),
    ],
)
def test_a_stream_that_can_never_be_had_costs_no_certainty(
    exchange, client, monkeypatch, release, home, said
):
    """An old python-binance, an address of its own: said once, and the book is as it is without a stream."""
    told = []
    if not release:
        monkeypatch.setattr(python_binance_clone, "hears_user_stream", lambda _: False)
    if not home:
        client.FUTURES_URL = client.FUTURES_URL.replace("127.0.0.1", "localhost")
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    monkeypatch.setattr(shim.internal_errors, "report", lambda _, error: told.append(str(error)))
    shim.watch(client, every=3600, stream=True)
    assert (len(told), streaming()) == (1, [])
    assert said in told[0]
    assert "polled every 3600 s all the same" in told[0]
    assert shim.guard.book.why_unsure(None, "BTCUSDT") is None
    until(lambda: looks_at(exchange))
    shim.close()


@needs_stream
def test_an_address_of_ones_own_can_be_given(exchange, client, watched, monkeypatch):
    """For a client whose address was changed."""
    monkeypatch.setattr(BinanceSocketManager, "FSTREAM_URL", "ws://127.0.0.1:1/")
    client.FUTURES_URL = client.FUTURES_URL.replace("127.0.0.1", "localhost")
    own = watched()
    own.shim.watch(own.client, every=3600, stream=exchange.url.replace("http", "ws"))
    until(lambda: "looked at" in str(own.unsure()))


def test_a_client_that_is_no_genuine_one_has_no_stream(bot, monkeypatch):
    """A fake is looked at all the same."""
    told = []
    monkeypatch.setattr(bot.shim.internal_errors, "report", lambda _, error: told.append(str(error)))
    bot.shim.watch(bot.client, every=3600, stream=True)
    assert "only a genuine python-binance client has one" in told[0]


@needs_stream
def test_an_odd_event_does_not_end_the_thread(watched, monkeypatch):
    """It is told of, and the next one is taken in."""
    told = []
    own = watched()
    monkeypatch.setattr(own.shim.internal_errors, "report", lambda step, _: told.append(step))
    own.watch()
    monkeypatch.setattr(own.book, "set_size", None)
    own.other.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.02)
    until(lambda: told)
    monkeypatch.undo()
    own.other.futures_create_order(**PART)
    until(lambda: own.lives() == [None])
    assert len(streaming()) == 1


@needs_stream
def test_a_shim_that_nobody_holds_listens_no_more(exchange, client):
    """Neither thread is what keeps it."""
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    shim.watch(client, every=3600, stream=True)
    until(lambda: streaming() and looks_at(exchange))
    del shim
    gc.collect()
    until(lambda: not streaming())


FORKS = """
import os, sys, threading, time
from binance import Client
from exit_shim.clients.accounts import label_of
import exit_shim
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

with LocalExchange() as exchange, redirect_clients(exchange.url, exchange.register):
    client = Client(LOCAL_KEY, LOCAL_SECRET)
    shim = exit_shim.ExitShim(journal=False, account="mine", sinks=[])
    shim.watch(client, every=3600, stream=True)
    book, account = shim.guard.book, label_of(client, "mine")
    while "looked at" not in str(book.why_unsure(account, "BTCUSDT")):
        time.sleep(0.02)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        names = {thread.name for thread in threading.enumerate()}
        print("child", book.why_unsure(account, "BTCUSDT"), "exit-shim-stream" in names, flush=True)
        shim.close()
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(1)
    print("parent", "exit-shim-stream" in {thread.name for thread in threading.enumerate()}, flush=True)
    shim.close()
"""


@needs_stream
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_the_child_of_a_fork_does_not_listen():
    """Nor is it unsure for the lack of a stream that nobody asked for there; the parent's goes on."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKS)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["child None False", "parent True"], done.stderr


def test_the_process_wide_shim_is_watched_by_the_function(exchange, client):
    """`exit_shim.watch` and `exit_shim.feed_user_event` are for those who made no ExitShim."""
    before = set(threading.enumerate())
    exit_shim.watch(exit_shim.wrap(client), every=3600)
    until(lambda: looks_at(exchange))
    exit_shim.feed_user_event(algo("NEW"), client)
    book = exit_shim.shim.default_shim().guard.book
    book.admit(0.0)
    assert [position.symbol for position in book.positions()] == ["BTCUSDT"]
    exit_shim.shim.forget_default_shim()
    until(lambda: "exit-shim-poller" not in {one.name for one in set(threading.enumerate()) - before})


def test_an_async_siblings_options_are_its_clients(exchange):
    """Timeout, proxy and verification of requests become aiohttp's; nothing is sent."""
    own = Client(LOCAL_KEY, LOCAL_SECRET, {"timeout": 3}, ping=False)
    own.session.verify = False
    own.session.proxies["https"] = "http://127.0.0.1:3"
    clone = clone_client(own)
    assert clone._is_at_home

    async def make():
        made = clone.async_client()
        await made.session.close()
        return made

    made = asyncio.run(make())
    assert type(made) is AsyncClient
    assert made._requests_params == {"timeout": 3, "ssl": False}
    assert made.https_proxy == "http://127.0.0.1:3"
    assert made._create_futures_api_uri("order") == own._create_futures_api_uri("order")
    assert (made.API_KEY, made.API_SECRET) == (LOCAL_KEY, LOCAL_SECRET)
    exit_shim.testing.close_client.close_client(own)
