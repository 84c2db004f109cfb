"""Ways in which the guard could hurt, mislead or hang, found by trying; each was seen to fail once."""

import asyncio
import contextlib
import decimal
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from guarded_bot import COVER, ENFORCE, LEGACY, LIMIT, MONITOR, OWNER, STOP, SYMBOL, TARGET, Bot, Served

import exit_shim
from exit_shim.guard.rules.custom import forget_custom_rules
from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange, faults

STRIPPED = ENFORCE + '[rules.STRIPPED]\nlevel = "enforce"\n'
SHORT_STOP = {
    "symbol": SYMBOL, "side": "BUY", "positionSide": "SHORT", "type": "STOP_MARKET", "stopPrice": 70000,
    "quantity": "0.010",
}  # fmt: skip


def because(bot):
    return bot.records[-1].intent.verdict.why


def hedged(policy=ENFORCE):
    bot = Bot(policy, hedge_mode=True)
    bot.client.futures_create_order(
        symbol=SYMBOL, side="BUY", positionSide="LONG", type="MARKET", quantity="0.010"
    )
    bot.by(OWNER, **STOP, positionSide="LONG")
    return bot


def test_a_stop_for_a_position_that_is_to_come_goes_out():
    """The long position's cover is none of the short one's, which is not there yet."""
    bot = hedged()
    assert bot.by(LEGACY, **SHORT_STOP)["algoId"] > 0
    assert "because=no_position" in because(bot)


def test_a_stop_against_a_flip_goes_out():
    """One-way, too: a BUY stop reduces no long position."""
    bot = Bot().enter().cover()
    stop = {**COVER, "side": "BUY", "stopPrice": 70000}
    assert bot.by(LEGACY, **stop)["algoId"] > 0
    assert "because=no_position" in because(bot)


def test_a_batch_keeps_the_exit_of_what_it_opens():
    """The same call grows the position beyond the owner's quantity: its exit is not held back."""
    bot = Bot().enter().cover()
    entry = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"}
    answers = bot.by(LEGACY, "futures_place_batch_order", batchOrders=[dict(entry), dict(LIMIT)])
    assert all(answer["orderId"] > 0 for answer in answers)
    assert "because=opens_beside" in because(bot)


async def test_a_facade_that_waits_for_its_loop_is_answered():
    """A plain method of an async client, called from another thread, is sent and not made a coroutine."""
    loop = asyncio.get_running_loop()

    class Facade(FakeAsyncClient):
        def place(self, **params):
            return asyncio.run_coroutine_threadsafe(self.futures_create_order(**params), loop).result(20)

    exchange = LocalExchange()
    bot = Bot(exchange=exchange)
    client = bot.shim.wrap(Facade(exchange=exchange), doors=(exit_shim.Door("place"),))
    await client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)

    def place():
        with exit_shim.attributed(LEGACY):
            return client.place(**STOP)

    assert (await asyncio.to_thread(place))["algoId"] > 0
    assert bot.records[-1].outcome.result == "accepted"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such signal here")
def test_a_callers_own_time_limit_ends_the_call(monkeypatch):
    """What a signal handler raises during a look reaches the bot; nothing is sent, and that is recorded."""
    bot = Bot().enter().cover()
    real = bot.client.__wrapped__
    positions = real.futures_position_information
    entered = threading.Event()

    def slowly(**params):
        entered.set()
        time.sleep(0.4)
        return positions(**params)

    def limit(*_):
        raise TimeoutError("the bot's own")

    monkeypatch.setattr(real, "futures_position_information", slowly)
    before = signal.signal(signal.SIGALRM, limit)
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with pytest.raises(TimeoutError, match="the bot's own"):
            bot.by(LEGACY, **STOP)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert entered.is_set()
    assert bot.resting() == []
    assert bot.records[-1].outcome.result == "not_sent"


def test_an_interrupt_amid_settling_is_recorded(monkeypatch):
    """An order that was asked for and not sent is in the journal, whatever ends the call."""
    bot = Bot().enter().cover()

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(bot.shim.guard, "refresh", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bot.by(LEGACY, **STOP)
    assert bot.records[-1].outcome.result == "not_sent"


def test_the_bots_decimal_context_decides_nothing(client, exchange):
    """For a bot that rounds to two digits 0.106 does not cover 0.109 either."""
    bot = Served(client, exchange)
    bot.client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.109")
    bot.by(OWNER, **{**COVER, "quantity": "0.106"})
    with decimal.localcontext() as context:
        context.prec = 2
        assert bot.by(LEGACY, **STOP)["algoId"] > 0
    assert "because=quantity_short" in because(bot)


def test_a_rule_of_ones_own_changes_no_order(monkeypatch):
    """What it is given of the call is read-only; a rule that writes to it fails, and the order is whole."""
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)

    @exit_shim.rule("WRITES")
    def writes(case):
        case.params["stopPrice"] = 20000

    try:
        bot = Bot(ENFORCE).enter()
        bot.by(OWNER, **COVER)
        order = dict(LIMIT)
        bot.by(OWNER, "futures_place_batch_order", batchOrders=[order])
        bot.shim.flush()
    finally:
        forget_custom_rules()
    assert {name: order[name] for name in LIMIT} == LIMIT
    assert [algo.trigger_price for algo in bot.exchange.engine.open_algos()] == [decimal.Decimal(48000)]


def test_stripped_is_what_the_exchange_shows():
    """A stop that covers nothing makes up for none; one that somebody placed in the app does."""
    bot = Bot(STRIPPED).enter()
    stop = bot.by(OWNER, **STOP)
    bot.by(OWNER, **{**COVER, "stopPrice": 1000})
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(OWNER, "futures_cancel_algo_order", algoId=stop["algoId"])
    bot.client.__wrapped__.futures_create_order(**{**COVER, "stopPrice": 49000})
    assert bot.by(OWNER, "futures_cancel_algo_order", algoId=stop["algoId"])["code"] == "200"


def test_a_countdown_is_renewed():
    """Held back, the renewal of one that runs would have it go off, and take the owner's orders."""
    bot = Bot().enter().cover()
    bot.by(OWNER, **LIMIT)
    for _ in range(2):
        bot.by(LEGACY, "futures_countdown_cancel_all", symbol=SYMBOL, countdownTime=120_000)
    assert bot.records[-1].outcome.result == "accepted"


def test_a_simulated_name_is_its_own_stores():
    """The owner's LIMIT of the same name is the exchange's to answer for."""
    bot = Bot(MONITOR).enter().cover()
    limit = bot.by(OWNER, **LIMIT, newClientOrderId="x")
    assert bot.by(LEGACY, **TARGET, clientAlgoId="x")["algoId"] < 0
    asked = bot.by(OWNER, "futures_get_order", symbol=SYMBOL, origClientOrderId="x")
    assert asked["orderId"] == limit["orderId"]


async def test_a_query_whose_look_fails_is_answered(monkeypatch):
    """A failure of the guard's own is not the bot's: what cannot be told is said to have ended."""
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    bot = Bot(MONITOR, client=FakeAsyncClient)
    await bot.client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    await bot.by(OWNER, **COVER)
    simulated = await bot.by(LEGACY, **TARGET)
    monkeypatch.setattr("exit_shim.guard.withholding.find_gap", lambda *_: 1 / 0)
    asked = await bot.by(LEGACY, "futures_get_algo_order", algoId=simulated["algoId"])
    assert asked["algoStatus"] == "EXPIRED"
    assert bot.shim.internal_errors.count == 1


def test_looks_of_loops_that_ended_do_not_add_up():
    """Each loop takes its tasks along; the thirtieth look is as good as the first."""
    exchange = LocalExchange()

    class Slow(FakeAsyncClient):
        async def futures_position_information(self, **params):
            if len(closed) < 30:
                await asyncio.sleep(60)
            return await super().futures_position_information(**params)

    bot, closed = Bot("look_within_s = 0.5\n" + ENFORCE, exchange=exchange, client=Slow), []
    client = bot.shim.wrap(FakeClient(exchange=exchange))
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    with exit_shim.attributed(OWNER):
        client.futures_create_order(**COVER)

    async def place():
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(bot.by(LEGACY, **TARGET), 0.02 if len(closed) < 30 else 20)

    for _ in range(31):
        if len(closed) == 30:
            time.sleep(
                0.6
            )  # the look that the last loop has taken along is joined for as long as it may take
        loop = asyncio.new_event_loop()
        with contextlib.suppress(exit_shim.ExitOrderDenied):
            loop.run_until_complete(place())
        loop.close()
        closed.append(loop)
    assert bot.records[-1].outcome.result == "denied", because(bot)


@pytest.mark.parametrize("field", ["priceMatch"])
def test_a_limit_at_the_other_sides_price_goes_out(field):
    """It has no price of its own, and closes now."""
    bot = Bot().enter().cover()
    order = {key: value for key, value in LIMIT.items() if key != "price"} | {field: "OPPONENT"}
    bot.by(LEGACY, **order)
    assert "because=closes_at_once" in because(bot)


def test_an_order_of_a_signal_handler_does_not_hang(tmp_path):
    """Its thread holds the book, for which the watcher waits, for which the handler's cancel waits."""
    bot = Bot(journal=tmp_path / "j.db").enter()
    bot.by(OWNER, **COVER)
    guard, watcher = bot.shim.guard, bot.shim.process_feed
    done, holds = [], threading.Event()

    def hold_the_watcher():
        with watcher._lock:
            holds.set()
            guard.book.positions()  # waits for the book

    def handle(*_):
        with contextlib.suppress(Exception):
            bot.by(LEGACY, "futures_cancel_algo_order", algoId=4242)
        done.append(True)

    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=hold_the_watcher, daemon=True)
    try:
        with guard.book._lock:
            thread.start()
            assert holds.wait(60)
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    thread.join(60)
    assert done == [True]
    bot.shim.close()


def test_a_stop_that_is_replaced_amid_a_look_still_covers(client, exchange):
    """The look lists the owner's old stop, which has ended, and not yet the new one: it is repeated."""
    bot = Served(client, exchange).enter()
    old = bot.by(OWNER, **COVER)["algoId"]
    exchange.faults.inject(faults.delayed(1), method="GET", path="positionRisk", times=1)
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(
            bot.by, LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True
        )
        wait_for(lambda: "algos" in listed(bot))
        bot.covering = bot.by(OWNER, **{**COVER, "stopPrice": 49000})["algoId"]
        bot.by(OWNER, "futures_cancel_algo_order", algoId=old)
        with pytest.raises(exit_shim.ExitOrderDenied):
            cancelling.result()
    assert [algo.algo_id for algo in exchange.engine.open_algos()] == [bot.covering]
    bot.shim.close()


def listed(bot):
    """Which reads of the look that is under way are answered."""
    looks = list(bot.shim.guard.snapshots._under_way.values())
    return looks[0].answers._answers if looks and looks[0].answers else {}


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
