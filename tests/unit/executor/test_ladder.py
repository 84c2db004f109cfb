"""Each row of the ladder: what the executor does when the exchange does not take an order."""

from decimal import Decimal

import pytest
import requests as http
from executor_bench import Bench, plan_of
from executor_market import api_error

from exit_shim.executor.failures import IN_DOUBT, LADDER, LONGEST_MS, pause_ms
from exit_shim.executor.plan import PartialTake, Trail, at_price

TAKE = PartialTake(Decimal("0.5"), at_price(61_500))
NATIVE = Trail(Decimal("0.01"), activation=at_price(62_000), native=True)


FOR_ORDERS = [code for code, rung in LADDER.items() if rung.reaction != "gone" and code != -2021]


@pytest.mark.parametrize("hedge", [False, True], ids=["one-way", "hedge"])
@pytest.mark.parametrize("code", FOR_ORDERS)
def test_a_refused_hard_stop_is_stood_in_for_and_comes_back(code, hedge):
    """A stop on the quantity in the next pass; the closePosition stop after the pause; then only that one."""
    bench = Bench(hedge=hedge)
    bench.refuse["hs"] = [api_error(code)]
    bench.run()
    assert bench.legs == []
    assert str(code) in bench.report.problem
    assert "hs" not in bench.run()
    assert (bench.legs, bench.bare) == (["qs"], 0)
    bench.run(LADDER[code].pause_ms)
    bench.run()
    bench.run()
    assert (bench.legs, bench.bare, bench.report.problem) == (["hs"], 0, None)


@pytest.mark.parametrize("code", [code for code in LADDER if LADDER[code].pause_ms])
def test_the_pause_of_each_row_doubles_up_to_a_minute(code):
    """So that a refusal that lasts costs little."""
    rung = LADDER[code]
    assert pause_ms(rung, 2) == min(2 * rung.pause_ms, LONGEST_MS)
    assert pause_ms(rung, 99) == LONGEST_MS


@pytest.mark.parametrize("code", [code for code, rung in LADDER.items() if rung.reaction == "gone"])
def test_what_is_gone_is_not_waited_for(code):
    """The amendment or cancel is forgotten; the next lists show what is left to do."""
    bench = Bench(TAKE)
    bench.run()
    bench.run()
    bench.plan = plan_of(PartialTake(Decimal("0.5"), at_price(61_700)), revision=2)
    bench.refuse["amend"] = [api_error(code)]
    bench.run()
    assert not bench.episode.refusals
    assert "amend" in bench.run()


@pytest.mark.parametrize("code", [code for code, rung in LADDER.items() if rung.reaction == "rules"])
def test_a_wrong_step_has_the_rules_read_again(code):
    """Once for each refusal."""
    bench = Bench()
    bench.refuse["hs"] = [api_error(code)]
    assert bench.run().count("rules") == 1
    assert bench.run().count("rules") == 1
    assert bench.run().count("rules") == 0


def test_crossed_closes_only_beyond_the_hard_stop_on_a_fresh_price():
    """-2021 alone closes nothing."""
    bench = Bench()
    bench.refuse["hs"] = [api_error(-2021)]
    bench.run()
    assert bench.run(500) == ["hs"]
    bench.market.cancel(bench.market.own_orders()[0])
    bench.market.engine.set_mark("BTCUSDT", 58_000)
    assert bench.run() == ["mark", "positions", "cl", "find_algo"]
    assert bench.market.view("BOTH").amount == 0


def test_a_price_that_came_back_closes_nothing():
    """The fresh price decides, not the one that was read with the position."""
    bench = Bench()
    bench.market.engine.set_mark("BTCUSDT", 58_000)
    bench.refuse["mark"] = [{"markPrice": "59500"}]
    assert "cl" not in bench.run()
    assert bench.market.view("BOTH").amount == Decimal("0.1")


@pytest.mark.parametrize("code", [-4118, -2022])
def test_takes_in_the_way_of_a_close_are_cancelled_first(code):
    """Only its own; then the close is tried again."""
    bench = Bench(TAKE, hedge=True)
    bench.run()
    bench.run()
    bench.market.cancel(next(order for order in bench.market.own_orders() if order.close_position))
    bench.market.engine.set_mark("BTCUSDT", 58_000)
    bench.refuse["cl"] = [api_error(code)]
    bench.run()
    sent = bench.run()
    assert sent.index("cancel") < sent.index("cl")
    assert bench.market.view("LONG").amount == 0


def test_a_thin_book_is_left_in_steps_each_deeper():
    """-4131: IOC LIMIT orders, and the position is read before each."""
    bench = Bench()
    bench.market.engine.set_mark("BTCUSDT", 58_000)
    bench.refuse["cl"] = [api_error(-4131), api_error(-4131), api_error(-4131)]
    prices = []
    for _ in range(3):
        sent = bench.run(1_000)
        close = next(request for request in bench.sent if bench.name_of(request) == "cl")
        assert sent[sent.index("cl") - 1] == "positions"
        prices.append(close.params.get("price"))
    assert prices[0] is None
    assert Decimal(prices[1]) > Decimal(prices[2]) > 55_000
    assert close.params["timeInForce"] == "IOC"


def test_native_trails_give_way_to_the_hard_stop_where_the_account_has_too_many():
    """-4045: those that are not active yet."""
    bench = Bench(NATIVE)
    bench.run()
    bench.run()
    assert bench.legs == ["hs", "nt"]
    bench.market.cancel(next(order for order in bench.market.own_orders() if order.close_position))
    bench.refuse["hs"] = [api_error(-4045)]
    bench.refuse["qs"] = [api_error(-4045)]
    bench.run()
    assert "cancel_algo" in bench.run()
    assert "nt" not in bench.legs
    bench.run(2_000)
    assert bench.bare == 0


def test_a_take_that_the_room_does_not_hold_is_placed_anew():
    """-4118 to an amendment: the order goes, and comes back in its size."""
    bench = Bench(TAKE)
    bench.run()
    bench.run()
    bench.plan = plan_of(PartialTake(Decimal("0.4"), at_price(61_500)), revision=2)
    bench.refuse["amend"] = [api_error(-4118)]
    bench.run()
    assert "cancel" in bench.run()
    bench.run()
    bench.run()
    assert [order.quantity for order in bench.market.engine.open_orders()] == [Decimal("0.040")]


def test_an_order_without_an_answer_is_looked_up_and_stood_in_for():
    """No second order under another id meanwhile; one denial of the exchange is not enough."""
    bench = Bench()
    bench.refuse["hs"] = [http.ReadTimeout("made up")]
    bench.run()
    assert bench.run() == ["qs", "find_algo"]
    assert bench.run() == ["find_algo"]
    assert bench.run(2_000) == ["find_algo"]
    assert bench.run() == ["hs"]
    assert bench.run() == ["cancel_algo"]
    assert bench.legs == ["hs"]
    assert [order.client_id[-4:] for order in bench.market.own_orders()] == ["hs-1"]


def test_an_unknown_code_is_tried_again_with_pauses():
    """And said."""
    bench = Bench()
    bench.refuse["hs"] = [api_error(-9999)]
    bench.run()
    assert "-9999" in bench.report.problem
    bench.run()
    bench.run(1_000)
    assert "hs" in bench.legs


def test_every_reaction_of_the_table_has_a_test_here():
    """A new reaction needs one."""
    assert {rung.reaction for rung in (*LADDER.values(), IN_DOUBT)} == {
        "retry", "slot", "crossed", "flat", "room", "rules", "duplicate", "gone", "back_off"
    }  # fmt: skip
