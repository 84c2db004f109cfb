"""What a denied caller gets, what goes out all the same, and the switches that running bots obey."""

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import time

import pytest
from binance.exceptions import BinanceAPIException
from click.testing import CliRunner
from guarded_bot import COVER, ENFORCE, LEGACY, LIMIT, OWNER, STOP, TARGET, Bot, held_up
from log_capture import captured_events

import exit_shim
from exit_shim.cli import app
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import JournalReader, read_records
from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange, faults


@pytest.fixture
def bot():
    own = Bot().enter()
    yield own
    own.shim.close()


def test_a_denied_caller_gets_an_exception_it_handles(bot):
    """ExitOrderDenied is a BinanceAPIException with code -2010; the exchange has not seen the order."""
    bot.cover()
    seen = len(bot.exchange.order_requests)
    with pytest.raises(BinanceAPIException) as denied:
        bot.by(LEGACY, **TARGET)
    assert isinstance(denied.value, exit_shim.ExitOrderDenied)
    assert denied.value.code == -2010
    (reason,) = denied.value.reasons
    assert str(reason) == "OWNERSHIP_CONFLICT module=position_monitor mode=EXIT_BRAIN_V3 role=legacy"
    assert "modes.EXIT_BRAIN_V3.legacy" in denied.value.message
    assert len(bot.exchange.order_requests) == seen
    line = bot.records[-1].flat()
    assert (line["verdict"], line["outcome"], line["error_code"]) == ("deny", "denied", -2010)


def test_none_is_an_answer():
    """With on_deny = "return_none" the caller gets None, and the record says denied."""
    bot = Bot(ENFORCE + 'on_deny = "return_none"').enter().cover()
    assert bot.by(LEGACY, **TARGET) is None
    assert bot.records[-1].outcome.result == "denied"


def test_a_monitor_gets_an_answer_of_the_doors_shape():
    """It has the door's keys, a mark, and an id below zero that the guard answers for from then on."""
    bot = Bot(ENFORCE + 'on_deny = "simulate"').enter()
    real = bot.by(OWNER, **TARGET)
    answer = bot.by(LEGACY, **STOP, clientAlgoId="mine")
    assert answer["algoId"] > 0  # the stop went out: nothing else covers the position
    bot.cover()
    simulated = bot.by(LEGACY, **{**TARGET, "stopPrice": 71000}, clientAlgoId="mine-too")
    assert set(simulated) - set(real) == {"exit_shim_simulated"}
    assert simulated["algoId"] < 0
    seen = len(bot.exchange.order_requests)
    for asked in ({"algoId": simulated["algoId"]}, {"clientAlgoId": "mine-too"}):
        assert bot.by(LEGACY, "futures_get_algo_order", **asked)["algoStatus"] == "NEW"
        told = bot.by(LEGACY, "futures_get_order", symbol="BTCUSDT", **asked)
        assert told.items() >= simulated.items()
    cancelled = bot.by(LEGACY, "futures_cancel_order", symbol="BTCUSDT", algoId=simulated["algoId"])
    assert (cancelled["algoId"], cancelled["code"]) == (simulated["algoId"], "200")
    assert bot.by(LEGACY, "futures_get_algo_order", algoId=simulated["algoId"])["algoStatus"] == "CANCELED"
    assert len(bot.exchange.order_requests) == seen
    assert bot.records[-1].outcome.result == "simulated"
    assert bot.by(OWNER, "futures_get_algo_order", algoId=real["algoId"])["algoId"] == real["algoId"]


def test_an_ordinary_order_simulated():
    """A LIMIT order's answer has orderId and status; the query by the client's own id finds it."""
    bot = Bot(ENFORCE + 'on_deny = "simulate"').enter().cover()
    real = bot.by(OWNER, **LIMIT)
    answer = bot.by(LEGACY, **LIMIT, newClientOrderId="mine")
    assert set(answer) - set(real) == {"exit_shim_simulated"}
    asked = bot.by(LEGACY, "futures_get_order", symbol="BTCUSDT", origClientOrderId="mine")
    assert (asked["orderId"], asked["status"]) == (answer["orderId"], "NEW")
    cancelled = bot.by(LEGACY, "futures_cancel_order", symbol="BTCUSDT", orderId=answer["orderId"])
    assert cancelled["status"] == "CANCELED"


async def test_async_clients_are_denied_when_awaited():
    """The coroutine raises, returns None, or returns the stand-in, and nothing was sent."""
    for denied, check in (
        ("raise", None),
        ("return_none", lambda a: a is None),
        ("simulate", lambda a: a["algoId"] < 0),
    ):
        bot = Bot(ENFORCE + f'on_deny = "{denied}"', client=FakeAsyncClient)
        await bot.client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        await bot.by(OWNER, **STOP)
        for order in (STOP, TARGET):
            coroutine = bot.by(LEGACY, **order)
            assert asyncio.iscoroutine(coroutine)
            if check is None:
                with pytest.raises(exit_shim.ExitOrderDenied):
                    await coroutine
            else:
                answer = await coroutine
                assert check(answer)
        if denied == "simulate":
            assert (await bot.client.futures_get_algo_order(algoId=answer["algoId"]))["algoId"] < 0
        assert len(bot.resting()) == 1


@pytest.mark.parametrize("denied", ["raise", "return_none", "simulate"])
def test_a_batch_lacks_the_denied_element_alone(denied):
    """The rest goes out, an error or stand-in is in the denied one's place; the caller's list stays."""
    bot = Bot(ENFORCE + f'on_deny = "{denied}"').enter().cover()
    entry = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "price": "2000", "quantity": "0.100"}
    entry["timeInForce"] = "GTC"
    batch = [dict(entry), dict(LIMIT), dict(entry)]
    answers = bot.by(LEGACY, "futures_place_batch_order", batchOrders=batch)
    assert len(batch) == len(answers) == 3
    assert all(answers[place]["orderId"] > 0 for place in (0, 2))
    if denied == "simulate":
        assert answers[1]["orderId"] < 0
    else:
        assert answers[1]["code"] == -2010
    assert len(bot.exchange.engine.open_orders()) == 2
    both = bot.by(LEGACY, "futures_place_batch_order", batchOrders=[dict(LIMIT), dict(LIMIT)])
    assert len(both) == 2
    assert len(bot.exchange.engine.open_orders()) == 2


def test_a_list_of_cancels_is_parted(bot):
    """Of a list of ids, those of others stay, each answered in its place; one's own go."""
    bot.cover()
    bot.shim.switch(enforce=False)
    owners, mine = bot.by(OWNER, **LIMIT), bot.by(LEGACY, **LIMIT)
    bot.shim.switch(enforce=True)
    ids = [mine["orderId"], owners["orderId"]]
    answers = bot.by(LEGACY, "futures_cancel_orders", symbol="BTCUSDT", orderidlist=ids)
    assert answers[0]["orderId"] == mine["orderId"]
    assert answers[1]["code"] == -2010
    assert [order.order_id for order in bot.exchange.engine.open_orders()] == [owners["orderId"]]


def test_raw_requests_are_judged(bot):
    """The client's own request methods are doors too."""
    bot.by(OWNER, **STOP)
    with exit_shim.attributed(LEGACY), pytest.raises(exit_shim.ExitOrderDenied):
        bot.client._request_futures_api("post", "algoOrder", True, data={**TARGET, "triggerPrice": 1})
    with exit_shim.attributed(LEGACY), pytest.raises(exit_shim.ExitOrderDenied):
        bot.client._request_futures_api("delete", "algoOpenOrders", True, data={"symbol": "BTCUSDT"})
    assert len(bot.resting()) == 1


def test_a_stop_goes_out_where_no_owner_has_one(bot):
    """The classic sequence: cancel the old stop, place the new one. It goes out, loudly."""
    with captured_events() as lines:
        first = bot.by(LEGACY, **STOP)
        bot.by(LEGACY, "futures_cancel_algo_order", algoId=first["algoId"])
        assert bot.by(LEGACY, **{**STOP, "stopPrice": 51000})["algoId"] > 0
    assert str(bot.records[-1].reasons[-1]) == (
        "PROTECTIVE_OVERRIDE symbol=BTCUSDT because=no_owners_stop position_side=BOTH"
    )
    assert bot.records[-1].action == "warn"
    assert len(bot.resting()) == 1
    assert not lines  # these sinks are the test's


def test_an_override_is_logged_as_an_error(tmp_path):
    """PROTECTIVE_OVERRIDE is the loudest line of the guard."""
    shim = exit_shim.ExitShim(journal=False, policy=parse_policy(ENFORCE), mode="EXIT_BRAIN_V3")
    client = shim.wrap(FakeClient())
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    with captured_events() as lines, exit_shim.attributed(LEGACY):
        client.futures_create_order(**STOP)
        shim.flush()
    assert [line["log_level"] for line in lines if "PROTECTIVE_OVERRIDE" in line["event"]] == ["error"]


def test_a_stop_is_denied_where_an_owners_covers(bot):
    """The owner's stop rests at the exchange: now the legacy module's is denied, and so are its cancels."""
    placed = bot.by(OWNER, **STOP)
    for order in (STOP, {**STOP, "stopPrice": 51000}):
        with pytest.raises(exit_shim.ExitOrderDenied):
            bot.by(LEGACY, **order)
    for method, params in (
        ("futures_cancel_algo_order", {"algoId": placed["algoId"]}),
        ("futures_cancel_order", {"symbol": "BTCUSDT", "clientAlgoId": placed["clientAlgoId"]}),
        ("futures_cancel_all_open_orders", {"symbol": "BTCUSDT", "conditional": True}),
        ("futures_cancel_all_algo_open_orders", {"symbol": "BTCUSDT"}),
    ):
        with pytest.raises(exit_shim.ExitOrderDenied):
            bot.by(LEGACY, method, **params)
        with pytest.raises(exit_shim.ExitOrderDenied):  # a stranger may not either
            bot.by("exposure_guard", method, **params)
    assert bot.resting() == [placed["algoId"]]
    bot.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])
    assert bot.resting() == []


@pytest.mark.parametrize("lag", [0, 10_000_000_000])
def test_the_exchange_is_believed_not_the_book(bot, monkeypatch, lag):
    """An owner's stop that was cancelled in the app covers nothing; one too young to be listed is kept."""
    monkeypatch.setattr("exit_shim.guard.book.READ_LAG_NS", lag)
    bot.by(OWNER, **STOP)
    bot.exchange.engine.cancel_all_algos("BTCUSDT")
    assert bot.by(LEGACY, **STOP)["algoId"] > 0
    book = bot.shim.guard.book
    known = [live.target.module for live in book.exits_of(book.positions()[0])]
    assert known == ([OWNER] if lag else []) + [LEGACY]


def test_an_owners_stop_on_its_way_is_not_taken(bot, monkeypatch):
    """Between the exchange's taking an owner's stop and its answer, a cancel-all of others is denied."""
    with held_up(bot, monkeypatch) as placing, pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_all_open_orders", symbol="BTCUSDT", conditional=True)
    assert bot.resting() == [placing.result()["algoId"]]
    book = bot.shim.guard.book
    (live,) = book.exits_of(book.positions()[0])
    assert (live.in_doubt, live.target.algo_id) == (False, placing.result()["algoId"])


def test_a_refused_order_is_not_expected_any_more(bot):
    """What the exchange refused does not stay in the book."""
    bot.by(OWNER, **STOP)
    with pytest.raises(BinanceAPIException):
        bot.by(OWNER, **STOP)  # -4130
    book = bot.shim.guard.book
    assert len(book.exits_of(book.positions()[0])) == 1


def test_without_foreign_cancel_a_legacy_module_still_takes_no_stop():
    """It may then cancel an owner's target, and not its stop."""
    bot = Bot(ENFORCE + '[rules.FOREIGN_CANCEL]\nlevel = "observe"\n').enter()
    stop, target = bot.by(OWNER, **STOP), bot.by(OWNER, **TARGET)
    assert bot.by(LEGACY, "futures_cancel_algo_order", algoId=target["algoId"])["code"] == "200"
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_algo_order", algoId=stop["algoId"])


def test_a_stop_before_its_position_goes_out():
    """While flat nobody knows how large a position will be: an owner's stop on a quantity covers nothing."""
    bot = Bot()
    part = {**STOP, "quantity": "0.010", "reduceOnly": "true"}
    del part["closePosition"]
    bot.by(OWNER, **part)
    assert bot.by(LEGACY, **part)["algoId"] > 0
    assert bot.records[-1].intent.verdict.reasons[-1].fact("because") == "no_position"


def test_stops_of_the_other_side_cover_nothing():
    """In hedge mode an owner's stop under the long position does not cover the short one."""
    bot = Bot(hedge_mode=True)
    for side, position in (("BUY", "LONG"), ("SELL", "SHORT")):
        bot.client.futures_create_order(
            symbol="BTCUSDT", side=side, positionSide=position, type="MARKET", quantity=0.01
        )
    bot.by(OWNER, **STOP, positionSide="LONG")
    short = {**STOP, "side": "BUY", "stopPrice": 70000, "positionSide": "SHORT"}
    assert bot.by(LEGACY, **short)["algoId"] > 0
    bot.by(OWNER, "futures_cancel_algo_order", algoId=bot.resting()[-1])
    bot.by(OWNER, **short)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **short)


@pytest.mark.parametrize("is_active", [True, False])
def test_a_trailing_stop_covers_once_it_is_activated(bot, is_active):
    """One that still waits for its activation price watches nothing."""
    trailing = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "TRAILING_STOP_MARKET",
        "quantity": "0.010",
        "callbackRate": 5,
        "activatePrice": 61_000,
        "reduceOnly": "true",
    }
    bot.by(OWNER, **trailing)
    if is_active:
        bot.exchange.set_mark("BTCUSDT", 61_500)
        with pytest.raises(exit_shim.ExitOrderDenied):
            bot.by(LEGACY, **STOP)
    else:
        assert bot.by(LEGACY, **STOP)["algoId"] > 0


def test_an_order_on_its_way_is_not_counted_twice(bot):
    """While it is expected an exit is no second one beside itself."""
    book = bot.shim.guard.book
    part = {**STOP, "quantity": "0.010", "reduceOnly": "true"}
    del part["closePosition"]
    bot.by(OWNER, **part)
    book.set_size(book.positions()[0], bot.exchange.engine.position("BTCUSDT").amount)
    bot.by(OWNER, "futures_cancel_algo_order", algoId=bot.resting()[0])
    bot.by(OWNER, **part)
    assert not [reason for reason in bot.records[-1].reasons if reason.code == "OVERSIZED"]


def test_the_kill_switchs_file_is_enough(tmp_path):
    """While the file is beside the journal nothing is denied, whoever put it there."""
    bot = Bot(journal=tmp_path / "j.db").enter().cover()
    bot.shim.process_feed.read_news()
    (tmp_path / "j.db.enforce-off").touch()
    bot.shim.process_feed._read_at = -10.0
    assert bot.by(LEGACY, **TARGET)["algoId"] > 0
    (tmp_path / "j.db.enforce-off").unlink()
    bot.shim.process_feed.read_news()
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **TARGET)
    bot.shim.close()


@pytest.mark.parametrize(("quantity", "covered"), [("0.010", True), ("0.005", False)], ids=["whole", "part"])
def test_stops_on_a_quantity_cover_what_they_add_up_to(bot, quantity, covered):
    """An owner's stop on less than the position does not cover it."""
    part = {**STOP, "quantity": quantity, "reduceOnly": "true"}
    del part["closePosition"]
    bot.by(OWNER, **part)
    if covered:
        with pytest.raises(exit_shim.ExitOrderDenied):
            bot.by(LEGACY, **STOP)
    else:
        assert bot.by(LEGACY, **STOP)["algoId"] > 0


@pytest.mark.parametrize("fault", [faults.internal_error, faults.unknown_error, faults.html_error])
def test_where_the_exchange_cannot_be_asked_the_stop_goes_out(bot, fault):
    """What cannot be seen is not denied."""
    bot.by(OWNER, **STOP)
    bot.exchange.engine.cancel_all_algos("BTCUSDT")
    bot.exchange.faults.inject(fault(), method="GET", path="openAlgoOrders")
    assert bot.by(LEGACY, **STOP)["algoId"] > 0
    assert bot.records[-1].intent.verdict.reasons[-1].fact("because") == "could_not_be_asked"


@pytest.mark.parametrize("market_closes", ["allow", "judge"])
def test_closing_at_market_is_not_denied_by_default(market_closes):
    """It is warned of; only market_closes = "judge" denies it."""
    bot = Bot(ENFORCE + f'market_closes = "{market_closes}"').enter().cover()
    close = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 0.01, "reduceOnly": "true"}
    if market_closes == "allow":
        assert bot.by(LEGACY, **close)["orderId"] > 0
        assert bot.records[-1].action == "warn"
    else:
        with pytest.raises(exit_shim.ExitOrderDenied):
            bot.by(LEGACY, **close)


@pytest.mark.parametrize(("price", "goes"), [("71000", False), ("59000", True)])
def test_a_change_to_a_price_through_the_market_goes_out(bot, price, goes):
    """Changed so, a LIMIT exit closes now, as it would if it were placed so."""
    bot.shim.switch(enforce=False)
    mine = bot.by(LEGACY, **LIMIT)
    bot.shim.switch(enforce=True)
    bot.cover()
    change = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.005", "price": price}
    with contextlib.nullcontext() if goes else pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_modify_order", **change, orderId=mine["orderId"])
    assert ("because=closes_at_once" in bot.records[-1].intent.verdict.why) is goes


def test_a_guard_that_fails_lets_the_order_out(bot, monkeypatch):
    """What fails in deciding what is held back costs the decision, not the order."""
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    monkeypatch.setattr("exit_shim.guard.protective_override.OverrideCheck.decide", lambda *_: 1 / 0)
    assert bot.by(LEGACY, **TARGET)["algoId"] > 0
    assert bot.records[-1].outcome.result == "accepted"
    assert bot.records[-1].reasons[-1].fact("because") == "the_guard_failed"


def test_an_adapters_call_that_cannot_be_parted_goes_out_whole():
    """Of an adapter's own batch nothing can be left out: it goes out, and says so."""

    class Adapter(FakeClient):
        sent = ()

        def send(self, orders):
            self.sent = (*self.sent, orders)
            return [{"orderId": number} for number, _ in enumerate(orders)]

    door = exit_shim.Door("send", parse=lambda orders: orders)
    shim = exit_shim.ExitShim(journal=False, policy=parse_policy(ENFORCE), mode="EXIT_BRAIN_V3", sinks=[])
    adapter = Adapter()
    client = shim.wrap(adapter)
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    with exit_shim.attributed(OWNER):
        client.futures_create_order(**COVER)
    entry = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 1}
    with exit_shim.attributed(LEGACY):
        shim.wrap(adapter, doors=[door]).send([entry, LIMIT])
        assert adapter.sent == ([entry, LIMIT],)
        with pytest.raises(exit_shim.ExitOrderDenied):
            shim.wrap(adapter, doors=[exit_shim.Door("send", parse=lambda orders: orders[0])]).send([LIMIT])


def test_installed_classes_are_guarded():
    """With install() a client that the bot makes itself is denied as well."""
    exchange = LocalExchange()
    shim = exit_shim.ExitShim(journal=False, policy=parse_policy(ENFORCE), mode="EXIT_BRAIN_V3", sinks=[])
    with shim.install():
        client = FakeClient(exchange=exchange)
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        with exit_shim.attributed(OWNER):
            client.futures_create_order(**STOP)
        with exit_shim.attributed(LEGACY), pytest.raises(exit_shim.ExitOrderDenied):
            client.futures_create_order(**STOP)
    assert len(exchange.engine.open_algos()) == 1


def test_a_restart_takes_the_book_up(tmp_path):
    """After a restart the owner's stop is still known as the owner's, from the journal."""
    first = Bot(journal=tmp_path / "j.db").enter()
    placed = first.by(OWNER, **STOP)
    first.shim.close()
    again = Bot(journal=tmp_path / "j.db", exchange=first.exchange)
    with pytest.raises(exit_shim.ExitOrderDenied):
        again.by(LEGACY, "futures_cancel_algo_order", algoId=placed["algoId"])
    with pytest.raises(exit_shim.ExitOrderDenied):
        again.by(LEGACY, **STOP)
    again.shim.close()


def test_what_was_cancelled_since_is_not_taken_up(tmp_path):
    """A stop of an earlier run that this run cancelled does not come back into the book by a look-up."""
    first = Bot(journal=tmp_path / "j.db").enter()
    placed = first.by(OWNER, **STOP)
    first.shim.close()
    again = Bot(journal=tmp_path / "j.db", exchange=first.exchange)
    again.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])
    again.shim.flush()
    again.shim.process_feed.read_earlier_runs()
    with pytest.raises(BinanceAPIException) as refused:
        again.by(LEGACY, "futures_cancel_algo_order", algoId=placed["algoId"])
    assert refused.value.code == -2011  # the exchange's word, not the guard's
    again.shim.close()


def test_other_processes_are_followed(tmp_path):
    """What another shim on the same journal places is in the book, without a restart."""
    one = Bot(journal=tmp_path / "j.db").enter()
    other = Bot(journal=tmp_path / "j.db", exchange=one.exchange)
    other.shim.process_feed.read_news()
    placed = one.by(OWNER, **STOP)
    one.shim.flush()
    with pytest.raises(exit_shim.ExitOrderDenied):
        other.by(LEGACY, "futures_cancel_all_open_orders", symbol="BTCUSDT", conditional=True)
    with pytest.raises(exit_shim.ExitOrderDenied):
        other.by(LEGACY, **STOP)
    covers, beside = other.records[-1].intent.verdict.book
    assert covers.startswith("covers: STOP_MARKET whole position trigger=50000")
    assert beside.startswith("sl whole position trigger=50000 of exit_brain_v3")
    one.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])
    one.shim.flush()
    assert other.by(LEGACY, **STOP)["algoId"] > 0
    for shim in (one.shim, other.shim):
        shim.close()


BOT = """
import sys, time
import exit_shim
from exit_shim.guard.policy import parse_policy
from exit_shim.testing import FakeClient

shim = exit_shim.ExitShim(journal=sys.argv[1], policy=parse_policy('level = "enforce"'), sinks=[])
client = shim.wrap(FakeClient())
client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
order = dict(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50000, closePosition=True)
with exit_shim.attributed("exit_brain_v3"):
    client.futures_create_order(**order)
order = dict(symbol="BTCUSDT", side="SELL", type="TAKE_PROFIT_MARKET", stopPrice=70000)
order.update(quantity=0.001, reduceOnly="true")
print("ready", flush=True)
for line in sys.stdin:
    with exit_shim.attributed("position_monitor"):
        try:
            client.futures_create_order(**order)
            print(shim.mode(), "sent", flush=True)
        except exit_shim.ExitOrderDenied:
            print(shim.mode(), "denied", flush=True)
"""


def command(*words):
    return CliRunner().invoke(app, words, catch_exceptions=False)


def test_switches_reach_running_processes(tmp_path, monkeypatch):
    """`mode` and `enforce` change what another process does within a second, and say who did it."""
    path = tmp_path / "j.db"
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(path))
    environment = {**os.environ, "EXIT_MODE": "LEGACY"}
    environment.pop("EXIT_SHIM_POLICY", None)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BOT), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as bot:

        def ask():
            bot.stdin.write("go\n")
            bot.stdin.flush()
            return bot.stdout.readline().split()

        def becomes(expected):
            began = time.monotonic()
            while (said := ask()) != expected:
                assert time.monotonic() - began < 60, said
                time.sleep(0.05)

        assert bot.stdout.readline() == "ready\n"
        assert ask() == ["LEGACY", "sent"]
        assert command("mode", "EXIT_BRAIN_V3", "--by", "me").exit_code == 0
        becomes(["EXIT_BRAIN_V3", "denied"])
        command("enforce", "off")
        becomes(["EXIT_BRAIN_V3", "sent"])
        assert command("enforce").output == "off\n"
        command("enforce", "on")
        becomes(["EXIT_BRAIN_V3", "denied"])
        command("mode", "default")
        becomes(["LEGACY", "sent"])
        bot.stdin.close()
    switches = [event for event in JournalReader(path).read_events() if event.event == "switch"]
    assert len(switches) == 4
    assert '"by":"me","mode":"EXIT_BRAIN_V3"' in switches[0].body
    assert "pid" in switches[1].body
    assert {record.intent.mode for record in read_records(path)} == {"LEGACY", "EXIT_BRAIN_V3"}


def test_a_switch_holds_for_later_starts(tmp_path, monkeypatch):
    """A bot that starts after the switch starts with it, and a wrong mode is refused with the nearest."""
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(tmp_path / "j.db"))
    command("mode", "EXIT_BRAIN_V3")
    command("enforce", "off")
    shim = exit_shim.ExitShim(policy=parse_policy(ENFORCE), sinks=[])
    shim.begin()
    assert (shim.mode(), shim.guard.switches.enforcing) == ("EXIT_BRAIN_V3", False)
    shim.close()
    assert command("mode").output == "EXIT_BRAIN_V3\n"
    refused = command("mode", "EXIT_BRAIN")
    assert refused.exit_code == 2
    assert "did you mean EXIT_BRAIN_V3?" in refused.output


def test_off_works_where_the_journal_takes_nothing(tmp_path, monkeypatch):
    """The kill switch is a file beside the journal first."""
    path = tmp_path / "j.db"
    path.write_text("no database at all, and never was one")
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(path))
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    bot = Bot(journal=path).enter().cover()
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **TARGET)
    assert command("enforce", "off").exit_code == 0
    bot.shim.process_feed._read_at = -10.0
    assert bot.by(LEGACY, **TARGET)["algoId"] > 0
    bot.shim.close()


def test_switches_in_code(tmp_path):
    """ExitShim.switch does the same; a mode that the policy does not have is an error."""
    bot = Bot(journal=tmp_path / "j.db").enter()
    bot.shim.switch(enforce=False, by="the desk")
    assert bot.by(LEGACY, **TARGET)["algoId"] > 0
    bot.shim.switch(enforce=True, mode="LEGACY")
    assert bot.shim.mode() == "LEGACY"
    with pytest.raises(ValueError, match="is no mode; it must be one of LEGACY, EXIT_BRAIN_V3"):
        bot.shim.switch(mode="BRAIN")
    bot.shim.close()


def test_a_slow_look_sets_the_book_right(monkeypatch):
    """Watched, the book loses what fired, knows sizes, and tells of orphans, once."""
    monkeypatch.setattr("exit_shim.guard.book.READ_LAG_NS", 0)
    bot = Bot("").enter()
    with pytest.raises(ValueError, match="needs a sync client"):
        bot.shim.watch(FakeAsyncClient(), every=5)
    bot.by(OWNER, **STOP)
    bot.by(OWNER, **{**LIMIT, "quantity": "0.002"})
    part = {**STOP, "quantity": "0.010", "reduceOnly": "true"}
    del part["closePosition"]
    bot.by(OWNER, **part)
    bot.shim.watch(bot.client, every=60)
    poller = bot.shim.account_feeds.pollers[0]
    poller.look()
    book = bot.shim.guard.book
    (position,) = book.positions()
    assert (len(book.exits_of(position)), book.size(position)) == (
        3,
        bot.exchange.engine.position("BTCUSDT").amount,
    )
    bot.exchange.set_mark("BTCUSDT", 49_000)  # the first stop closes the position
    bot.client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=40_000, quantity=1, reduceOnly="true"
    )
    for _ in range(3):
        poller.look()
    bot.shim.flush()
    assert [live.target.module for live in book.exits_of(position)] == ["test_guard"]
    assert [finding.reason.code for finding in bot.findings] == ["ORPHAN"]
    bot.shim.close()
