"""Record an order once that passes several layers, such as an adapter over a wrapped client.

The outermost layer records it.
"""

from contextvars import ContextVar
from types import MethodType

from exit_shim.domain.orders import ExitOrder, Operation


class NestedCall:
    """Hold the orders of a call that is under way; each is recognized once in the layers further in.

    A second call for the same order, such as an adapter's retry, is another order: it is sent again. So is
    one that a signal handler places during the call by the same method of the same client, since no layer
    calls itself.
    """

    __slots__ = ("left", "method", "operation", "sent")

    def __init__(self, operation: Operation, orders: list[ExitOrder], method: object) -> None:
        self.operation = operation
        self.left = orders
        self.method = method
        self.sent: list[str] = []
        """What the bridge sent in the place of the call: verbs and paths."""

    def meets(self, inner_layer: "NestedCall") -> bool:
        """Return whether a layer further in carries only orders of this call; each is recognized once."""
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
        """End the call; what a task that it left behind places is another order."""
        # A context that is kept must not keep a client.
        self.left, self.method = [], None


within: ContextVar[NestedCall | None] = ContextVar("exit_shim_within", default=None)


def are_same(one: object, other: object) -> bool:
    """Return whether two methods are one method of one object."""
    # Without their `==`: a client's own may act.
    if type(one) is MethodType and type(other) is MethodType:
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    return one is not None and one is other


def same(outer: ExitOrder, inner: ExitOrder) -> bool:
    """Return whether an inner call carries the outer's order; an adapter may omit fields, or round."""
    pairs = ((outer.symbol, inner.symbol), (outer.side, inner.side), (outer.type, inner.type))
    return all(left is None or right is None or left == right for left, right in pairs)
