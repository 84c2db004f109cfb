"""Orders that pass several layers: an adapter over a wrapped client, a proxy over an installed class.

The outermost layer records the order; what it goes through further in is the same order, once.
"""

import sys
from collections import deque
from contextvars import Context, ContextVar, copy_context
from typing import Final

from exit_shim.doors import Intent
from exit_shim.orders import ExitOrder


class Layer:
    """The orders of a call on its way; each is met once further in, while the call lasts.

    A second call for the same order inside, such as an adapter's retry, is an order of its own: it is sent
    a second time.
    """

    __slots__ = ("intent", "left")

    def __init__(self, intent: Intent, orders: list[ExitOrder]) -> None:
        self.intent = intent
        self.left = orders

    def meets(self, inner_layer: "Layer") -> bool:
        """Whether all of that layer's orders are this one's own, not met before; they are met now."""
        left = list(self.left)
        for inner in inner_layer.left:
            match = next((outer for outer in left if same(outer, inner)), None)
            if match is None or self.intent != inner_layer.intent:
                return False
            left.remove(match)
        self.left = left
        return True

    def close(self) -> None:
        """The call is over; what a task that it left behind places is its own."""
        self.left = []


within: ContextVar[Layer | None] = ContextVar("exit_shim_within", default=None)

KEPT: Final = 256
"""How many orders a signal handler may place before what it has interrupted is through."""

_kept: Final[deque[Context]] = deque(maxlen=KEPT)
_COLLECTS_AMID_ALL: Final = sys.version_info < (3, 12)


def enter(layer: Layer | None) -> None:
    """From here on be within this layer, or none.

    Before Python 3.12 garbage may be collected, and with it a signal handler run, amid the copying or the
    setting of a context, which then goes on with variables that the handler's own setting has freed: the
    process crashes. What they were is kept until many orders later.
    """
    if _COLLECTS_AMID_ALL:
        _kept.append(copy_context())
    within.set(layer)


def same(outer: ExitOrder, inner: ExitOrder) -> bool:
    """Whether an inner call carries the outer's order; an adapter may leave fields unsaid, or round."""
    pairs = ((outer.symbol, inner.symbol), (outer.side, inner.side), (outer.type, inner.type))
    return all(said is None or other is None or said == other for said, other in pairs)
