"""Orders that pass several layers: an adapter over a wrapped client, a proxy over an installed class.

The outermost layer records the order; what it goes through further in is the same order, once.
"""

from contextvars import ContextVar
from types import MethodType

from exit_shim.domain.orders import ExitOrder, Operation


class NestedCall:
    """The orders of a call on its way; each is met once further in, while the call lasts.

    A second call for the same order inside, such as an adapter's retry, is an order of its own: it is sent
    a second time. So is what a signal handler places amid the call, by the very same method of the very same
    client: no layer goes through itself.
    """

    __slots__ = ("left", "method", "operation")

    def __init__(self, operation: Operation, orders: list[ExitOrder], method: object) -> None:
        self.operation = operation
        self.left = orders
        self.method = method

    def meets(self, inner_layer: "NestedCall") -> bool:
        """Whether all of that layer's orders are this one's own, not met before; they are met now."""
        if are_same(self.method, inner_layer.method):
            return False
        left = list(self.left)
        for inner in inner_layer.left:
            match = next((outer for outer in left if same(outer, inner)), None)
            if match is None or self.operation != inner_layer.operation:
                return False
            left.remove(match)
        self.left = left
        return True

    def close(self) -> None:
        """The call is over; what a task that it left behind places is its own."""
        self.left, self.method = [], None  # a context that is kept must not keep a client


within: ContextVar[NestedCall | None] = ContextVar("exit_shim_within", default=None)


def are_same(one: object, other: object) -> bool:
    """Whether these are one method of one object, asking neither: a client's own `==` may act."""
    if type(one) is MethodType and type(other) is MethodType:
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    return one is not None and one is other


def same(outer: ExitOrder, inner: ExitOrder) -> bool:
    """Whether an inner call carries the outer's order; an adapter may leave fields unsaid, or round."""
    pairs = ((outer.symbol, inner.symbol), (outer.side, inner.side), (outer.type, inner.type))
    return all(said is None or other is None or said == other for said, other in pairs)
