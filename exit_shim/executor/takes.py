"""Decide about the takes of one position: how much each has still to close, and what rests for it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from exit_shim.executor.failures import ROOM_TAKEN
from exit_shim.executor.order_ids import HARD, is_take, take_leg
from exit_shim.executor.position_orders import PositionOrders, cancel, others_take
from exit_shim.executor.steps import Amend, Place, Step, Wait


class Takes:
    """The takes that should rest, against those that do.

    Args:
        orders: The orders of the position.
        partial_stops: The quantities of the trails that close a part of it.
    """

    def __init__(self, orders: PositionOrders, partial_stops: Sequence[Decimal]) -> None:
        self._orders = orders
        self._episode = orders.episode
        self._scene = orders.scene
        self._plan = orders.plan
        self._partial_stops = partial_stops

    def targets(self) -> Mapping[str, tuple[Decimal, Decimal]]:
        """Return the quantity and price of each take that should rest, the nearest first in need of room."""
        rules, episode = self._scene.rules, self._episode
        targets: dict[str, tuple[Decimal, Decimal]] = {}
        room, carried = self._orders.size - self._occupied(), Decimal(0)
        for leg, amount in self._untaken().items():
            index = int(leg[1:]) - 1
            price = rules.take_price(self._orders.levels.takes[index], episode.side)
            left = rules.quantity(max(Decimal(0), min(amount + carried, room)))
            if rules.is_too_small(left, price, is_exempt=not episode.is_hedged):
                # A part that the exchange would refuse goes with the next take.
                carried += amount
                continue
            carried = Decimal(0)
            targets[leg] = min(left, rules.max_quantity), price
            room -= targets[leg][0]
        return targets

    def _untaken(self) -> dict[str, Decimal]:
        """Return how much each take has still to close.

        What a take has closed beyond its share, under an earlier revision or for one before it that was too
        small, counts for the others.
        """
        episode = self._episode
        shares = {take_leg(index): share for index, share in enumerate(self._plan.take_shares)}
        left = {leg: share * episode.initial - episode.taken_by(leg) for leg, share in shares.items()}
        dropped = {name.leg for name in episode.taken if is_take(name.leg)} - set(shares)
        surplus = sum((episode.taken_by(leg) for leg in dropped), Decimal(0))
        surplus -= sum((amount for amount in left.values() if amount < 0), Decimal(0))
        for leg, amount in left.items():
            counted = min(max(amount, Decimal(0)), surplus)
            left[leg] = max(amount, Decimal(0)) - counted
            surplus -= counted
        return left

    def _occupied(self) -> Decimal:
        """Return how much of the position takes must leave to others' resting orders and to the trail.

        A stop on a part of the position is refused as it fires where it finds no room beside what rests.
        """
        return others_take(self._scene.orders) + sum(self._partial_stops, Decimal(0))

    def steps(self) -> Iterator[Step]:
        """Yield what makes the takes as they should be."""
        if self._plan.is_expired(self._scene.now_ms):
            self._orders.keep_takes()
            return
        if self._episode.unverified or any(is_take(leg) or leg == HARD for leg in self._episode.doubts):
            # What one of them has closed counts for all; and a hard stop that is gone may mean that the
            # position is another one.
            self._orders.keep_takes()
            return
        for leg, (quantity, price) in self.targets().items():
            yield from self._take(leg, quantity, price)

    def _take(self, leg: str, quantity: Decimal, price: Decimal) -> Iterator[Step]:
        episode, resting = self._episode, self._orders.of_leg(leg)
        if resting:
            order = resting[0]
            self._orders.kept.add(order.name)
            left = (order.quantity or Decimal(0)) - order.executed
            if (order.price, left) == (price, quantity):
                return
            refusal = episode.refusals.get(leg)
            if refusal is not None and refusal.code in ROOM_TAKEN:
                # Takes that are too large together block each other: one goes, and comes back in its size.
                yield cancel(order, "it cannot be changed in place: the others leave no room")
            elif (waiting := self._orders.waiting(leg)) is not None:
                yield waiting
            elif not self._is_in_band(price) and left > quantity:
                yield cancel(order, f"it is too large, and {price:f} is outside the exchange's price band")
            elif not self._is_in_band(price):
                yield Wait(leg=leg, why=f"{price:f} is outside the exchange's price band")
            else:
                why = f"{left:f} at {order.price} should be {quantity:f} at {price:f}"
                total = order.executed + quantity
                if episode.amended.get(order.name) == (total, price):
                    yield cancel(order, "the exchange cut what it was changed to")
                    return
                yield Amend(leg=leg, why=why, order=order, quantity=total, price=price)
        elif (waiting := self._orders.waiting(leg)) is not None:
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
                post_only=self._plan.takes[int(leg[1:]) - 1].post_only,
            )

    def _is_in_band(self, price: Decimal) -> bool:
        return self._scene.price is None or self._scene.rules.is_in_band(price, self._scene.price)
