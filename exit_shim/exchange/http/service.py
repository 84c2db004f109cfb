"""One exchange as every face serves it: gate, fault plan and request log behind one lock."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
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


def _make_engine(saved: bytes | None) -> Exchange:
    return Exchange() if saved is None else Exchange.parse(saved)


class ReceivedRequest(msgspec.Struct, frozen=True):
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
        make_engine: makes the exchange anew, as at the start or from what `dump` saved.
        rate_limits: whether limits are enforced; they are counted and reported anyway.
        remembered: how many requests the log keeps, the newest.
        any_key: whether API keys that nobody registered are accepted, too.

    Attributes:
        other_hosts: answers a request to a host that is no exchange and comes here all the same; None from it
            leaves the request to the exchange. None by default.
    """

    def __init__(  # noqa: PLR0913 - all but the first by name
        self,
        engine: Exchange,
        credentials: Credentials,
        faults: FaultPlan,
        *,
        coin: Exchange | None = None,
        make_engine: Callable[[bytes | None], Exchange] = _make_engine,
        rate_limits: bool = True,
        remembered: int = REMEMBERED_REQUESTS,
        any_key: bool = False,
    ) -> None:
        self.engine = engine
        self._make_engine = make_engine
        self.faults = faults
        self.gate = Gate(engine, credentials, coin=coin, rate_limits=rate_limits, any_key=any_key)
        self.other_hosts: Callable[[RawRequest], Awaitable[HttpAnswer | None]] | None = None
        self.lock = threading.RLock()
        self.records: deque[RequestRecord] = deque(maxlen=remembered)

    def restore(self, saved: bytes | None) -> None:
        """Restore what `dump` saved, or the state at the start; keys, faults, streams and records stay.

        Raises:
            ValueError: when it is not a saved exchange; nothing has changed then.
        """
        with self.lock:
            state = self._make_engine(saved).state
            # Clients that watch a book take no update whose id is below the last one.
            state.ids.update = max(state.ids.update, self.engine.state.ids.update) + 1
            state.feed, state.note_symbol = self.engine.feed, self.engine.state.note_symbol
            self.engine.state = state

    def receive(self, request: RawRequest) -> ReceivedRequest:
        """Receive a request and draw its fault."""
        with self.lock:
            now = self.engine.read_clock()
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
            answer = apply_fault(arrival, own_answer, self.engine) if fault.decides else own_answer
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
        error_text=_error_text(answer) if answer is not None and answer.code is not None else "",
        user_agent=request.headers.get("user-agent", ""),
        refused_parts=_refused_parts(answer) if request.path.endswith("/batchOrders") else (),
    )


def _refused_parts(answer: HttpAnswer | None) -> tuple[tuple[int, str], ...]:
    """Return the refusals among the answers to a batch."""
    try:
        parts = msgspec.json.decode(answer.body if answer is not None else b"[]")
    except msgspec.DecodeError:  # a fault has cut the body off
        return ()
    refused = (part for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    return tuple((part["code"], str(part.get("msg", ""))) for part in refused if part.get("code", 0) < 0)


def _error_text(answer: HttpAnswer) -> str:
    # A fault may have cut the body off.
    try:
        return msgspec.json.decode(answer.body, type=_Error).msg
    except msgspec.MsgspecError:
        return ""


class _Error(msgspec.Struct):
    msg: str = ""
