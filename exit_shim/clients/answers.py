"""What the exchange's answer proves of an order. Pure: an answer or an exception in, a verdict on it out.

Facts: Binance's general info and error pages for USDⓈ-M futures (HTTP 503 and its variants, -1006,
-1007), and what python-binance 1.0.37 lets through of its transports, measured.
"""

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Final

from exit_shim.clients.python_binance import is_own_module
from exit_shim.clients.refusals import TRANSPORTS, Shown, came_from, is_silence, read_error
from exit_shim.domain.answers import Answer
from exit_shim.domain.events import Result
from exit_shim.domain.orders import Operation
from exit_shim.runtime.scrubbing import describe, scrub

UNKNOWN: Final[Result] = "unknown"

UNKNOWN_CODES: Final = frozenset({-1000, -1006, -1007})
"""Sent, and whether executed is not known: unknown error, unexpected response, backend timeout."""

UNKNOWN_TEXTS: Final = ("unknown error", "status unknown")
"""The same in words, for answers whose code is missing or another: "Unknown error, please check…"."""

SURE_FAILURE_CODES: Final = frozenset({-1001, -1008})
"""HTTP 503 that is nevertheless a sure failure: internal error, throttled by system protection."""

DUPLICATE_CODES: Final = frozenset({-4116})
"""Refused because an order of this client order id is there: an earlier attempt of an adapter's may be it."""

BARE_REFUSALS: Final = range(-9999, -1099)
"""Codes that say without an HTTP status that the exchange read the order and refused it."""

SURE_FAILURE_TEXTS: Final = ("service unavailable", "request throttled")

HTTP_CLIENT_ERROR, HTTP_TIMEOUT, HTTP_SERVER_ERROR, HTTP_UNAVAILABLE = 400, 408, 500, 503

NOT_CONNECTED: Final = (
    ("requests.exceptions", "ConnectTimeout"),
    ("requests.exceptions", "InvalidHeader"),
    ("requests.exceptions", "InvalidSchema"),
    ("requests.exceptions", "InvalidURL"),
    ("requests.exceptions", "MissingSchema"),
    ("aiohttp.client_exceptions", "ClientConnectorError"),
    ("aiohttp.client_exceptions", "InvalidURL"),
    ("urllib3.exceptions", "NewConnectionError"),
    ("builtins", "ConnectionRefusedError"),
)
"""Errors that prove that no connection was made, so nothing left."""

REQUESTS: Final = frozenset({"_request", "request"})
"""python-binance's methods that send and read the answer: over HTTP, and over WebSocket."""

BEFORE_REQUEST: Final = frozenset({"_get_request_kwargs", "_ensure_ws_connection"})
"""Those that they call before they send."""


NUMBERS: Final = ("orderId", "algoId", "strategyId")
"""What an accepted order's answer has one of."""

NO_ORDER: Final = Answer(
    "unknown", error_message="the answer is none that the exchange gives: no order is in it"
)
NO_LIST: Final = Answer("unknown", error_message="the answer to the batch is no list")
TOO_SHORT: Final = Answer("unknown", error_message="the answer is shorter than the batch")


def read_answers(places: Sequence[int | None], result: Any, asked: Operation | None = None) -> list[Answer]:
    """Read what a call returned for each of its orders: a batch answers with a list, in the batch's order.

    Args:
        places: Each order's place in the batch; None for one that went alone.
        result: What the call returned.
        asked: See `read_answer`.
    """
    if isinstance(result, list):
        return [
            read_answer(result[place or 0], asked) if (place or 0) < len(result) else TOO_SHORT
            for place in places
        ]
    answer = read_answer(result, asked)
    if answer.result != "accepted" or all(place is None for place in places):
        return [answer] * len(places)
    return [NO_LIST if asked else Answer("accepted")] * len(places)  # whichever of them its ids may be of


def read_answer(result: Any, asked: Operation | None = None) -> Answer:
    """Read what a call returned for one order.

    Args:
        result: What the call returned, or one element of it.
        asked: What a genuine client was asked to do: HTTP 2xx with something else than the exchange's answer
            to that (an empty body reads as `{}`) proves nothing. None for an adapter or a stand-in, which
            may return anything: accepted, since nothing was raised.
    """
    if asked == "test":
        asked = None  # answered {}, or like an order
    if not isinstance(result, dict):
        return NO_ORDER if asked else Answer("accepted")
    code = result.get("code")
    if isinstance(code, int) and code < 0:  # an element of a batch's answer
        said = result.get("msg")
        return Answer(
            _outcome_of(code, HTTP_CLIENT_ERROR, said),
            error_code=_integer(code),
            error_message=None if said is None else scrub(said),
        )
    get = result.get
    if asked and not (result if asked != "place" else any(get(name) is not None for name in NUMBERS)):
        return NO_ORDER
    order_id, algo_id = _integer(get("orderId")), _integer(get("algoId") or get("strategyId"))
    name = get("clientOrderId") or get("clientAlgoId") or get("newClientStrategyId")
    return Answer("accepted", order_id, algo_id, _string(name))


def read_failure(error: BaseException, secrets: Iterable[str] = (), *, one_by_one: bool = False) -> Answer:
    """Read what an exception proves; where it proves nothing the outcome is `unknown`, never `rejected`.

    Args:
        error: What the call raised.
        secrets: Credentials that its text may hold.
        one_by_one: Whether the call may have sent several orders, one after the other. Then an error does not
            show which of them it is about.
    """
    if one_by_one and not _was_never_entered(error):
        return Answer("unknown", error_message=describe(error, secrets))
    if _is_api_error(error):
        code, status, message = _parts(error)
        return Answer(
            _outcome_of(code, status, message),
            error_code=_integer(code),
            error_message=None if message is None else scrub(message, secrets),
        )
    said = describe(error, secrets)
    if _never_connected(error) or _never_sent(error):
        return Answer("not_sent", error_message=said)
    outcome, found = _read_foreign(error) if isinstance(error, Exception) else ("unknown", None)
    return Answer(outcome, error_code=found, error_message=said)


def _is_api_error(error: BaseException) -> bool:
    return _is(error, "binance.exceptions", "BinanceAPIException")


def _parts(error: BaseException) -> tuple[object, object, object]:
    return tuple(getattr(error, name, None) for name in ("code", "status_code", "message"))  # type: ignore[return-value]


def _read_foreign(error: BaseException) -> tuple[Result, int | None]:
    """Return what the exception of an adapter or another library proves, and the exchange's code.

    It must show a refusal, and neither itself nor what it came from may show a doubt: an adapter that tries
    again may have sent the order before.
    """
    outcome, known = UNKNOWN, None
    for cause in came_from(error):
        if _is_api_error(cause):
            code, status, message = _parts(cause)
            proved = _outcome_of(code, status, message)
        elif (shown := read_error(cause)) is not None:
            code, proved = shown.code, _outcome_shown(shown)
        elif is_silence(cause):
            return "unknown", known
        else:
            continue
        known = _integer(code) if known is None else known
        if proved == "unknown" or code in DUPLICATE_CODES:
            return "unknown", known
        outcome = proved
    return outcome, known


def _outcome_shown(shown: Shown) -> Result:
    if shown.is_librarys or (shown.status or 0) >= HTTP_CLIENT_ERROR:
        return _outcome_of(shown.code, shown.status, shown.text)
    sure = shown.code in BARE_REFUSALS and not any(words in shown.text.lower() for words in UNKNOWN_TEXTS)
    return "rejected" if sure else "unknown"


def _outcome_of(code: object, status: object, message: object) -> Result:
    code = _integer(code)
    said = str(message or "").lower()
    if code in UNKNOWN_CODES or status == HTTP_TIMEOUT or any(words in said for words in UNKNOWN_TEXTS):
        return "unknown"
    if isinstance(status, int) and HTTP_CLIENT_ERROR <= status < HTTP_SERVER_ERROR:
        return "rejected"
    if code in SURE_FAILURE_CODES or (status == HTTP_UNAVAILABLE and said.startswith(SURE_FAILURE_TEXTS)):
        return "rejected"
    return "unknown"


def _never_connected(error: BaseException) -> bool:
    """Walk the causes: requests wraps urllib3's NewConnectionError in MaxRetryError, aiohttp an OSError.

    A session that retries proves nothing by its last attempt: an earlier one may have been sent.
    """
    refused = attempts = 0
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        refused += any(_is(cause, module, name) for module, name in NOT_CONNECTED)
        attempts = max(attempts, sum(map(_is_attempt, _steps(cause))))
        pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
    return bool(refused) and attempts <= 1


def _is_attempt(step: tuple[str, str]) -> bool:
    module, function = step
    return function == "urlopen" and module.partition(".")[0] == "urllib3"


def _never_sent(error: BaseException) -> bool:
    """True where a genuine client raised before it reached its transport, as for parameters it cannot read.

    The traceback tells: it lies in python-binance and has not come to the method that sends, or is still in
    what that one calls before it sends. A method that was not even entered (a TypeError of the call)
    counts too.
    """
    if not isinstance(error, Exception):
        return False
    if _was_never_entered(error):
        return True
    steps = _clients_steps(error)
    names = {name for _, name in steps}
    return (
        bool(steps)
        and is_own_module(steps[0][0])
        and not any(module.partition(".")[0] in TRANSPORTS for module, _ in steps)
        and (REQUESTS.isdisjoint(names) or not BEFORE_REQUEST.isdisjoint(names))
    )


def _was_never_entered(error: BaseException) -> bool:
    """Return whether the call itself failed, for arguments that the method does not take."""
    return isinstance(error, TypeError) and not _clients_steps(error)


def _clients_steps(error: BaseException) -> list[tuple[str, str]]:
    return [step for step in _steps(error) if step[0].partition(".")[0] != "exit_shim"]


def _steps(error: BaseException) -> list[tuple[str, str]]:
    """Return the module and the function of each frame that the error came through, outermost first."""
    found = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__")
        found.append((str(module), trace.tb_frame.f_code.co_name))
        trace = trace.tb_next
    return found


def _is(error: BaseException, module: str, name: str) -> bool:
    """Isinstance with a class of a library that may not be loaded: what is not loaded raised nothing."""
    known = getattr(sys.modules.get(module), name, None)
    return isinstance(known, type) and isinstance(error, known)


def _integer(value: object) -> int | None:
    return value if type(value) is int else None


def _string(value: object) -> str | None:
    return value[:64] if isinstance(value, str) else None
