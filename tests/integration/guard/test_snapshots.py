"""Looks at the exchange: what they read, who shares them, what ends them, and what they may cost."""

import asyncio
import contextlib
import os
import threading
import time
from decimal import Decimal

import pytest
import requests
from abilities import needs_algo
from binance import BinanceSocketManager, Client
from odd_server import OddServer, answer, hang

import exit_shim
from exit_shim.clients.accounts import label_of
from exit_shim.clients.python_binance_releases import hears_user_stream
from exit_shim.clients.registry import clone_client
from exit_shim.domain.accounts import exchange_of
from exit_shim.guard.exchange_snapshot import Snapshot, read_open_order, read_position
from exit_shim.guard.policy import PolicyError, parse_policy
from exit_shim.guard.snapshot_reads import weight_of
from exit_shim.guard.snapshots import Snapshots, Unseen
from exit_shim.resolving import Budget, ExchangeReader, UsedWeight
from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange, faults
from exit_shim.testing.close_client import close_client

SYMBOL = "BTCUSDT"
ENTRY = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": 0.01}
STOP = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
LISTS = {"openOrders", "openAlgoOrders", "positionRisk"}
READS = LISTS | {"ticker/price"}

pytestmark = needs_algo

needs_stream = pytest.mark.skipif(
    not hears_user_stream(BinanceSocketManager), reason="this python-binance connects where nothing is sent"
)


def endpoints(exchange):
    """The reads that have arrived, in order."""
    found = [one.path.split("/", 3)[-1] for one in exchange.requests if one.method == "GET"]
    return [path for path in found if path in READS]


def looks(exchange):
    """How many looks have arrived."""
    return endpoints(exchange).count("positionRisk")


def until(true, patience=20.0):
    """Wait until something is so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < patience
        time.sleep(0.01)


def slow(exchange, seconds, **more):
    """Have the exchange take its time to answer reads of positions."""
    return exchange.faults.inject(
        faults.delayed(seconds, answer_only=True), path="positionRisk", **{"times": None, **more}
    )


class Shop:
    """Snapshots, and a client that they ask with; their clock stands still, so nothing gets old by itself."""

    def __init__(self, client, exchange, **settings):
        self.client = client
        self.exchange = exchange
        self.account = label_of(client)
        self.now = 0.0
        self.snapshots = Snapshots(**{"within_s": 5.0, "clock": lambda: self.now, **settings})
        self.used = UsedWeight(wall=lambda: 6_000_030.0)  # amid a minute
        self.snapshots.used._at[exchange_of(self.account)] = self.used

    def get(self, symbol=SYMBOL, *, fresh=False):
        return self.snapshots.get(self.client, self.account, symbol, fresh=fresh)

    async def get_async(self, symbol=SYMBOL, *, fresh=False):
        return await self.snapshots.get_async(self.client, self.account, symbol, fresh=fresh)

    def expire(self, symbol=SYMBOL):
        self.snapshots.expire(self.account, symbol)

    def close_client(self):
        """Wait until no read is under way, and let go of the connections."""
        until(lambda: not self.snapshots._running)
        self.snapshots.close()

    def in_thread(self, **asked):
        """Ask on another thread; what it gets is put into the list that is returned."""
        found = []
        thread = threading.Thread(target=lambda: found.append(self.get(**asked)))
        thread.start()
        return thread, found


@pytest.fixture
def shop(client, exchange):
    """Snapshots, and a client on the local exchange."""
    own = Shop(client, exchange)
    yield own
    own.close_client()


# What is read


def test_a_look_reads_both_stores_the_position_and_the_last_price(shop):
    """Of one symbol four requests, each once, and the stock has what covering is judged by."""
    shop.client.futures_create_order(**ENTRY)
    shop.client.futures_create_order(**STOP, workingType="MARK_PRICE")
    shop.exchange.set_mark(SYMBOL, 61000)
    snapshot = shop.get()
    assert sorted(endpoints(shop.exchange)) == sorted(READS)
    (held,), (stop,) = snapshot.positions, snapshot.resting
    assert (held.amount, held.mark, snapshot.last) == (Decimal("0.01"), Decimal(61000), Decimal(61000))
    assert (stop.working_type, stop.is_active, stop.trigger) == ("MARK_PRICE", True, Decimal(50000))


def test_a_look_at_all_symbols_reads_no_price_and_counts_its_weight(shop):
    """The last price is one symbol's; the two lists cost 40 each, the positions 5."""
    assert isinstance(shop.get(None), Snapshot)
    assert set(endpoints(shop.exchange)) == LISTS
    assert (weight_of(None), weight_of(SYMBOL)) == (85, 8)


def test_the_reads_of_a_look_are_asked_at_once():
    """Each read waits for the others to have arrived, and all are answered."""
    arrived = threading.Barrier(len(READS))
    with OddServer(Together(arrived)) as odd:
        client = Client("key", "secret", ping=False)
        client.FUTURES_URL = odd.url + "/fapi"
        found = Snapshots(within_s=5.0).get(client, "a", SYMBOL)
        close_client(client)
    assert found._replace(asked=0) == Snapshot((), ())


class Together:
    """Behaviour: no answer before all reads of a look are there."""

    def __init__(self, barrier):
        self.barrier = barrier

    def __call__(self, connection, request):
        self.barrier.wait(5)
        answer(200, [])(connection, request)


def test_the_bots_own_answer_stays_on_its_client(shop):
    """A look asks with clones: `client.response` is what the bot's own call has left there."""
    shop.client.futures_create_order(**ENTRY)
    before = shop.client.response
    assert isinstance(shop.get(), Snapshot)
    assert shop.client.response is before


def test_the_price_may_be_missing(shop):
    """A failing ticker costs nothing but the price."""
    failing = shop.exchange.faults.inject(faults.internal_error(), path="ticker/price")
    snapshot = shop.get()
    assert (snapshot.last, failing.hits) == (None, 1)


def test_a_price_that_hangs_is_not_waited_for_longer_than_a_look(client, exchange):
    """When the time is over, what is there without the price is the look."""
    shop = Shop(client, exchange, within_s=2.0)
    exchange.faults.inject(faults.delayed(6.0), path="ticker/price")
    snapshot = shop.get()
    assert isinstance(snapshot, Snapshot)
    assert snapshot.last is None
    shop.close_client()


@pytest.mark.parametrize("path", sorted(LISTS))
def test_a_read_that_fails_is_not_asked_again(shop, path):
    """One failing list makes a look that has seen nothing; it is not retried."""
    failing = shop.exchange.faults.inject(faults.internal_error(), path=path, times=None)
    assert shop.get() == Unseen("could_not_be_asked")
    assert failing.hits == 1


@pytest.mark.parametrize(
    ("status", "is_active"),
    [("NEW", True), ("PARTIALLY_FILLED", True), ("TRIGGERING", False), ("FINISHED", False), (None, False)],
)
def test_only_an_order_that_will_still_act_is_active(status, is_active):
    """One that is being triggered may come to nothing."""
    row = {"algoId": 1, "orderType": "STOP_MARKET", "symbol": SYMBOL, "side": "SELL", "algoStatus": status}
    assert read_open_order(row).is_active is is_active
    del row["algoId"], row["algoStatus"]
    assert read_open_order({**row, "orderId": 1, "status": status}).is_active is is_active


@pytest.mark.parametrize(
    ("more", "is_active"), [({}, False), ({"isActivated": False}, False), ({"isActivated": True}, True)]
)
def test_a_trailing_stop_is_active_only_where_its_row_says_so(more, is_active):
    """A row that does not say whether it is activated may be of one that is not."""
    row = {
        "algoId": 1,
        "orderType": "TRAILING_STOP_MARKET",
        "algoStatus": "NEW",
        "callbackRate": "1.5",
        "activatePrice": "70000",
    }
    stop = read_open_order({**row, **more})
    assert (stop.is_active, stop.callback_rate, stop.activation) == (
        is_active,
        Decimal("1.5"),
        Decimal(70000),
    )


def test_a_liquidation_price_of_zero_is_told():
    """Binance writes 0 where no price liquidates a position; a row that says nothing tells nothing."""
    row = {"symbol": SYMBOL, "positionAmt": "0.1", "markPrice": "60000", "liquidationPrice": "0"}
    assert read_position(row).liquidation == 0
    del row["liquidationPrice"]
    assert read_position(row).liquidation is None
    assert read_position({**row, "liquidationPrice": "41000.5"}).liquidation == Decimal("41000.5")


# Who shares a look


def test_an_answer_serves_for_a_second_from_when_it_was_asked(shop):
    """Not from when it came."""
    first = shop.get()
    shop.now = 1.0
    assert shop.get() is first
    shop.now = 1.01
    shop.get()
    assert looks(shop.exchange) == 2


def test_two_threads_join_one_look(shop):
    """Who asks while a look is under way gets its answer."""
    slow(shop.exchange, 0.5)
    asked = [shop.in_thread() for _ in range(4)]
    for thread, _ in asked:
        thread.join()
    first = asked[0][1][0]
    assert isinstance(first, Snapshot)
    assert all(found[0] is first for _, found in asked)
    assert looks(shop.exchange) == 1


def test_each_symbol_and_account_has_its_own_look(shop):
    """What was seen of one says nothing of another."""
    shop.get()
    shop.get("ETHUSDT")
    shop.snapshots.get(shop.client, "another", SYMBOL)
    assert looks(shop.exchange) == 3


def test_clients_without_an_account_share_nothing():
    """Two fakes may be two exchanges."""
    snapshots, exchanges = Snapshots(), [LocalExchange(), LocalExchange()]
    for exchange in exchanges:
        assert isinstance(snapshots.get(FakeClient(exchange=exchange), None, SYMBOL), Snapshot)
    assert [looks(exchange) for exchange in exchanges] == [1, 1]


def test_a_fresh_look_begins_after_the_question(shop):
    """Neither what was seen nor what is under way serves, and one look at a time is under way."""
    seen = shop.get()
    assert shop.get(fresh=True) is not seen
    shop.expire()
    slow(shop.exchange, 0.5, times=1)
    before, found = shop.in_thread()
    until(lambda: shop.snapshots._under_way)
    after = shop.get(fresh=True)
    before.join()
    assert found[0] is not after
    assert looks(shop.exchange) == 4


def test_fresh_questions_share_a_look_that_begins_after_them(shop):
    """Those that wait for the same look to end get the next one together."""
    slow(shop.exchange, 0.8, times=1)
    first, _ = shop.in_thread()
    until(lambda: shop.snapshots._under_way)
    asked = [shop.in_thread(fresh=True) for _ in range(4)]
    for thread, _ in [(first, None), *asked]:
        thread.join()
    assert looks(shop.exchange) == 2
    assert len({id(found[0]) for _, found in asked}) == 1


@pytest.mark.parametrize("symbol", [SYMBOL, None])
def test_what_was_seen_ends_at_once(shop, symbol):
    """With whatever is sent or heard on the symbol, or on any."""
    shop.get()
    shop.get("ETHUSDT")
    shop.expire(symbol)
    shop.get()
    shop.get("ETHUSDT")
    assert looks(shop.exchange) == (3 if symbol else 4)


def test_a_look_at_all_symbols_ends_with_each(shop):
    """It has seen that symbol, too."""
    shop.get(None)
    shop.get(None)
    shop.expire()
    shop.get(None)
    assert looks(shop.exchange) == 2


def test_a_look_that_was_under_way_serves_nobody_after_an_end(shop):
    """Who asked before looks again, with whoever asks after it; the answer of the first is not kept."""
    slow(shop.exchange, 0.5, times=1)
    before, found = shop.in_thread()
    until(lambda: shop.snapshots._under_way)
    shop.expire()
    after = shop.get()
    before.join()
    assert isinstance(found[0], Snapshot)
    assert found[0] is after
    assert shop.get() is after
    assert looks(shop.exchange) == 2


# How long it takes


def test_a_look_has_an_end(client, exchange, monkeypatch):
    """At an exchange that takes longer, nothing was seen; the late answer serves who asks in time."""
    monkeypatch.setattr("exit_shim.guard.snapshots.USELESS_AFTER_S", 20.0)
    shop = Shop(client, exchange, within_s=0.4)
    slow(exchange, 1.0, times=1)
    assert shop.get() == Unseen("timed_out")
    until(lambda: shop.snapshots._seen)
    assert isinstance(shop.get(), Snapshot)
    assert looks(exchange) == 1
    shop.close_client()


def test_an_exchange_that_never_answers_does_not_use_up_the_threads():
    """So many looks may hang; then nothing more is asked."""
    with OddServer(hang) as server:
        client = Client("key", "secret", ping=False)
        client.FUTURES_URL = server.url + "/fapi"
        snapshots = Snapshots(within_s=0.01, share=1)
        found = {snapshots.get(client, "a", f"S{number}") for number in range(60)}
        close_client(client)
    assert found == {Unseen("timed_out")}


def test_an_interrupt_amid_the_beginning_of_a_look_leaves_nothing_behind(shop, monkeypatch):
    """The look is over for whoever has joined it, and does not count as one that hangs."""
    start, begun = threading.Thread.start, []

    def interrupted(thread):
        begun.append(thread)
        if len(begun) == 2:
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop.get()
    assert shop.snapshots._running == 0
    assert isinstance(shop.get(), Snapshot)


async def test_a_callers_time_limit_does_not_end_the_look(async_client, exchange):
    """Who gives up leaves it behind, and its answer serves others."""
    shop = Shop(async_client, exchange)
    slow(exchange, 0.6, times=1)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(shop.get_async(), 0.1)
    assert isinstance(await shop.get_async(), Snapshot)
    assert looks(exchange) == 1
    shop.close_client()


async def test_an_async_look_does_not_block_the_loop(async_client, exchange):
    """Other tasks go on while the exchange takes its time, and all who ask share one look."""
    shop, ticks = Shop(async_client, exchange), []

    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    slow(exchange, 0.5, times=1)
    found = await asyncio.gather(*(shop.get_async() for _ in range(5)))
    ticking.cancel()
    assert all(one is found[0] for one in found)
    assert isinstance(found[0], Snapshot)
    assert len(ticks) > 5
    assert looks(exchange) == 1
    shop.close_client()


class Patient(FakeAsyncClient):
    """A fake whose positions take a moment."""

    async def futures_position_information(self, **params):
        await asyncio.sleep(0.3)
        return await super().futures_position_information(**params)


async def test_an_async_client_of_the_bots_own_is_asked_in_tasks_that_no_time_limit_ends():
    """A fake or an adapter is asked through its own methods, and the look outlives who gave up."""
    exchange = LocalExchange()
    shop = Shop(Patient(exchange=exchange), exchange)
    shop.account = "mine"
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(shop.get_async(), 0.05)
    assert isinstance(await shop.get_async(), Snapshot)
    assert looks(exchange) == 1


def test_an_async_fake_cannot_be_asked_in_a_sync_way():
    """Its coroutines are closed, so that Python warns of none."""
    exchange = LocalExchange()
    found = Snapshots().get(FakeAsyncClient(exchange=exchange), "mine", SYMBOL)
    assert found == Unseen("could_not_be_asked")


def test_an_adapter_around_a_python_binance_client_is_asked_in_turn(client):
    """Its client keeps an answer on itself before it reads it, and must not be asked twice at once."""

    class Adapter:
        inside = most = 0

        def __getattr__(self, name):
            def ask(**params):
                Adapter.inside += 1
                Adapter.most = max(Adapter.most, Adapter.inside)
                found = getattr(client, name)(**params)
                time.sleep(0.02)
                Adapter.inside -= 1
                return found

            return ask

    assert isinstance(Snapshots(within_s=5.0).get(Adapter(), "mine", SYMBOL), Snapshot)
    assert Adapter.most == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_sees_for_itself(shop):
    """After a fork amid a look nothing of the parent serves, hangs or is asked through."""
    shop.get()
    slow(shop.exchange, 0.5, times=1)
    shop.expire()
    under_way, _ = shop.in_thread()
    until(lambda: shop.snapshots._under_way)
    shop.snapshots._lock.acquire()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if isinstance(shop.get(), Snapshot) else 1)
        os._exit(2)
    shop.snapshots._lock.release()
    assert os.waitpid(pid, 0)[1] == 0
    under_way.join()
    assert looks(shop.exchange) == 3


# What it costs


def test_beyond_its_share_nothing_is_asked(client, exchange):
    """A share of one hundredth is 24 a minute: three looks of 8, and then at once no more."""
    shop = Shop(client, exchange, share=0.01)
    found = [shop.get(f"{name}USDT") for name in ("BTC", "ETH", "SOL", "XRP", "BNB")]
    assert [isinstance(one, Snapshot) for one in found[:3]] == [True] * 3
    assert found[3:] == [Unseen("over_budget")] * 2
    assert looks(exchange) == 3
    assert isinstance(shop.get(), Snapshot)  # what was seen serves on
    shop.close_client()


def test_the_weight_of_all_symbols_counts(client, exchange):
    """85 does not fit into 60."""
    shop = Shop(client, exchange, share=0.025)
    assert shop.get(None) == Unseen("over_budget")
    assert isinstance(shop.get(), Snapshot)
    shop.close_client()


def test_looks_leave_to_the_bot_what_it_needs(client, exchange):
    """The bot's last answer says that it has used 2,150 of 2,400: no look may take the rest."""
    shop = Shop(client, exchange)
    client.response = answered = requests.Response()
    answered.headers["x-mbx-used-weight-1m"] = "2150"
    assert isinstance(shop.get(), Snapshot)
    assert shop.get("ETHUSDT") == Unseen("over_budget")
    shop.close_client()


def test_the_weight_in_the_headers_of_looks_counts(client, exchange):
    """What another program at the same address has used is known from the first look on."""
    shop = Shop(client, exchange)
    exchange.service.gate.limits.count_weight(2150, int(time.time() * 1000))
    shop.get()
    assert shop.get("ETHUSDT") == Unseen("over_budget")
    shop.close_client()


def test_what_others_used_in_the_minutes_before_is_left_to_them():
    """At the beginning of a minute the bot has used nothing yet, and will."""
    now = [6_000_030.0]
    used = UsedWeight(clock=lambda: now[0], wall=lambda: now[0])
    answered = requests.Response()
    answered.headers["x-mbx-used-weight-1m"] = "2000"
    used.heed(answered)
    now[0] += 60
    assert (used.has_room_for(160), used.has_room_for(161)) == (True, False)
    now[0] += 600
    assert used.has_room_for(2160)


def test_a_count_of_the_minute_before_is_not_taken_for_one_of_this():
    """Where the clock of the exchange is a second behind, its next answer still counts our own looks."""
    now = [6_000_059.0]
    used = UsedWeight(clock=lambda: now[0], wall=lambda: now[0])
    used.spend(600)
    now[0] += 2
    answered = requests.Response()
    answered.headers["x-mbx-used-weight-1m"] = "2100"  # 1,500 of it others'
    used.heed(answered)
    assert used.has_room_for(600)


@pytest.mark.parametrize("status", [429, 418])
def test_a_refusal_closes_until_it_says(status):
    """Retry-After is kept to, by looks and by the resolver alike."""
    now = [6_000_030.0]
    used = UsedWeight(clock=lambda: now[0], wall=lambda: now[0])
    refused = requests.Response()
    refused.status_code = status
    refused.headers["Retry-After"] = "40"
    used.heed(refused)
    now[0] += 39
    assert not used.has_room_for(1)
    now[0] += 1
    assert used.has_room_for(1)


@pytest.mark.parametrize("fault", [faults.too_many_requests, faults.banned])
def test_after_a_refusal_for_too_many_nothing_is_asked(shop, fault):
    """One look meets it; the next are told at once that there is no budget, and no order of theirs waits."""
    limited = shop.exchange.faults.inject(fault(), path="positionRisk", times=None)
    assert shop.get() == Unseen("could_not_be_asked")
    arrived = len(shop.exchange.requests)
    assert shop.get() == shop.get("ETHUSDT") == Unseen("over_budget")
    assert (limited.hits, len(shop.exchange.requests)) == (1, arrived)


def test_the_resolver_and_the_looks_count_together(client, exchange):
    """A look that was refused for too many requests keeps the resolver quiet as well."""
    shop = Shop(client, exchange)
    asker = ExchangeReader(
        clone_client(client), Budget(60), shop.snapshots.used.at(exchange_of(shop.account))
    )
    assert asker.wait_s(1) == 0
    exchange.faults.inject(faults.too_many_requests(), path="positionRisk")
    shop.get()
    assert asker.wait_s(1) > 60
    shop.close_client()


@pytest.mark.parametrize(
    "line",
    [
        "look_within_s = 0",
        "look_within_s = 11.0",
        "look_share = 0.0",
        "look_share = 1.5",
        'look_share = "all"',
    ],
)
def test_a_budget_that_cannot_be_is_refused(line):
    """The error names the key."""
    with pytest.raises(PolicyError, match=line.split()[0]):
        parse_policy(line)


def test_the_policy_says_what_a_look_may_cost():
    """Its keys reach the guard's snapshots."""
    policy = parse_policy('level = "enforce"\nlook_within_s = 2.0\nlook_share = 0.5\n')
    shim = exit_shim.ExitShim(journal=False, policy=policy, sinks=[])
    assert (shim.guard.snapshots._within_s, shim.guard.snapshots._weight_a_minute) == (2.0, 1200)


# While a stream tells of everything


def test_while_everything_is_heard_what_was_seen_serves_longer(shop):
    """Up to half a minute, of looks that began after the stream; then, and without it, a second as before."""
    shop.get()
    shop.snapshots.hears(shop.account, is_heard=True)
    shop.now = 2.0
    second = shop.get()
    assert looks(shop.exchange) == 2  # what was seen before may have changed unheard
    shop.now = 31.9
    assert shop.get() is second
    shop.snapshots.hears(shop.account, is_heard=False)
    assert shop.get() is not second
    shop.snapshots.hears(shop.account, is_heard=True)
    third = shop.get(fresh=True)
    shop.now += 30.1
    assert shop.get() is not third


def test_a_book_that_is_unsure_makes_the_stream_no_help(client, exchange):
    """Distrusted, in doubt or behind: a second it is."""
    why = [None]
    shop = Shop(client, exchange, why_unsure=lambda *_: why[0])
    shop.snapshots.hears(shop.account, is_heard=True)
    first = shop.get()
    shop.now = 5.0
    assert shop.get() is first
    why[0] = "an order on this symbol is in doubt"
    assert shop.get() is not first
    shop.close_client()


# What ends it


class Ends:
    """A shim that enforces, and the ends that its snapshots are told of."""

    def __init__(self, client, policy='level = "enforce"\n', **options):
        self.shim = exit_shim.ExitShim(
            journal=False,
            policy=parse_policy(policy),
            mode="EXIT_BRAIN_V3",
            sinks=[],
            account="mine",
            **options,
        )
        self.client = self.shim.wrap(client)
        self.told = []
        expire = self.shim.guard.snapshots.expire

        def note(account, symbol):
            self.told.append(symbol)
            expire(account, symbol)

        self.shim.guard.snapshots.expire = note

    def taken(self):
        told, self.told = self.told, []
        return told


@pytest.fixture
def ends():
    own = Ends(FakeClient(exchange=LocalExchange()))
    yield own
    own.shim.close()


def test_whatever_is_sent_ends_what_was_seen_before_and_after(ends):
    """Entries, exits, batches, changes, cancels and cancel-alls; a test order sends nothing."""
    send = ends.client
    send.futures_create_order(**ENTRY)
    assert ends.taken() == [SYMBOL] * 2
    placed = send.futures_create_order(**STOP)
    assert ends.taken() == [SYMBOL] * 2
    send.futures_cancel_algo_order(algoId=placed["algoId"])
    assert ends.taken() == [SYMBOL] * 2  # known by its id
    send.futures_cancel_all_open_orders(symbol=SYMBOL)
    assert ends.taken() == [SYMBOL] * 2
    send.futures_place_batch_order(batchOrders=[ENTRY, {**ENTRY, "symbol": "ETHUSDT"}])
    assert sorted(ends.taken()) == ["BTCUSDT", "BTCUSDT", "ETHUSDT", "ETHUSDT"]
    mixed = [{**ENTRY, "side": "SELL", "reduceOnly": "true"}, {**ENTRY, "symbol": "ETHUSDT"}]
    send.futures_place_batch_order(batchOrders=mixed)
    assert sorted(ends.taken()) == ["BTCUSDT", "BTCUSDT", "ETHUSDT", "ETHUSDT"]
    send.futures_create_test_order(**ENTRY)
    send.futures_get_open_orders(symbol=SYMBOL)
    assert ends.taken() == []


def test_what_fails_ends_what_was_seen_too(ends):
    """A refused order may be an accepted one whose answer was lost."""
    for order in (ENTRY, {**ENTRY, "side": "SELL", "reduceOnly": "true"}):
        with pytest.raises(Exception, match=r".*"):
            ends.client.futures_create_order(**{**order, "quantity": -1})
        assert ends.taken() == [SYMBOL] * 2


def test_an_order_without_a_known_symbol_ends_all(ends):
    """A cancel of an id that nobody here has seen may be about any symbol."""
    with contextlib.suppress(Exception):
        ends.client.futures_cancel_algo_order(algoId=987)
    assert ends.taken() == [None] * 2


async def test_an_async_order_ends_what_was_seen_when_it_leaves():
    """Not when its coroutine is made; the coroutine has the client's own name."""
    ends = Ends(FakeAsyncClient(exchange=LocalExchange()))
    for order in (ENTRY, STOP):
        coroutine = ends.client.futures_create_order(**order)
        assert coroutine.__name__ == "futures_create_order"
        assert ends.taken() == []
        await coroutine
        assert ends.taken() == [SYMBOL] * 2


def test_where_nothing_is_enforced_orders_tell_nothing():
    """An entry must not cost more for snapshots that nobody asks for."""
    ends = Ends(FakeClient(exchange=LocalExchange()), policy="")
    ends.client.futures_create_order(**ENTRY)
    ends.client.futures_create_order(**STOP)
    assert ends.taken() == []


@pytest.mark.parametrize(
    ("event", "symbol"),
    [
        ({"e": "ORDER_TRADE_UPDATE", "o": {"s": SYMBOL, "X": "FILLED", "i": 1}}, SYMBOL),
        ({"e": "ALGO_UPDATE", "o": {"s": SYMBOL, "X": "NEW", "aid": 1}}, SYMBOL),
        ({"data": {"e": "TRADE_LITE", "s": SYMBOL}}, SYMBOL),
        ({"e": "ACCOUNT_CONFIG_UPDATE", "ac": {"s": SYMBOL, "l": 25}}, SYMBOL),
        ({"e": "ACCOUNT_UPDATE", "a": {"P": [{"s": SYMBOL, "pa": "1", "ps": "BOTH"}]}}, None),
        ({"e": "listenKeyExpired"}, None),
    ],
)
def test_what_is_heard_ends_what_was_seen(ends, event, symbol):
    """A change of the balance moves other positions' liquidation prices as well, so it ends all."""
    ends.shim.feed_user_event(event, ends.client)
    assert ends.taken() == [symbol]


def test_what_another_process_does_ends_what_was_seen(tmp_path, monkeypatch):
    """Its intent and its outcome, as soon as they are read in the journal."""
    exchange, shims = LocalExchange(), []
    for _ in range(2):
        monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(tmp_path / "j.db"))
        shims.append(
            exit_shim.ExitShim(policy=parse_policy('level = "enforce"\n'), mode="EXIT_BRAIN_V3", sinks=[])
        )
    watching, acting = shims
    watching.begin()
    watching.process_feed.stop()
    told, expire = [], watching.guard.snapshots.expire
    watching.guard.snapshots.expire = lambda *about: (told.append(about), expire(*about))
    client = acting.wrap(FakeClient(exchange=exchange))
    client.futures_create_order(**ENTRY)
    client.futures_create_order(**STOP)
    acting.flush()
    watching.process_feed.read_news()
    assert told == [(label_of(client), SYMBOL)] * 2  # the entry is in no journal
    for shim in shims:
        shim.close()


@needs_stream
def test_a_stream_that_is_sure_serves_instead_of_looks(exchange, client):
    """While it is connected and trusted; what others do is heard, and the exchange is looked at again."""
    shim = exit_shim.ExitShim(journal=False, policy=parse_policy('level = "enforce"\n'), sinks=[])
    snapshots, account, now = shim.guard.snapshots, label_of(client), [0.0]
    snapshots._clock, snapshots._within_s = lambda: now[0], 5.0
    client.futures_create_order(**ENTRY)
    shim.watch(shim.wrap(client), every=3600, stream=True)

    def get(later=5.0):
        now[0] += later  # five seconds are too long for an answer while nothing is heard
        return snapshots.get(client, account, SYMBOL)

    assert get() is not get()
    until(lambda: shim.guard.book.why_unsure(account, SYMBOL) is None)
    seen = get()
    assert get() is seen
    client.futures_create_order(**STOP)
    until(lambda: get(0) is not seen)
    assert len(get(0).resting) == 1
    shim.close()
    assert get() is not get()
    until(lambda: not any(thread.name == "exit-shim-stream" for thread in threading.enumerate()))
    snapshots.close()
