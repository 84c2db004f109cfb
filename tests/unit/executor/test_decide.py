"""What the executor decides for one position: on the exchange's own state, a pass at a time."""

from decimal import Decimal

import pytest
from executor_bench import Bench, plan_of
from executor_market import api_error

from exit_shim.executor.memory import last_steps
from exit_shim.executor.order_ids import OwnId, episode_key, is_take, read_id
from exit_shim.executor.plan import (
    Breakeven,
    HardStop,
    PartialTake,
    Trail,
    at_fraction,
    at_price,
)

HALF = PartialTake(Decimal("0.5"), at_price(61_500))
REST = PartialTake(Decimal("0.5"), at_price(62_000))


@pytest.mark.parametrize("leg", ["hs", "qs", "be", "tr", "nt", "t1", "t99", "cl"])
def test_an_id_says_what_its_order_is(leg):
    """And has at most 36 characters of those that the exchange takes."""
    name = OwnId(episode_key("a", "BTCUSDT", "BOTH", "LONG", 1), leg, 36**9 - 1)
    assert read_id(str(name)) == name
    assert len(str(name)) <= 36
    assert is_take(leg) == (leg in {"t1", "t99"})


@pytest.mark.parametrize(
    "foreign", [None, "", "web_1", "xs-short-hs-1", "xs-abcdefgh-zz-1", "xs-abcdefgh-t0-1"]
)
def test_other_ids_are_not_taken_for_its_own(foreign):
    """Only the exact form is."""
    assert read_id(foreign) is None


def test_the_plan_rests_and_then_nothing_is_sent():
    """The hard stop first, the takes once it is listed."""
    bench = Bench(HALF, REST)
    assert bench.run() == ["rules", "hs"]
    assert bench.run() == ["t1", "t2"]
    assert bench.run() == []
    assert (bench.report.state, bench.report.guarded) == ("PROTECTED", Decimal("0.1"))


def test_a_take_that_is_too_small_goes_with_the_next():
    """And is not placed for itself later."""
    bench = Bench(PartialTake(Decimal("0.005"), at_price(61_000)), HALF)
    bench.settle()
    assert bench.legs == ["hs", "t2"]
    assert bench.order("t2").quantity == Decimal("0.050")
    bench.market.engine.set_mark("BTCUSDT", 61_600)
    bench.settle()
    assert bench.legs == ["hs"]


def test_growth_at_the_moment_of_a_take_counts_whole():
    """0.05 taken and 0.1 added between two passes: half of 0.2 is to be taken in all."""
    bench = Bench(HALF)
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 61_600)
    bench.market.engine.set_mark("BTCUSDT", 60_000)
    bench.market.others("BOTH", "BUY", Decimal("0.1"))
    bench.settle()
    assert bench.market.view("BOTH").amount == Decimal("0.15")
    assert bench.order("t1").quantity == Decimal("0.050")


def test_a_reentry_at_the_same_price_is_a_new_episode():
    """The hard stop expired with the position; what was taken before does not count."""
    bench = Bench(HALF)
    bench.settle()
    before = bench.episode.key
    bench.market.others("BOTH", "SELL", Decimal("0.1"))
    bench.market.others("BOTH", "BUY", Decimal("0.1"))
    bench.settle()
    assert bench.episode.key != before
    assert (bench.legs, bench.bare) == (["hs", "t1"], 0)


def test_a_hard_stop_that_fired_ends_the_episode():
    """A larger position that is opened before the next pass is another one."""
    bench = Bench(HALF)
    bench.settle()
    before = bench.episode.key
    bench.market.engine.set_mark("BTCUSDT", 58_000)
    bench.market.now += 1_000
    bench.market.engine.run_due()
    bench.market.others("BOTH", "BUY", Decimal("0.2"))
    bench.settle()
    assert bench.episode.key != before
    assert bench.order("t1").quantity == Decimal("0.1")


def test_a_take_that_was_placed_at_a_reached_price_ends_no_episode():
    """The size falls and the entry price moves by growth between two passes, while the stop rests."""
    bench = Bench(HALF)
    bench.settle()
    before = bench.episode.key
    bench.market.engine.set_mark("BTCUSDT", 61_600)
    bench.market.others("BOTH", "BUY", Decimal("0.01"))
    bench.settle()
    assert bench.episode.key == before


def test_a_trail_that_fired_is_done():
    """Its share is closed once, and no second time as the price comes back."""
    bench = Bench(Trail(Decimal("0.01"), share=Decimal("0.3")))
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 59_300)
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 61_000)
    bench.settle()
    assert bench.market.view("BOTH").amount == Decimal("0.07")
    assert bench.legs == ["hs"]


def test_a_trail_that_fired_takes_its_older_generation_along():
    """What is left of its share for rounding is less than an order can close."""
    bench = Bench(Trail(Decimal("0.01"), share=Decimal("0.305")))
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 60_500)
    bench.run()
    assert bench.legs == ["hs", "tr", "tr"]
    bench.market.engine.set_mark("BTCUSDT", 59_800)
    bench.settle()
    assert bench.market.view("BOTH").amount == Decimal("0.07")
    assert bench.legs == ["hs"]


def test_a_crossed_trail_does_not_keep_a_tighter_hard_stop_away():
    """Only a stop that can rest makes another one needless."""
    bench = Bench(Trail(Decimal("0.003")))
    bench.market.engine.set_mark("BTCUSDT", 60_000)
    bench.run()
    bench.market.cancel(bench.order("tr"))
    bench.market.engine.set_mark("BTCUSDT", 59_700)
    bench.plan = plan_of(HardStop(at_fraction("0.01")), Trail(Decimal("0.003")), revision=2)
    bench.settle()
    assert bench.market.view("BOTH").covered(Decimal(59_400)) == Decimal("0.1")


def test_a_stop_that_would_be_refused_does_not_keep_the_hard_stop_from_moving():
    """Of two stops on more than the position in hedge mode, the second closes nothing."""
    bench = Bench(Trail(Decimal("0.003"), share=Decimal("0.7")), hedge=True)
    bench.settle()
    bench.market.others("LONG", "SELL", Decimal("0.06"), type="STOP_MARKET", stopPrice=Decimal(59_500))
    bench.plan = plan_of(HardStop(at_fraction("0.01")), *bench.plan.legs[1:], revision=2)
    bench.settle()
    assert bench.legs == ["hs", "tr"]
    assert bench.order("hs").trigger_price == Decimal("59400.1")
    assert bench.bare == 0


def test_breakeven_moves_the_closeposition_stop_in_hedge_mode():
    """A stop on a quantity would be refused as it fires, where takes rest beside it."""
    bench = Bench(HALF, Breakeven(at_price(61_000)), hedge=True)
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 61_000)
    bench.settle()
    assert bench.legs == ["hs", "t1"]
    assert bench.order("hs").trigger_price == Decimal("60000.1")
    bench.market.engine.set_mark("BTCUSDT", 59_990)
    bench.market.now += 1_000
    bench.market.engine.run_due()
    assert bench.market.view("LONG").amount == 0


def test_breakeven_goes_in_front_of_the_hard_stop_in_one_way_mode():
    """The closePosition stop stays behind it."""
    bench = Bench(Breakeven(at_price(61_000)))
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 61_000)
    bench.settle()
    assert bench.legs == ["be", "hs"]


def test_a_leg_that_waits_for_its_next_stop_has_one_at_rest():
    """The older generation goes, though the price is beyond where the next one should be."""
    bench = Bench(Breakeven(at_price(61_000)))
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 61_000)
    bench.settle()
    bench.market.others("BOTH", "BUY", Decimal("0.05"))
    bench.run(1_000)
    assert bench.legs == ["be", "be", "hs"]
    bench.market.engine.set_mark("BTCUSDT", 60_500)
    bench.plan = plan_of(Breakeven(at_price(61_000), at_fraction("0.01")), revision=2)
    bench.settle()
    assert bench.legs == ["be", "hs", "qs"]
    assert bench.order("be").quantity == Decimal("0.15")


def test_a_native_trail_that_is_too_large_is_replaced_in_hedge_mode():
    """It would be refused as it fires."""
    bench = Bench(Trail(Decimal("0.01"), native=True), hedge=True)
    bench.settle()
    bench.market.others("LONG", "SELL", Decimal("0.04"))
    bench.settle()
    assert bench.order("nt").quantity == Decimal("0.06")
    assert bench.legs == ["hs", "nt"]


def test_others_takes_leave_less_room_for_its_own():
    """Without a request in each pass."""
    bench = Bench(PartialTake(Decimal(1), at_price(61_500)))
    more = {"type": "LIMIT", "timeInForce": "GTC", "price": Decimal(62_000), "reduceOnly": "true"}
    bench.market.others("BOTH", "SELL", Decimal("0.04"), **more)
    bench.settle()
    assert bench.order("t1").quantity == Decimal("0.06")
    assert bench.run() == []


def test_a_plan_that_cannot_be_had_is_said():
    """The first plan of a position: it stays unprotected, and the report says why."""
    bench = Bench()
    bench.plan = plan_of(HardStop(at_price(70_000)))
    assert bench.run() == []
    assert bench.report.state == "NO_PLAN"
    assert "wrong side" in bench.report.problem


def test_a_liquidation_price_that_passes_the_stop_is_said(monkeypatch):
    """In each pass, though nothing else has changed."""
    bench = Bench()
    bench.settle()
    assert bench.report.problem is None
    ask = bench.market.ask

    def liquidated_earlier(request):
        answer = ask(request)
        return (
            [{**row, "liquidationPrice": "59000"} for row in answer]
            if request.name == "positions"
            else answer
        )

    monkeypatch.setattr(bench.market, "ask", liquidated_earlier)
    for _ in range(2):
        bench.run()
        assert "not before the liquidation price of 59000" in bench.report.problem


def test_after_a_failed_stop_nothing_else_is_taken_away():
    """What was decided as if it rested is left for the next pass."""
    bench = Bench(HALF, hedge=True)
    bench.settle()
    bench.plan = plan_of(HardStop(at_fraction("0.01")), HALF, revision=2)
    bench.run()
    bench.refuse["cancel_algo"] = [api_error(-1008)]
    bench.run()
    assert "qs" in bench.legs
    assert bench.bare == 0
    bench.settle()
    assert (bench.legs, bench.order("hs").trigger_price) == (["hs", "t1"], Decimal("59400.1"))


def test_leftovers_of_the_other_side_are_cancelled():
    """In one-way mode a position that was turned keeps nothing of the one before."""
    bench = Bench(Breakeven(at_price(60_500)))
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 60_500)
    bench.settle()
    bench.market.others("BOTH", "SELL", Decimal("0.2"))
    bench.plan = plan_of()
    bench.run()
    assert [order.client_id for order in bench.market.own_orders() if order.side == "SELL"] == [
        order.client_id for order in bench.market.own_orders()
    ]


@pytest.mark.parametrize("remembers", [True, False])
def test_a_restart_sends_nothing_where_all_is_as_it_was(remembers):
    """From the journal, and from what rests alone."""
    bench = Bench(HALF, REST)
    bench.settle()
    bench.market.engine.set_mark("BTCUSDT", 61_600)
    bench.settle()
    bench.keeper = bench.restarted(last_steps(bench.journal) if remembers else {})
    for _ in range(3):
        assert not {"hs", "qs", "t1", "t2", "amend", "cancel", "cancel_algo"} & set(bench.run())
    assert bench.episode.taken_by("t1") == Decimal("0.05")
    assert bench.legs == ["hs", "t2"]
