"""The record that a local exchange keeps of each request."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

#: Endpoints that place, change or cancel orders, without their version.
ORDER_PATHS = frozenset(
    {"order", "batchOrders", "allOpenOrders", "algoOrder", "algoOpenOrders", "countdownCancelAll"}
)
CHANGING_METHODS = frozenset({"POST", "PUT", "DELETE"})


class RequestRecord(msgspec.Struct, frozen=True):
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
        error_text: the text of the error that was answered, such as "Margin is insufficient.".
        user_agent: the name that the client gave itself over HTTP, such as python-requests/2.34.2.
        refused_parts: code and text of each order that a batch was answered with instead of an order.
    """

    method: str
    path: str
    params: Mapping[str, str]
    received_ms: int
    http_status: int
    error_code: int | None
    executed: bool = True
    fault: str | None = None
    error_text: str = ""
    user_agent: str = ""
    refused_parts: tuple[tuple[int, str], ...] = ()

    @property
    def changes_orders(self) -> bool:
        """Return whether the request places, modifies or cancels orders; `order/test` does not."""
        return self.method in CHANGING_METHODS and self.path.rpartition("/")[2] in ORDER_PATHS
