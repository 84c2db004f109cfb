"""What the exchange's answer proves of an order. Pure: an answer or an exception in, a verdict on it out.

Facts: Binance's general info and error pages for USDⓈ-M futures (HTTP 503 and its variants, -1006,
-1007), and what python-binance 1.0.37 lets through of its transports, measured.
"""

import re
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, NamedTuple

from exit_shim.records import Outcome

MAX_MESSAGE: Final = 300
"""Characters kept of an error's text."""


class Answer(NamedTuple):
    """What is known of one order after the call."""

    outcome: Outcome
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    error_code: int | None = None
    error_message: str | None = None


UNKNOWN_CODES: Final = frozenset({-1000, -1006, -1007})
"""Sent, and whether executed is not known: unknown error, unexpected response, backend timeout."""

SURE_FAILURE_CODES: Final = frozenset({-1001, -1008})
"""HTTP 503 that is nevertheless a sure failure: internal error, throttled by system protection."""

SURE_FAILURE_TEXTS: Final = ("service unavailable", "request throttled")

HTTP_CLIENT_ERROR, HTTP_TIMEOUT, HTTP_SERVER_ERROR = 400, 408, 500

NOT_CONNECTED: Final = (
    ("requests.exceptions", "ConnectTimeout"),
    ("aiohttp.client_exceptions", "ClientConnectorError"),
    ("urllib3.exceptions", "NewConnectionError"),
    ("builtins", "ConnectionRefusedError"),
)
"""Errors that prove that no connection was made, so nothing left."""

TRANSPORTS: Final = ("requests", "urllib3", "aiohttp", "websockets", "http", "ssl", "socket", "httpx")


def read_answer(result: Any) -> Answer:
    """Read what a placing call returned. A shape we do not know is accepted: nothing was raised."""
    if not isinstance(result, dict):
        return Answer("accepted")
    code = result.get("code")
    if isinstance(code, int) and code < 0:  # an element of a batch's answer
        return Answer(
            _outcome_of(code, HTTP_CLIENT_ERROR, result.get("msg")),
            None,
            None,
            None,
            code,
            scrub(result.get("msg")),
        )
    return Answer(
        "accepted",
        order_id=_integer(result.get("orderId")),
        algo_id=_integer(result.get("algoId")),
        client_order_id=_string(result.get("clientOrderId") or result.get("clientAlgoId")),
    )


def read_failure(error: BaseException, secrets: Iterable[str] = ()) -> Answer:
    """Read what an exception proves; where it proves nothing the outcome is `unknown`, never `rejected`."""
    if _is(error, "binance.exceptions", "BinanceAPIException"):
        code, status = getattr(error, "code", None), getattr(error, "status_code", None)
        message = getattr(error, "message", None)
        return Answer(
            _outcome_of(code, status, message),
            error_code=_integer(code),
            error_message=scrub(message, secrets),
        )
    said = scrub(f"{type(error).__name__}: {error}", secrets)
    if _never_connected(error) or _never_sent(error):
        return Answer("not_sent", error_message=said)
    return Answer("unknown", error_message=said)


def _outcome_of(code: object, status: object, message: object) -> Outcome:
    if code in UNKNOWN_CODES or status == HTTP_TIMEOUT:
        return "unknown"
    if isinstance(status, int) and HTTP_CLIENT_ERROR <= status < HTTP_SERVER_ERROR:
        return "rejected"
    said = str(message or "").lower()
    if code in SURE_FAILURE_CODES or said.startswith(SURE_FAILURE_TEXTS):
        return "rejected"
    return "unknown"


def _never_connected(error: BaseException) -> bool:
    """Walk the causes: requests wraps urllib3's NewConnectionError in MaxRetryError, aiohttp an OSError."""
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        if any(_is(cause, module, name) for module, name in NOT_CONNECTED):
            return True
        pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
    return False


def _never_sent(error: BaseException) -> bool:
    """True where a genuine client raised before it reached its transport, as for parameters it cannot read.

    The traceback tells: it ends inside `binance.*` without having entered an HTTP or socket library, or
    the reading of an answer. A method that was not even entered (a TypeError of the call) counts too.
    """
    if not isinstance(error, Exception):
        return False
    modules = [
        (frame.f_globals.get("__name__") or "", frame.f_code.co_name)
        for frame in _frames(error.__traceback__)
    ]
    beyond = [(module, name) for module, name in modules if not module.startswith("exit_shim.")]
    if not beyond:
        return isinstance(error, TypeError)
    return beyond[0][0].startswith("binance.") and not any(
        module.partition(".")[0] in TRANSPORTS or name == "_handle_response" for module, name in beyond
    )


def _frames(trace: TracebackType | None) -> Iterable[Any]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _is(error: BaseException, module: str, name: str) -> bool:
    """Isinstance with a class of a library that may not be loaded: what is not loaded raised nothing."""
    known = getattr(sys.modules.get(module), name, None)
    return isinstance(known, type) and isinstance(error, known)


def _integer(value: object) -> int | None:
    return value if type(value) is int else None


def _string(value: object) -> str | None:
    return value[:64] if isinstance(value, str) else None


_SIGNED: Final = re.compile(
    r"(?i)(signature|x-mbx-apikey|apikey|api[_-]?secret|listenkey)([\"']?\s*[=:]\s*[\"']?)[^&\s\"',;)]+"
)


def scrub(message: object, secrets: Iterable[str] = ()) -> str | None:
    """An error's text, cut short, without signatures, keys or any of `secrets`."""
    if message is None:
        return None
    clean = _SIGNED.sub(r"\1\2***", str(message))
    for secret in secrets:
        clean = clean.replace(secret, "***")
    return clean[:MAX_MESSAGE]
