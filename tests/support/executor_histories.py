"""Histories of positions that the executor holds, checked against the exchange's own state at every request.

    python tests/support/executor_histories.py --histories 3000 --seed 0 --faults 0.08 --kills 0

A history is its seed: what the market, others and faults do is drawn from it as it goes.
"""

import argparse
import collections
import itertools
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from executor_market import NOTHING, STEP, TICK, Faults, Market, View, swing
from executor_plans import draw_plan, revise

from exit_shim.domain.events import ExecutorStep
from exit_shim.executor.decide import decide
from exit_shim.executor.exchange_reader import Key
from exit_shim.executor.keeper import Keeper
from exit_shim.executor.memory import last_steps
from exit_shim.executor.order_ids import OwnId, is_take, read_id
from exit_shim.executor.plan import ExitPlan, HardStop, PlanError, at_price
from exit_shim.executor.protection import Protection
from exit_shim.executor.requests import Request

ACCOUNT = "test"

MOVES = {
    "drift": 14, "jump": 5, "gap_through_stop": 2, "run_to_take": 6, "wick": 3, "grow": 4, "reduce": 4,
    "close": 2, "reenter": 3, "flip": 2, "enter": 6, "cancel_own": 5, "cancel_all_own": 1, "foreign_slot": 2,
    "foreign_stop": 2, "foreign_take": 2, "drop_foreign": 2, "tighten": 3, "widen": 2, "move_takes": 3,
    "other_legs": 3, "refused_plan": 2, "wait": 4, "other_plan": 1,
}  # fmt: skip

READS = ("positions", "orders", "algos")
SETTLING_MS = 65_000
"""Longer than any pause of the ladder."""


class ViolationError(AssertionError):
    """Raised where an invariant does not hold."""


class KilledError(Exception):
    """Raised in the executor's process at the instant at which it dies."""


class Tracker(msgspec.Struct):
    """What the history itself knows of a position, from flat to flat."""

    first_order: int
    sign: int
    size: Decimal = NOTHING
    entered: Decimal = NOTHING
    seen_entered: Decimal = NOTHING
    was_protected: bool = False
    is_forgotten: bool = False
    is_revised: bool = False
    best: Decimal | None = None
    had_slot: bool = False
    is_seamless: bool = False
    bare_passes: int = 0
    keys: set[str] = msgspec.field(default_factory=set)
    most: list[Decimal] = msgspec.field(default_factory=list)


class Options(NamedTuple):
    """How hard a history is."""

    faults: float = 0.0
    kills: float = 0.0
    keepers: int = 1
    interrupts: float = 0.02
    rounds: int = 14


CALM = Options()


class Life:
    """One history.

    Args:
        seed: what it is drawn from.
        options: how hard it is.
        decider: decides in place of the executor's own; a broken one must be found out.
    """

    def __init__(self, seed: int, options: Options = CALM, decider: Callable[..., Any] = decide) -> None:
        self.draw = random.Random(seed)
        self.options = options
        self.decider = decider
        draw = self.draw
        self.market = Market(hedge_mode=draw.random() < 0.5, trigger_delay=draw.choice((0, 0, 40)))
        self.faults = Faults(draw, options.faults)
        self.journal: list[ExecutorStep] = []
        self.plans: dict[str, ExitPlan] = {}
        self.revisions = itertools.count(1)
        self.trackers: dict[str, Tracker] = {}
        self.ended: dict[str, Tracker] = {}
        self.foreign_slots: set[str] = set()
        self.log: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.is_quiet = False
        self.sent: list[Request] = []
        self.has_failed_read = False
        self.was_disturbed = False
        self.in_move = False
        self.in_pass = False
        self.in_lists = False
        self.has_forgotten = False
        self.cancelled: OwnId | None = None
        self.waits: tuple[str, View] | None = None
        self.sizes: dict[str, Decimal] = {}
        self.keepers = [self._keeper({}) for _ in range(options.keepers)]

    def _keeper(self, remembered: dict[tuple[str, str], ExecutorStep]) -> Keeper:
        return Keeper(
            account=ACCOUNT,
            plan_for=lambda position: self.plans.get(position.side),
            record=self._record,
            remembered=remembered,
            now_ms=lambda: self.market.now,
            decide=self.decider,
        )

    # Living

    def live(self) -> None:
        """Live the history, and check every invariant.

        Raises:
            ViolationError: one does not hold.
        """
        self.move("enter")
        for _ in range(self.options.rounds):
            for _ in range(self.draw.choice((0, 1, 1, 2, 3, 4))):
                self.passes()
                self.market.now += self.draw.choice((200, 1_000, 1_000, 3_000))
            is_calm = not self.options.faults and not self.options.kills and self.options.keepers == 1
            if is_calm and self.draw.random() < 0.3:
                self.converge()
            self.move(self.draw.choices(list(MOVES), list(MOVES.values()))[0])
        self.settle()

    def say(self, what: str) -> None:
        """Write a line for people."""
        self.log.append(f"{self.market.now - 1_790_000_000_000:>8} {what}")

    def passes(self) -> None:
        """Run a pass of each keeper, side by side."""
        self.sent, self.has_failed_read, self.was_disturbed = [], False, False
        faults = self.faults.happened
        self.in_pass = True
        running = [self._pass(number) for number in range(len(self.keepers))]
        ended = []
        while running:
            one = self.draw.choice(running) if len(running) > 1 else running[0]
            try:
                next(one)
            except StopIteration as done:
                running.remove(one)
                if done.value is not None:
                    ended.append(done.value)
        self.in_pass = False
        if len(self.keepers) == 1 and ended:
            self._check_pass(ended[0], is_clean=self.faults.happened == faults and not self.was_disturbed)

    def _pass(self, number: int) -> Any:
        """Yield at each request of a pass; return its reports, None of one that was killed."""
        conversation = self.keepers[number].protect()
        answers: list[Any] | None = None
        try:
            while True:
                asked = conversation.send(answers)  # type: ignore[arg-type]
                answers = []
                for request in asked:
                    if len(self.keepers) > 1:
                        yield
                    # Another executor's requests come between.
                    self.in_lists = len(asked) == len(READS)
                    answers.append(self._send(request))
        except StopIteration as done:
            return done.value
        except KilledError:
            self._restart(number)
            return None

    def _restart(self, number: int) -> None:
        remembers = self.draw.random() < 0.6
        self.say(f"KILLED; the next process remembers {'the journal' if remembers else 'nothing'}")
        self.counts["kills"] += 1
        self.has_forgotten = self.has_forgotten or not remembers
        self.was_disturbed, self.waits = True, None
        for tracker in self.trackers.values():
            tracker.is_forgotten = tracker.is_forgotten or not remembers
            tracker.bare_passes = 0
        self.keepers[number] = self._keeper(last_steps(self.journal) if remembers else {})

    def _may_die(self) -> None:
        if not self.is_quiet and not self.in_move and self.draw.random() < self.options.kills:
            raise KilledError

    def _record(self, step: ExecutorStep) -> None:
        self._may_die()
        self.journal.append(step)
        self._may_die()

    # Requests of the executor

    def _send(self, request: Request) -> Any:
        if not self.is_quiet and self.draw.random() < self.options.interrupts:
            # What rested before is no measure for what rests after somebody else's doing.
            self.was_disturbed, self.waits = True, None
            self.move(self.draw.choices(list(MOVES), list(MOVES.values()))[0])
        if request.changes:
            self.sent.append(request)
            self._check_request(request)
        self._may_die()
        before = self.market.views()
        after: dict[str, View] = {}
        answer = self.faults.ask(self.market, request, lambda: after.update(self.market.views()))
        if self.in_lists and isinstance(answer, Exception):
            self.has_failed_read = True
        elif request.name == "positions":
            self._note_seen()
        if request.changes:
            self.counts["changes"] += 1
            outcome = f"{type(answer).__name__} {answer}" if isinstance(answer, Exception) else "ok"
            self.say(f"  {request.name} {dict(request.params)} ({request.why}) -> {outcome}")
            self._check_change(request, answer, before, after or before)
        self._track()
        self._may_die()
        return answer

    def _check_request(self, request: Request) -> None:
        """What can be said of a request before it leaves."""
        params = request.params
        name = params.get("clientAlgoId") or params.get("newClientOrderId")
        # Two executors write side by side.
        written = {step.client_order_id for step in self.journal[-1 if len(self.keepers) == 1 else 0 :]}
        if request.name == "place":
            self.require(name in written, f"I12 {name} is not in the journal")
            self.require(read_id(str(name)) is not None and len(str(name)) <= 36, f"I10 the id {name}")
            for field, unit in (("quantity", STEP), ("price", TICK), ("stopPrice", TICK)):
                if field in params:
                    self.require(Decimal(params[field]) % unit == 0, f"I10 {field}={params[field]}")
            closes = "reduceOnly" in params or "closePosition" in params
            self.require(self.market.hedge_mode or closes, f"I2 {name} could open a position")
            return
        number = params.get("orderId") or params.get("algoId")
        known = [
            order
            for order in (*self.market.engine.all_orders(), *self.market.engine.all_algos())
            if number in {getattr(order, "algo_id", None), getattr(order, "order_id", None)}
            and (request.name == "cancel_algo") == hasattr(order, "trigger_price")
        ]
        self.require(bool(known), f"I7 {number} is no order")
        self.require(read_id(known[0].client_id) is not None, f"I7 {known[0].client_id} is not its own")
        self.cancelled = read_id(known[0].client_id)
        self.require(known[0].client_id in written, f"I12 {number} is not in the journal")
        self.require(not self.has_failed_read, "I8 something is cancelled on half a read")

    def _check_change(
        self, request: Request, answer: Any, before: dict[str, View], after: dict[str, View]
    ) -> None:
        """What a change may not do to any position."""
        waits, self.waits = self.waits, None
        for side, then in before.items():
            now, tracker = after[side], self.trackers.get(side)
            if tracker is None:
                continue
            self.require(now.amount * then.amount >= 0, f"I2 {side} was flipped by {request}")
            if request.name == "cancel_algo" and self.was_disturbed:
                # What was read is not true any more; the next pass makes up for it.
                continue
            is_move = request.name == "cancel_algo" and self.cancelled.leg == "hs"
            if is_move and then.amount != self.sizes.get(side):
                # The position has changed since it was read; the next request puts the hard stop back.
                continue
            is_closing = (
                self.market.hedge_mode
                and request.params.get("type") in {"MARKET", "LIMIT"}
                and request.kind == "close"
            )
            if tracker.was_protected and not is_closing:
                self.require(now.bare <= then.bare, f"I1 {side}: {then.bare} -> {now.bare} bare by {request}")
            if (
                waits is not None
                and waits[0] == side
                and request.name == "place"
                and request.params.get("closePosition")
            ):
                if not isinstance(answer, Exception):
                    self._check_ratchet(request, waits[1], now)
            elif is_move and now.size and then.stops != now.stops:
                self.waits = side, then
            elif (
                # Another executor's requests come between a read and what is decided on it.
                len(self.keepers) == 1
                and request.name in {"cancel", "cancel_algo"}
                and not self._is_widening(side)
            ):
                self._check_ratchet(request, then, now)

    def _check_ratchet(self, request: Request, then: View, now: View) -> None:
        """As much is closed at each level as before; a trail of another quantity has a successor."""
        side = now.position_side
        episode = self.keepers[0].episodes.get(Key(self.market.symbol, side))
        done = self._executed(side, with_trails=True)
        is_done = self.cancelled.leg == "tr" and done["tr"] + done["nt"] > 0
        if self._is_widening(side) or self.cancelled.leg == "nt" or is_done:
            return
        if episode is None or self.cancelled.episode != episode.key:
            return
        trails = [
            getattr(order, "trigger_price", NOTHING)
            for order in self.market.own_orders(side)
            if read_id(order.client_id).leg == self.cancelled.leg
        ]
        for stop in then.stops:
            needed = min(now.size, then.covered(stop.trigger))
            has_successor = self.cancelled.leg in {"tr", "qs"} and any(
                (trigger - stop.trigger) * now.amount >= 0 for trigger in trails
            )
            self.require(
                now.covered(stop.trigger) >= needed or stop.is_trailing or has_successor,
                f"I3 {side}: less is closed at {stop.trigger} after {request}",
            )

    def _is_widening(self, side: str) -> bool:
        episodes = [keeper.episodes.get(Key(self.market.symbol, side)) for keeper in self.keepers]
        return any(episode is not None and episode.is_widening for episode in episodes)

    # After a pass

    def _check_pass(self, reports: list[Protection], *, is_clean: bool) -> None:
        """What must hold once a pass has ended."""
        legs = 4 * sum(len(plan.legs) for plan in self.plans.values())
        self.require(len(self.sent) <= legs + 12, f"I10 {len(self.sent)} changes in one pass")
        if self.has_failed_read:
            closes = [one for one in self.sent if one.params.get("type") == "MARKET"]
            self.require(not closes, "I8 something is closed on half a read")
        keeper = self.keepers[0]
        for side, tracker in self.trackers.items():
            view = self.market.view(side)
            episode = keeper.episodes.get(Key(self.market.symbol, side))
            if not view.size:
                continue
            if not view.bare:
                tracker.was_protected = tracker.was_protected or episode is not None
                tracker.bare_passes = 0
                continue
            if episode is None:
                mine = [one for one in reports if one.position_side == side]
                self.require(
                    not mine or not is_clean or any(one.problem for one in mine if one.state == "NO_PLAN"),
                    f"{side} has no plan, and the report does not say why",
                )
                continue
            if not is_clean or any(one.until_ms > self.market.now for one in episode.refusals.values()):
                continue
            tracker.bare_passes += 1
            self.require(
                tracker.bare_passes <= 2 + 2 * self.is_quiet or self._is_excused(episode),
                f"I1 {side}: {view.bare} bare for {tracker.bare_passes} passes",
            )

    def _is_excused(self, episode: Any) -> bool:
        # In hedge mode others' takes keep a close from all of the position.
        held = "BUY" if episode.side == "SHORT" else "SELL"
        return bool(episode.doubts) or any(
            order.side == held and hasattr(order, "remaining") and read_id(order.client_id) is None
            for order in self.market.open_orders(episode.position_side)
        )

    def changes_of_a_pass(self) -> int:
        """Run a pass; return how many changing requests it sent."""
        self.passes()
        self.market.now += 1_000
        return len(self.sent)

    def converge(self) -> None:
        """Check that constant inputs end in a state that needs no change."""
        was_quiet, self.is_quiet = self.is_quiet, True
        most = max((len(plan.legs) for plan in self.plans.values()), default=0) + 2
        counts = [self.changes_of_a_pass() for _ in range(most)]
        counts += [self.changes_of_a_pass() for _ in range(2)]
        self.require(not any(counts[-2:]), f"I4 no fixpoint: {counts} changes a pass")
        self._check_rest()
        self.is_quiet = was_quiet

    def settle(self) -> None:
        """End all faults, and check what rests in the end."""
        self.say("quiet from now on")
        self.is_quiet, self.faults.rate = True, 0.0
        # Of two executors one has won.
        del self.keepers[1:]
        for _ in range(4):
            self.passes()
            self.market.now += SETTLING_MS
        self.converge()

    def _check_rest(self) -> None:
        """What rests once nothing changes any more."""
        for side in self.market.sides:
            view = self.market.view(side)
            own = [(read_id(order.client_id), order) for order in self.market.own_orders(side)]
            if not view.size:
                self.require(not own, f"I9 {side} is flat, and {own} rest")
                continue
            left = [name for name, order in own if (order.side == "SELL") != (view.amount > 0)]
            self.require(not left, f"I9 {side}: {left} of the other side rest")
            self._check_legs(side, view, [(name, order) for name, order in own if name is not None])

    def _check_legs(self, side: str, view: View, own: list[tuple[OwnId, Any]]) -> None:
        episode = self.keepers[0].episodes.get(Key(self.market.symbol, side))
        if episode is None or episode.plan is None or episode.levels is None:
            return
        tracker = self.trackers[side]
        number = collections.Counter(name.leg for name, _ in own)
        self.require(
            all(
                count == 1
                for leg, count in number.items()
                if leg != "nt" and (leg != "tr" or (episode.plan.trail and not episode.plan.trail.native))
            ),
            f"I6 {side}: doubled {number}",
        )
        self.require(
            len({name.episode for name, _ in own if name.leg != "hs"}) <= 1,
            f"I5 {side}: orders of two episodes {own}",
        )
        takes = [(name.leg, order) for name, order in own if is_take(name.leg)]
        self.require(
            sum((order.remaining for _, order in takes), NOTHING) <= view.size, f"I2 {side}: takes {takes}"
        )
        falls = view.amount > 0
        for name, order in own:
            quantity = getattr(order, "quantity", NOTHING)
            if self.market.hedge_mode and not order.close_position:
                self.require(
                    quantity - getattr(order, "executed", NOTHING) <= view.size, f"I2 {name} is too large"
                )
        hard = episode.levels.hard
        if (self.market.mark - hard) * (1 if falls else -1) <= 0 and self._is_excused(episode):
            # Beyond the hard stop others' takes keep what they are to close.
            return
        self.require(not view.bare, f"I1 {side}: {view.bare} bare at rest")
        # When a native trail fires is not known, and one that fires leaves a stand-in too large for a moment.
        slots = [order for order in self.market.open_orders(side) if order.close_position]
        is_foreign = any(read_id(order.client_id) is None for order in slots)
        is_exempt = self.market.hedge_mode and is_foreign and "nt" in number
        if not is_exempt and (self.market.mark - hard) * (1 if falls else -1) > 0:
            self.require(view.covered(hard) == view.size, f"the hard stop at {hard} does not rest")
        self.require(bool(slots), f"{side}: no closePosition stop rests")
        if not tracker.is_forgotten and self.options.keepers == 1:
            self._check_takes(side, view, dict(takes), episode)
            if not self.options.kills:
                self._check_trail(side, view, episode, [order for name, order in own if name.leg == "tr"])

    def _check_trail(self, side: str, view: View, episode: Any, resting: list[Any]) -> None:
        """A managed trail is where the best price that was read says, whatever came in between."""
        tracker, trail = self.trackers[side], episode.plan.trail
        if trail is None or trail.native or tracker.best is None or tracker.is_revised:
            return
        exact = tracker.best * (1 - tracker.sign * trail.callback)
        for order in resting:
            self.require((order.trigger_price - exact) * tracker.sign <= TICK, f"I14 {side}: beyond {exact}")
            self.require(
                (exact - order.trigger_price) * tracker.sign <= trail.min_step * exact + TICK,
                f"I14 {side}: the trail is at {order.trigger_price}; {exact} expected",
            )
        is_crossed = (self.market.mark - exact) * tracker.sign <= TICK
        done = self._executed(side, with_trails=True)["tr"]
        part = min(view.size, episode.plan.trail_share * episode.initial - done) // STEP * STEP
        if not is_crossed and part > 0:
            slack = exact - tracker.sign * (trail.min_step * exact + TICK)
            self.require(view.covered(slack) >= part, f"I14 {side}: {part} does not trail at {exact}")

    def _check_takes(self, side: str, view: View, takes: dict[str, Any], episode: Any) -> None:
        """What takes should rest, by the exchange's own orders of this episode."""
        tracker, plan = self.trackers[side], episode.plan
        if tracker.is_revised or tracker.is_seamless or plan.is_expired(self.market.now):
            return
        foreign = [
            order
            for order in self.market.open_orders(side)
            if read_id(order.client_id) is None and hasattr(order, "remaining")
        ]
        trails = [
            order.quantity
            for order in self.market.own_orders(side)
            if read_id(order.client_id).leg in {"tr", "nt"} and order.quantity < view.size
        ]
        room = view.size - sum((order.remaining for order in foreign), NOTHING) - sum(trails, NOTHING)
        done = self._executed(side)
        carried = NOTHING
        for index, share in enumerate(plan.take_shares):
            leg = f"t{index + 1}"
            target = share * tracker.seen_entered + carried - done[leg]
            wanted = max(NOTHING, min(target, room)) // STEP * STEP
            resting = takes[leg].remaining if leg in takes else NOTHING
            price = episode.levels.takes[index]
            is_small = wanted < STEP or (self.market.hedge_mode and wanted * price < 100)
            last = index + 1 == len(plan.take_shares)
            carried = target if is_small and not last and target > 0 else NOTHING
            is_in_band = Decimal("0.95") * self.market.mark <= price <= Decimal("1.05") * self.market.mark
            if not is_small and is_in_band:
                self.require(
                    abs(resting - wanted) <= STEP,
                    f"{leg} rests with {resting}; {wanted} expected, {done}, {tracker}, {episode.initial}",
                )
            room -= resting

    def _executed(self, side: str, *, with_trails: bool = False) -> collections.Counter[str]:
        """Return what the takes of this episode have closed, by the exchange's own orders."""
        tracker = self.trackers[side]
        done: collections.Counter[str] = collections.Counter()
        for order in self.market.engine.all_orders(self.market.symbol):
            own = read_id(order.client_id)
            if own is None or not (is_take(own.leg) or (with_trails and own.leg in {"tr", "nt"})):
                continue
            if (
                order.order_id > tracker.first_order
                and order.position_side == side
                and (order.side == "SELL") == (tracker.sign > 0)
            ):
                done[own.leg] += order.executed
        return done

    # What the history knows of positions

    def _track(self) -> None:
        """Take in what became of positions, and check what no instant may break."""
        for side, view in self.market.views().items():
            tracker = self.trackers.get(side)
            sign = (view.amount > 0) - (view.amount < 0)
            if not sign:
                if tracker is not None:
                    self.ended[side] = self.trackers.pop(side)
                continue
            if tracker is None or tracker.sign != sign:
                self._begin(side, sign, tracker or self.ended.get(side))
                tracker = self.trackers[side]
            tracker.had_slot = any(one.close_position for one in self.market.own_orders(side))
            tracker.entered += max(NOTHING, view.size - tracker.size)
            tracker.size = view.size
            self._check_takes_done(side)

    def _note_seen(self) -> None:
        """Take in what the executor can know of how much was entered: what it saw, and what its takes did."""
        self._track()
        self.sizes = {side: view.amount for side, view in self.market.views().items()}
        for side, tracker in self.trackers.items():
            held = tracker.size + sum(self._executed(side, with_trails=True).values(), NOTHING)
            tracker.seen_entered = max(tracker.seen_entered, held)
            if self.in_lists:
                self._note_best(tracker)

    def _note_best(self, tracker: Tracker) -> None:
        """Take in the best price that the executor has read since its trail follows."""
        plan = self.plans.get("LONG" if tracker.sign > 0 else "SHORT")
        if plan is None or plan.trail is None or plan.trail.activation is not None:
            return
        mark = self.market.mark
        if tracker.best is None or (mark - tracker.best) * tracker.sign > 0:
            tracker.best = mark

    def _begin(self, side: str, sign: int, last: Tracker | None) -> None:
        # Resting orders that are filled now keep their ids: younger ones are of this position.
        # Where no closePosition stop of the executor rested, nothing shows that the position was flat; and
        # a pass under way goes on with the takes of the position before. A process without a journal that
        # finds orders of that position counts its takes, and takes less.
        is_seamless = self.in_pass or self.has_forgotten or (last is not None and not last.had_slot)
        self.trackers[side] = Tracker(self.market.engine.state.ids.order, sign, is_seamless=is_seamless)

    def _check_takes_done(self, side: str) -> None:
        tracker = self.trackers[side]
        plan = self.plans.get("LONG" if tracker.sign > 0 else "SHORT")
        episode = self.keepers[0].episodes.get(Key(self.market.symbol, side))
        if episode is not None:
            tracker.keys.add(episode.key)
        # A process that remembers nothing, and finds no order of its own, cannot know what was done.
        is_lost = tracker.is_forgotten and len(tracker.keys) > 1
        if plan is None or is_lost or tracker.is_seamless or self.options.keepers > 1:
            return
        sums = list(itertools.accumulate(plan.take_shares))
        tracker.most = [
            max(
                tracker.most[min(index, len(tracker.most) - 1)] if tracker.most else NOTHING,
                sums[min(index, len(sums) - 1)] if sums else NOTHING,
            )
            for index in range(max(len(tracker.most), len(sums)))
        ]
        done, total = self._executed(side), NOTHING
        for index, most in enumerate(tracker.most):
            total += done[f"t{index + 1}"]
            self.require(
                total <= most * tracker.entered + STEP,
                f"I5 {side}: t1 to t{index + 1} closed {total} of {tracker.entered}, above {most}",
            )

    def require(self, holds: bool, what: str) -> None:
        """Fail with the history so far, unless an invariant holds."""
        if not holds:
            raise ViolationError(what)

    # The world

    def move(self, what: str) -> None:
        """Let one thing happen, and keep books on it."""
        side = self.draw.choice(self.market.sides)
        view = self.market.view(side)
        self.in_move = True
        try:
            getattr(self, f"_{what}")(side, view)
        finally:
            self.in_move = False
        self._track()
        for tracker in self.trackers.values():
            tracker.bare_passes = 0
        self.counts[what] += 1
        sizes = " ".join(f"{one.position_side}={one.amount}" for one in self.market.views().values())
        self.say(f"{what} {side}: mark {self.market.mark}, {sizes}")

    def set_mark(self, price: Decimal) -> None:
        """Move the price; what fires changes positions one by one."""
        self.market.engine.set_mark(self.market.symbol, max(price, Decimal(1000)))
        self.market.now += 50
        self.market.engine.run_due()
        self._track()

    def _drift(self, _side: str, _view: View) -> None:
        for _ in range(self.draw.randint(1, 4)):
            self.set_mark(swing(self.draw, self.market.mark, 0.006))

    def _jump(self, _side: str, _view: View) -> None:
        self.set_mark(swing(self.draw, self.market.mark, 0.04))

    def _wick(self, _side: str, _view: View) -> None:
        back = self.market.mark
        self.set_mark(swing(self.draw, back, 0.03))
        self.set_mark(back)

    def _gap_through_stop(self, _side: str, view: View) -> None:
        if view.stops:
            beyond = Decimal("0.99") if view.amount > 0 else Decimal("1.01")
            self.set_mark(self.draw.choice(view.stops).trigger * beyond // TICK * TICK)

    def _run_to_take(self, side: str, _view: View) -> None:
        takes = [one for one in self.market.own_orders(side) if hasattr(one, "remaining")]
        if not takes:
            return
        take = self.draw.choice(takes)
        if self.draw.random() < 0.3:
            part = take.remaining / 2 // STEP * STEP
            if part:
                self.market.engine.trade(self.market.symbol, take.price, part)
                return
        self.set_mark(take.price)

    def _quantity(self) -> Decimal:
        return Decimal(self.draw.choice((3, 5, 10, 40, 100, 237, 1000))) * STEP

    def _enter(self, side: str, view: View) -> None:
        if view.size:
            return
        direction = {"LONG": "BUY", "SHORT": "SELL"}.get(side) or self.draw.choice(("BUY", "SELL"))
        held = "LONG" if direction == "BUY" else "SHORT"
        if held not in self.plans or self.draw.random() < 0.3:
            self.plans[held] = draw_plan(self.draw, held, next(self.revisions))
        self.market.others(side, direction, self._quantity())

    def _grow(self, side: str, view: View) -> None:
        if view.size:
            direction = "BUY" if view.amount > 0 else "SELL"
            self.market.others(
                side, direction, max(STEP, view.size * self.draw.choice((1, 2, 6)) / 4 // STEP * STEP)
            )

    def _reduce(self, side: str, view: View) -> None:
        part = view.size * Decimal(self.draw.choice((1, 3, 5, 9))) / 10 // STEP * STEP
        if part:
            self.market.others(side, "SELL" if view.amount > 0 else "BUY", part)

    def _close(self, side: str, view: View) -> None:
        if view.size:
            self.market.others(side, "SELL" if view.amount > 0 else "BUY", view.size)
            self._track()

    def _reenter(self, side: str, view: View) -> None:
        self._close(side, view)
        if view.size:
            size = self.draw.choice((view.size, self._quantity()))
            self.market.others(side, "BUY" if view.amount > 0 else "SELL", size)

    def _flip(self, side: str, view: View) -> None:
        if side == "BOTH" and view.size:
            held = "SHORT" if view.amount > 0 else "LONG"
            self.plans.setdefault(held, draw_plan(self.draw, held, next(self.revisions)))
            self.market.others(side, "SELL" if view.amount > 0 else "BUY", view.size + self._quantity())

    def _cancel_own(self, side: str, _view: View) -> None:
        own = self.market.own_orders(side)
        if own:
            self.market.cancel(self.draw.choice(own))

    def _cancel_all_own(self, side: str, _view: View) -> None:
        for order in self.market.own_orders(side):
            self.market.cancel(order)

    def _stop_away(self, view: View) -> Decimal:
        sign = -1 if view.amount > 0 else 1
        away = Decimal(str(round(1 + sign * self.draw.uniform(0.005, 0.05), 4)))
        return self.market.mark * away // TICK * TICK

    def _foreign_slot(self, side: str, view: View) -> None:
        if view.size:
            direction = "SELL" if view.amount > 0 else "BUY"
            more = {"type": "STOP_MARKET", "closePosition": "true", "stopPrice": self._stop_away(view)}
            if self.draw.random() < 0.7:
                for order in [one for one in self.market.own_orders(side) if one.close_position]:
                    self.market.cancel(order)
            self.market.others(side, direction, None, **more)  # type: ignore[arg-type]

    def _foreign_stop(self, side: str, view: View) -> None:
        if view.size:
            direction = "SELL" if view.amount > 0 else "BUY"
            more = {"type": "STOP_MARKET", "stopPrice": self._stop_away(view)}
            more |= {"reduceOnly": "true"} if side == "BOTH" else {}
            self.market.others(side, direction, view.size, **more)

    def _foreign_take(self, side: str, view: View) -> None:
        if view.size:
            direction, sign = ("SELL", 1) if view.amount > 0 else ("BUY", -1)
            price = self.market.mark * Decimal(str(1 + sign * 0.03)) // TICK * TICK
            more = {"type": "LIMIT", "timeInForce": "GTC", "price": price}
            more |= {"reduceOnly": "true"} if side == "BOTH" else {}
            self.market.others(side, direction, max(STEP, view.size / 3 // STEP * STEP), **more)

    def _drop_foreign(self, side: str, _view: View) -> None:
        for order in self.market.open_orders(side):
            if read_id(order.client_id) is None:
                self.market.cancel(order)

    def _wait(self, _side: str, _view: View) -> None:
        self.market.now += self.draw.choice((500, 2_500, 10_000, 70_000))

    # Plans

    def _revise(self, view: View, how: str) -> None:
        held = "LONG" if view.amount > 0 else "SHORT"
        plan = self.plans.get(held)
        if plan is None or not view.size:
            return
        try:
            self.plans[held] = revise(self.draw, plan, how, next(self.revisions))
        except PlanError:
            return
        self.trackers[view.position_side].is_revised = True

    def _tighten(self, _side: str, view: View) -> None:
        self._revise(view, "tighten")

    def _widen(self, _side: str, view: View) -> None:
        self._revise(view, "widen")

    def _move_takes(self, _side: str, view: View) -> None:
        self._revise(view, "move_takes")

    def _other_legs(self, _side: str, view: View) -> None:
        self._revise(view, "other_legs")

    def _other_plan(self, _side: str, view: View) -> None:
        self._revise(view, "other_plan")

    def _refused_plan(self, side: str, view: View) -> None:
        """A hard stop on the wrong side: the plan in force stays."""
        held = "LONG" if view.amount > 0 else "SHORT"
        plan = self.plans.get(held)
        if plan is None or not view.size:
            return
        wrong = self.market.mark * (Decimal("1.1") if view.amount > 0 else Decimal("0.9")) // TICK * TICK
        legs = tuple(HardStop(at_price(wrong)) if isinstance(leg, HardStop) else leg for leg in plan.legs)
        good = plan
        try:
            self.plans[held] = msgspec.structs.replace(plan, revision=next(self.revisions), legs=legs)
        except PlanError:
            return
        if not self.in_pass:
            self.passes()
        # The next good plan comes with its own revision.
        self.plans[held] = msgspec.structs.replace(good, revision=next(self.revisions))
        del side


class Found(NamedTuple):
    """What histories came to."""

    failures: list[str]
    total: collections.Counter[str]


def live(seeds: Iterable[int], options: Options = CALM, decider: Callable[..., Any] = decide) -> Found:
    """Live the histories of seeds; return what failed, and how often what happened."""
    failures: list[str] = []
    total: collections.Counter[str] = collections.Counter()
    for seed in seeds:
        life = Life(seed, options, decider)
        try:
            life.live()
        except Exception as error:  # noqa: BLE001 - a crash is a failure, too
            line = traceback.extract_tb(error.__traceback__)[-1]
            what = (
                str(error)
                if isinstance(error, ViolationError)
                else f"{error!r} at {line.filename}:{line.lineno}"
            )
            failures.append(f"seed {seed}: {what}")
        total += life.counts
        total["faults"] += life.faults.happened
        total["histories"] += 1
    return Found(failures, total)


def main() -> int:
    """Live histories as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--kills", type=float, default=0.0)
    parser.add_argument("--keepers", type=int, default=1)
    parser.add_argument("--interrupts", type=float, default=0.02)
    parser.add_argument("--trace", action="store_true", help="print what happened in the first history")
    asked = parser.parse_args()
    options = Options(asked.faults, asked.kills, asked.keepers, asked.interrupts)
    if asked.trace:
        life = Life(asked.seed, options)
        try:
            life.live()
        except Exception:  # noqa: BLE001 - it is printed
            traceback.print_exc()
        print(*life.plans.values(), *life.log, sep="\n")  # noqa: T201
        return 0
    began = time.perf_counter()
    found = live(range(asked.seed, asked.seed + asked.histories), options)
    print(*found.failures, sep="\n")  # noqa: T201
    print(f"{len(found.failures)} failed; {time.perf_counter() - began:.0f} s; {dict(found.total)}")  # noqa: T201
    return bool(found.failures)


if __name__ == "__main__":
    sys.exit(main())
