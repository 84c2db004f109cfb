"""Attempts to get past the guard, and to have it answer or record what is not so."""

import collections
import contextlib
import os
from unittest.mock import ANY

import pytest
from abilities import needs_websocket_orders
from binance.exceptions import BinanceAPIException
from click.testing import CliRunner
from guarded_bot import (
    COVER,
    ENFORCE,
    LEGACY,
    LIMIT,
    MONITOR,
    OWNER,
    PART,
    STOP,
    STRANGER,
    SYMBOL,
    TARGET,
    Bot,
    Served,
    held_up,
)

import exit_shim
from exit_shim.cli import app
from exit_shim.cli.audit import find_discrepancies
from exit_shim.clients.registry import DOOR_NAMES
from exit_shim.exchange.engine.algo import AlgoRef
from exit_shim.guard.exchange_snapshot import OpenOrder, ask, bare, read_snapshot
from exit_shim.guard.policy import Mode, Policy, PolicyError, parse_policy
from exit_shim.journal import JournalError
from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange

ENTRY = {
    "symbol": SYMBOL,
    "side": "BUY",
    "type": "LIMIT",
    "price": "40000",
    "quantity": "0.005",
    "timeInForce": "GTC",
}
TRAILER = "trailing_stop_manager"
HIGHER = {**STOP, "stopPrice": 51000}
OTHER_PRICE = {**TARGET, "stopPrice": 71000}


@pytest.fixture
def bot(client, exchange):
    own = Served(client, exchange).enter()
    yield own
    own.shim.close()


@pytest.fixture
def monitor(client, exchange):
    own = Served(client, exchange, MONITOR).enter()
    yield own
    own.shim.close()


# what is taken away


def test_a_denied_cancel_does_not_cost_the_next_stop(bot):
    """Where no owner's stop covers, a legacy module may replace another's: else the exchange refuses its own.

    One closePosition stop rests at a time (-4130); once the first module takes its own away, the position
    would be bare, where without the guard the second one's stop had been there.
    """
    first = bot.by(TRAILER, **STOP)
    for method, params in (
        ("futures_cancel_algo_order", {"algoId": first["algoId"]}),
        ("futures_create_order", HIGHER),
    ):
        with contextlib.suppress(BinanceAPIException):
            bot.by(LEGACY, method, **params)
    with contextlib.suppress(BinanceAPIException):
        bot.by(TRAILER, "futures_cancel_algo_order", algoId=first["algoId"])
    assert bot.resting()


def test_a_cancel_all_denied_for_a_target_does_not_cost_the_next_stop(bot):
    """Nor where an owner's target alone was among what a cancel-all would have taken."""
    first = bot.by(LEGACY, **STOP)
    bot.by(OWNER, **{**PART, "type": "TAKE_PROFIT_MARKET", "stopPrice": 70000})
    for method, params in (
        ("futures_cancel_all_open_orders", {"symbol": SYMBOL, "conditional": True}),
        ("futures_create_order", HIGHER),
        ("futures_cancel_algo_order", {"algoId": first["algoId"]}),
    ):
        with contextlib.suppress(BinanceAPIException):
            bot.by(LEGACY, method, **params)
    assert [algo for algo in bot.exchange.engine.open_algos() if algo.type == "STOP_MARKET"]


def test_a_repeated_client_order_id_does_not_lose_the_owners_stop(bot):
    """An owner's retry under the same id is refused as a duplicate; the first rests, and is the owner's."""
    placed = bot.by(OWNER, **PART, clientAlgoId="sl")
    with pytest.raises(BinanceAPIException):
        bot.by(OWNER, **PART, clientAlgoId="sl")  # -4116
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_algo_order", algoId=placed["algoId"])


def test_two_modules_of_one_short_name_are_two(bot, client, exchange):
    """A legacy module may not cancel what an owner placed whose short name is the same."""
    lists = '[modes.EXIT_BRAIN_V3]\nowners = ["brain.executor"]\nlegacy = ["old.executor"]\n'
    bot = Served(client, exchange, ENFORCE + lists)

    def by(dotted, method, **params):
        code = compile("method(**params)", f"/{dotted.replace('.', '/')}.py", "eval")
        return eval(code, {"__name__": dotted, "method": getattr(bot.client, method), "params": params})

    placed = by("brain.executor", "futures_create_order", **STOP)
    with pytest.raises(exit_shim.ExitOrderDenied):
        by("old.executor", "futures_cancel_algo_order", algoId=placed["algoId"])


def test_a_stop_limit_is_no_cover_for_a_stop_at_market(bot):
    """In a gap an owner's STOP becomes a limit order that nothing fills; a STOP_MARKET would have filled."""
    bot.by(OWNER, **{**PART, "type": "STOP", "stopPrice": 55000, "price": 54990, "timeInForce": "GTC"})
    with contextlib.suppress(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **{**PART, "stopPrice": 54000})
    bot.exchange.set_mark(SYMBOL, 50_000)
    assert bot.exchange.engine.position(SYMBOL).amount == 0


def test_a_stop_of_a_kind_that_is_not_the_modules_is_no_owners_stop():
    """An owner of `sl` alone is a legacy module where it trails: its trailing stop covers nobody's denial."""
    bot = Bot(
        ENFORCE + '[modes.EXIT_BRAIN_V3]\nowners = ["brain"]\nlegacy = ["stopper", "old"]\n'
        '[[modes.EXIT_BRAIN_V3.scopes]]\nkinds = ["sl"]\nowners = ["stopper", "brain"]\nlegacy = ["old"]\n'
    ).enter()
    trailing = {**PART, "type": "TRAILING_STOP_MARKET", "callbackRate": 5}
    del trailing["stopPrice"]
    bot.by("stopper", **trailing)
    assert bot.by("old", **STOP)["algoId"] > 0


def test_one_empty_answer_does_not_lose_the_owners_stop(monkeypatch):
    """A list that lacks a resting stop once does not make it fair game: it is the owner's when it is back."""
    monkeypatch.setattr("exit_shim.guard.book.READ_LAG_NS", 0)
    bot = Bot().enter()
    placed = bot.by(OWNER, **STOP)
    with monkeypatch.context() as once:
        once.setattr(bot.client.__wrapped__, "futures_get_open_algo_orders", lambda **_: [])
        bot.by(LEGACY, **PART)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_algo_order", algoId=placed["algoId"])
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **PART)


def test_a_cancel_all_does_not_take_an_owners_stop_of_last_week(tmp_path, monkeypatch):
    """After a restart a cancel-all knows the owner's stop, however long ago it was placed."""
    first = Bot(journal=tmp_path / "j.db").enter()
    placed = first.by(OWNER, **STOP)
    first.shim.close()
    monkeypatch.setattr("exit_shim.feeds.other_processes.TAKEN_UP_NS", 1)
    again = Bot(journal=tmp_path / "j.db", exchange=first.exchange)
    with pytest.raises(exit_shim.ExitOrderDenied):
        again.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    assert again.resting() == [placed["algoId"]]
    again.shim.close()


def test_a_cancel_is_not_denied_for_what_has_fired(bot):
    """An owner's target that was hit does not rest: a legacy module's cancel-all takes its own stop alone."""
    bot.by(OWNER, **TARGET)
    bot.exchange.set_mark(SYMBOL, 70_001)
    bot.exchange.set_mark(SYMBOL, 60_000)
    bot.enter()
    bot.by(LEGACY, **STOP)
    bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    assert bot.resting() == []


def test_a_countdown_takes_nothing_yet(bot):
    """Started, as bots do every minute to stay alive, it leaves the owner's exits the owner's."""
    bot.cover()
    placed = bot.by(OWNER, **LIMIT)
    bot.by(OWNER, "futures_countdown_cancel_all", symbol=SYMBOL, countdownTime=120_000)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_order", symbol=SYMBOL, orderId=placed["orderId"])


@pytest.mark.parametrize("watched", [True, False])
def test_a_stop_of_no_position_may_go_where_stripping_is_enforced(watched):
    """Once the position is closed its stop strips nothing: the owner can clear it away."""
    bot = Bot(ENFORCE + '[rules.STRIPPED]\nlevel = "enforce"\n').enter()
    placed = bot.by(OWNER, **PART)
    close = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.010", "reduceOnly": "true"}
    bot.by(OWNER, **close)
    if watched:
        bot.shim.watch(bot.client, every=60)
        bot.shim.account_feeds.pollers[0].look()
    assert bot.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])["code"] == "200"


def test_what_was_cancelled_in_the_app_is_not_left_beside(monkeypatch):
    """With STRIPPED enforced, a stop that is gone unseen makes up for none: the exchange is asked."""
    bot = Bot(ENFORCE + '[rules.STRIPPED]\nlevel = "enforce"\n').enter()
    placed, gone = bot.by(OWNER, **PART), bot.by(OWNER, **{**PART, "stopPrice": 52000})
    bot.exchange.engine.cancel_algo(AlgoRef(algo_id=gone["algoId"]))
    monkeypatch.setattr("exit_shim.guard.book.READ_LAG_NS", 0)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])


@pytest.mark.parametrize("conditional", [True, 1, "1", "yes", "false", [1]])
def test_what_is_true_for_the_client_is_for_the_guard(bot, conditional):
    """python-binance asks `if conditional`: a 1 takes the conditional orders too, and so is denied."""
    placed = bot.by(OWNER, **STOP)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=conditional)
    assert bot.resting() == [placed["algoId"]]


def test_a_cancel_all_as_the_first_call_after_a_restart(tmp_path):
    """It waits until the journal is taken up, and then finds the owner's stop among what it would take."""
    first = Bot(journal=tmp_path / "j.db").enter()
    first.by(OWNER, **STOP)
    first.shim.close()
    again = Bot(journal=tmp_path / "j.db", exchange=first.exchange)
    with pytest.raises(exit_shim.ExitOrderDenied):
        again.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    again.shim.close()


def test_a_stop_on_its_way_from_another_process_is_not_taken(tmp_path, monkeypatch):
    """While another process' stop is at the exchange and not answered yet, a cancel-all here is denied."""
    one = Bot(journal=tmp_path / "j.db").enter()
    other = Bot(journal=tmp_path / "j.db", exchange=one.exchange)
    other.shim.process_feed.read_news()
    with held_up(one, monkeypatch) as placing:
        one.shim.flush()
        with pytest.raises(exit_shim.ExitOrderDenied):
            other.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    placed = placing.result()
    assert one.resting() == [placed["algoId"]]
    one.shim.flush()
    other.shim.process_feed.read_news()
    (live,) = other.shim.guard.book.exits_of(other.shim.guard.book.positions()[0])
    assert (live.in_doubt, live.target.algo_id) == (False, placed["algoId"])
    for shim in (one.shim, other.shim):
        shim.close()


# what covers a position


@pytest.mark.parametrize(
    ("stops", "closes"),
    [
        ((("0.02", 55_000), ("0.02", 54_000)), False),  # the second is more than the first has left
        ((("0.02", 54_000), ("0.01", 55_000)), True),
        ((("0.01", 54_000), ("0.02", 55_000)), True),
        ((("0.03", 54_000), ("0.01", 55_000)), False),
    ],
)
def test_in_hedge_mode_stops_on_a_quantity_never_cover(stops, closes):
    """Whether or not the engine would close all with them, a stop of a denied module goes out."""
    bot = Bot(hedge_mode=True)
    long = {"symbol": SYMBOL, "positionSide": "LONG"}
    bot.client.futures_create_order(**long, side="BUY", type="MARKET", quantity="0.03")
    order = {**long, "side": "SELL", "type": "STOP_MARKET"}
    for quantity, price in stops:
        bot.by(OWNER, **order, quantity=quantity, stopPrice=price)
    assert bool(bare(ask(read_snapshot(bot.client)))) is not closes
    bot.by(LEGACY, **order, quantity="0.03", stopPrice=53_000)
    assert bot.records[-1].intent.verdict.reasons[-1].fact("because") == "no_close_position"
    for mark in (54_500, 53_500):
        bot.exchange.set_mark(SYMBOL, mark)
    assert (bot.exchange.engine.position(SYMBOL, "LONG").amount == 0) is closes


# whom an answer stands for


def test_a_name_that_went_out_is_the_exchanges_to_answer(monitor):
    """A simulated order's client id, used again for a real one, asks for and cancels the real one."""
    monitor.cover()
    simulated = monitor.by(LEGACY, **TARGET, clientAlgoId="mine")
    assert simulated["algoId"] < 0
    placed = monitor.by(STRANGER, **PART, clientAlgoId="mine")
    asked = monitor.by(STRANGER, "futures_get_algo_order", clientAlgoId="mine")
    assert asked["algoId"] == placed["algoId"]
    assert monitor.by(LEGACY, "futures_get_algo_order", algoId=simulated["algoId"])["algoStatus"] == "NEW"
    monitor.by(STRANGER, "futures_cancel_algo_order", clientAlgoId="mine")
    assert monitor.resting() == []


def test_a_simulated_order_takes_no_other_simulated_orders_name(monitor):
    """As with orders that rest, the second is refused with -4116; once the first has ended, it is not."""
    monitor.cover()
    first = monitor.by(LEGACY, **TARGET, clientAlgoId="mine")
    with pytest.raises(BinanceAPIException) as refused:
        monitor.by(TRAILER, **OTHER_PRICE, clientAlgoId="mine")
    assert (refused.value.code, monitor.records[-1].outcome.error_code) == (-4116, -4116)
    assert monitor.by(LEGACY, "futures_get_algo_order", clientAlgoId="mine")["algoId"] == first["algoId"]
    monitor.by(LEGACY, "futures_cancel_algo_order", algoId=first["algoId"])
    assert monitor.by(TRAILER, **OTHER_PRICE, clientAlgoId="mine")["algoId"] < 0


def test_a_batch_of_real_and_simulated_cancels(monitor):
    """Each is answered in its place: the real one by the exchange, the others by the guard."""
    monitor.cover().shim.switch(enforce=False)
    real = monitor.by(LEGACY, **LIMIT)
    monitor.shim.switch(enforce=True)
    first, last = monitor.by(LEGACY, **LIMIT), monitor.by(LEGACY, **LIMIT)
    ids = [first["orderId"], real["orderId"], last["orderId"]]
    answers = monitor.by(LEGACY, "futures_cancel_orders", symbol=SYMBOL, orderidlist=ids)
    assert [answer["orderId"] for answer in answers] == ids
    assert {answer["status"] for answer in answers} == {"CANCELED"}
    assert monitor.exchange.engine.open_orders() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_gives_other_ids_than_its_parent():
    """After a fork the numbers of parent and child are not the same."""
    bot = Bot(MONITOR).enter().cover()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            os.write(writing, str(bot.by(LEGACY, **LIMIT)["orderId"]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reading, 100)) not in {bot.by(LEGACY, **LIMIT)["orderId"], 0}


def test_later_queries_of_other_products_are_doors():
    """Orders of COIN-M and portfolio margin can be simulated, so asking for one is a door too."""
    asking = {name for name, door in DOOR_NAMES.items() if door.operation == "query"}
    assert {"futures_coin_get_order", "papi_get_um_order", "papi_get_um_conditional_open_order"} <= asking


def test_client_order_ids_are_an_accounts_own():
    """An id that stands for a simulated order of one account is another account's own for its real one."""
    shim = exit_shim.ExitShim(journal=False, policy=parse_policy(MONITOR), mode="EXIT_BRAIN_V3", sinks=[])
    exchanges, clients = [LocalExchange(), LocalExchange()], []
    for exchange, key in zip(exchanges, "ab", strict=True):
        client = FakeClient(exchange=exchange)
        client.API_KEY = key * 64
        clients.append(shim.wrap(client))
        clients[-1].futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    one, other = clients
    with exit_shim.attributed(OWNER):
        one.futures_create_order(**STOP)
    with exit_shim.attributed(LEGACY):
        other.futures_create_order(**PART, clientAlgoId="sl")
        assert one.futures_create_order(**PART, clientAlgoId="sl")["algoId"] < 0
        other.futures_cancel_algo_order(clientAlgoId="sl")
    assert exchanges[1].engine.open_algos() == []
    shim.close()


CHANGE = {"symbol": SYMBOL, "side": "SELL", "quantity": "0.004", "price": "71000"}


@pytest.mark.parametrize(
    "changing",
    [
        lambda client, change: client.futures_modify_order(**change),
        lambda client, change: client._request_futures_api("put", "order", True, data=change),
        lambda client, change: client.futures_v1_put_batch_orders(batchOrders=[change])[0],
        pytest.param(
            lambda client, change: client.ws_futures_edit_order(**change), marks=needs_websocket_orders
        ),
    ],
    ids=["modify", "raw", "batch", "websocket"],
)
def test_changing_a_simulated_order_is_answered(changing):
    """A change of it does not go to the exchange, which knows it not; asked for, it shows as changed."""
    bot = Bot(MONITOR).enter().cover()
    simulated, seen = bot.by(LEGACY, **LIMIT), len(bot.exchange.order_requests)
    with exit_shim.attributed(LEGACY):
        changed = changing(bot.client, {**CHANGE, "orderId": simulated["orderId"]})
    asked = bot.by(LEGACY, "futures_get_order", symbol=SYMBOL, orderId=simulated["orderId"])
    assert changed == {**changed, **simulated, "price": "71000", "origQty": "0.004", "updateTime": ANY}
    assert asked.items() >= {name: changed[name] for name in simulated}.items()
    assert (asked["price"], asked["origQty"], asked["status"]) == ("71000", "0.004", "NEW")
    assert len(bot.exchange.order_requests) == seen


def test_a_change_of_a_simulated_order_has_the_doors_shape(monitor):
    """Every key is there that the exchange answers with, and the mark besides."""
    monitor.cover()
    real, said = (
        monitor.by(who, "futures_modify_order", **CHANGE, orderId=monitor.by(who, **LIMIT)["orderId"])
        for who in (OWNER, LEGACY)
    )
    assert set(said) - set(real) == {"exit_shim_simulated"}
    assert set(real) <= set(said)


def test_a_stop_that_was_simulated_cannot_be_changed_either(monitor):
    """The exchange changes no conditional orders, and is the one to say so."""
    monitor.by(OWNER, **STOP)
    simulated = monitor.by(LEGACY, **PART)
    with pytest.raises(BinanceAPIException):
        monitor.by(LEGACY, "futures_modify_order", **CHANGE, orderId=simulated["algoId"])


@pytest.mark.parametrize(
    ("resting", "conditional", "symbol", "status"),
    [
        (None, False, SYMBOL, "CANCELED"),
        (None, True, SYMBOL, "NEW"),
        (None, False, "ETHUSDT", "NEW"),
        (LIMIT, False, SYMBOL, "CANCELED"),
    ],
    ids=["that went out", "of the other store", "of another symbol", "that was answered too"],
)
def test_a_cancel_all_ends_simulated_orders_too(client, exchange, resting, conditional, symbol, status):
    """After it, asking for one of the module's simulated orders says CANCELED, as of any other."""
    bot = Served(client, exchange, MONITOR + '[rules.FOREIGN_CANCEL]\nlevel = "enforce"\n').enter().cover()
    simulated = bot.by(LEGACY, **LIMIT)
    if resting is not None:
        bot.by(OWNER, **resting)
    bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=symbol, conditional=conditional)
    asked = bot.by(LEGACY, "futures_get_order", symbol=SYMBOL, orderId=simulated["orderId"])
    assert asked["status"] == status
    assert len(exchange.engine.open_orders()) == (resting is not None)
    bot.shim.close()


def test_a_raw_cancel_all_ends_what_its_path_reaches(monitor):
    """Of simulated orders, too, DELETE algoOpenOrders takes the conditional ones alone."""
    limit, target = monitor.by(LEGACY, **LIMIT), monitor.by(LEGACY, **TARGET)
    monitor.client._request_futures_api("delete", "algoOpenOrders", True, data={"symbol": SYMBOL})
    ids = {"algoStatus": {"algoId": target["algoId"]}, "status": {"orderId": limit["orderId"]}}
    told = [
        monitor.by(LEGACY, "futures_get_order", symbol=SYMBOL, **asked)[name] for name, asked in ids.items()
    ]
    assert told == ["CANCELED", "NEW"]


def test_a_denied_cancel_all_ends_no_simulated_orders(client, exchange):
    """One that is denied by an exception took nothing."""
    lists = f'owners = ["{OWNER}"]\nlegacy = ["{LEGACY}"]\nmonitors = ["{STRANGER}"]\n'
    rule = '[rules.FOREIGN_CANCEL]\nlevel = "enforce"\n'
    bot = Served(client, exchange, f"{ENFORCE}[modes.EXIT_BRAIN_V3]\n{lists}{rule}").enter().cover()
    simulated = bot.by(STRANGER, **LIMIT)
    bot.by(OWNER, **LIMIT)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL)
    asked = bot.by(STRANGER, "futures_get_order", symbol=SYMBOL, orderId=simulated["orderId"])
    assert asked["status"] == "NEW"
    bot.shim.close()


def test_a_countdown_ends_no_simulated_orders(monitor):
    """It takes nothing before it has run out."""
    simulated = monitor.by(LEGACY, **LIMIT)
    monitor.by(LEGACY, "futures_countdown_cancel_all", symbol=SYMBOL, countdownTime=120_000)
    asked = monitor.by(LEGACY, "futures_get_order", symbol=SYMBOL, orderId=simulated["orderId"])
    assert asked["status"] == "NEW"


def test_a_simulated_order_outlives_a_restart(tmp_path):
    """An id that the bot kept is answered by the next run, and by other processes, from the journal."""
    first = Bot(MONITOR, journal=tmp_path / "j.db").enter().cover()
    simulated = first.by(LEGACY, **LIMIT)
    first.shim.close()
    again = Bot(MONITOR, journal=tmp_path / "j.db", exchange=first.exchange)
    about = {"symbol": SYMBOL, "orderId": simulated["orderId"]}
    assert again.by(LEGACY, "futures_get_order", **about)["orderId"] == simulated["orderId"]
    assert again.by(LEGACY, "futures_cancel_order", **about)["orderId"] == simulated["orderId"]
    again.shim.close()


@pytest.mark.parametrize("policy", [MONITOR, 'level = "warn"\n'])
@pytest.mark.parametrize("order", [LIMIT, TARGET])
def test_what_became_of_a_simulated_order_outlives_a_restart(tmp_path, order, policy):
    """Answers and ids are the same after it, and so is what was done since."""
    first = Bot(MONITOR, journal=tmp_path / "j.db").enter().cover()
    kept, gone, changed = (first.by(LEGACY, **order) for _ in range(3))
    number = "algoId" if "algoId" in kept else "orderId"

    def ask(bot, one):
        return bot.by(LEGACY, "futures_get_order", symbol=SYMBOL, **{number: one[number]})

    first.by(LEGACY, "futures_cancel_order", symbol=SYMBOL, **{number: gone[number]})
    if order is LIMIT:
        first.by(LEGACY, "futures_modify_order", **CHANGE, orderId=changed["orderId"])
    before = [ask(first, one) for one in (kept, gone, changed)]
    first.shim.close()
    again = Bot(policy, journal=tmp_path / "j.db", exchange=first.exchange)
    after = [ask(again, one) for one in (kept, gone, changed)]
    if policy != MONITOR:  # nothing is enforced any more: who relies on them is to place them anew
        for one in (before[0], before[2]):
            one["algoStatus" if number == "algoId" else "status"] = "EXPIRED"
    for one in (*before, *after):
        one.pop("updateTime")
    assert after == before
    name = {"clientAlgoId" if number == "algoId" else "origClientOrderId": f"simulated~{-kept[number]}"}
    assert again.by(LEGACY, "futures_get_order", symbol=SYMBOL, **name)[number] == kept[number]
    seen = len(again.exchange.order_requests)
    again.by(LEGACY, "futures_cancel_order", symbol=SYMBOL, **{number: kept[number]})
    assert len(again.exchange.order_requests) == seen
    again.shim.close()


def test_a_simulated_order_is_other_processes_too(tmp_path):
    """Another shim on the same journal answers for it while the first one lives."""
    one = Bot(MONITOR, journal=tmp_path / "j.db").enter().cover()
    other = Bot(MONITOR, journal=tmp_path / "j.db", exchange=one.exchange)
    simulated = one.by(LEGACY, **LIMIT)
    one.shim.flush()
    asked = other.by(LEGACY, "futures_get_order", symbol=SYMBOL, orderId=simulated["orderId"])
    assert (asked["orderId"], asked["status"]) == (simulated["orderId"], "NEW")
    for shim in (one.shim, other.shim):
        shim.close()


def test_only_the_guards_own_ids_are_looked_up(tmp_path, monkeypatch):
    """Bots poll: of an order that is the exchange's nothing is asked of the journal."""
    bot = Bot(MONITOR, journal=tmp_path / "j.db").enter().cover()
    real = bot.by(OWNER, **LIMIT, newClientOrderId="own")
    bot.by(LEGACY, **LIMIT)
    asked_for = []
    monkeypatch.setattr(bot.shim.guard.simulated, "recall", lambda name: asked_for.append(name) or [])
    for ids in ({"orderId": real["orderId"]}, {"origClientOrderId": "own"}):
        for method in ("futures_get_order", "futures_cancel_order"):
            with contextlib.suppress(BinanceAPIException):  # it is cancelled once
                assert bot.by(OWNER, method, symbol=SYMBOL, **ids)["orderId"] == real["orderId"]
    assert asked_for == []
    with pytest.raises(BinanceAPIException):
        bot.by(OWNER, "futures_get_order", symbol=SYMBOL, orderId=-5)
    assert asked_for == ["-5"]
    bot.shim.close()


def test_an_unreadable_journal_costs_the_answer_alone(tmp_path, monkeypatch):
    """Without it a negative number is for the exchange to answer, which says that it knows no such order."""
    path = tmp_path / "j.db"
    path.write_text("no database at all, and never was one")
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    bot = Bot(MONITOR, journal=path).enter()
    for method in ("futures_get_order", "futures_cancel_order"):
        with pytest.raises(BinanceAPIException) as refused:
            bot.by(LEGACY, method, symbol=SYMBOL, orderId=-5)
        assert not isinstance(refused.value, exit_shim.ExitOrderDenied)
    with contextlib.suppress(JournalError):
        bot.shim.close()


def ask_for_the_stop(bot, simulated):
    return bot.by(LEGACY, "futures_get_algo_order", algoId=simulated["algoId"])["algoStatus"]


def test_a_simulated_stop_stands_as_long_as_an_owners_does(monitor):
    """Once its position has none any more, asking says EXPIRED; placed anew, it goes out."""
    placed = monitor.by(OWNER, **STOP)
    stop, target = monitor.by(LEGACY, **PART), monitor.by(LEGACY, **TARGET)
    assert ask_for_the_stop(monitor, stop) == "NEW"
    monitor.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])
    assert [ask_for_the_stop(monitor, one) for one in (stop, target)] == ["EXPIRED", "EXPIRED"]
    assert monitor.by(LEGACY, **PART)["algoId"] > 0
    assert ask_for_the_stop(monitor, stop) == "EXPIRED"


def test_a_stop_of_another_legacy_module_keeps_no_simulated_one_alive(monitor):
    """Who placed it may take it away at any time: it covers nobody's denial, and nobody's answer."""
    placed = monitor.by(OWNER, **STOP)
    stop = monitor.by(LEGACY, **PART)
    monitor.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])
    assert monitor.by(STRANGER, **PART)["algoId"] > 0
    assert ask_for_the_stop(monitor, stop) == "EXPIRED"


# the shapes of answers


def shapes_of(monitor):
    """Calls by a door each, with what they are about: an order that the owner placed last."""
    change = {"side": "SELL", "quantity": "0.004", "price": "71000"}
    return {
        "place": (LIMIT, "futures_create_order", lambda _: LIMIT),
        "modify": (LIMIT, "futures_modify_order", lambda o: {**change, "orderId": o["orderId"]}),
        "cancel": (LIMIT, "futures_cancel_order", lambda o: {"orderId": o["orderId"]}),
        "cancel a stop": (TARGET, "futures_cancel_order", lambda o: {"algoId": o["algoId"]}),
        "cancel all": (TARGET, "futures_cancel_all_open_orders", lambda _: {"conditional": True}),
    }


@pytest.mark.parametrize("what", shapes_of(None))
def test_an_answer_has_the_doors_shape(monitor, what):
    """Every key that the exchange answers with is there, and the mark besides."""
    monitor.cover()
    order, method, fields = shapes_of(monitor)[what]
    asked = {"symbol": SYMBOL, **fields(monitor.by(OWNER, **order))}
    said = monitor.by(LEGACY, method, **asked)
    real = monitor.by(OWNER, method, **asked)
    assert set(said) - set(real) == {"exit_shim_simulated"}
    assert set(real) <= set(said)


@pytest.mark.parametrize(("order", "number"), [(LIMIT, "orderId"), (TARGET, "algoId")])
def test_a_query_has_the_doors_shape(monitor, order, number):
    """Asked for later, a simulated order has every key of one that rests."""
    monitor.cover()
    real, said = (monitor.by(who, **order) for who in (OWNER, LEGACY))
    real, said = (
        monitor.by(LEGACY, "futures_get_order", symbol=SYMBOL, **{number: one[number]})
        for one in (real, said)
    )
    assert set(said) - set(real) == {"exit_shim_simulated", *({"cumQty"} if order is LIMIT else ())}
    assert set(real) <= set(said)


def test_a_raw_request_is_answered_in_its_endpoints_shape(monitor):
    """A raw POST algoOrder is answered with an algoId."""
    monitor.cover()
    real = monitor.by(OWNER, **TARGET)
    fields = {**OTHER_PRICE, "algoType": "CONDITIONAL", "triggerPrice": 71000}
    with exit_shim.attributed(LEGACY):
        said = monitor.client._request_futures_api("post", "algoOrder", True, data=fields)
    assert set(real) <= set(said)


@needs_websocket_orders
def test_the_websocket_doors_are_answered_alike():
    """A conditional order by WebSocket has an algoId, and is cancelled by one."""
    bot = Bot(MONITOR).enter().cover()
    order = {**TARGET, "closePosition": "true"}
    real, said = (bot.by(who, "ws_futures_create_order", **order) for who in (OWNER, LEGACY))
    assert set(said) - set(real) == {"exit_shim_simulated"}
    cancelled = bot.by(LEGACY, "ws_futures_cancel_algo_order", algoId=said["algoId"])
    assert cancelled["algoId"] == said["algoId"]


@pytest.mark.parametrize("denied", ["raise", "return_none", "simulate"])
async def test_a_plain_function_around_an_async_client_is_awaited_all_the_same(denied):
    """What a subclass hides the coroutine function behind, the bot awaits: a denial, too, comes then."""

    class Own(FakeAsyncClient):
        def futures_create_order(self, **params):
            return super().futures_create_order(**params)

    bot = Bot(ENFORCE + f'on_deny = "{denied}"', client=Own)
    await bot.client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    await bot.by(OWNER, **COVER)
    placing = bot.by(LEGACY, **TARGET)
    if denied == "raise":
        with pytest.raises(exit_shim.ExitOrderDenied):
            await placing
        return
    answer = await placing
    assert answer is None if denied == "return_none" else answer["algoId"] < 0


def test_a_list_of_ones_own_is_parted_too(bot):
    """A batch in a sequence that is neither list nor tuple goes out without what is denied."""
    bot.cover()
    elsewhere = {**ENTRY, "symbol": "ETHUSDT", "price": "2000", "quantity": "0.100"}
    batch = collections.UserList([elsewhere, dict(LIMIT)])
    bot.by(LEGACY, "futures_place_batch_order", batchOrders=batch)
    assert [order.side for order in bot.exchange.engine.open_orders()] == ["BUY"]


# policies that cannot be meant


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy(level="enfroce"), "did you mean enforce?"),
        (Policy(on_deny="nothing"), "must be one of raise, return_none, simulate"),
        (Policy(modes={"EXIT_BRAIN_V3": Mode(level="Enforce")}), "did you mean enforce?"),
        (Policy(modes={"EXIT_BRAIN_V3": Mode(owners="exit_brain")}), "owners"),
        (Policy(rollout="0.5"), "rollout"),
    ],
)
def test_a_policy_in_code_is_as_strict_as_a_file(policy, said):
    """A struct takes whatever it is given; a level that is none would have enforced nothing, silently."""
    with pytest.raises(PolicyError, match=said):
        exit_shim.ExitShim(policy=policy, journal=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rules.CHURN]\ntimes = 1", "rules.CHURN.times = 1 must be at least 2"),
        ("[rules.CHURN]\nwithin_s = nan", "rules.CHURN.within_s = nan must be seconds above zero"),
        ("[rules.CHURN]\nwithin_s = inf", "must be seconds above zero"),
        ("[rules.STRIPPED]\nwithin_s = -1", "must be seconds above zero"),
        ('[[delegate]]\nsymbol = "BTCUSDT"\nto = ""', r"delegate\[0\] has an empty name"),
        ('[[delegate]]\nsymbol = "BTCUSDT"\nto = "x"\nwithin_s = 0', "must be seconds above zero"),
        ('passthrough = [""]', "passthrough has an empty name"),
        ('[modes.LEGACY]\nowners = ["a"]\npassthrough = ["a"]', "it can be in one"),
        ('[[modes.LEGACY.scopes]]\nowners = ["a"]\nlegacy = ["a"]', r"scopes\[0\].owners and in legacy"),
        ('[[modes.LEGACY.scopes]]\nowners = [""]', r"scopes\[0\].owners has an empty name"),
    ],
)
def test_settings_that_cannot_work_are_refused(text, said):
    """They would fail at each order, or never hold."""
    with pytest.raises(PolicyError, match=said):
        parse_policy(text)


SCOPED = (
    'owners = ["exit_new"]\nlegacy = ["exit_old"]\n'
    '[[modes.M.scopes]]\nowners = ["exit_old"]\nlegacy = ["exit_new"]'
)


@pytest.mark.parametrize(
    ("lists", "denied"),
    [
        ('owners = ["exit_*"]\nlegacy = ["exit_old"]', ["exit_old"]),
        ('owners = ["exit_new"]\nlegacy = ["*"]', ["exit_old"]),
        (SCOPED, ["exit_new"]),
        (
            'legacy = ["exit_old"]\n[[modes.M.scopes]]\nsymbols = ["BTC*"]\nowners = ["exit_old"]',
            [],
        ),
    ],
    ids=["a name before a pattern", "a pattern for the rest", "a scope before the mode", "a scope's owner"],
)
def test_the_most_exact_name_decides(lists, denied):
    """A module is what it is named most exactly as; between equals a scope's list outranks the mode's."""
    bot = Bot(f'level = "enforce"\nmode = "M"\n[modes.M]\n{lists}\n')
    bot.shim.switch(mode="M")
    bot.enter()
    for module in ("exit_old", "exit_new"):
        if module not in denied:  # an owner, so that its stop covers
            bot.by(module, **COVER)
    for module in ("exit_old", "exit_new"):
        with pytest.raises(exit_shim.ExitOrderDenied) if module in denied else contextlib.nullcontext():
            bot.by(module, **LIMIT)


def test_the_dotted_name_outranks_the_short_one():
    """Of two modules of one short name, the one that is named in full is what that says."""
    policy = parse_policy('[modes.M]\nowners = ["executor"]\nlegacy = ["old.executor"]')
    compiled_policy = exit_shim.ExitShim(policy=policy, journal=False).guard.compiled_policy
    roles = [
        compiled_policy.grant_for("executor", f"{place}.executor", "M", SYMBOL, "sl").role
        for place in ("new", "old")
    ]
    assert roles == ["owner", "legacy"]


def test_a_delegated_symbol_may_be_written_in_small_letters():
    """Orders name symbols in capitals, however the policy writes them."""
    policy = parse_policy('[[delegate]]\nsymbol = "btcusdt"\nto = "exit_brain_v3"')
    delegations = exit_shim.ExitShim(policy=policy, journal=False).guard.delegations
    assert delegations.owner_of(SYMBOL) == "exit_brain_v3"
    delegations.take_back("BtcUsdt")
    assert delegations.owner_of(SYMBOL) is None


# the commands


def test_audit_names_the_module_of_this_very_order(tmp_path, monkeypatch):
    """Order numbers are a symbol's own: a record of the same number on another symbol is not about it."""
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(tmp_path / "j.db"))
    bot = Bot("", journal=tmp_path / "j.db", client=FakeClient).enter()
    placed = bot.by(LEGACY, **LIMIT)
    bot.shim.close()
    snapshot = ask(read_snapshot(bot.client))
    assert not [one for one in find_discrepancies(snapshot, "") if one.code == "UNKNOWN_ORIGIN"]
    other = OpenOrder("ETHUSDT", "SELL", "BOTH", "LIMIT", None, None, False, True, True, placed["orderId"])
    found = [
        one
        for one in find_discrepancies(snapshot._replace(resting=(other,)), "")
        if one.code == "UNKNOWN_ORIGIN"
    ]
    assert [flaw.module for flaw in found] == ["unknown"]


def test_on_that_fails_leaves_it_off(tmp_path, monkeypatch):
    """Where the journal takes nothing `enforce on` says that it failed, and nothing is enforced after it."""
    path = tmp_path / "j.db"
    path.write_text("no database at all, and never was one")
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(path))
    assert CliRunner().invoke(app, ["enforce", "off"]).exit_code == 0
    turned = CliRunner().invoke(app, ["enforce", "on"])
    assert (turned.exit_code, "the switch failed" in turned.output) == (1, True)
    assert CliRunner().invoke(app, ["enforce"]).output == "off\n"
