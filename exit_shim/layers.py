"""Orders that pass several layers: an adapter over a wrapped client, a proxy over an installed class.

The outermost layer records the order; what it goes through further in is the same order, once.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

from exit_shim.doors import Intent
from exit_shim.orders import ExitOrder


class Carried(NamedTuple):
    """One order that a call is carrying out."""

    intent: Intent
    order: ExitOrder


class Layer:
    """The orders of a call on its way; each is met once further in, while the call lasts.

    A second call for the same order inside, such as an adapter's retry, is an order of its own: it is sent
    a second time.
    """

    __slots__ = ("_left",)

    def __init__(self, carried: Sequence[Carried]) -> None:
        self._left = list(carried)

    def enter(self) -> "Layer | None":
        """Be the layer that calls from here on go through; returns the one outside it, to go back to."""
        outer = within.get()
        within.set(self)
        return outer

    def meets(self, carried: Sequence[Carried]) -> bool:
        """Whether all of these are this layer's own orders, not met before; they are met now."""
        left = list(self._left)
        for inner in carried:
            match = next((outer for outer in left if same(outer, inner)), None)
            if match is None:
                return False
            left.remove(match)
        self._left = left
        return True

    def close(self) -> None:
        """The call is over; what a task that it left behind places is its own."""
        self._left = []


within: ContextVar[Layer | None] = ContextVar("exit_shim_within", default=None)


def same(outer: Carried, inner: Carried) -> bool:
    """Whether an inner call carries the outer's order; an adapter may leave fields unsaid, or round."""
    return outer.intent == inner.intent and all(
        said is None or other is None or said == other
        for said, other in (
            (getattr(outer.order, name), getattr(inner.order, name)) for name in ("symbol", "side", "type")
        )
    )
