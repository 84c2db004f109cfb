"""The WebSocket APIs: their methods are answered by the handlers of the REST face.

A request becomes what the same call would be over HTTP, and passes the same gate: one set of rules,
limits and faults for both faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import msgspec

from exit_shim.exchange.engine.errors import ExchangeError, Refusal
from exit_shim.exchange.engine.views.market import (
    ORDER_LIMIT_MINUTE,
    ORDER_LIMIT_TEN_SECONDS,
    WEIGHT_LIMIT,
)
from exit_shim.exchange.http.gate import HttpAnswer
from exit_shim.exchange.http.request import RawRequest
from exit_shim.exchange.http.route import Security
from exit_shim.exchange.http.routes import ROUTES
from exit_shim.exchange.unanswered import UnansweredLog

from .methods import FIXED_RESULTS, FUTURES_METHODS, REFUSED_METHODS, Endpoint
from .subscriptions import LONGEST_NAME

INVALID_JSON = Refusal(-1135, "Invalid JSON Request")
UNSUPPORTED_METHOD = Refusal(-1020, "This operation is not supported.")
NOT_HERE = Refusal(-1020, "This operation is not supported. %s")
NO_API_KEY = Refusal(-1103, "param apikey not found.")

_NULL = msgspec.Raw(b"null")
_LIMITS = (
    ("x-mbx-used-weight-1m", "REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_LIMIT),
    ("x-mbx-order-count-10s", "ORDERS", "SECOND", 10, ORDER_LIMIT_TEN_SECONDS),
    ("x-mbx-order-count-1m", "ORDERS", "MINUTE", 1, ORDER_LIMIT_MINUTE),
)


class _Envelope(msgspec.Struct):
    # Raw keeps numbers as they were written: a signature covers the very digits sent.
    method: str
    id: msgspec.Raw = _NULL
    params: dict[str, msgspec.Raw] = {}


_ENVELOPE = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True)
class ApiRequest:
    """A request of the WebSocket API, in the form that it would have over HTTP."""

    id: msgspec.Raw
    method: str
    http: RawRequest
    shows_limits: bool


class ApiError(Exception):
    """A message that is not a request; `answer` is the reply."""

    def __init__(self, request_id: msgspec.Raw, refused: ExchangeError, method: str = "") -> None:
        super().__init__(refused)
        self.answer = _render(request_id, refused.http_status, {"error": refused.payload()})
        self._method = method

    def note(self, log: UnansweredLog) -> None:
        """Note the method if the exchange lacks it."""
        if self._method:
            log.note("method", self._method[:LONGEST_NAME], REFUSED_METHODS.get(self._method, ""))


def read_request(
    message: str, *, shows_limits: bool = True, methods: Mapping[str, Endpoint] = FUTURES_METHODS
) -> ApiRequest:
    """Read a message of a WebSocket API.

    Args:
        message: the text frame.
        shows_limits: whether the answer has `rateLimits` when the request does not decide.
        methods: the methods of the API.

    Raises:
        ApiError: -1135 for what is no request, -1020 for an unknown method, -1103 without an API key.
    """
    try:
        envelope = _ENVELOPE.decode(message)
        params = {name: _text(value) for name, value in envelope.params.items() if value != _NULL}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ApiError(_NULL, INVALID_JSON.error()) from None
    request_id = envelope.id if bytes(envelope.id)[:1] in b'"-0123456789n' else _NULL
    target = methods.get(envelope.method)
    if target is None:
        reason = REFUSED_METHODS.get(envelope.method)
        refused = UNSUPPORTED_METHOD.error() if reason is None else NOT_HERE.error(reason)
        raise ApiError(request_id, refused, envelope.method)
    route = ROUTES.get(target)
    if "apiKey" not in params and route is not None and route.security is not Security.NONE:
        raise ApiError(request_id, NO_API_KEY.error())
    wants_limits = params.get("returnRateLimits", str(shows_limits)).lower() == "true"
    return ApiRequest(request_id, envelope.method, _as_http(*target, params), wants_limits)


def render_reply(request: ApiRequest, answer: HttpAnswer) -> str | None:
    """Return the reply of an HTTP answer, None when its body is no JSON."""
    try:
        body = msgspec.json.decode(answer.body)
    except msgspec.MsgspecError:
        return None
    is_success = answer.status == 200  # noqa: PLR2004 - OK
    if is_success:
        body = FIXED_RESULTS.get(request.method, body)
    shown: dict[str, object] = {"result" if is_success else "error": body}
    if request.shows_limits:
        shown["rateLimits"] = _rate_limits(answer)
    return _render(request.id, answer.status, shown)


def _as_http(method: str, path: str, params: dict[str, str]) -> RawRequest:
    # Sorted by name: so the signature covers them (Binance documentation, WebSocket API general info).
    body = urlencode(sorted(params.items()), quote_via=quote, errors="replace")
    return RawRequest(method, path, "", body, {"x-mbx-apikey": params.get("apiKey", "")})


def _text(value: msgspec.Raw) -> str:
    raw = bytes(value)
    return str(msgspec.json.decode(raw)) if raw[:1] == b'"' else raw.decode()


def _rate_limits(answer: HttpAnswer) -> list[dict[str, object]]:
    counted = {name.lower(): value for name, value in answer.headers.items()}
    return [
        {
            "rateLimitType": kind,
            "interval": interval,
            "intervalNum": number,
            "limit": limit,
            "count": int(counted[header]),
        }
        for header, kind, interval, number, limit in _LIMITS
        if header in counted
    ]


def _render(request_id: msgspec.Raw, status: int, shown: dict[str, object]) -> str:
    return msgspec.json.encode({"id": request_id, "status": status, **shown}).decode()
