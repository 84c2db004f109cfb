"""What an answer or an exception proves of an order: accepted, rejected, not sent, or unknown. Pure.

Facts: Binance's general info and error pages for USDⓈ-M futures (HTTP 503 and its variants, -1006,
-1007), and which exceptions of its transports python-binance 1.0.37 lets through, measured.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final

from exit_shim.clients.foreign_errors import (
    TRANSPORTS,
    ForeignAnswer,
    is_silence,
    read_error,
    with_causes,
)
from exit_shim.clients.registry import SUPPORTED
from exit_shim.clients.sessions import has_earlier_attempts, loaded
from exit_shim.clients.support import ApiError, ClientSupport, CodeStep
from exit_shim.domain.answers import Answer
from exit_shim.domain.events import Result
from exit_shim.domain.orders import Operation
from exit_shim.runtime.scrubbing import describe, scrub

UNKNOWN: Final[Result] = "unknown"

UNKNOWN_CODES: Final = frozenset({-1000, -1006, -1007})
"""Codes of orders that may have been executed: unknown error, unexpected response, backend timeout."""

UNKNOWN_TEXTS: Final = ("unknown error", "status unknown")
"""Words of such answers, where the code is missing or another: "Unknown error, please check…"."""

SURE_FAILURE_CODES: Final = frozenset({-1001, -1008})
"""Codes of HTTP 503 with which the order certainly failed: internal error, throttled."""

DUPLICATE_CODES: Final = frozenset({-4116})
"""Codes for a client order id that is taken, maybe by an earlier attempt of an adapter."""

ALREADY_DONE: Final = DUPLICATE_CODES | {-2011}
"""Codes of what an earlier attempt may have done: the id is taken, the order is gone."""

HARMLESS: Final = sys.stdlib_module_names | {
    *("httpcore", "anyio", "sniffio", "trio", "uvloop", "aiohappyeyeballs", "async_timeout", "wrapt"),
    *("h11", "h2", "yarl", "multidict", "certifi", "idna", "socks", "python_socks", "aiohttp_socks"),
}
"""The packages that transports are made of, and that send nothing again."""

BARE_REFUSALS: Final = range(-9999, -1099)
"""Codes that prove even without an HTTP status that the exchange read the order and refused it."""

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
    ("aiohttp.client_exceptions", "ClientHttpProxyError"),
    ("httpx", "ConnectError"),
    ("httpx", "ConnectTimeout"),
    ("httpx", "PoolTimeout"),
    ("httpx", "UnsupportedProtocol"),
    ("urllib3.exceptions", "NewConnectionError"),
    ("builtins", "ConnectionRefusedError"),
)
"""Errors that prove that no connection was made, so nothing left."""

HISTORIES: Final = (("requests", "hist"), ("httpx", "history"), ("aiohttp", "history"))
"""The variables in which the transports keep the answers that redirected a request."""

NO_ORDER: Final = Answer(
    "unknown", error_message="the answer is none that the exchange gives: no order is in it"
)
NO_LIST: Final = Answer("unknown", error_message="the answer to the batch is no list")
TOO_SHORT: Final = Answer("unknown", error_message="the answer is shorter than the batch")


def read_answers(
    places: Sequence[int | None],
    result: Any,
    operation: Operation | None = None,
    secrets: Callable[[], Iterable[str]] = tuple,
) -> list[Answer]:
    """Read what a call returned for each of its orders: a batch answers with a list, in the batch's order.

    Args:
        places: Each order's place in the batch; None for one that went alone.
        result: What the call returned.
        operation: See `read_answer`.
        secrets: Returns credentials that the text of a refusal may hold.

    A returned refusal, as raw requests have them, is read by the library first: an `ApiError`.
    """
    if isinstance(result, ApiError):
        return [_refusal(result, secrets())] * len(places)
    if isinstance(result, list):
        return [
            read_answer(result[place or 0], operation, secrets) if (place or 0) < len(result) else TOO_SHORT
            for place in places
        ]
    answer = read_answer(result, operation, secrets)
    if answer.result != "accepted" or places.count(None) == len(places):
        return [answer] * len(places)
    # The ids in it may be of any order of the batch.
    return [NO_LIST if operation else Answer("accepted")] * len(places)


def read_answer(
    result: Any, operation: Operation | None = None, secrets: Callable[[], Iterable[str]] = tuple
) -> Answer:
    """Read what a call returned for one order.

    Args:
        result: What the call returned, or one element of it.
        operation: What a genuine client was asked to do: HTTP 2xx with something else than the exchange's
            answer to that (an empty body reads as `{}`) proves nothing. None for an adapter or a fake, which
            may return anything: accepted, since nothing was raised.
        secrets: Returns credentials that the text of a refusal may hold.
    """
    # A test order is answered with {}, or like an order.
    is_checked = operation is not None and operation != "test"
    if not isinstance(result, dict):
        return NO_ORDER if is_checked else Answer("accepted")
    code = result.get("code")
    if code is not None and (_number(code) or 0) < 0:  # an element of a batch's answer
        return _refusal(ApiError(_number(code), HTTP_CLIENT_ERROR, result.get("msg")), secrets())
    get = result.get
    order_id, algo_id = get("orderId"), get("algoId") or get("strategyId")
    if is_checked and not (result if operation != "place" else order_id is not None or algo_id is not None):
        return NO_ORDER
    name = get("clientOrderId") or get("clientAlgoId") or get("newClientStrategyId")
    return Answer(
        "accepted",
        # An order waits: each call counts.
        order_id if order_id is None or type(order_id) is int else _number(order_id),
        algo_id if algo_id is None or type(algo_id) is int else _number(algo_id),
        name[:64] if isinstance(name, str) else None,
    )


def read_failure(
    error: BaseException,
    secrets: Iterable[str] = (),
    *,
    one_by_one: bool = False,
    library: ClientSupport | None = None,
) -> Answer:
    """Read what an exception proves; where it proves nothing the outcome is `unknown`, never `rejected`.

    Args:
        error: What the call raised.
        secrets: Credentials that its text may hold.
        one_by_one: Whether the call may have sent several orders, one after the other. Then an error does not
            show which of them it is about.
        library: The library whose door it was; None where its client's class tells.
    """
    if one_by_one and not _was_never_entered(error):
        return Answer("unknown", error_message=describe(error, secrets))
    refusal = _api_error(error) if library is None else library.read_api_error(error) or _api_error(error)
    if refusal is not None:
        if _integer(refusal.code) in ALREADY_DONE and (_came_through_others(error) or _was_repeated(error)):
            refusal = refusal._replace(status=HTTP_TIMEOUT)
        return _refusal(refusal, secrets)
    message = describe(error, secrets)
    if _never_connected(error) or _never_sent(error):
        return Answer("not_sent", error_message=message)
    outcome, code = _read_foreign(error) if isinstance(error, Exception) else (UNKNOWN, None)
    return Answer(outcome, error_code=code, error_message=message)


def _api_error(error: BaseException) -> ApiError | None:
    """Return what the exception of a client library says of the exchange's answer."""
    return next(filter(None, (library.read_api_error(error) for library in SUPPORTED)), None)


def _refusal(refusal: ApiError, secrets: Iterable[str] = ()) -> Answer:
    return Answer(
        _outcome_of(*refusal),
        error_code=_integer(refusal.code),
        error_message=None if refusal.message is None else scrub(refusal.message, secrets),
    )


def _read_foreign(error: BaseException) -> tuple[Result, int | None]:
    """Return what the exception of an adapter or another library proves, and the exchange's code.

    It must show a refusal, and neither itself nor a cause of it may show a doubt: an adapter that tries
    again may have sent the order before.
    """
    outcome, first_code = UNKNOWN, None
    for cause in with_causes(error):
        code: object
        if (refusal := _api_error(cause)) is not None:
            code, proved = refusal.code, _outcome_of(*refusal)
        elif (answer := read_error(cause)) is not None:
            code, proved = answer.code, _outcome_shown(answer)
        elif is_silence(cause):
            return UNKNOWN, first_code
        else:
            continue
        first_code = _integer(code) if first_code is None else first_code
        if proved == UNKNOWN or code in DUPLICATE_CODES:
            return UNKNOWN, first_code
        outcome = proved
    return outcome, first_code


def _outcome_shown(answer: ForeignAnswer) -> Result:
    if answer.is_certain or (answer.status or 0) >= HTTP_CLIENT_ERROR:
        return _outcome_of(answer.code, answer.status, answer.text)
    is_doubtful = any(words in answer.text.lower() for words in UNKNOWN_TEXTS)
    return "rejected" if answer.code in BARE_REFUSALS and not is_doubtful else UNKNOWN


def _outcome_of(code: object, status: object, message: object) -> Result:
    code = _integer(code)
    text = str(message or "").lower()
    if code in UNKNOWN_CODES or status == HTTP_TIMEOUT or any(words in text for words in UNKNOWN_TEXTS):
        return UNKNOWN
    if isinstance(status, int) and HTTP_CLIENT_ERROR <= status < HTTP_SERVER_ERROR:
        return "rejected"
    if code in SURE_FAILURE_CODES or (status == HTTP_UNAVAILABLE and text.startswith(SURE_FAILURE_TEXTS)):
        return "rejected"
    return UNKNOWN


def _never_connected(error: BaseException) -> bool:
    """Return whether an error, or what it was made from, proves that no connection was made."""
    refused = attempts = 0
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        refused += any(_is_instance(cause, module, name) for module, name in NOT_CONNECTED)
        attempts = max(attempts, sum(map(_is_attempt, _steps(cause))))
        # requests wraps urllib3's NewConnectionError in MaxRetryError, aiohttp an OSError.
        pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
    # What tries again proves nothing by its last attempt: an earlier one may have been sent.
    was_tried_before = attempts > 1 or _was_redirected(error) or _came_through_others(error)
    return bool(refused) and not was_tried_before


def _came_through_others(error: BaseException) -> bool:
    """Return whether code of others stands behind a client library or transport, where it may send again.

    A bot overrides a method, an adapter or a middleware for that.
    """
    is_behind = False
    for module in (step.module for step in _clients_steps(error)):
        package = module.partition(".")[0]
        if package in TRANSPORTS or any(library.owns_module(module) for library in SUPPORTED):
            is_behind = True
        elif is_behind and package not in HARMLESS:
            return True
    return False


def _was_redirected(error: BaseException) -> bool:
    """Return whether a transport failed while it followed a redirect: an earlier request was answered."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if any(package == owner and frame.f_locals.get(name) for owner, name in HISTORIES):
            return True
        trace = trace.tb_next
    return False


def _was_repeated(error: BaseException) -> bool:
    """Return whether the answer that an error is made of came to a request that urllib3 had sent before."""
    trace = error.__traceback__
    while trace is not None:
        if has_earlier_attempts(trace.tb_frame.f_locals.get("response")):
            return True
        trace = trace.tb_next
    return False


def _is_attempt(step: CodeStep) -> bool:
    return step.function == "urlopen" and step.module.partition(".")[0] == "urllib3"


def _never_sent(error: BaseException) -> bool:
    """Return whether a genuine client raised before it reached its transport."""
    if not isinstance(error, Exception):
        return False
    if _was_never_entered(error):
        return True
    steps = _clients_steps(error)
    if any(step.module.partition(".")[0] in TRANSPORTS for step in steps):
        return False
    return any(library.is_before_send(steps) for library in SUPPORTED)


def _was_never_entered(error: BaseException) -> bool:
    """Return whether the call itself failed, for arguments that the method does not take."""
    return isinstance(error, TypeError) and not _clients_steps(error)


def _clients_steps(error: BaseException) -> list[CodeStep]:
    return [step for step in _steps(error) if step.module.partition(".")[0] != "exit_shim"]


def _steps(error: BaseException) -> list[CodeStep]:
    """Return the frames that an error came through, outermost first."""
    steps = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__")
        steps.append(CodeStep(str(module), trace.tb_frame.f_code.co_name))
        trace = trace.tb_next
    return steps


def _is_instance(error: BaseException, module: str, name: str) -> bool:
    """Return whether an error is of a class whose module may not be loaded, and then raised nothing."""
    kind = loaded(module, name)
    return isinstance(kind, type) and isinstance(error, kind)


def _number(value: object) -> int | None:
    """Return an id or code that an answer has as a number, or as text, as some libraries hand it on."""
    if type(value) is str and value.isascii() and value.removeprefix("-").isdecimal():
        return int(value)
    return _integer(value)


def _integer(value: object) -> int | None:
    return value if type(value) is int else None
