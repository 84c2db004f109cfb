"""Decide what to do next for one position: its plan against what rests at the exchange. Pure.

The rules that every decision keeps:

- Stops come before takes, and what is new before what is old.
- An order is cancelled only while the orders that were listed beside it protect as much as before.
- A stop moves toward the price only, unless a newer revision of the plan says that it may widen.
- Only orders of the executor, and those that it was given to take over, are cancelled.
- Without complete lists nothing is cancelled, and nothing placed but a missing hard stop.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from exit_shim.executor.episode import Episode
from exit_shim.executor.order_ids import (
    BREAKEVEN,
    CLOSE,
    HARD,
    HARD_QUANTITY,
    MOVABLE,
    NATIVE_TRAIL,
    TRAIL,
    OwnId,
    is_take,
    read_id,
    take_leg,
)
from exit_shim.executor.plan import ExitPlan, Levels
from exit_shim.executor.protection import guarded_at, is_covered
from exit_shim.executor.steps import Amend, Cancel, Close, LookUp, Place, Scene, Step, Wait
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
    if view.has_stop:
        takes = tuple(view.take_steps())
    else:
        view.keep_takes()
    return (*stops, *takes, *view.cancel_steps())


def cancel(order: OpenOrder, why: str) -> Cancel:
    """Return the step that cancels an order."""
    own = read_id(order.client_order_id)
    return Cancel(leg=own.leg if own else None, why=why, order=order)


class View:
    """The orders of one position beside its plan.

    Args:
        episode: What is known of the position.
        scene: What is seen of it.
        plan: The plan in force.
        levels: Its price levels.
    """

    def __init__(self, episode: Episode, scene: Scene, plan: ExitPlan, levels: Levels) -> None:
        self.episode = episode
        self.scene = scene
        self.plan = plan
        self.levels = levels
        self.size = episode.size
        self.own = [(own, order) for order in scene.orders if (own := episode.owns(order)) is not None]
        self.stops = tuple(order for order in scene.orders if order.is_protective)
        self.kept: set[str] = set()
        self.wanted = self._wanted_stops()
        self._listed_legs = {stop.leg for stop in self.wanted if self._match(stop) is not None}
        self._waiting_legs = {stop.leg for stop in self.wanted} - self._listed_legs

    @property
    def has_stop(self) -> bool:
        """Whether stops that rest now cover the position."""
        return is_covered(self.stops, self.size)

    def of_leg(self, leg: str) -> list[OpenOrder]:
        """Return the resting orders of a leg."""
        return [order for name, order in self.own if name.leg == leg]

    # Stops

    def _wanted_stops(self) -> tuple[WantedStop, ...]:
        hard, stands_in = self._hard_level()
        wanted = list(self._movable(hard))
        if stands_in is not None:
            wanted.append(stands_in)
        movable = [
            stop
            for stop in wanted
            if not any(self._outdoes(other, stop) for other in wanted if other is not stop)
        ]
        slot = self._slot_stop(hard)
        return (*((slot,) if slot is not None else ()), *movable)

    def _hard_level(self) -> tuple[Decimal, WantedStop | None]:
        """Return where the hard stop is to be, and the stop on a quantity that stands in for it."""
        episode, rules = self.episode, self.scene.rules
        planned = rules.trigger(self.levels.hard, episode.side)
        slot = self._slot()
        standing_in = [order.trigger for order in self.of_leg(HARD_QUANTITY) if order.trigger is not None]
        own_levels = [
            order.trigger for order in (*self.of_leg(HARD), *self.of_leg(HARD_QUANTITY)) if order.trigger
        ]
        if not episode.is_widening and own_levels:
            planned = max([planned, *own_levels], key=lambda level: episode.direction * level)
        quantity = self._quantity(self.size)
        if slot is None:
            why_not = self._why_not_hard()
            if why_not is None and not standing_in:
                return planned, None
            # It goes once the closePosition stop is listed.
            why = why_not or "the hard stop is being moved"
            return planned, WantedStop(HARD_QUANTITY, planned, quantity, why)
        if slot.trigger == planned:
            return planned, None
        if self.episode.owns(slot) is None and not self._is_taken_over(slot):
            if slot.trigger is not None and not episode.is_tighter(planned, slot.trigger):
                return planned, None
            why = "somebody else's closePosition stop has the place of the hard stop"
            return planned, WantedStop(HARD_QUANTITY, planned, quantity, why)
        why = "the hard stop is being moved" if self.episode.owns(slot) else "an order is being taken over"
        return planned, WantedStop(HARD_QUANTITY, planned, quantity, why)

    def _slot(self) -> OpenOrder | None:
        """Return the closePosition stop that rests: the exchange takes one a side."""
        slots = [order for order in self.stops if order.close_position]
        own = [order for order in slots if self.episode.owns(order) is not None]
        return next(iter(own or slots), None)

    def _why_not_hard(self) -> str | None:
        """Return why the closePosition stop cannot be placed now; None where it can be tried."""
        if HARD in self.episode.doubts:
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
        if self.episode.owns(slot) is None:
            return None
        if slot.trigger == hard or not self.episode.is_widening or slot.trigger is None:
            # Where the hard stop comes nearer, one on a quantity does it, and this one stays behind it.
            return WantedStop(HARD, slot.trigger or hard, None, "")
        return None

    def _movable(self, hard: Decimal) -> Iterator[WantedStop]:
        """Yield the stops of breakeven and trail that are due."""
        episode, rules = self.episode, self.scene.rules
        if episode.is_breakeven and self.levels.lock is not None and self._costs_are_known():
            lock = self.levels.lock + episode.direction * (episode.costs or Decimal(0))
            level = rules.trigger(lock, episode.side)
            if episode.is_tighter(level, hard):
                level = self._ratcheted(BREAKEVEN, level)
                yield WantedStop(
                    BREAKEVEN, level, self._quantity(self.size), "the breakeven threshold was reached"
                )
        trail = self.plan.trail
        if trail is not None and episode.is_trailing and episode.extreme is not None:
            level = rules.trigger(episode.extreme * (1 - episode.direction * trail.callback), episode.side)
            level = self._ratcheted(TRAIL, level, trail.min_step)
            quantity = self._quantity(min(self.size, self.plan.trail_share * episode.initial))
            if episode.is_tighter(level, hard) and quantity:
                yield WantedStop(TRAIL, level, quantity, f"the best price is {episode.extreme:f}")

    def _costs_are_known(self) -> bool:
        breakeven = self.plan.breakeven
        return breakeven is None or not breakeven.include_costs or self.episode.costs is not None

    def _ratcheted(self, leg: str, level: Decimal, min_step: Decimal = Decimal(0)) -> Decimal:
        """Return the level, or that of the leg's resting stop where it would not move far enough."""
        resting = [order.trigger for order in self.of_leg(leg) if order.trigger is not None]
        best = max(resting, key=lambda trigger: self.episode.direction * trigger, default=None)
        if best is None or self.episode.direction * (level - best) > min_step * best:
            return level
        return best

    def _outdoes(self, other: WantedStop, stop: WantedStop) -> bool:
        """Return whether another stop closes as much no later, so that this one is not needed."""
        if (other.quantity or 0) < (stop.quantity or 0):
            return False
        if other.level == stop.level:
            return MOVABLE.index(other.leg) < MOVABLE.index(stop.leg) or other.quantity != stop.quantity
        return self.episode.is_tighter(other.level, stop.level)

    def _quantity(self, amount: Decimal) -> Decimal:
        rules = self.scene.rules
        return min(rules.quantity(amount), rules.quantity(rules.max_market_quantity))

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
        if leg in episode.doubts:
            yield LookUp(leg=leg, why="its request had no answer", name=episode.doubts[leg].name)
            return
        if (waiting := self._waiting(leg)) is not None:
            yield waiting
            return
        if episode.is_crossed(wanted.level, self.scene.price):
            yield from self._crossed(wanted)
            return
        stop = self.plan.hard_stop
        yield Place(
            leg=leg,
            why=wanted.why,
            name=episode.next_id(leg),
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

    def _waiting(self, leg: str) -> Step | None:
        """Return the wait of a leg that was refused a moment ago; None where it may be tried."""
        refusal = self.episode.refusals.get(leg)
        if refusal is None or refusal.until_ms <= self.scene.now_ms:
            return None
        return Wait(leg=leg, why=f"refused: {refusal.code} {refusal.message}")

    def _native_trail_steps(self) -> Iterator[Step]:
        trail = self.plan.trail
        if trail is None or not trail.native:
            return
        resting = self.of_leg(NATIVE_TRAIL)
        self.kept |= {order.name for order in resting}
        missing = self._quantity(
            min(self.size, self.plan.trail_share * self.episode.initial)
            - sum((order.quantity or Decimal(0) for order in resting), Decimal(0))
        )
        if missing < self.scene.rules.min_quantity or not self.has_stop:
            return
        if NATIVE_TRAIL in self.episode.doubts:
            name = self.episode.doubts[NATIVE_TRAIL].name
            yield LookUp(leg=NATIVE_TRAIL, why="its request had no answer", name=name)
        elif (waiting := self._waiting(NATIVE_TRAIL)) is not None:
            yield waiting
        else:
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

    # Takes

    def take_targets(self) -> Mapping[str, tuple[Decimal, Decimal]]:
        """Return the quantity and price of each take that should rest, the nearest first in need of room."""
        rules, episode = self.scene.rules, self.episode
        targets: dict[str, tuple[Decimal, Decimal]] = {}
        room, carried = self.size, Decimal(0)
        legs = list(zip(self.plan.take_shares, self.levels.takes, strict=True))
        for index, (share, level) in enumerate(legs):
            leg, price = take_leg(index), rules.take_price(level, episode.side)
            target = share * episode.initial + carried
            carried = Decimal(0)
            left = rules.quantity(max(Decimal(0), min(target - self._taken(leg), room)))
            if rules.is_too_small(left, price, is_exempt=not episode.is_hedged):
                # A part that the exchange would refuse goes with the next take.
                carried = max(Decimal(0), target - self._taken(leg)) if index + 1 < len(legs) else Decimal(0)
                continue
            targets[leg] = min(left, rules.max_quantity), price
            room -= targets[leg][0]
        return targets

    def _taken(self, leg: str) -> Decimal:
        resting = sum((order.executed for order in self.of_leg(leg)), Decimal(0))
        return self.episode.taken_by(leg) + resting

    def keep_takes(self) -> None:
        """Have the takes that rest stay as they are."""
        self.kept |= {order.name for name, order in self.own if is_take(name.leg)}

    def take_steps(self) -> Iterator[Step]:
        """Yield what makes the takes as they should be."""
        if self.plan.is_expired(self.scene.now_ms):
            self.keep_takes()
            return
        unverified = {leg: n for leg, n in self.episode.unverified.items() if not self.of_leg(leg)}
        for leg, number in unverified.items():
            name = OwnId(self.episode.key, leg, number)
            yield LookUp(leg=leg, why="it may have been done before", name=name)
        if unverified:
            self.keep_takes()
            return
        for leg, (quantity, price) in self.take_targets().items():
            yield from self._take(leg, quantity, price)

    def _take(self, leg: str, quantity: Decimal, price: Decimal) -> Iterator[Step]:
        episode, resting = self.episode, self.of_leg(leg)
        if resting:
            order = resting[0]
            self.kept.add(order.name)
            left = (order.quantity or Decimal(0)) - order.executed
            if (order.price, left) == (price, quantity):
                return
            if (waiting := self._waiting(leg)) is not None:
                yield waiting
            elif not self._is_in_band(price):
                yield Wait(leg=leg, why=f"{price:f} is outside the exchange's price band")
            else:
                why = f"{left:f} at {order.price} should be {quantity:f} at {price:f}"
                total = order.executed + quantity
                yield Amend(leg=leg, why=why, order=order, quantity=total, price=price)
        elif leg in episode.doubts:
            yield LookUp(leg=leg, why="it is not listed", name=episode.doubts[leg].name)
        elif (waiting := self._waiting(leg)) is not None:
            yield waiting
        elif not self._is_in_band(price):
            yield Wait(leg=leg, why=f"{price:f} is outside the exchange's price band")
        else:
            yield Place(
                leg=leg,
                why="the plan takes a part here",
                name=episode.next_id(leg),
                type="LIMIT",
                quantity=quantity,
                price=price,
                post_only=self.plan.takes[int(leg[1:]) - 1].post_only,
            )

    def _is_in_band(self, price: Decimal) -> bool:
        return self.scene.price is None or self.scene.rules.is_in_band(price, self.scene.price)

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

    def _superseded(self) -> Iterator[OpenOrder]:
        """Yield what is to go: own orders that have no place or a successor, and others'."""
        for order in self.scene.orders:
            if order.name in self.kept:
                continue
            own = read_id(order.client_order_id)
            if own is None:
                if self._is_taken_over(order) and self._own_cover():
                    yield order
            elif own.episode != self.episode.key or own.leg not in self._waiting_legs:
                yield order

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
        if has_successor or self._is_taken_over(order) or self.episode.is_widening or order.trigger is None:
            return True
        needed = min(self.size, guarded_at(order.trigger, before, self.size))
        return guarded_at(order.trigger, rest, self.size) >= needed

    def _why_cancelled(self, order: OpenOrder) -> str:
        if read_id(order.client_order_id) is None:
            return "taken over: the executor's own stops cover the position"
        return "another order has its place"
