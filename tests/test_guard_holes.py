"""Ways past the guard that were found open: each test says what should hold."""

import contextlib

import pytest
from binance.exceptions import BinanceAPIException
from test_guard import ENFORCE, LEGACY, LIMIT, OWNER, STOP, TARGET, Bot
from test_guard_attacks import MONITOR, PART, SYMBOL, Served

import exit_shim
from exit_shim.policy import parse_policy
from exit_shim.testing import FakeClient, LocalExchange

TRAILER = "trailing_stop_manager"
HIGHER = {**STOP, "stopPrice": 51000}


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


# a position is left with less


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


def test_one_empty_answer_does_not_lose_the_owners_stop(bot, monkeypatch):
    """A list that lacks a resting stop once does not make it fair game: it is the owner's when it is back."""
    monkeypatch.setattr("exit_shim.guard.judging.READ_LAG_NS", 0)
    placed = bot.by(OWNER, **STOP)
    with monkeypatch.context() as once:
        once.setattr(bot.client.__wrapped__, "futures_get_open_algo_orders", lambda **_: [])
        bot.by(LEGACY, **PART)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_algo_order", algoId=placed["algoId"])
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **PART)


# sent or answered wrongly


def test_a_cancel_all_does_not_take_an_owners_stop_of_last_week(tmp_path, monkeypatch):
    """After a restart a cancel-all knows the owner's stop, however long ago it was placed."""
    first = Bot(journal=tmp_path / "j.db").enter()
    placed = first.by(OWNER, **STOP)
    first.shim.close()
    monkeypatch.setattr("exit_shim.guard.watching.TAKEN_UP_NS", 1)
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
        bot.shim._pollers[0].look()
    assert bot.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])["code"] == "200"


def test_client_order_ids_are_an_accounts_own():
    """An id that stands for a suppressed order of one account is another account's own for its real one."""
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


def test_changing_a_suppressed_order_is_answered(monitor):
    """Its id is the guard's: a change of it does not go to the exchange, which knows it not."""
    suppressed = monitor.by(LEGACY, **LIMIT)
    change = {"symbol": SYMBOL, "side": "SELL", "quantity": "0.004", "price": "71000"}
    changed = monitor.by(LEGACY, "futures_modify_order", **change, orderId=suppressed["orderId"])
    assert changed["orderId"] == suppressed["orderId"]


def test_a_cancel_all_ends_suppressed_orders_too(monitor):
    """After it, asking for one of the module's suppressed orders says CANCELED, as of any other."""
    suppressed = monitor.by(LEGACY, **LIMIT)
    monitor.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL)
    asked = monitor.by(LEGACY, "futures_get_order", symbol=SYMBOL, orderId=suppressed["orderId"])
    assert asked["status"] == "CANCELED"


def test_a_suppressed_order_outlives_a_restart(tmp_path):
    """An id that the bot kept is answered by the next run, and by other processes, from the journal."""
    first = Bot(MONITOR, journal=tmp_path / "j.db").enter()
    suppressed = first.by(LEGACY, **LIMIT)
    first.shim.close()
    again = Bot(MONITOR, journal=tmp_path / "j.db", exchange=first.exchange)
    about = {"symbol": SYMBOL, "orderId": suppressed["orderId"]}
    assert again.by(LEGACY, "futures_get_order", **about)["orderId"] == suppressed["orderId"]
    assert again.by(LEGACY, "futures_cancel_order", **about)["orderId"] == suppressed["orderId"]
    again.shim.close()
