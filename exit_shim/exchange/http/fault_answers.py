"""The answers that faults send in place of the exchange's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .gate import HttpAnswer

if TYPE_CHECKING:
    from exit_shim.exchange.engine.engine import Exchange
    from exit_shim.exchange.faults.kinds import Fault

    from .service import ReceivedRequest


def apply_fault(
    arrival: ReceivedRequest, own_answer: HttpAnswer | None, engine: Exchange
) -> HttpAnswer | None:
    """Return the answer that leaves under a fault, None when the connection is reset instead."""
    fault = arrival.fault
    if fault.reset:
        return None
    if fault.status is None:
        return own_answer
    now = engine.now()
    until = now + int(fault.ban * 1000)
    return HttpAnswer(
        fault.status,
        _body(fault, fault.msg.format(until=until, status=fault.status), arrival.request.path, now),
        dict(own_answer.headers) if own_answer else {},
        fault.code,
        "text/html" if fault.html else "application/json",
    )


def _body(fault: Fault, msg: str, path: str, now: int) -> bytes:
    if fault.html:
        return msg.encode()
    if fault.code is not None:
        return msgspec.json.encode({"code": fault.code, "msg": msg})
    # The body of a production 503 without a code.
    return msgspec.json.encode({"timestamp": now, "path": path, "msg": msg})
