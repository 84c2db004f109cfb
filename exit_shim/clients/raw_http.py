"""Raw HTTP: requests to Binance's order paths that a bot sends itself, by requests, httpx or aiohttp.

Facts: the code of requests 2.34, httpx 0.28 and aiohttp 3.14. A transport (one of these libraries) is
called for every request of the bot, so requests to other paths must be recognized fast.
"""

import asyncio
import functools
import io
import json
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MethodType
from typing import Any, Final
from urllib.parse import parse_qsl

from exit_shim import errors
from exit_shim.clients.binance_routes import route_of
from exit_shim.clients.denials import make_denial
from exit_shim.clients.hosts import origin_of_url
from exit_shim.clients.sessions import has_earlier_attempts, loaded
from exit_shim.clients.support import ApiError, ClientSupport, never
from exit_shim.domain.doors import Door, DoorCall, Identity
from exit_shim.domain.verdicts import Reason
from exit_shim.runtime.scrubbing import BEGINNING, HIDDEN, SHORTEST_CREDENTIAL

TRANSPORT_PACKAGES: Final = frozenset({"requests", "urllib3", "httpx", "httpcore", "aiohttp"})

KEY_HEADER: Final = "X-MBX-APIKEY"

SIGNATURE: Final = "signature"

SHORTCUTS: Final = ("post", "put", "delete", "request")
"""The methods that send through another method, maybe later and in another task or thread."""

BODY_WITHIN_S: Final = 1.0
"""How long a response of aiohttp is held until its body has arrived."""

BAD_REQUEST: Final = 400

Fields = Mapping[str, Any]

_signatures: Final[list[set[int]]] = []
"""The set that collects the hashes of the signatures of order requests; no set unless somebody asked."""


def note_signatures() -> set[int]:
    """Return a set to which each request about an order adds its signature's hash from now on."""
    _signatures[:] = [set()]
    return _signatures[0]


def is_transport_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of a transport."""
    return isinstance(name, str) and name.partition(".")[0] in TRANSPORT_PACKAGES


# Requests


def parse_requests(_session: Any, request: Any, **_: Any) -> DoorCall | None:
    """Read a prepared request of requests; None for one that is about no order."""
    path, _, query = request.url.partition("?")
    row = route_of(request.method, path)
    if row is None:
        return None
    key = request.headers.get(KEY_HEADER)
    return _call_of(row, request.url, key, "requests", (read_pairs(query), read_body(request.body)))


def parse_httpx(_client: Any, request: Any, **_: Any) -> DoorCall | None:
    """Read a request of httpx; None for one that is about no order."""
    url = request.url
    row = route_of(request.method, url.path)
    if row is None:
        return None
    # A streamed body has not been read yet.
    own = getattr(request, "__dict__", {})
    body = own.get("_content", getattr(own.get("stream"), "_stream", None))
    parts = read_pairs(url.query), read_body(body)
    return _call_of(row, str(url), request.headers.get(KEY_HEADER), "httpx", parts)


def parse_aiohttp(  # noqa: PLR0913 - aiohttp's own
    session: Any,
    method: Any,
    url: Any = None,
    *,
    params: Any = None,
    data: Any = None,
    json: Any = None,
    headers: Any = None,
    **more: Any,
) -> DoorCall | None:
    """Read a request of aiohttp; None for one that is about no order."""
    url = str(more.get("str_or_url") if url is None else url)
    path, _, query = url.partition("?")
    base = getattr(session, "_base_url", None)
    if base is not None and "://" not in path:
        path = str(base).rstrip("/") + "/" + path.lstrip("/")
    row = route_of(str(method), path)
    if row is None:
        return None
    key = _header(headers) or _header(getattr(session, "headers", None))
    parts = read_pairs(query), read_fields(params), read_body(data), read_body(json)
    return _call_of(row, path, key, "aiohttp", parts)


def _call_of(row: Door, url: str, key: Any, library: str, parts: Sequence[Fields]) -> DoorCall:
    """Return the call that a request makes, without its signature, and with its key hidden in all fields."""
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    # Binance prefers the query's.
    params = {name: value for part in reversed(parts) for name, value in part.items()}
    signature = params.pop(SIGNATURE, None)
    for noted in _signatures:
        noted.add(hash(signature))
    if isinstance(key, str) and len(key) >= SHORTEST_CREDENTIAL:
        beginning = key[:BEGINNING].lower()
        swapped = [name for name, value in params.items() if beginning in str(value).lower()]
        params.update(dict.fromkeys(swapped, HIDDEN))
    return DoorCall(row, params, Identity(key, origin_of_url(url)), library)


def read_body(body: Any) -> Fields:
    """Return the fields of a request's body, which may be JSON, a form, or an object that makes a form."""
    # A payload of aiohttp.
    value = getattr(body, "_value", None)
    body = value if isinstance(value, bytes | io.BytesIO) else body
    if isinstance(body, io.BytesIO):
        body = body.getvalue()[body.tell() :]
    elif isinstance(body, memoryview):
        body = bytes(body)
    if isinstance(body, str | bytes | bytearray):
        text = body if isinstance(body, str) else bytes(body).decode("utf-8", "replace")
        if text.lstrip()[:1] != "{":
            return read_pairs(text)
        try:
            body = json.loads(text)
        except ValueError:
            return {}
    # A form of aiohttp.
    fields = getattr(body, "_fields", None)
    if isinstance(fields, list):
        return {str(options.get("name")): value for options, _, value in fields}
    return read_fields(body)


def read_fields(fields: Any) -> Fields:
    """Return a query or form, given as text, mapping or pairs, as a dict."""
    if isinstance(fields, str | bytes):
        return read_pairs(fields)
    if isinstance(fields, Mapping):
        return {str(name): value for name, value in fields.items()}
    if isinstance(fields, list | tuple):
        return {str(pair[0]): pair[1] for pair in fields if isinstance(pair, list | tuple) and len(pair) > 1}
    return {}


def read_pairs(text: str | bytes) -> Fields:
    """Return the fields of a query or a form."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    return dict(parse_qsl(text, keep_blank_values=True)) if text else {}


def _header(headers: Any) -> Any:
    """Return the API key among headers; aiohttp alone may use up what can be read only once."""
    return next((value for name, value in _pairs(headers) if str(name).upper() == KEY_HEADER), None)


def _pairs(headers: Any) -> Iterator[tuple[Any, Any]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, list | tuple | ItemsView):
        yield from (pair for pair in pairs if len(pair) > 1)


# Answers


def read_answer(status: Any, body: Any, *, was_repeated: bool = False) -> Any:
    """Return Binance's answer in a response, or an `ApiError` where it is a refusal.

    Args:
        status: The HTTP status.
        body: The body; None where the bot has not read it.
        was_repeated: Whether the transport sent the request more than once: then the answer to the last one
            proves nothing about the others.
    """
    answer = _json(body)
    if not isinstance(status, int) or (200 <= status < 300 and body is not None):  # noqa: PLR2004 - HTTP's
        return answer
    code, message = None, f"HTTP {status}, and the body was not read"
    if isinstance(answer, dict):
        code, message = answer.get("code"), answer.get("msg") or message
    elif body is not None:
        message = body.decode("utf-8", "replace")
    return ApiError(code, None if was_repeated else status, message)


def _json(body: Any) -> Any:
    try:
        return json.loads(body)
    except (TypeError, ValueError, RecursionError):
        return None


def body_of(response: Any) -> bytes | None:
    """Return the body of a response of requests or httpx; None where it was not read."""
    body = getattr(response, "__dict__", {}).get("_content")
    return body if isinstance(body, bytes) else None


def read_requests_result(response: Any) -> Any:
    """Return Binance's answer in a response of requests."""
    was_repeated = has_earlier_attempts(response) or was_redirected(response)
    return read_answer(getattr(response, "status_code", None), body_of(response), was_repeated=was_repeated)


def read_httpx_result(response: Any) -> Any:
    """Return Binance's answer in a response of httpx."""
    status = getattr(response, "status_code", None)
    return read_answer(status, body_of(response), was_repeated=was_redirected(response))


def read_aiohttp_result(response: Any) -> Any:
    """Return Binance's answer in a response of aiohttp, without reading it for the bot."""
    body = getattr(response, "_body", None)
    content = getattr(response, "content", None)
    if body is None and getattr(content, "is_eof", bool)() is True:
        # All of it is there. A read would take it away from a bot that reads it piece by piece.
        body = b"".join(getattr(content, "_buffer", ()))
    status = getattr(response, "status", None)
    return read_answer(status, body, was_repeated=was_redirected(response))


def was_redirected(response: Any) -> bool:
    """Return whether an answer is to another request than the first, to which a redirect has led."""
    return bool(getattr(response, "history", None))


def wait_for_body(method: Any) -> Any:
    """Return aiohttp's method with an answer whose body is there, if that comes soon."""

    @functools.wraps(getattr(method, "__func__", method))
    async def request_and_wait(_session: Any, *args: Any, **kwargs: Any) -> Any:
        response = await method(*args, **kwargs)
        try:
            if not response.content.is_eof():
                await asyncio.wait_for(response.content.wait_eof(), BODY_WITHIN_S)
        except Exception as error:  # noqa: BLE001 - the bot meets it where it reads the body
            error.__traceback__ = None
        except BaseException:
            # As where a request is cancelled: nobody gets the response.
            response.close()
            raise
        return response

    return MethodType(request_and_wait, method.__self__)


METHOD_WRAPPERS: Final[Mapping[str, Callable[[Any], Any]]] = {"aiohttp": wait_for_body}
"""Functions that wrap a transport's method for order requests, by the transport's name."""


def read_response_error(module: str, name: str, error: BaseException) -> ApiError | None:
    """Return the exchange's answer in the error of `raise_for_status`; None for any other error."""
    kind = loaded(module, name)
    response = getattr(error, "response", None)
    if not isinstance(kind, type) or not isinstance(error, kind) or response is None:
        return None
    was_repeated = has_earlier_attempts(response)
    refusal = read_answer(response.status_code, body_of(response), was_repeated=was_repeated)
    return refusal if isinstance(refusal, ApiError) else None


def read_aiohttp_error(error: BaseException) -> ApiError | None:
    """Return the HTTP status in the error of aiohttp's `raise_for_status`; None for any other error."""
    kind = loaded("aiohttp", "ClientResponseError")
    # The answer of a proxy is not the exchange's.
    proxys = loaded("aiohttp", "ClientHttpProxyError")
    if kind is None or not isinstance(error, kind) or isinstance(error, proxys):
        return None
    return ApiError(None, error.status, f"HTTP {error.status}, and the body was not read")


def may_send_again(call: Any, _error: BaseException) -> bool:
    """Return whether the session of a call repeats a POST that failed after it was sent."""
    return any(map(_repeats_posts, getattr(call.client, "adapters", {}).values()))


def _repeats_posts(adapter: Any) -> bool:
    retries = getattr(adapter, "max_retries", None)
    if not getattr(retries, "total", 0):
        return False
    # urllib3 1.25 calls it `method_whitelist`.
    allowed = getattr(retries, "allowed_methods", getattr(retries, "method_whitelist", ()))
    return not allowed or "POST" in allowed


# Denials and simulated answers


def _text_of_refusal(message: str, code: int) -> str:
    return json.dumps({"code": code, "msg": message})


def _requests_response(status: int, text: str) -> Any:
    import requests  # noqa: PLC0415 - imported by the bot already

    response = requests.Response()
    response.status_code, response.reason = status, "OK" if status < BAD_REQUEST else "Bad Request"
    response.headers["Content-Type"] = "application/json"
    response.encoding = "utf-8"
    response._content = text.encode()  # noqa: SLF001
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
    return response


def _httpx_response(status: int, text: str, request: Any) -> Any:
    import httpx  # noqa: PLC0415 - imported by the bot already

    headers = {"Content-Type": "application/json"}
    response = httpx.Response(status, content=text.encode(), headers=headers, request=request)
    response.elapsed = timedelta(0)
    return response


def request_of(call: Any) -> Any:
    """Return the request that a call of requests or httpx sends."""
    return call.args[0] if call.args else call.kwargs["request"]


def make_requests_result(answer: Any, call: Any) -> Any:
    """Return an answer as a response of requests."""
    response, request = _requests_response(200, json.dumps(answer)), request_of(call)
    response.request, response.url = request, request.url
    return response


def make_httpx_result(answer: Any, call: Any) -> Any:
    """Return an answer as a response of httpx."""
    return _httpx_response(200, json.dumps(answer), request_of(call))


def requests_denial(message: str, reasons: tuple[Reason, ...] = (), code: int = -2010) -> Any:
    """Make the exception of a denied order, which is an `HTTPError` of requests too."""
    import requests  # noqa: PLC0415 - imported by the bot already

    return make_denial(requests.exceptions.HTTPError, _initialize_requests, message, reasons, code)


def _initialize_requests(base: Any, error: Any, message: str, code: int) -> None:
    base.__init__(error, message, response=_requests_response(BAD_REQUEST, _text_of_refusal(message, code)))


def httpx_denial(message: str, reasons: tuple[Reason, ...] = (), code: int = -2010) -> Any:
    """Make the exception of a denied order, which is an `HTTPStatusError` of httpx too."""
    import httpx  # noqa: PLC0415 - imported by the bot already

    return make_denial(httpx.HTTPStatusError, _initialize_httpx, message, reasons, code)


def _initialize_httpx(base: Any, error: Any, message: str, code: int) -> None:
    import httpx  # noqa: PLC0415 - as above

    request = httpx.Request("POST", "https://fapi.binance.com")
    response = _httpx_response(BAD_REQUEST, _text_of_refusal(message, code), request)
    base.__init__(error, message, request=request, response=response)


def aiohttp_denial(message: str, reasons: tuple[Reason, ...] = (), code: int = -2010) -> Any:
    """Make the exception of a denied order, which is a `ClientResponseError` of aiohttp too."""
    import aiohttp  # noqa: PLC0415 - imported by the bot already

    return make_denial(aiohttp.ClientResponseError, _initialize_aiohttp, message, reasons, code)


def _initialize_aiohttp(base: Any, error: Any, message: str, _code: int) -> None:
    info = _request_info("POST", "https://fapi.binance.com")
    base.__init__(error, info, (), status=BAD_REQUEST, message=message, headers=info.headers)


def _request_info(method: str, url: str) -> Any:
    """Return aiohttp's description of a request, without its headers and its signed query."""
    import aiohttp  # noqa: PLC0415 - as above
    from multidict import CIMultiDict, CIMultiDictProxy  # noqa: PLC0415 - aiohttp's own
    from yarl import URL  # noqa: PLC0415 - aiohttp's own

    address, headers = URL(url), CIMultiDictProxy(CIMultiDict())  # type: ignore[var-annotated]
    return aiohttp.RequestInfo(address, method, headers, address)


def show_request(error: errors.ExitOrderDenied, call: Any) -> None:
    """Let a denial of requests or httpx hold the request that was not sent, as their own errors do."""
    own: Any = error
    own.request = own.response.request = request_of(call)
    if call.library == "requests":
        own.response.url = own.request.url


def show_request_info(error: errors.ExitOrderDenied, call: Any) -> None:
    """Let a denial of aiohttp name the path that the request was for."""
    verb, _, path = call.door.method.partition(" ")
    own: Any = error
    own.request_info = _request_info(verb, f"{call.identity.address}{path}")
    own.args = own.request_info, ()


# The transports


def _owner(*packages: str) -> Callable[[object], bool]:
    def owns(name: object) -> bool:
        return isinstance(name, str) and name.partition(".")[0] in packages

    return owns


def _classes(*names: tuple[str, str]) -> Callable[[], list[type]]:
    def imported() -> list[type]:
        return [kind for module, name in names if isinstance(kind := loaded(module, name), type)]

    return imported


def _cannot_be_cloned(client: Any) -> Any:
    raise TypeError(
        f"a {type(client).__name__} cannot be cloned: it holds no API secret; wrap a client instead"
    )


def _shortcuts(kind: type) -> list[str]:
    return [name for name in SHORTCUTS if hasattr(kind, name)]


def _is_async_httpx(client: Any) -> bool:
    kind = loaded("httpx", "AsyncClient")
    return isinstance(kind, type) and isinstance(client, kind)


REQUESTS: Final = ClientSupport(
    name="requests",
    package="requests",
    owns_module=never,
    owns_class=_owner("requests"),
    client_classes=_classes(("requests.sessions", "Session")),
    doors=(Door("send", parse=parse_requests),),
    is_async=never,
    can_be_cloned=never,
    clone=_cannot_be_cloned,
    read_api_error=functools.partial(read_response_error, "requests.exceptions", "HTTPError"),
    is_before_send=never,
    denial=requests_denial,
    tested_with="2.34",
    show_call=show_request,
    is_opt_in=True,
    forwarders_of=_shortcuts,
    may_send_again=may_send_again,
    read_result=read_requests_result,
    make_result=make_requests_result,
    may_return_none=False,
)

HTTPX: Final = REQUESTS._replace(
    name="httpx",
    package="httpx",
    owns_class=_owner("httpx"),
    client_classes=_classes(("httpx", "Client"), ("httpx", "AsyncClient")),
    doors=(Door("send", parse=parse_httpx),),
    is_async=_is_async_httpx,
    read_api_error=functools.partial(read_response_error, "httpx", "HTTPStatusError"),
    denial=httpx_denial,
    tested_with="0.28",
    # Its `retries` repeat connecting, and no request.
    may_send_again=never,
    read_result=read_httpx_result,
    make_result=make_httpx_result,
)

AIOHTTP: Final = REQUESTS._replace(
    name="aiohttp",
    package="aiohttp",
    owns_class=_owner("aiohttp"),
    client_classes=_classes(("aiohttp.client", "ClientSession")),
    doors=(Door("_request", parse=parse_aiohttp),),
    is_async=lambda _: True,
    read_api_error=read_aiohttp_error,
    denial=aiohttp_denial,
    tested_with="3.14",
    show_call=show_request_info,
    may_send_again=never,
    read_result=read_aiohttp_result,
    # Its response cannot be made without a connection.
    make_result=None,
)

RAW_HTTP: Final[tuple[ClientSupport, ...]] = (REQUESTS, HTTPX, AIOHTTP)
