"""One exchange as every face serves it: gate, fault plan and request log behind one lock."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.faults.kinds import Fault
from exit_shim.exchange.faults.plan import FaultPlan
from exit_shim.exchange.request_record import RequestRecord

from .fault_answers import apply_fault
from .gate import Credentials, Gate, HttpAnswer
from .request import RawRequest

#: Requests that are remembered by default.
REMEMBERED_REQUESTS = 100_000


@dataclass(frozen=True)
class ReceivedRequest:
    """A request that has arrived: when, by the exchange's clock, and with which fault."""

    request: RawRequest
    received: int
    fault: Fault


class ExchangeService:
    """Serve requests one at a time and remember the outcome of each.

    Args:
        engine: the exchange.
        credentials: API keys; may grow while in use.
        faults: what goes wrong.
        coin: the exchange of COIN-M.
        rate_limits: whether limits are enforced; they are counted and reported anyway.
        remembered: how many requests the log keeps, the newest.
    """

    def __init__(
        self,
        engine: Exchange,
        credentials: Credentials,
        faults: FaultPlan,
        *,
        coin: Exchange | None = None,
        rate_limits: bool = True,
        remembered: int = REMEMBERED_REQUESTS,
    ) -> None:
        self.engine = engine
        self.faults = faults
        self.gate = Gate(engine, credentials, coin=coin, rate_limits=rate_limits)
        self.lock = threading.RLock()
        self.records: deque[RequestRecord] = deque(maxlen=remembered)

    def receive(self, request: RawRequest) -> ReceivedRequest:
        """Receive a request and draw its fault."""
        with self.lock:
            now = self.engine.now()
            return ReceivedRequest(
                request, now, self.faults.meet(request.method, request.path, request.params, now)
            )

    def act(self, arrival: ReceivedRequest) -> HttpAnswer | None:
        """Execute a request as far as its fault lets it; return None when no answer leaves.

        The waits of the fault are the caller's to keep.
        """
        fault = arrival.fault
        with self.lock:
            # The gate counts what it is asked; what a fault keeps from it was never asked.
            own_answer = (
                self.gate.answer(arrival.request, arrival.received, fault.skew) if fault.executed else None
            )
            if fault.cancel_after is not None and own_answer is not None:
                self._cancel_later(own_answer, round(fault.cancel_after * 1000))
            answer = apply_fault(fault, arrival, own_answer, self.engine.now())
            self.records.append(_record(arrival, own_answer, answer))
            return answer

    def _cancel_later(self, answer: HttpAnswer, milliseconds: int) -> None:
        """Let the orders that an answer tells of vanish in some milliseconds."""
        placed = msgspec.json.decode(answer.body)
        for row in placed if isinstance(placed, list) else [placed]:
            order_id = row.get("algoId") or row.get("orderId")
            if order_id is not None:
                self.engine.cancel_later(order_id, milliseconds)

    def answer(self, request: RawRequest) -> HttpAnswer:
        """Answer a request without a socket, waiting as its fault demands.

        Raises:
            ConnectionResetError: when a fault lets no answer leave.
        """
        arrival = self.receive(request)
        _wait(arrival.fault.delay)
        answer = self.act(arrival)
        _wait(arrival.fault.answer_delay)
        if answer is None:
            raise ConnectionResetError(f"{arrival.fault.name}: the local exchange reset the connection")
        return answer


def _wait(seconds: float) -> None:
    if seconds:
        time.sleep(seconds)


def _record(
    arrival: ReceivedRequest, own_answer: HttpAnswer | None, answer: HttpAnswer | None
) -> RequestRecord:
    request = arrival.request
    return RequestRecord(
        method=request.method,
        path=request.path,
        params=MappingProxyType(request.params),
        received_ms=arrival.received,
        http_status=answer.status if answer else 0,
        error_code=answer.code if answer else None,
        executed=own_answer is not None and own_answer.status == 200,  # noqa: PLR2004 - OK
        fault=arrival.fault.name or None,
    )
