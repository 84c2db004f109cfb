"""The executor that runs: it hears of fills, and keeps what others take away in place."""

import threading
from decimal import Decimal

import pytest
from abilities import needs_algo
from binance import BinanceSocketManager
from running_executor import SYMBOL, changes, legs, open_long, plan_for, stop_only, until

import exit_shim
from exit_shim.clients.python_binance_releases import hears_user_stream
from exit_shim.errors import ExecutorError, ExitOrderDenied
from exit_shim.executor import ExitExecutor, ExitPlan, HardStop, at_fraction
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import JournalReader, read_records
from exit_shim.testing import FakeClient

pytestmark = needs_algo

needs_stream = pytest.mark.skipif(
    not hears_user_stream(BinanceSocketManager), reason="this python-binance connects where nothing is sent"
)


def is_settled(run, state="PROTECTED"):
    """Whether the latest pass left the position as planned."""
    latest = run.executor.protections.get((SYMBOL, "BOTH"))
    return latest is not None and latest.state == state and not latest.steps


def heard(run):
    """Whether the user data stream is heard, and the account was looked at since."""
    return run.executor.is_listening and (run.executor.agenda.wait_s() or 0) > 30


def in_journal(run):
    """The orders that the executor sent, as recorded."""
    run.shim.journal.flush()
    return [record.intent for record in read_records(run.shim.journal.path)]


@needs_stream
def test_a_fill_is_followed_by_a_hard_stop_at_once(exchange, client, make):
    """The event of the fill brings it, long before the next look; takes follow once the stop is listed."""
    run = make(client, every_s=3600)
    run.executor.start()
    until(lambda: heard(run))
    open_long(client)
    until(lambda: is_settled(run))
    assert legs(exchange) == ["hs", "t1", "tr"]
    latest = run.executor.protections[SYMBOL, "BOTH"]
    assert (latest.guarded, latest.bare_since, latest.problem) == (Decimal("0.010"), None, None)
    first = next(request for request in exchange.requests if request.path.endswith("algoOrder"))
    assert (first.params["type"], first.params["closePosition"]) == ("STOP_MARKET", "true")


@needs_stream
def test_at_rest_nothing_is_sent(exchange, client, make):
    """Nothing that changes orders, and no look before the next minute."""
    run = make(client, stop_only, every_s=1)
    run.executor.start()
    open_long(client)
    until(lambda: heard(run) and is_settled(run))
    sent, passes = len(changes(exchange)), len(run.passes)
    assert run.executor.agenda.wait_s() > 30
    assert (len(changes(exchange)), len(run.passes)) == (sent, passes)


@needs_stream
def test_the_streams_may_be_at_an_address_of_ones_own(exchange, client, make, monkeypatch):
    """For a client whose address was changed; events and mark prices come from there."""
    monkeypatch.setattr(BinanceSocketManager, "FSTREAM_URL", "ws://127.0.0.1:1/")
    client.FUTURES_URL = client.FUTURES_URL.replace("127.0.0.1", "localhost")
    run = make(client, every_s=3600, stream=exchange.url.replace("http", "ws"))
    run.executor.start()
    until(lambda: heard(run))
    open_long(client)
    until(lambda: is_settled(run) and run.executor.is_listening)
    exchange.set_mark(SYMBOL, 60_900)
    until(lambda: trigger_of(exchange, "tr") == Decimal("60412.8"))


def test_without_a_stream_to_be_had_it_is_said_and_polled(exchange, make, caplog):
    """As for a fake."""
    fake = FakeClient(exchange=exchange)
    run = make(fake, stop_only, every_s=1)
    open_long(fake)
    run.executor.start()
    until(lambda: is_settled(run))
    assert "there is no user data stream: only a genuine python-binance client has one" in caplog.text


@needs_stream
def test_a_stop_that_somebody_cancels_is_replaced(exchange, client, make):
    """As soon as its end is heard of."""
    run = make(client, stop_only, every_s=3600)
    run.executor.start()
    until(lambda: heard(run))
    open_long(client)
    until(lambda: is_settled(run))
    (before,) = exchange.open_algo_orders()
    client.futures_cancel_algo_order(symbol=SYMBOL, algoId=before["algoId"])
    until(lambda: legs(exchange) == ["hs"])
    assert exchange.open_algo_orders()[0]["clientAlgoId"] != before["clientAlgoId"]


@needs_stream
def test_a_mark_price_wakes_the_trail(exchange, client, make):
    """The stream of mark prices tells of it, and the stop moves up."""
    run = make(client, every_s=3600)
    run.executor.start()
    open_long(client)
    until(lambda: is_settled(run) and run.executor.is_listening)
    exchange.set_mark(SYMBOL, 60_900)
    until(lambda: is_settled(run) and trigger_of(exchange, "tr") == Decimal("60412.8"))
    assert legs(exchange) == ["hs", "t1", "tr"]


def trigger_of(exchange, leg):
    """The trigger price of a leg's stop; None without one."""
    stops = [stop for stop in exchange.open_algo_orders() if f"-{leg}-" in stop["clientAlgoId"]]
    return Decimal(stops[0]["triggerPrice"]) if len(stops) == 1 else None


def test_without_a_stream_the_exchange_is_polled(exchange, client, make):
    """Fill, lost stop and price are noticed by the next poll."""
    run = make(client, every_s=1, stream=False)
    run.executor.start()
    open_long(client)
    until(lambda: is_settled(run))
    (stop,) = [order for order in exchange.open_algo_orders() if "-hs-" in order["clientAlgoId"]]
    client.futures_cancel_algo_order(symbol=SYMBOL, algoId=stop["algoId"])
    until(lambda: legs(exchange) == ["hs", "t1", "tr"])
    exchange.set_mark(SYMBOL, 60_900)
    until(lambda: trigger_of(exchange, "tr") == Decimal("60412.8"))
    assert not [thread for thread in threading.enumerate() if thread.name == "exit-shim-stream"]


def test_a_poll_reads_what_weighs_less(exchange, client, make):
    """The first look is at everything; from then on only orders of symbols that matter are listed."""
    run = make(client, stop_only, every_s=1, stream=False)
    open_long(client)
    for _ in range(3):
        run.executor.protect()
    seen = len(exchange.requests)
    assert [one.state for one in run.executor.protect()] == ["PROTECTED"]
    reads = {(one.path.rsplit("/")[-1], one.params.get("symbol")) for one in exchange.requests[seen:]}
    assert reads == {("positionRisk", None), ("openOrders", SYMBOL), ("openAlgoOrders", SYMBOL)}


def test_a_position_on_a_new_symbol_is_found_by_a_poll(exchange, client, make):
    """Its orders are read right after the positions, and it gets its stop in the same pass."""
    run = make(client, stop_only, stream=False)
    open_long(client)
    run.executor.protect()
    client.futures_create_order(symbol="ETHUSDT", side="SELL", type="MARKET", quantity="0.1")
    states = {one.symbol: one.guarded for one in run.executor.protect()}
    assert states == {SYMBOL: Decimal("0.010"), "ETHUSDT": Decimal("0.1")}
    assert legs(exchange) == ["hs", "hs"]


def test_stop_leaves_every_order_and_a_restart_goes_on(exchange, client, make):
    """Another executor on the journal has the same orders; it places nothing anew."""
    first = make(client, every_s=1, stream=False)
    first.executor.start()
    open_long(client)
    until(lambda: is_settled(first))
    first.executor.stop()
    resting, sent = sorted(map(str, exchange.open_algo_orders())), len(changes(exchange))
    second = make(client, every_s=1, stream=False)
    second.executor.start()
    until(lambda: is_settled(second))
    assert sorted(map(str, exchange.open_algo_orders())) == resting
    assert len(changes(exchange)) == sent
    assert not first.executor.is_running


def test_the_same_executor_can_be_started_again(exchange, client, make):
    """It takes the account up anew, and places nothing that rests."""
    run = make(client, every_s=1, stream=False)
    open_long(client)
    for _ in range(2):
        passes = len(run.passes)
        run.executor.start()
        until(lambda passes=passes: len(run.passes) > passes and is_settled(run))
        run.executor.stop()
        assert not run.executor.is_running
    assert legs(exchange) == ["hs", "t1", "tr"]
    (episode,) = {order["clientAlgoId"].split("-")[1] for order in exchange.open_algo_orders()}
    assert {step.episode for step in last_steps_of(run)} == {episode}


def last_steps_of(run):
    """What the next process would be told."""
    run.shim.journal.flush()
    return JournalReader(run.shim.journal.path).read_last_steps(run.executor.account)


def test_a_held_position_is_recorded_anew_each_day(client, make):
    """So that pruning the journal does not lose what is known of it."""
    run = make(client, stream=False)
    open_long(client)
    for _ in range(4):
        run.executor.protect()
    (before,) = last_steps_of(run)
    run.executor._recorded_at -= 24 * 3600
    for _ in range(2):
        run.executor.agenda.put_off(None, 0)
        run.executor.do_due()
    (after,) = last_steps_of(run)
    assert (after.why, after.state) == ("it is still held", before.state)
    assert after.numbers == {"hs": 1, "tr": 1, "t1": 1}


def test_the_best_price_survives_a_restart(exchange, client, make):
    """The trail's stop stays where the best price put it, though the price is lower by then."""
    first = make(client, stream=False)
    open_long(client)
    for price in (60_000, 60_900, 60_900):
        exchange.set_mark(SYMBOL, price)
        first.executor.protect()
    first.executor.stop()
    exchange.set_mark(SYMBOL, 60_500)
    second = make(client, stream=False)
    for _ in range(3):
        second.executor.protect()
    assert trigger_of(exchange, "tr") == Decimal("60412.8")
    exchange.set_mark(SYMBOL, 60_950)
    for _ in range(3):
        second.executor.protect()
    assert trigger_of(exchange, "tr") == Decimal("60462.4")


def test_a_dry_run_sends_and_records_nothing(exchange, client, make):
    """It says what would be done, again and again."""
    run = make(client, stream=False)
    open_long(client)
    sent = len(changes(exchange))
    for _ in range(2):
        (protection,) = run.executor.protect(dry_run=True)
        assert protection.state == "UNPROTECTED"
        assert [step.leg for step in protection.steps] == ["hs", "tr"]
    assert (len(changes(exchange)), in_journal(run)) == (sent, [])
    assert run.shim.journal.health().waiting == 0
    run.executor.protect()
    assert "hs" in legs(exchange)


def test_a_paused_symbol_keeps_its_stop_and_nothing_is_done(exchange, client, make):
    """Until it is resumed."""
    run = make(client, stop_only, stream=False)
    open_long(client)
    run.executor.protect()
    run.executor.pause(SYMBOL)
    (stop,) = exchange.open_algo_orders()
    client.futures_cancel_algo_order(symbol=SYMBOL, algoId=stop["algoId"])
    (protection,) = run.executor.protect()
    assert (protection.state, protection.problem, legs(exchange)) == ("HANDS_OFF", "it is paused", [])
    run.executor.resume(SYMBOL)
    run.executor.protect()
    assert legs(exchange) == ["hs"]


def test_records_say_who_and_why(client, make):
    """Module, kind, and the plan with its revision, the leg and the reason."""
    run = make(client, stream=False)
    open_long(client)
    for _ in range(3):
        run.executor.protect()
    said = {
        intent.order.kind: (intent.attribution.module, intent.attribution.explanation, intent.account)
        for intent in in_journal(run)
    }
    assert said["sl"][:2] == ("exit_brain_executor", "plan test r1, hs: the position has no hard stop")
    assert said["partial_tp"][1] == "plan test r1, t1: the plan takes a part here"
    assert {account for _, _, account in said.values()} == {run.executor.account}


def test_a_policy_denies_the_others_once_the_executor_covers(exchange, client, make):
    """The executor's own orders go through the same gateway, as an owner's."""
    run = make(client, stream=False, policy=parse_policy('level = "enforce"\n'))
    run.shim.switch(mode="EXIT_BRAIN_V3")
    open_long(client)
    for _ in range(3):
        run.executor.protect()
    wrapped = run.shim.wrap(client)
    with exit_shim.attributed("position_monitor"), pytest.raises(ExitOrderDenied):
        wrapped.futures_create_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", stopPrice=59_500, quantity=0.01, reduceOnly="true"
        )
    assert legs(exchange) == ["hs", "t1", "tr"]


def test_ensure_protection_is_of_one_position(exchange, client, make):
    """It says how that one is; doing it again does nothing."""
    run = make(client, None, stream=False)
    plan = ExitPlan(symbol=SYMBOL, position_side="LONG", legs=(HardStop(at_fraction("0.02")),))
    assert run.executor.ensure_protection(SYMBOL, plan).state == "FLAT"
    open_long(client)
    assert run.executor.ensure_protection(SYMBOL, plan).state == "MOVING"
    assert run.executor.ensure_protection(SYMBOL, plan).state == "PROTECTED"
    sent = len(changes(exchange))
    assert run.executor.ensure_protection(SYMBOL, plan).guarded == Decimal("0.010")
    assert len(changes(exchange)) == sent


def test_the_bots_client_keeps_its_own_last_answer(client, make):
    """The executor uses clients of its own, since a client has room for one answer."""
    run = make(client, stream=False)
    open_long(client)
    last = client.response
    run.executor.protect()
    assert client.response is last


def test_a_client_without_what_is_needed_is_refused():
    """With the methods that it lacks and what to install."""

    class Old(FakeClient):
        futures_get_open_algo_orders = property()

    with pytest.raises(ExecutorError, match="futures_get_open_algo_orders"):
        ExitExecutor(Old(), plan_for)


def test_passes_too_close_are_refused(client):
    """Under a second."""
    with pytest.raises(ValueError, match=r"every_s=0\.5 is invalid"):
        ExitExecutor(client, plan_for, every_s=0.5)
