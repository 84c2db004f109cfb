"""The exits of one position that rest, beside its plan. Pure."""

from decimal import Decimal

from exit_shim.executor.episode import Episode
from exit_shim.executor.order_ids import is_take, read_id
from exit_shim.executor.plan import ExitPlan, Levels
from exit_shim.executor.protection import is_covered
from exit_shim.executor.steps import Cancel, Scene, Wait
from exit_shim.guard.exchange_snapshot import OpenOrder


def cancel(order: OpenOrder, why: str) -> Cancel:
    """Return the step that cancels an order."""
    own = read_id(order.client_order_id)
    return Cancel(leg=own.leg if own else None, why=why, order=order)


def is_own(order: OpenOrder) -> bool:
    """Return whether an order is one of the executor's, of any episode."""
    return read_id(order.client_order_id) is not None


def others_take(orders: tuple[OpenOrder, ...]) -> Decimal:
    """Return how much of the position resting orders of others are to close."""
    others = (order for order in orders if order.store == "orders" and not is_own(order))
    return sum((order.quantity - order.executed for order in others if order.quantity), Decimal(0))


class PositionOrders:
    """The orders of one position beside its plan.

    Attributes:
        own: The executor's orders, with what their ids say.
        stops: The stops of anybody that watch the price now.
        kept: The names of the orders that stay.

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
        # The exchange keeps a closePosition stop as long as the position, so one of another episode's name
        # is this position's, too.
        self.own = [
            (own, order)
            for order in scene.orders
            if (own := read_id(order.client_order_id)) is not None
            and (own.episode == episode.key or order.close_position)
        ]
        self.stops = tuple(order for order in scene.orders if order.is_protective)
        self.kept: set[str] = set()

    @property
    def has_stop(self) -> bool:
        """Whether stops that rest now cover the position."""
        return is_covered(self.stops, self.size)

    def of_leg(self, leg: str) -> list[OpenOrder]:
        """Return the resting orders of a leg."""
        return [order for name, order in self.own if name.leg == leg]

    def keep_takes(self) -> None:
        """Have the takes that rest stay as they are."""
        self.kept |= {order.name for name, order in self.own if is_take(name.leg)}

    def waiting(self, leg: str) -> Wait | None:
        """Return the wait of a leg that was refused a moment ago; None where it may be tried."""
        refusal = self.episode.refusals.get(leg)
        if refusal is None or refusal.until_ms <= self.scene.now_ms:
            return None
        return Wait(leg=leg, why=f"refused: {refusal.code} {refusal.message}")
