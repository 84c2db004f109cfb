"""The record that a local exchange keeps of each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Endpoints that place, change or cancel orders, without their version.
ORDER_PATHS = frozenset(
    {"order", "batchOrders", "allOpenOrders", "algoOrder", "algoOpenOrders", "countdownCancelAll"}
)
CHANGING_METHODS = frozenset({"POST", "PUT", "DELETE"})


@dataclass(frozen=True)
class RequestRecord:
    """One request that arrived, answered or refused.

    Attributes:
        method: the HTTP method.
        path: the path, such as /fapi/v1/order.
        params: parameters of query and body as decoded text, timestamp and signature included.
        received_ms: when it arrived, by the exchange's clock.
        http_status: the status of the answer that left, 0 when a fault let none leave.
        error_code: the code of the error that left, None for success and for errors without a code.
        executed: whether the exchange did what was asked, whatever was answered.
        fault: the name of the injected fault that hit it, if any.
    """

    method: str
    path: str
    params: Mapping[str, str]
    received_ms: int
    http_status: int
    error_code: int | None
    executed: bool = True
    fault: str | None = None

    @property
    def changes_orders(self) -> bool:
        """Return whether the request places, modifies or cancels orders; `order/test` does not."""
        return self.method in CHANGING_METHODS and self.path.rpartition("/")[2] in ORDER_PATHS
