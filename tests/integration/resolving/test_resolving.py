"""Orders in doubt are looked up: what is found, what is not, and that nothing but looking is done."""

import asyncio
import gc
import os
import threading
import time
import weakref
from email.utils import formatdate
from unittest import mock

import aiohttp
import msgspec
import pytest
import requests
import requests_mock
from abilities import needs_algo, needs_generated_ids
from binance import AsyncClient, Client
from binance.exceptions import BinanceAPIException
from odd_server import OddServer, answer, hang, sync_client

import exit_shim
from exit_shim import resolving
from exit_shim.clients.registry import can_be_cloned, clone_client
from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, Outcome, Record, Target
from exit_shim.domain.orders import ExitOrder
from exit_shim.exchange.faults.kinds import Fault
from exit_shim.journal import read_records
from exit_shim.resolving import (
    Budget,
    ExchangeReader,
    Resolver,
    RetryPolicy,
    UsedWeight,
)
from exit_shim.resolving.doubt import Doubt, cancelled, why_unanswerable
from exit_shim.resolving.lookup import EARLY_MS, LATE_MS, OrderQuery
from exit_shim.resolving.questions import (
    COIN_MARGINED,
    PORTFOLIO_UM,
    USDT_MARGINED,
    Question,
    Reply,
    read_row,
)
from exit_shim.testing import FakeClient, faults
from exit_shim.testing.close_client import close_client

pytestmark = needs_generated_ids  # without ids of the client's own there is nothing to ask for

QUICK = RetryPolicy(absent_after_s=0.6, looks=3, first_s=0.02, longest_s=0.2, weight_a_minute=600)
PATIENT = QUICK._replace(absent_after_s=60.0)

OPEN = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
CLOSE = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 0.01, "reduceOnly": "true"}
LIMIT = {**CLOSE, "type": "LIMIT", "price": 70_000, "timeInForce": "GTC"}
STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "triggerPrice": 50_000,
    "closePosition": "true",
}

ABSENT = Fault(name="read_lag", status=400, code=-2013, msg="Order does not exist.", executed=False)


class Desk:
    """A resolver, what it was told of, and what it wrote down."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.written, self.told, self.given_up = [], [], []
        self.left = []
        self.resolver = None

    def open(self, pace=QUICK):
        self.resolver = Resolver(
            left_behind=lambda: self.left,
            namesakes=lambda name: [one for one in everything() if named(one) == name],
            write=lambda found, run_id, seq: self.written.append((found, run_id, seq)),
            tell=self.told.append,
            give_up=lambda record, reason: self.given_up.append((record, reason)),
            internal_errors=exit_shim.shim.default_shim().internal_errors,
            pace=pace,
        )
        exit_shim.shim.default_shim().resolver = self.resolver
        return self

    def settle(self, seconds=60):
        """Wait until nothing is asked any more; meanwhile nothing but GET reaches the exchange."""
        before = [request for request in self.exchange.requests if request.method != "GET"]
        until = time.monotonic() + seconds
        while self.resolver.is_busy():
            assert time.monotonic() < until, [case.reason for case, _ in self.resolver._doubts.values()]
            time.sleep(0.01)
        assert [request for request in self.exchange.requests if request.method != "GET"] == before
        return [found for found, _, _ in self.written]

    def only(self):
        (found,) = self.settle()
        return found


@pytest.fixture
def desk(exchange):
    opened = Desk(exchange)
    yield opened
    if opened.resolver is not None:
        opened.resolver.stop()


@pytest.fixture
def long(client):
    client.futures_create_order(**OPEN)
    return exit_shim.wrap(client)


def lose(exchange, fault=None, **where):
    """The next write's answer is lost; by default after the exchange has done it."""
    exchange.faults.inject(fault or faults.reset_after_execution(), **where)


def sent(client, **order):
    """Place an order whose answer does not come."""
    with pytest.raises(requests.RequestException):
        client.futures_create_order(**order)


def test_an_order_that_arrived_though_its_answer_was_lost(desk, exchange, long, recorded):
    """A close was filled and its answer lost: accepted, with the exchange's ids and the evidence."""
    desk.open()
    lose(exchange, method="POST", path="order")
    sent(long, **CLOSE)
    found = desk.only()
    (record,) = recorded()
    assert (found.result, found.status) == ("accepted", "FILLED")
    assert found.client_order_id == record.intent.order.client_order_id
    assert found.asked == len(found.evidence) == 1
    assert found.evidence[0].endswith(f"FILLED, order id {found.order_id}")
    assert f"origClientOrderId={found.client_order_id}" in found.evidence[0]
    assert found.after_s > 0
    assert desk.written[0][1:] == (record.run_id, record.seq)
    assert [told.resolution for told in desk.told] == [found]


async def test_an_async_clients_order_is_looked_up_by_a_sync_sibling(desk, exchange, async_client, recorded):
    """The same for AsyncClient; nothing of it runs on the bot's loop, and its client is not used."""
    await async_client.futures_create_order(**OPEN)
    desk.open()
    wrapped = exit_shim.wrap(async_client)
    lose(exchange, method="POST", path="order")
    with pytest.raises((OSError, asyncio.TimeoutError)):
        await wrapped.futures_create_order(**CLOSE)
    before = async_client.response
    found = await asyncio.to_thread(desk.only)
    assert (found.result, found.status) == ("accepted", "FILLED")
    assert async_client.response is before


def test_an_order_that_never_arrived(desk, exchange, long):
    """Not there is said only after the stated time, several looks, and with the history looked through."""
    desk.open()
    lose(exchange, faults.reset_unread(), method="POST", path="order")
    sent(long, **CLOSE)
    found = desk.only()
    assert (found.result, found.status, found.order_id) == ("not_there", None, None)
    assert found.after_s >= QUICK.absent_after_s
    asked = [line.partition("?")[0] for line in found.evidence]
    assert asked == ["GET /fapi/v1/order", "GET /fapi/v1/openOrders", "GET /fapi/v1/allOrders"]
    assert found.evidence[0].endswith("not there")
    assert found.asked > 2 * QUICK.looks


def test_it_is_not_said_before_the_stated_time(desk, exchange, long):
    """However often nothing is found, an order stays in doubt until the time is up."""
    desk.open(PATIENT)
    lose(exchange, faults.reset_unread(), method="POST", path="order")
    sent(long, **CLOSE)
    time.sleep(1.0)
    assert desk.resolver.is_busy()
    assert desk.written == []
    assert "/fapi/v1/allOrders" not in [request.path for request in exchange.requests]


@needs_algo
def test_a_conditional_order_that_the_query_denies(desk, exchange, long):
    """GET algoOrder says -2013 of an order that waits; the list of those that wait shows it."""
    desk.open()
    lose(exchange, method="POST", path="algoOrder")
    exchange.faults.inject(faults.no_such_algo_order(), times=None)
    sent(long, **STOP)
    found = desk.only()
    assert (found.result, found.status, found.order_id) == ("accepted", "NEW", None)
    assert found.algo_id == exchange.open_algo_orders()[0]["algoId"]
    assert [line.rpartition(" → ")[2] for line in found.evidence] == [
        "not there",
        f"NEW, algo id {found.algo_id}",
    ]
    assert "symbol=BTCUSDT" in found.evidence[1]


@needs_algo
def test_a_conditional_order_that_never_arrived(desk, exchange, long):
    """Both stores and the history of conditional orders are looked through."""
    desk.open()
    lose(exchange, faults.reset_unread(), method="POST", path="algoOrder")
    sent(long, **STOP)
    found = desk.only()
    assert found.result == "not_there"
    paths = [line.partition("?")[0].rpartition("/")[2] for line in found.evidence]
    assert paths == ["algoOrder", "openAlgoOrders", "order", "allAlgoOrders"]


@needs_algo
def test_a_conditional_order_that_has_triggered(desk, exchange, long):
    """FINISHED is filled or cancelled; the order that it became says which, and gives its own number."""
    lose(exchange, method="POST", path="algoOrder")
    sent(long, **STOP)
    exchange.set_mark("BTCUSDT", 49_000)
    desk.open()
    desk.left = doubts()
    desk.resolver.add_client(exit_shim.unwrap(long), desk.left[0].intent.account)
    found = desk.only()
    assert (found.result, found.status) == ("accepted", "FILLED")
    assert found.algo_id
    assert found.order_id
    assert "FINISHED" in found.evidence[0]


@needs_algo
def test_a_triggered_order_of_which_only_the_child_is_found(desk, exchange, long):
    """Where the algo service answers nothing, the order that it became is found by the same client id."""
    lose(exchange, method="POST", path="algoOrder")
    sent(long, **STOP)
    exchange.set_mark("BTCUSDT", 49_000)
    exchange.faults.inject(ABSENT, method="GET", path="algoOrder", times=None)
    desk.open()
    desk.left = doubts()
    desk.resolver.add_client(exit_shim.unwrap(long), desk.left[0].intent.account)
    found = desk.only()
    assert (found.result, found.status, found.algo_id) == ("accepted", "FILLED", None)


def test_a_read_that_lags_and_then_finds(desk, exchange, long):
    """What "does not exist" soon after proves nothing of is found once reads have caught up."""
    desk.open(PATIENT)
    lose(exchange, method="POST", path="order")
    lag = exchange.faults.inject(ABSENT, method="GET", path="order", times=4)
    sent(long, **CLOSE)
    found = desk.only()
    assert (found.result, found.status) == ("accepted", "FILLED")
    assert lag.hits == 4


def test_an_order_that_was_cancelled_meanwhile(desk, exchange, long, client):
    """It was there: accepted, with the state in which it is now."""
    lose(exchange, method="POST", path="order")
    sent(long, **LIMIT)
    client.futures_cancel_all_open_orders(symbol="BTCUSDT")
    desk.open()
    desk.left = doubts()
    desk.resolver.add_client(client, desk.left[0].intent.account)
    found = desk.only()
    assert (found.result, found.status) == ("accepted", "CANCELED")


def test_each_order_of_a_batch_for_itself(desk, exchange, long):
    """Of a batch whose answer is lost, what was taken is accepted and what was refused is not there."""
    desk.open()
    lose(exchange, method="POST", path="batchOrders")
    bad = {**LIMIT, "price": 1}
    with pytest.raises(requests.RequestException):
        long.futures_place_batch_order(batchOrders=[dict(LIMIT), bad])
    assert sorted(found.result for found in desk.settle()) == ["accepted", "not_there"]
    by_seq = {seq: found.result for found, _, seq in desk.written}
    assert [by_seq[seq] for seq in sorted(by_seq)] == ["accepted", "not_there"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(faults.reset_after_execution, ("accepted", "CANCELED")), (faults.reset_unread, ("not_there", "NEW"))],
)
@pytest.mark.parametrize("order", [LIMIT, pytest.param(STOP, marks=needs_algo)])
def test_a_cancel_in_doubt_is_told_by_its_target(desk, exchange, long, order, fault, expected):
    """Gone as CANCELED the cancel was accepted; still resting after the stated time it took nothing."""
    placed = long.futures_create_order(**order)
    number = {"algoId": placed["algoId"]} if "algoId" in placed else {"orderId": placed["orderId"]}
    desk.open()
    lose(exchange, fault(), method="DELETE")
    with pytest.raises(requests.RequestException):
        long.futures_cancel_order(symbol="BTCUSDT", **number)
    found = desk.only()
    assert (found.result, found.status) == expected
    assert (found.after_s >= QUICK.absent_after_s) == (found.result == "not_there")


def test_a_cancel_of_an_order_that_was_filled_took_nothing(desk, exchange, long):
    """A target that was filled before the cancel came is final: no waiting."""
    placed = long.futures_create_order(**LIMIT)
    exchange.set_mark("BTCUSDT", 71_000)
    desk.open(PATIENT)
    lose(exchange, faults.reset_unread(), method="DELETE")
    with pytest.raises(requests.RequestException):
        long.futures_cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
    found = desk.only()
    assert (found.result, found.status) == ("not_there", "FILLED")


@pytest.mark.parametrize(
    ("fault", "outcome"), [(faults.reset_after_execution, "accepted"), (faults.reset_unread, "not_there")]
)
def test_a_change_in_doubt_is_told_by_the_orders_fields(desk, exchange, long, client, fault, outcome):
    """A change took effect where the order bears the new price; not where nothing has touched it since."""
    placed = long.futures_create_order(**LIMIT)
    lose(exchange, fault(), method="PUT")
    with pytest.raises(requests.RequestException):
        long.futures_modify_order(
            symbol="BTCUSDT", side="SELL", orderId=placed["orderId"], quantity=0.01, price=71_000
        )
    record = doubts()[-1]
    late = record.intent.ts + EARLY_MS * 2_000_000  # as if the order had rested before
    record = msgspec.structs.replace(record, intent=msgspec.structs.replace(record.intent, ts=late))
    desk.open()
    desk.resolver.add_order(client, record)
    found = desk.only()
    assert found.result == outcome


def test_a_retry_under_the_same_id_is_not_taken_for_the_first(desk, exchange, long):
    """What another record has proved to be its own does not resolve the order in doubt."""
    desk.open()
    lose(exchange, faults.reset_unread(), method="POST", path="order")
    sent(long, **CLOSE, newClientOrderId="mine-1")
    long.futures_create_order(**CLOSE, newClientOrderId="mine-1")
    assert desk.only().result == "not_there"


def test_without_the_journal_nothing_is_concluded(desk, exchange, long):
    """Where nobody can tell whose an order of this id is, it stays in doubt."""
    desk.open()
    desk.resolver._namesakes = lambda name: None
    lose(exchange, method="POST", path="order")
    sent(long, **CLOSE)
    time.sleep(0.5)
    assert desk.written == []
    desk.resolver._namesakes = lambda name: ()
    assert desk.only().result == "accepted"


def test_the_budget_is_kept(desk, exchange, long):
    """No more weight a minute than was granted, however many orders are in doubt."""
    desk.open(QUICK._replace(weight_a_minute=5, absent_after_s=60.0))
    for _ in range(4):
        lose(exchange, faults.reset_unread(), method="POST", path="order")
        sent(long, **CLOSE)
    before = len(exchange.requests)
    time.sleep(1.0)
    assert len(exchange.requests) - before <= 5
    assert desk.resolver.is_busy()


@pytest.mark.parametrize("fault", [faults.too_many_requests, faults.banned])
def test_after_429_and_418_it_is_silent(desk, exchange, long, fault):
    """One refusal for too many requests, and nothing is asked for a long while."""
    desk.open()
    lose(exchange, method="POST", path="order")
    limited = exchange.faults.inject(fault(), method="GET", times=None)
    sent(long, **CLOSE)
    time.sleep(1.0)
    assert limited.hits == 1
    assert desk.resolver.is_busy()


def test_an_account_near_its_limit_is_left_alone(client):
    """Where the last answer, the bot's or its own, says that half the limit is used, a minute is waited."""
    now = [0.0]
    asker = ExchangeReader(clone_client(client), Budget(60, clock=lambda: now[0]))
    asker.watch(client)
    client.response = answered = requests.Response()
    answered.headers["x-mbx-used-weight-1m"] = "1300"
    assert asker.wait_s(1) == 60.0
    now[0] = 60.0
    assert asker.wait_s(1) == 0.0  # the same answer is no news


def test_weight_is_counted_over_a_sliding_minute():
    """Weight comes back a minute after it was spent."""
    now = [0.0]
    budget = Budget(6, clock=lambda: now[0])
    budget.spend(5)
    now[0] = 10.0
    budget.spend(1)
    now[0] = 20.0
    assert budget.wait_s(5) == 40.0
    assert budget.wait_s(6) == 50.0


def test_a_clock_that_jumps_makes_no_order_old():
    """Of an order of this process it is the time that has passed that counts, not what the clock shows."""
    case = Doubt(a_record(), heard_s=100.0)
    assert case.age_s(time.time_ns() + 10**15, 103.0) == 3.0
    assert 290 < Doubt(a_record()).age_s(time.time_ns(), 103.0) < 310


@pytest.mark.parametrize(
    ("status", "updated", "told"),
    [
        ("NEW", 1, "as it was"),
        ("CANCELED", 1_000, "accepted"),
        ("CANCELED", 99, "not_there"),
        ("CANCELED", 0, "unclear"),
        ("EXPIRED", 1_000, "not_there"),
        ("FINISHED", 1_000, "unclear"),
        ("TRIGGERED", 1_000, "unclear"),
    ],
)
def test_what_an_order_tells_of_its_cancel(status, updated, told):
    """Cancelled since, it was this cancel; what ended otherwise or before was not; FINISHED is either."""
    row = {"symbol": "BTCUSDT", "orderId": 1, "status": status, "updateTime": updated}
    assert cancelled([read_row(row)], before_ms=100) == told


def test_failures_are_no_evidence(desk, exchange, long):
    """Answers that do not come leave the order in doubt, whatever the time."""
    desk.open()
    lose(exchange, faults.reset_unread(), method="POST", path="order")
    broken = exchange.faults.inject(faults.internal_error(), method="GET", path="openOrders", times=None)
    sent(long, **CLOSE)
    time.sleep(1.5)
    assert desk.written == []
    broken.cancel()
    assert desk.only().result == "not_there"


def test_the_bots_client_is_not_kept_alive(exchange, recorded):
    """A bot that makes a client for each order lets it go, and its order is looked up all the same."""
    desk = Desk(exchange).open()
    own = Client("local-key", "local-secret", ping=False)
    own.futures_create_order(**OPEN)
    own.of_the_bots = {"client": own}
    lose(exchange, method="POST", path="order")
    sent(exit_shim.wrap(own), **CLOSE)
    gone = weakref.ref(own)
    close_client(own)
    del own
    gc.collect()
    assert gone() is None
    assert desk.only().result == "accepted"


def test_the_thread_ends_with_its_work_and_begins_anew(desk, exchange, long):
    """There is no thread before a doubt and none after it."""
    desk.open()
    assert not running()
    for _ in range(2):
        lose(exchange, method="POST", path="order")
        sent(long, **{**CLOSE, "quantity": 0.001})
        desk.settle()
        wait_for(lambda: not running())
    assert len(desk.written) == 2


def test_stopping_takes_effect_at_once(desk, exchange, long):
    """A stopped resolver asks nothing more, and goes on with what is left once it hears of something new."""
    desk.open(PATIENT)
    lose(exchange, faults.reset_unread(), method="POST", path="order")
    sent(long, **CLOSE)
    wait_for(lambda: desk.resolver._doubts)
    desk.resolver.stop()
    wait_for(lambda: not running())
    before = len(exchange.requests)
    time.sleep(0.4)
    assert len(exchange.requests) == before
    lose(exchange, method="POST", path="order")
    sent(long, **CLOSE)
    wait_for(lambda: desk.written)
    assert len(desk.resolver._doubts) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_knows_nothing_of_it(desk, exchange, long):
    """The parent's doubts are the parent's: its child starts no thread and asks nothing."""
    desk.open(PATIENT)
    lose(exchange, faults.reset_unread(), method="POST", path="order")
    sent(long, **CLOSE)
    wait_for(lambda: desk.resolver._doubts)
    pid = os.fork()
    if pid == 0:
        clean = not (desk.resolver.is_busy() or desk.resolver._doubts or desk.resolver._readers)
        os._exit(0 if clean else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert desk.resolver.is_busy()


def test_what_was_left_behind_is_taken_up_once(desk, exchange, long, client):
    """A client of the account that an earlier run left doubts of has them looked up; another's are let be."""
    lose(exchange, method="POST", path="order")
    sent(long, **CLOSE)
    desk.open()
    desk.left = [
        record := doubts()[0],
        msgspec.structs.replace(record, seq=9, intent=msgspec.structs.replace(record.intent, account="else")),
    ]
    for _ in range(2):
        desk.resolver.add_client(client, record.intent.account)
    assert [found.result for found in desk.settle()] == ["accepted"]
    assert desk.written[0][2] == record.seq


def test_wrapping_waits_for_nothing_that_earlier_runs_left(desk, exchange, long, client):
    """However long it takes to find what was left in doubt, a client that appears is not held up by it."""
    lose(exchange, method="POST", path="order")
    sent(long, **CLOSE)
    (record,) = doubts()
    found = threading.Event()
    desk.open()
    desk.resolver._left_behind = lambda: [record] if found.wait(60) else []
    began = time.monotonic()
    desk.resolver.add_client(client, record.intent.account)
    assert time.monotonic() - began < 30  # half of what it takes
    assert desk.resolver.is_busy()
    found.set()
    assert desk.only().result == "accepted"


class Subclass(Client):
    """A bot's own client, which goes to the exchange as python-binance does."""

    FUTURES_TESTNET_URL = "http://127.0.0.1:1/fapi"


class DryRun(Client):
    """A bot's own client, which does not."""

    def _request(self, *args, **kwargs):
        return {}


class Rerouted(Client):
    """A bot's own client, which has its own idea of where futures are."""

    def _create_futures_api_uri(self, path, *args, **kwargs):
        return f"http://127.0.0.1:1/elsewhere/{path}"


def test_only_what_really_sends_has_a_sibling(client, exchange):
    """Fakes, mocks, adapters and clients whose way to the exchange is replaced are not asked for."""
    assert can_be_cloned(client)
    own, dry = Subclass("k", "s", ping=False), DryRun("k", "s", ping=False)
    assert can_be_cloned(own)
    assert not can_be_cloned(dry)
    rerouted = Rerouted("k", "s", ping=False)
    assert not can_be_cloned(rerouted)
    assert not can_be_cloned(FakeClient(exchange=exchange))
    assert not can_be_cloned(mock.create_autospec(Client))
    assert not can_be_cloned(object())
    with mock.patch.object(client, "_request"):
        assert not can_be_cloned(client)
    for autospec in (False, True):
        with mock.patch.object(Client, "_request", autospec=autospec):
            assert not can_be_cloned(client)
        with mock.patch.object(requests.Session, "send", autospec=autospec):
            assert not can_be_cloned(client)
    with mock.patch.object(client, "session"):
        assert not can_be_cloned(client)
    with mock.patch.object(client.session, "post"):
        assert not can_be_cloned(client)
    with requests_mock.Mocker():
        assert not can_be_cloned(client)
    adapter = requests_mock.Adapter()
    own.session.mount("https://", adapter)
    assert not can_be_cloned(own)
    for made in (own, dry, rerouted):
        close_client(made)


def test_installed_doors_leave_it_a_genuine_client(client):
    """With the classes' doors on, the client is still the exchange's, and what is asked is not recorded."""
    with exit_shim.install():
        assert can_be_cloned(client)


async def test_an_async_client_that_really_sends_has_one(async_client):
    """AsyncClient too, unless its session is replaced: its sibling would go past the replacement."""
    assert can_be_cloned(async_client)
    for autospec in (False, True):
        with mock.patch.object(aiohttp.ClientSession, "_request", autospec=autospec):
            assert not can_be_cloned(async_client)


def test_a_sibling_is_set_up_like_its_client(exchange):
    """Hosts, flags, options and the session's settings are the client's; connections and loops are not."""
    own = Subclass("the-key", "the-secret", {"timeout": 3}, testnet=True, ping=False)
    own.FUTURES_URL = "http://user:the-secret@127.0.0.1:2/fapi"
    own.timestamp_offset = 1_500
    own.session.verify, own.session.trust_env = False, False
    own.session.proxies["http"] = "http://127.0.0.1:3"
    clone = clone_client(own)
    made = clone.client()
    assert type(made) is Client
    assert (clone.host, clone.offset_ms) == ("127.0.0.1:1", 1_500)
    assert made._create_futures_api_uri("order") == own._create_futures_api_uri("order")
    assert (made.API_KEY, made.API_SECRET, made.FUTURES_URL) == ("the-key", "the-secret", own.FUTURES_URL)
    assert made._requests_params == {"timeout": 3}
    assert made._requests_params is not own._requests_params
    assert made.session is not own.session
    assert (made.session.verify, made.session.trust_env) == (False, False)
    assert made.session.proxies == {"http": "http://127.0.0.1:3"}
    assert made.session.headers["X-MBX-APIKEY"] == "the-key"
    assert not hasattr(made, "loop")
    assert "the-secret" not in f"{clone!r} {clone}"
    own.testnet = False
    assert clone_client(own).host == "127.0.0.1:2"
    made.session.close()
    close_client(own)


async def test_an_async_clients_proxy_becomes_the_siblings(exchange):
    """Proxy and timeout of aiohttp are handed on in the terms of requests; the environment's are not."""
    own = AsyncClient("k", "s", {"timeout": 7}, https_proxy="http://127.0.0.1:3")
    made = clone_client(own).client()
    assert made._requests_params["timeout"] == 7
    assert made._requests_params["proxies"] == dict.fromkeys(("http", "https"), "http://127.0.0.1:3")
    assert made.session.trust_env is False
    made.session.close()
    await own.close_connection()


def a_record(operation="place", door="futures_create_order", **order):
    """A record in doubt, a few minutes old."""
    targets = order.pop("targets", ())
    fields = {"kind": "close", "symbol": "BTCUSDT", "client_order_id": "c1", **order}
    return Record(
        "run",
        1,
        Intent(
            ts=time.time_ns() - 300_000_000_000,
            door=door,
            operation=operation,
            order=ExitOrder(**fields),
            attribution=Attribution(module="m", evidence="stack"),
            mode="LEGACY",
            targets=targets,
        ),
        Outcome("unknown"),
    )


@pytest.mark.parametrize(
    ("account", "counts"), [("main", True), ("key-00000000", True), (None, True), ("main@testnet", False)]
)
def test_a_namesake_at_another_exchange_proves_nothing(account, counts):
    """Client order ids and the exchange's numbers begin anew elsewhere; here they do not, for any key."""
    case, other = Doubt(a_record()), a_record()
    other = msgspec.structs.replace(
        other, seq=2, intent=msgspec.structs.replace(other.intent, account=account)
    )
    assert case.is_other(other) == counts


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (a_record(client_order_id=None), "no client order id"),
        (a_record(symbol=None), "no symbol"),
        (a_record(door="place_order"), "place_order is no method"),
        (a_record(door="_request_papi_api"), "no method whose market"),
        (a_record("cancel", "futures_cancel_all_open_orders"), "which orders"),
        (a_record("cancel", targets=(Target(kind="sl"),)), "has no id"),
        (
            a_record("cancel", "futures_countdown_cancel_all", targets=(Target(kind="sl", order_id=1),)),
            "countdown",
        ),
        (a_record(), None),
        (a_record("test", client_order_id=None), None),
    ],
)
def test_what_cannot_be_asked_stays_in_doubt_and_says_why(record, why):
    """No guessing: without a name, a symbol or a known market there is nothing to ask."""
    reason = why_unanswerable(record)
    assert (reason is None) if why is None else (why in reason)


def play(case, replies, times=1):
    """Let a case look, each question answered by its path."""
    found, asked = None, []
    for _ in range(times):
        looking, reply = case.inquire(time.time_ns(), case.age_s(time.time_ns(), time.monotonic())), None
        try:
            while True:
                question = looking.send(reply)
                asked.append(question)
                reply = replies.get(question.path, Reply())
        except StopIteration as done:
            found = done.value
    return found, asked


def row(record, **fields):
    return {
        "symbol": "BTCUSDT",
        "clientOrderId": "c1",
        "orderId": 7,
        "status": "NEW",
        "time": record.intent.ts // 1_000_000,
        **fields,
    }


def test_a_test_order_is_never_placed():
    """It takes no asking."""
    found, asked = play(Doubt(a_record("test")), {})
    assert (found.result, asked) == ("not_there", [])


@pytest.mark.parametrize(
    ("door", "order", "reason"),
    [
        ("_request_futures_api", {}, "raw request"),
        ("papi_create_um_order", {}, "this market"),
        ("futures_coin_create_order", {"type": "STOP_MARKET"}, "this market"),
    ],
)
def test_where_absence_proves_nothing_it_is_not_said(door, order, reason):
    """What was not found there stays in doubt, and the reason is told."""
    case = Doubt(a_record(door=door, **order))
    found, _ = play(case, {}, times=4)
    assert found is None
    assert case.hopeless
    assert reason in case.reason


def test_what_is_older_than_the_exchanges_memory_is_not_called_absent():
    """Binance forgets an order without a fill after three days."""
    record = a_record()
    old = msgspec.structs.replace(
        record, intent=msgspec.structs.replace(record.intent, ts=time.time_ns() - 3 * 86_400 * 10**9)
    )
    case = Doubt(old)
    assert play(case, {}, times=4)[0] is None
    assert case.hopeless
    assert "forgotten" in case.reason


@pytest.mark.parametrize("wrong_by_s", [10, -200])
def test_a_clock_that_was_wrong_makes_no_order_absent(wrong_by_s):
    """An order of the same name, symbol and side, but of another time, may be the one that is in doubt."""
    case = Doubt(record := a_record())
    made = record.intent.ts // 1_000_000 - wrong_by_s * 1_000
    assert play(case, {"order": Reply((row(record, time=made),))}, times=4)[0] is None
    assert case.hopeless
    assert "clock" in case.reason


def test_a_full_page_of_history_proves_nothing():
    """Where the history may go on beyond the page, the order may be there."""
    case = Doubt(record := a_record())
    others = [row(record, clientOrderId=f"x{number}") for number in range(100)]
    assert play(case, {"allOrders": Reply(others)}, times=5)[0] is None
    assert not case.hopeless


@pytest.mark.parametrize(
    ("seen", "is_it"),
    [
        ({}, True),
        ({"clientOrderId": "c2"}, False),
        ({"symbol": "ETHUSDT"}, False),
        ({"side": "BUY"}, False),
        ({"time": 1_000_000 - EARLY_MS - 1}, False),
        ({"time": 1_000_000 + LATE_MS + 1}, False),
        ({"orderId": 8}, False),
    ],
)
def test_an_order_of_the_same_name_may_be_another(seen, is_it):
    """A client order id is unique among open orders only: symbol, side and time must fit too."""
    sought = OrderQuery("BTCUSDT", "SELL", None, None, "c1", 1_000_000, frozenset({8}))
    fields = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "clientOrderId": "c1",
        "orderId": 7,
        "time": 1_000_000,
        **seen,
    }
    assert sought.matches(read_row(fields)) == is_it


def test_an_ordinary_order_that_was_rejected():
    """REJECTED at the matching engine is rejected; a conditional one had been accepted before."""
    case = Doubt(record := a_record())
    assert play(case, {"order": Reply([row(record, status="REJECTED")])})[0].result == "rejected"
    case = Doubt(record := a_record(type="STOP_MARKET"))
    parent = {
        "symbol": "BTCUSDT",
        "clientAlgoId": "c1",
        "algoId": 5,
        "algoStatus": "REJECTED",
        "createTime": record.intent.ts // 1_000_000,
        "actualOrderId": "",
    }
    found = play(case, {"algoOrder": Reply([parent])})[0]
    assert (found.result, found.status, found.algo_id) == ("accepted", "REJECTED", 5)


MARKETS = {
    "futures_coin_create_order": (COIN_MARGINED.orders, "/dapi/v1/order", {}),
    "papi_create_um_order": (PORTFOLIO_UM.orders, "/papi/v1/um/order", {}),
    "papi_create_cm_order": (None, "/papi/v1/cm/order", {}),
    "papi_create_um_conditional_order": (
        PORTFOLIO_UM.conditional,
        "/papi/v1/um/algo/algoOrder",
        {"algoId": 9, "clientAlgoId": "c1", "algoStatus": "NEW", "actualOrderId": ""},
    ),
    "papi_create_cm_conditional_order": (
        None,
        "/papi/v1/cm/conditional/openOrder",
        {"strategyId": 9, "newClientStrategyId": "c1", "strategyStatus": "NEW", "orderId": None},
    ),
}


@pytest.mark.parametrize("door", MARKETS)
def test_the_other_markets_are_asked_at_their_own_addresses(door):
    """COIN-M and portfolio margin answer at their hosts and paths, signed, with symbol and client id."""
    _, path, fields = MARKETS[door]
    record = a_record(door=door)
    body = {**row(record), **fields}
    if "strategyId" in fields:
        body.pop("orderId")
        body["bookTime"] = body.pop("time")
    with OddServer(answer(200, body)) as server, sync_client(server.url) as wrapped:
        own = exit_shim.unwrap(wrapped)
        own.FUTURES_COIN_URL, own.PAPI_URL = server.url + "/dapi", server.url + "/papi"
        asker = ExchangeReader(clone_client(own), Budget(60))
        found = resolving.pursue(Doubt(record), asker, lambda name: ())
        asker.close()
    assert found.result == "accepted"
    assert found.algo_id == fields.get("strategyId", fields.get("algoId"))
    (request,) = server.requests
    assert request.startswith(f"GET {path}?")
    # The Algo Service's ids are those of all symbols.
    for part in ("=c1", "signature=", *(() if "algoId" in fields else ("symbol=BTCUSDT",))):
        assert part in request


def test_an_exchange_that_does_not_answer_holds_nobody_up(exchange, long):
    """While it waits for an answer, stopping and ordering take no longer than without it."""
    with OddServer(hang) as server, sync_client(server.url, requests_params={"timeout": 60}) as wrapped:
        desk = Desk(exchange).open()
        desk.resolver.add_order(exit_shim.unwrap(wrapped), a_record())
        wait_for(lambda: server.requests)
        began = time.monotonic()
        long.futures_create_order(**CLOSE)
        desk.resolver.stop()
        assert time.monotonic() - began < 30  # half of what the answer takes


def test_the_question_is_what_stands_in_the_evidence():
    """Verb, path and parameters, without key, timestamp or signature."""
    question = Question(USDT_MARGINED.orders, "order", {"symbol": "BTCUSDT", "orderId": 7})
    assert str(question) == "GET /fapi/v1/order?symbol=BTCUSDT&orderId=7"


def everything():
    """The records of the process-wide shim."""
    journal = exit_shim.shim.default_shim().journal
    wait_for(journal.flush)  # two threads at once: one of them is told to come back
    return list(read_records(journal.path))


def doubts():
    """Those of them that ended in doubt."""
    found = everything()
    assert all(record.outcome for record in found), found
    return [record for record in found if record.outcome.result == "unknown"]


def named(record):
    return record.intent.order.client_order_id


def running():
    return [thread for thread in threading.enumerate() if thread.name == "exit-shim-resolver"]


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("status", "header", "least"),
    [
        (429, "4000", 4000.0),
        (429, "7", 300.0),
        (429, None, 300.0),
        (418, "86400", 86_400.0),
        (418, "x", 1_800.0),
    ],
)
@pytest.mark.parametrize("whose", ["the bot's", "its own"])
def test_retry_after_is_honoured(client, status, header, least, whose):
    """After 429 and 418, the bot's or its own, nothing is asked for as long as the exchange asks for."""
    now = [0.0]

    def clock():
        return now[0]

    body = {"code": -1003, "msg": "Too many requests."}
    headers = {} if header is None else {"Retry-After": header}
    asker = ExchangeReader(clone_client(client), Budget(60, clock=clock), UsedWeight(clock=clock))
    asker.watch(client)
    with requests_mock.Mocker() as web:
        web.get(requests_mock.ANY, status_code=status, json=body, headers=headers)
        if whose == "its own":
            assert asker.ask(Question(USDT_MARGINED.orders, "order", {"symbol": "BTCUSDT"}, 1)).failure
        else:
            with pytest.raises(BinanceAPIException):
                client.futures_get_order(symbol="BTCUSDT", orderId=1)
    assert asker.wait_s(1) == least
    now[0] = least
    assert asker.wait_s(1) == 0.0


def test_retry_after_may_be_a_date(client):
    """A proxy in between may say until when."""
    asker = ExchangeReader(clone_client(client), Budget(60, clock=lambda: 0.0))
    asker.watch(client)
    client.response = answered = requests.Response()
    answered.status_code = 429
    answered.headers["Retry-After"] = formatdate(time.time() + 7_200, usegmt=True)
    assert 7_100 < asker.wait_s(1) <= 7_200
