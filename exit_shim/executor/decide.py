"""Decide what to do next for one position: its plan against what rests at the exchange. Pure.

The rules that every decision keeps:

- Stops come before takes, and what is new before what is old.
- An order is cancelled only while the orders that were listed beside it protect as much as before.
- A stop moves toward the price only, unless a newer revision of the plan says that it may widen.
- Only orders of the executor, and those that it was given to take over, are cancelled.
- Without complete lists nothing is cancelled, and nothing placed but a missing hard stop.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from exit_shim.executor.episode import Episode
from exit_shim.executor.failures import TOO_MANY_ALGOS
from exit_shim.executor.order_ids import (
    BREAKEVEN,
    CLOSE,
    HARD,
    HARD_QUANTITY,
    MOVABLE,
    NATIVE_TRAIL,
    TRAIL,
    OwnId,
    read_id,
)
from exit_shim.executor.plan import ExitPlan, Levels
from exit_shim.executor.position_orders import PositionOrders, cancel, is_own
from exit_shim.executor.protection import guarded_at, is_covered
from exit_shim.executor.steps import Close, LookUp, Place, Scene, Step, Wait
from exit_shim.executor.takes import Takes
from exit_shim.guard.exchange_snapshot import OpenOrder


class WantedStop(NamedTuple):
    """A stop that should rest; `quantity` is None for the whole position."""

    leg: str
    level: Decimal
    quantity: Decimal | None
    why: str


def decide(episode: Episode, scene: Scene) -> tuple[Step, ...]:
    """Return what to do now; empty where everything is as it should be."""
    plan, levels = episode.plan, episode.levels
    if plan is None or levels is None:
        return ()
    view = View(episode, scene, plan, levels)
    if not scene.is_complete:
        is_new = HARD not in episode.numbers
        return tuple(step for step in view.stop_steps() if is_new and step.leg == HARD)
    stops = tuple(view.stop_steps())
    takes: tuple[Step, ...] = ()
    is_closing = any(isinstance(step, Close) for step in stops)
    if view.has_stop and view.may_add_parts and not is_closing:
        takes = tuple(Takes(view, view.partial_stops).steps())
    else:
        view.keep_takes()
    # What is cancelled makes room for the takes; and a take that trades at once changes what stops are for.
    return (*stops, *view.look_ups(), *view.cancel_steps(), *takes)


class View(PositionOrders):
    """The stops that should rest for one position, and what has to go."""

    def __init__(self, episode: Episode, scene: Scene, plan: ExitPlan, levels: Levels) -> None:
        super().__init__(episode, scene, plan, levels)
        # Whether a stop on a part goes out now, beside which a stop that stands in may be too large.
        self._adds_parts = False
        self.wanted = self._wanted_stops()
        self._listed_legs = {stop.leg for stop in self.wanted if self._match(stop) is not None}
        self._waiting_legs = {stop.leg for stop in self.wanted} - self._listed_legs

    @property
    def partial_stops(self) -> list[Decimal]:
        """The quantities of the trails that close a part of the position."""
        trails = [stop.quantity or Decimal(0) for stop in self.wanted if stop.leg == TRAIL]
        trails += [
            order.quantity or Decimal(0) for order in self.of_leg(NATIVE_TRAIL) if order.name in self.kept
        ]
        return [part for part in trails if part < self.size]

    # Stops

    def _wanted_stops(self) -> tuple[WantedStop, ...]:
        movable = list(self._movable())
        self.hard, stands_in = self._hard_level(movable)
        hard = self.hard
        # In hedge mode a stop on a quantity is refused as it fires where takes rest beside it, so that what
        # closes everything is always the closePosition stop.
        wanted = [] if stands_in is None else [stands_in]
        wanted += [
            stop
            for stop in movable
            if self.episode.is_tighter(stop.level, hard)
            and not (self.episode.is_hedged and self._is_whole(stop))
        ]
        movable = [
            stop
            for stop in wanted
            if not any(self._outdoes(other, stop) for other in wanted if other is not stop)
        ]
        slot = self._slot_stop(hard)
        return (*((slot,) if slot is not None else ()), *movable)

    def _is_whole(self, stop: WantedStop) -> bool:
        return (stop.quantity or Decimal(0)) >= self._quantity(self.size)

    def _hard_level(self, movable: list[WantedStop]) -> tuple[Decimal, WantedStop | None]:
        """Return where the hard stop is to be, and the stop on a quantity that stands in for it."""
        episode, rules = self.episode, self.scene.rules
        planned = rules.trigger(self.levels.hard, episode.side)
        slot = self._slot()
        standing_in = [order.trigger for order in self.of_leg(HARD_QUANTITY) if order.trigger is not None]
        own_levels = [
            order.trigger for order in (*self.of_leg(HARD), *self.of_leg(HARD_QUANTITY)) if order.trigger
        ]
        if not episode.is_widening and own_levels:
            planned = self._tightest([planned, *own_levels])
        if episode.is_hedged:
            planned = self._tightest(
                [planned, *(stop.level for stop in movable if self._may_rest_whole(stop))]
            )
        if slot is None:
            why_not = self._why_not_hard()
            if why_not is None and not standing_in:
                return planned, None
            # It goes once the closePosition stop is listed.
            why = why_not or "the hard stop is being moved"
            return planned, self._stand_in(planned, movable, why, is_alone=True)
        if slot.trigger == planned:
            return planned, None
        if not is_own(slot) and not self._is_taken_over(slot):
            if slot.trigger is not None and not episode.is_tighter(planned, slot.trigger):
                return planned, None
            why = "somebody else's closePosition stop has the place of the hard stop"
            return planned, self._stand_in(planned, movable, why, is_alone=False)
        why = "the hard stop is being moved" if is_own(slot) else "an order is being taken over"
        return planned, self._stand_in(planned, movable, why, is_alone=True)

    def _stand_in(
        self, level: Decimal, movable: list[WantedStop], why: str, *, is_alone: bool
    ) -> WantedStop | None:
        quantity = self._stand_in_quantity(level, movable, is_alone=is_alone)
        return WantedStop(HARD_QUANTITY, level, quantity, why) if quantity else None

    def _stand_in_quantity(self, level: Decimal, movable: list[WantedStop], *, is_alone: bool) -> Decimal:
        """Return the quantity of a stop that stands in for the hard stop.

        In hedge mode the exchange refuses a stop on more than is left when it fires, so that it is on what
        the stops leave that fire before it. When a native trail fires is not known: it counts as firing
        before where no closePosition stop would close the rest.
        """
        if not self.episode.is_hedged:
            return self._quantity(self.size)
        parts: list[tuple[Decimal | None, Decimal | None]] = [
            (stop.quantity, stop.level)
            for stop in movable
            if self.episode.is_tighter(stop.level, level) and self._can_rest(stop)
        ]
        legs = {HARD_QUANTITY, *(stop.leg for stop in movable)}
        own = {order.name for name, order in self.own if name.leg in legs}
        parts += [(order.quantity, order.trigger) for order in self.stops if order.name not in own]
        before = [
            (quantity, trigger)
            for quantity, trigger in parts
            if quantity is not None
            and quantity < self.size
            and (is_alone if not trigger else not self.episode.is_tighter(level, trigger))
        ]
        left = self.size
        for quantity, _ in sorted(before, key=lambda part: self._firing_order(part[1])):
            # One on more than is left by then is refused itself, and closes nothing.
            left -= quantity if quantity <= left else 0
        return self._quantity(left)

    def _firing_order(self, trigger: Decimal | None) -> Decimal:
        """Return the key that sorts stops by when they fire; one without a trigger price goes first."""
        return -self.episode.direction * trigger if trigger else Decimal("-Infinity")

    def _may_rest_whole(self, stop: WantedStop) -> bool:
        return self._is_whole(stop) and not self.episode.is_crossed(stop.level, self.scene.price)

    def _tightest(self, levels: list[Decimal]) -> Decimal:
        return max(levels, key=lambda level: self.episode.direction * level)

    def _slot(self) -> OpenOrder | None:
        """Return the closePosition stop that rests: the exchange takes one a side."""
        slots = [order for order in self.stops if order.close_position]
        own = [order for order in slots if is_own(order)]
        return next(iter(own or slots), None)

    def _why_not_hard(self) -> str | None:
        """Return why the closePosition stop cannot be placed now; None where it can be tried."""
        if self.episode.is_in_doubt(HARD):
            return "the hard stop is in doubt"
        refusal = self.episode.refusals.get(HARD)
        if refusal is not None and refusal.until_ms > self.scene.now_ms:
            return f"the hard stop was refused ({refusal.code})"
        return None

    def _slot_stop(self, hard: Decimal) -> WantedStop | None:
        """Return the closePosition stop that should rest now; None while another one has its place."""
        slot = self._slot()
        if slot is None:
            return WantedStop(HARD, hard, None, "the position has no hard stop")
        if not is_own(slot):
            return None
        is_moved = self.episode.is_widening or self.episode.is_hedged
        if slot.trigger == hard or not is_moved or slot.trigger is None:
            # In one-way mode a stop on a quantity tightens, and this one stays behind it.
            return WantedStop(HARD, slot.trigger or hard, None, "")
        return None

    def _movable(self) -> Iterator[WantedStop]:
        """Yield the stops of breakeven and trail that are due."""
        episode, rules = self.episode, self.scene.rules
        if episode.is_breakeven and self.levels.lock is not None and self._costs_are_known():
            lock = self.levels.lock + episode.direction * (episode.costs or Decimal(0))
            level = self._ratcheted(BREAKEVEN, rules.trigger(lock, episode.side))
            yield WantedStop(
                BREAKEVEN, level, self._quantity(self.size), "the breakeven threshold was reached"
            )
        trail = self.plan.trail
        if trail is not None and episode.is_trailing and episode.extreme is not None:
            level = rules.trigger(episode.extreme * (1 - episode.direction * trail.callback), episode.side)
            level = self._ratcheted(TRAIL, level, trail.min_step)
            quantity = self._quantity(self._untrailed())
            if quantity and (self.may_add_parts or self.of_leg(TRAIL)):
                yield WantedStop(TRAIL, level, quantity, f"the best price is {episode.extreme.normalize():f}")

    def _untrailed(self) -> Decimal:
        """Return how much the trail has still to close; a fired one has done its part.

        Less than a step is nothing: no order can close it.
        """
        left = min(self.size, self.plan.trail_share * self.episode.initial - self._trailed())
        return self.scene.rules.quantity(max(Decimal(0), left))

    def _trailed(self) -> Decimal:
        """Return how much the trail has closed."""
        return self.episode.taken_by(TRAIL) + self.episode.taken_by(NATIVE_TRAIL)

    @property
    def may_add_parts(self) -> bool:
        """Whether a take, or a stop on a part, may go out.

        In hedge mode what is filled leaves the other stops on a quantity too large, so that a
        closePosition stop must rest.
        """
        return not self.episode.is_hedged or self._slot() is not None

    def _costs_are_known(self) -> bool:
        breakeven = self.plan.breakeven
        return breakeven is None or not breakeven.include_costs or self.episode.costs is not None

    def _ratcheted(self, leg: str, level: Decimal, min_step: Decimal = Decimal(0)) -> Decimal:
        """Return the level, or that of the leg's resting stop where it would not move far enough."""
        legs = (leg, HARD, HARD_QUANTITY) if self.episode.is_hedged else (leg,)
        resting = [order.trigger for each in legs for order in self.of_leg(each) if order.trigger is not None]
        best = max(resting, key=lambda trigger: self.episode.direction * trigger, default=None)
        if best is None or self.episode.direction * (level - best) > min_step * best:
            return level
        return best

    def _outdoes(self, other: WantedStop, stop: WantedStop) -> bool:
        """Return whether another stop closes as much no later, so that this one is not needed."""
        if (
            self.episode.is_hedged
            or not self._can_rest(other)
            or (other.quantity or 0) < (stop.quantity or 0)
        ):
            return False
        if other.level == stop.level:
            return MOVABLE.index(other.leg) < MOVABLE.index(stop.leg) or other.quantity != stop.quantity
        return self.episode.is_tighter(other.level, stop.level)

    def _quantity(self, amount: Decimal) -> Decimal:
        rules = self.scene.rules
        return min(rules.quantity(amount), rules.quantity(rules.max_market_quantity))

    def _can_rest(self, stop: WantedStop) -> bool:
        if self._match(stop) is not None:
            return True
        is_crossed = self.episode.is_crossed(stop.level, self.scene.price)
        return not (is_crossed or self.episode.is_in_doubt(stop.leg) or self.waiting(stop.leg))

    def _match(self, wanted: WantedStop) -> OpenOrder | None:
        """Return the resting order that is the wanted stop."""
        for order in self.of_leg(wanted.leg):
            if order.trigger == wanted.level and self._fits(order, wanted):
                return order
        return None

    def _fits(self, order: OpenOrder, wanted: WantedStop) -> bool:
        if wanted.quantity is None:
            return order.close_position
        if order.quantity is None:
            return False
        # reduceOnly cuts a stop of the whole position to what is there. In hedge mode it is refused instead.
        may_be_larger = not self.episode.is_hedged and wanted.leg != TRAIL
        return order.quantity == wanted.quantity or (may_be_larger and order.quantity > wanted.quantity)

    def stop_steps(self) -> Iterator[Step]:
        """Yield the stops to place, the hard stop first."""
        for wanted in self.wanted:
            order = self._match(wanted)
            if order is not None:
                self.kept.add(order.name)
            else:
                yield from self._place_stop(wanted)
        yield from self._native_trail_steps()

    def _place_stop(self, wanted: WantedStop) -> Iterator[Step]:
        episode, leg = self.episode, wanted.leg
        if episode.is_in_doubt(leg) or (leg == TRAIL and not self.may_add_parts):
            return
        if (waiting := self.waiting(leg)) is not None:
            yield waiting
            return
        if episode.is_crossed(wanted.level, self.scene.price):
            yield from self._crossed(wanted)
            return
        self._adds_parts = self._adds_parts or leg == TRAIL
        yield self._stop(wanted)

    def _stop(self, wanted: WantedStop) -> Place:
        stop = self.plan.hard_stop
        return Place(
            leg=wanted.leg,
            why=wanted.why,
            name=self.episode.next_id(wanted.leg),
            type="STOP_MARKET",
            quantity=wanted.quantity,
            trigger=wanted.level,
            working_type=stop.working_type,
            price_protect=stop.price_protect,
        )

    def _crossed(self, wanted: WantedStop) -> Iterator[Step]:
        """Close where the price is beyond the hard stop and nothing rests that would; else wait."""
        is_firing = any(not order.is_active for leg in (HARD, HARD_QUANTITY) for order in self.of_leg(leg))
        is_guarded = is_firing or guarded_at(wanted.level, self.stops, self.size) >= self.size
        if wanted.leg in {HARD, HARD_QUANTITY} and not is_guarded:
            why = f"the price {self.scene.price} is beyond the hard stop at {wanted.level:f}"
            yield Close(leg=CLOSE, why=why, name=self.episode.next_id(CLOSE), level=wanted.level)
        else:
            why = f"the price {self.scene.price} is beyond {wanted.level:f}; the stops that rest stay"
            yield Wait(leg=wanted.leg, why=why)

    def _native_trail_steps(self) -> Iterator[Step]:
        trail = self.plan.trail
        if trail is None or not trail.native:
            return
        wanted = self._untrailed()
        resting = self._fitting(self.of_leg(NATIVE_TRAIL), wanted)
        if self._lacks_slots():
            # Those that watch the price already are guards, and stay.
            self.kept |= {order.name for order in resting if order.is_active}
            return
        self.kept |= {order.name for order in resting}
        missing = self._quantity(
            wanted - sum((order.quantity or Decimal(0) for order in resting), Decimal(0))
        )
        if missing < self.scene.rules.min_quantity or not (self.has_stop and self.may_add_parts):
            return
        if self.episode.is_in_doubt(NATIVE_TRAIL):
            return
        if (waiting := self.waiting(NATIVE_TRAIL)) is not None:
            yield waiting
        else:
            self._adds_parts = True
            activation = self.levels.activation
            if activation is not None and self.episode.is_reached(activation, self.scene.price):
                activation = None
            yield Place(
                leg=NATIVE_TRAIL,
                why="the position has grown" if resting else "the plan has a native trail",
                name=self.episode.next_id(NATIVE_TRAIL),
                type="TRAILING_STOP_MARKET",
                quantity=missing,
                callback=trail.callback,
                trigger=None
                if activation is None
                else self.scene.rules.trigger(activation, self.episode.side),
                working_type=self.plan.hard_stop.working_type,
            )

    def _lacks_slots(self) -> bool:
        """Return whether the account has too many conditional orders for the hard stop."""
        refusals = (self.episode.refusals.get(leg) for leg in (HARD, HARD_QUANTITY))
        return any(refusal is not None and refusal.code == TOO_MANY_ALGOS for refusal in refusals)

    def _fitting(self, trails: list[OpenOrder], most: Decimal) -> list[OpenOrder]:
        """Return the native trails that can stay: in hedge mode one too large is refused as it fires."""
        if not self.episode.is_hedged:
            return trails
        fitting: list[OpenOrder] = []
        for order in sorted(trails, key=lambda order: order.algo_id or 0):
            quantity = order.quantity or Decimal(0)
            if quantity <= most:
                fitting.append(order)
                most -= quantity
        return fitting

    # Orders in doubt

    def look_ups(self) -> Iterator[LookUp]:
        """Yield a question for each order of which it is not known whether it rests, and what it has done."""
        for leg, doubt in self.episode.doubts.items():
            yield LookUp(leg=leg, why="it is in doubt", name=doubt.name)
        for leg, number in self.episode.unverified.items():
            name = OwnId(self.episode.key, leg, number)
            yield LookUp(leg=leg, why="it may have been done before", name=name)

    # Cancels

    def cancel_steps(self) -> Iterator[Step]:
        """Yield the orders that nothing needs any more, each while the others protect as much."""
        stops = list(self.stops)
        for order in self._superseded():
            if order in stops:
                rest = [other for other in stops if other is not order]
                if not self._may_go(order, rest, stops):
                    continue
                stops = rest
            yield cancel(order, self._why_cancelled(order))
            if order is self._slot() and is_own(order):
                # The place is free now; until this one rests, the stop that stands in guards alone.
                yield self._stop(WantedStop(HARD, self.hard, None, "the hard stop is being moved"))

    def _superseded(self) -> Iterator[OpenOrder]:
        """Yield what is to go: own orders that have no place or a successor, and others'."""
        for order in self.scene.orders:
            if order.name in self.kept:
                continue
            own = read_id(order.client_order_id)
            if own is None:
                if self._is_taken_over(order) and self._own_cover():
                    yield order
            elif (
                own.leg not in self._waiting_legs or own.episode != self.episode.key or self._is_older(order)
            ):
                yield order

    def _is_older(self, order: OpenOrder) -> bool:
        """Return whether a newer stop of its leg guards; where the next one waits, only the newest stays."""
        own = self.episode.owns(order)
        guards = (self.episode.owns(stop) for stop in self.stops)
        return own is not None and any(
            other.leg == own.leg and other.number > own.number for other in guards if other is not None
        )

    def _own_cover(self) -> bool:
        own = {order.name for _, order in self.own}
        return is_covered([stop for stop in self.stops if stop.name in own], self.size)

    def _is_taken_over(self, order: OpenOrder) -> bool:
        return order.name in self.scene.taken_over

    def _may_go(self, order: OpenOrder, rest: list[OpenOrder], before: list[OpenOrder]) -> bool:
        """Return whether the position is protected as much without a stop."""
        if not is_covered(rest, self.size):
            return False
        own = self.episode.owns(order)
        has_successor = own is not None and own.leg in self._listed_legs
        # Of two generations of a trail one has fired: its part is done.
        is_trail = own is not None and own.leg == TRAIL and self.plan.trail is not None
        is_done = is_trail and self._trailed() > 0 and not self._untrailed()
        if order is self._slot() and is_own(order):
            # Beside a stop on a part, which a list may lack, the one that stands in may be too large.
            if self._adds_parts or any(map(self.episode.is_in_doubt, (TRAIL, NATIVE_TRAIL))):
                return False
            # Its successor follows at once; the stop that stands in has that one's level.
            return HARD_QUANTITY in self._listed_legs or not self._is_standing_in()
        is_left_over = own is None and is_own(order)
        if has_successor or is_done or is_left_over or self._is_taken_over(order):
            return True
        if self.episode.is_widening or order.trigger is None:
            return True
        needed = min(self.size, guarded_at(order.trigger, before, self.size))
        return guarded_at(order.trigger, rest, self.size) >= needed

    def _is_standing_in(self) -> bool:
        return any(stop.leg == HARD_QUANTITY for stop in self.wanted)

    def _why_cancelled(self, order: OpenOrder) -> str:
        if read_id(order.client_order_id) is None:
            return "taken over: the executor's own stops cover the position"
        return "another order has its place"
