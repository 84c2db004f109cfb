"""The router of a hand-made exit brain: asked for each position, whatever it keeps and however it answers."""

import asyncio
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from exit_shim.executor import BrainRouter, ExitRouter, PlanError, at_fraction
from exit_shim.guard.exchange_snapshot import OpenPosition

LONG = OpenPosition("BTCUSDT", "LONG", Decimal("0.5"), Decimal(60_100), Decimal(0), Decimal(60_000))
SHORT = OpenPosition("BTCUSDT", "SHORT", Decimal("-0.2"), Decimal(60_100), None, Decimal(60_200))
SOON = datetime(2100, 1, 1, tzinfo=timezone.utc)
PAST = datetime(2020, 1, 1, tzinfo=timezone.utc)


class Brain:
    """Keeps one plan per symbol, as hand-made brains do."""

    def __init__(self, **fields):
        self.fields = {"expires_at": SOON, **fields}
        self.stop = 0.02
        self.rows = []
        self.kept = {}

    def make(self, row):
        self.rows.append(row)
        side = 1 if float(row["positionAmt"]) > 0 else -1
        price = float(row["entryPrice"]) * (1 - side * self.stop)
        legs = [{"kind": "SL", "size_pct": 1.0, "trigger_price": round(price, 1)}]
        return type("Plan", (), {"symbol": row["symbol"], "legs": legs, "strategy_id": "S", **self.fields})()

    def get_or_create_plan(self, position, rl_hints=None):
        if position["symbol"] not in self.kept:
            self.kept[position["symbol"]] = self.make(position)
        return self.kept[position["symbol"]]

    def get_active_plan(self, symbol):
        return self.kept.get(symbol)

    def invalidate_plan(self, symbol):
        self.kept.pop(symbol, None)


class AsyncBrain(Brain):
    async def get_or_create_plan(self, position, rl_hints=None):
        await asyncio.sleep(0)
        return super().get_or_create_plan(position)


def stop_of(router, position):
    return router.plan_for(position).hard_stop.at.price


def test_a_brain_is_asked_once_for_a_position():
    """The plan is kept while the brain keeps it; the brain gets the position as Binance lists it."""
    brain = Brain()
    router = BrainRouter(brain)
    assert isinstance(router, ExitRouter)
    assert stop_of(router, LONG) == 58_800
    assert router.plan_for(LONG) is router.plan_for(LONG._replace(amount=Decimal(1), entry=Decimal(60_500)))
    assert brain.rows == [
        {
            "symbol": "BTCUSDT",
            "positionSide": "LONG",
            "positionAmt": "0.5",
            "entryPrice": "60000",
            "markPrice": "60100",
            "liquidationPrice": "0",
        }
    ]


def test_long_and_short_have_plans_of_their_own():
    """In hedge mode a brain that keeps one plan per symbol still gives each side the stop on its side."""
    brain = Brain()
    router = BrainRouter(brain)
    for _ in range(3):
        assert (stop_of(router, LONG), stop_of(router, SHORT)) == (58_800, 61_404)
    assert [row["positionSide"] for row in brain.rows] == ["LONG", "SHORT"]


def test_a_plan_that_the_brain_makes_anew_is_taken_over():
    """A brain that has changed its mind replaces the plan, with one side open and with two."""
    brain = Brain()
    router = BrainRouter(brain)
    first = router.plan_for(LONG)
    brain.stop = 0.01
    brain.invalidate_plan("BTCUSDT")
    second = router.plan_for(LONG)
    assert (second.hard_stop.at.price, second.plan_id != first.plan_id) == (59_400, True)
    router.plan_for(SHORT)
    brain.stop = 0.005
    brain.invalidate_plan("BTCUSDT")
    brain.get_or_create_plan({"symbol": "BTCUSDT", "positionAmt": "0.5", "entryPrice": "60000"})
    for _ in range(3):
        assert (stop_of(router, LONG), stop_of(router, SHORT)) == (59_700, 60_501)
    assert len(brain.rows) == 6


def test_a_position_that_was_closed_and_opened_again_gets_a_new_plan():
    """The brain's plan of the position before would stop at the old entry price."""
    router = BrainRouter(Brain())
    assert stop_of(router, LONG) == 58_800
    reduced = LONG._replace(amount=Decimal("0.1"))
    assert stop_of(router, reduced) == 58_800
    assert stop_of(router, reduced._replace(entry=Decimal(65_000))) == 63_700


def test_an_expired_plan_is_asked_for_anew():
    """The plan of a brain that ignores its expiry is invalidated; a new expiry is a new revision."""
    brain = Brain(expires_at=PAST)
    router = BrainRouter(brain)
    first = router.plan_for(LONG)
    assert first.is_expired()
    brain.fields["expires_at"] = SOON
    second = router.plan_for(LONG)
    assert not second.is_expired()
    assert (second.plan_id, second.revision) == (first.plan_id, first.revision + 1)
    assert router.plan_for(LONG) is second
    assert len(brain.rows) == 2


def test_an_expiry_that_moves_at_each_pass_is_no_new_plan():
    """A brain that plans anew at each pass moves the expiry each time; an earlier one counts at once."""
    brain = Brain()
    brain.get_active_plan = lambda symbol: None
    router = BrainRouter(brain)
    first = router.plan_for(LONG)
    for hours, is_same in ((1, True), (2, True), (-1, False)):
        brain.kept.clear()
        brain.fields["expires_at"] = SOON + timedelta(hours=hours)
        assert (router.plan_for(LONG) is first) is is_same
    assert router.plan_for(LONG).revision == first.revision + 1


def test_a_brain_with_one_method_will_do():
    """Only get_or_create_plan is needed."""

    class Small:
        get_or_create_plan = Brain().get_or_create_plan

    assert stop_of(BrainRouter(Small()), LONG) == 58_800
    with pytest.raises(TypeError, match=r"has no method get_or_create_plan\(position\)"):
        BrainRouter(object())


def test_an_asynchronous_brain_is_waited_for_on_a_thread():
    """Where no event loop runs, the answer is there at once."""
    assert stop_of(BrainRouter(AsyncBrain()), LONG) == 58_800


async def test_an_asynchronous_brain_answers_at_a_later_pass():
    """On an event loop nothing is waited for: the first pass has no plan, a later one keeps the last plan."""
    brain = AsyncBrain()
    router = BrainRouter(brain)
    assert router.plan_for(LONG) is None
    assert router.plan_for(LONG) is None
    await asyncio.wait(set(router._pending.values()))
    first = router.plan_for(LONG)
    assert first.hard_stop.at.price == 58_800
    brain.stop = 0.01
    brain.invalidate_plan("BTCUSDT")
    assert router.plan_for(LONG) is first
    await asyncio.wait(set(router._pending.values()))
    assert stop_of(router, LONG) == 59_400
    assert len(brain.rows) == 2


async def test_all_methods_of_a_brain_may_be_asynchronous():
    """Coroutines of the other methods are awaited in order, or closed."""

    class Slow(AsyncBrain):
        async def get_active_plan(self, symbol):
            raise AssertionError

        async def invalidate_plan(self, symbol):
            Brain.invalidate_plan(self, symbol)

    brain = Slow(expires_at=PAST)
    router = BrainRouter(brain)
    router.plan_for(LONG)
    await asyncio.wait(set(router._pending.values()))
    assert router.plan_for(LONG).is_expired()
    brain.fields["expires_at"] = SOON
    assert router.plan_for(LONG).is_expired()
    await asyncio.wait(set(router._pending.values()))
    assert not router.plan_for(LONG).is_expired()


@pytest.mark.parametrize("kind", [Brain, AsyncBrain])
def test_a_brain_that_fails_is_a_refused_plan(kind):
    """Whatever a brain raises is a PlanError, so that the plan in force stays."""
    router = BrainRouter(kind())
    with pytest.raises(PlanError, match=r"the brain failed in \w+: KeyError\('entryPrice'\)"):
        router.plan_for(LONG._replace(entry=None))


def test_a_brain_without_a_plan_leaves_the_position_alone():
    """None of the brain is None of the router."""
    brain = Brain()
    brain.make = lambda row: None
    assert BrainRouter(brain).plan_for(LONG) is None


def test_how_plans_are_read_is_passed_on():
    """The default stop is that of plans without one."""
    brain = Brain()
    brain.make = lambda row: {"symbol": "BTCUSDT", "legs": [{"kind": "TRAIL", "trail_callback": 0.01}]}
    router = BrainRouter(brain, hard_stop_default=at_fraction("0.03"), native_trail=True, may_widen=True)
    plan = router.plan_for(LONG)
    assert (plan.hard_stop.at, plan.trail.native, plan.may_widen) == (at_fraction("0.03"), True, True)
    with pytest.raises(PlanError, match="no leg is SL or EMERGENCY"):
        BrainRouter(brain).plan_for(LONG)


def test_a_plan_that_the_brain_changes_in_place_is_read_again():
    """A brain that moves the trigger of the leg that it has given is understood at the next pass."""
    brain = Brain()
    router = BrainRouter(brain)
    first = router.plan_for(LONG)
    brain.kept["BTCUSDT"].legs[0]["trigger_price"] = 59_000.0
    assert stop_of(router, LONG) == 59_000
    assert router.plan_for(LONG).plan_id != first.plan_id


def test_a_plan_is_read_once(monkeypatch):
    """At rest a pass compares the fields of the brain's plan, and reads nothing again."""
    router = BrainRouter(Brain())
    first = router.plan_for(LONG)
    monkeypatch.setattr("exit_shim.executor.brain_router.read_brain_plan", None)
    assert router.plan_for(LONG) is first


async def test_a_brain_that_hangs_is_a_refused_plan():
    """A coroutine that never ends is given up, said so, and asked for again at the next pass."""
    brain = AsyncBrain()

    async def hang(row):
        await asyncio.Event().wait()

    brain.get_or_create_plan = hang
    router = BrainRouter(brain, answer_within_s=0.001)
    assert router.plan_for(LONG) is None
    await asyncio.wait(set(router._pending.values()))
    with pytest.raises(PlanError, match="the brain failed in result: TimeoutError"):
        router.plan_for(LONG)
    del brain.get_or_create_plan
    assert router.plan_for(LONG) is None
    await asyncio.wait(set(router._pending.values()))
    assert stop_of(router, LONG) == 58_800


def test_an_answer_that_will_never_come_is_asked_for_again():
    """An event loop that has ended takes the brain's answer with it; the next one asks anew."""
    router = BrainRouter(AsyncBrain())

    async def one_pass():
        return router.plan_for(LONG)

    assert asyncio.run(one_pass()) is None
    assert stop_of(router, LONG) == 58_800
