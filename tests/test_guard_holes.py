"""Ways past the guard that were found open: each test says what should hold."""

import contextlib

import pytest
from binance.exceptions import BinanceAPIException
from test_guard import ENFORCE, LEGACY, LIMIT, OWNER, STOP, TARGET, Bot
from test_guard_attacks import PART, SYMBOL, Served

import exit_shim
from exit_shim.testing.exchange.algo import AlgoRef

TRAILER = "trailing_stop_manager"
HIGHER = {**STOP, "stopPrice": 51000}


@pytest.fixture
def bot(client, exchange):
    own = Served(client, exchange).enter()
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
    monkeypatch.setattr("exit_shim.book.READ_LAG_NS", 0)
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


def test_what_was_cancelled_in_the_app_is_not_left_beside(monkeypatch):
    """With STRIPPED enforced, a stop that is gone unseen makes up for none: the exchange is asked."""
    bot = Bot(ENFORCE + '[rules.STRIPPED]\nlevel = "enforce"\n').enter()
    placed, gone = bot.by(OWNER, **PART), bot.by(OWNER, **{**PART, "stopPrice": 52000})
    bot.exchange.engine.cancel_algo(AlgoRef(algo_id=gone["algoId"]))
    monkeypatch.setattr("exit_shim.book.READ_LAG_NS", 0)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(OWNER, "futures_cancel_algo_order", algoId=placed["algoId"])


# what whatif did not predict
