"""The executor never leaves a position bare: histories at random, checked against the exchange's own state.

The long form is `python tests/support/executor_histories.py --histories 3000 --faults 0.08`.
"""

from decimal import Decimal

import msgspec
import pytest
from executor_histories import Options, live

from exit_shim.executor.decide import decide
from exit_shim.executor.order_ids import is_take, read_id
from exit_shim.executor.position_orders import cancel
from exit_shim.executor.steps import Amend, Cancel, Place

KINDS = {
    "calm": Options(),
    "faults": Options(faults=0.08),
    "kills": Options(faults=0.05, kills=0.01),
    "two executors": Options(keepers=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_invariants_hold_at_every_request(kind, pytestconfig):
    """Cover, ratchet, ids, attribution, fixpoint: with faults, kills and a second executor, too."""
    histories = 3 * pytestconfig.getoption("histories")
    found = live(range(histories), KINDS[kind])
    assert found.failures == []
    assert found.total["changes"] > 4 * histories
    assert (found.total["faults"] > histories) == (KINDS[kind].faults > 0)
    assert (found.total["kills"] > 0) == (KINDS[kind].kills > 0)


def cancel_first(episode, scene):
    """Cancel what moves before its successor rests."""
    steps = decide(episode, scene)
    moved = {step.leg for step in steps if isinstance(step, Place)}
    stale = [
        cancel(order, "broken")
        for order in scene.orders
        if (own := episode.owns(order)) and own.leg in moved | ({"hs"} if "qs" in moved else set())
    ]
    return (*stale, *steps)


def round_stops_down(episode, scene):
    """Place stops off the tick."""
    return tuple(
        msgspec.structs.replace(step, trigger=step.trigger - Decimal("0.03"))
        if isinstance(step, Place) and step.trigger
        else step
        for step in decide(episode, scene)
    )


def sweep_foreign(episode, scene):
    """Cancel the orders of others."""
    foreign = [order for order in scene.orders if read_id(order.client_order_id) is None]
    return (*decide(episode, scene), *(cancel(order, "broken") for order in foreign))


def forget_hard_stop(episode, scene):
    """Give the hard stop up."""
    return tuple(
        step for step in decide(episode, scene) if not isinstance(step, Place) or step.leg not in {"hs", "qs"}
    )


def take_twice(episode, scene):
    """Forget what takes have done."""
    episode.taken.clear()
    return decide(episode, scene)


def never_rest(episode, scene):
    """Change a take in every pass."""
    takes = [order for order in scene.orders if (own := episode.owns(order)) and is_take(own.leg)]
    moved = (
        Amend(
            leg="t1", why="broken", order=order, quantity=order.quantity, price=order.price + scene.rules.tick
        )
        for order in takes
    )
    return (*decide(episode, scene), *moved)


def cancel_on_half_a_read(episode, scene):
    """Act as if every read were whole."""
    return decide(episode, scene._replace(is_complete=True))


def widen_by_itself(episode, scene):
    """Move the hard stop as the plan of the moment says, further away, too."""
    episode.is_widening = False
    steps = decide(episode, scene)
    stops = [order for order in scene.orders if episode.owns(order) and order.is_protective]
    if len(stops) > 1:
        tightest = max(stops, key=lambda order: episode.direction * (order.trigger or Decimal(0)))
        steps = (*steps, Cancel(leg="qs", why="broken", order=tightest))
    return steps


def cancel_nothing(episode, scene):
    """Leave what has a successor."""
    return tuple(step for step in decide(episode, scene) if not isinstance(step, Cancel))


def trail_from_the_entry(episode, scene):
    """Forget the best price."""
    episode.extreme = episode.entry if episode.is_trailing else None
    return decide(episode, scene)


BROKEN = {
    trail_from_the_entry: "I14",
    cancel_first: "I1",
    round_stops_down: "I10",
    sweep_foreign: "I7",
    forget_hard_stop: "I1",
    take_twice: "I5",
    never_rest: "I4",
    cancel_on_half_a_read: "I8",
    widen_by_itself: "I3",
    cancel_nothing: "I6",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_executor_is_found_out(broken):
    """Each invariant fails for an executor that breaks it."""
    options = Options(faults=0.1) if broken is cancel_on_half_a_read else Options()
    expected = f": {BROKEN[broken]} "
    assert any(
        expected in failure for seed in range(40) for failure in live([seed], options, broken).failures
    )
