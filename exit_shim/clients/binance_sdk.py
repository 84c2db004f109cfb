"""Binance's official SDK, binance-sdk-derivatives-trading-usds-futures: its classes, answers and errors.

Its REST API and its WebSocket API have methods of the same names with other arguments, so each is a client
library of its own here. Facts: the code of release 18.1.0 and of binance-common 4.7.0.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from exit_shim import errors
from exit_shim.clients.binance_sdk_doors import PACKAGE, REST, REST_DOORS, WEBSOCKET, WEBSOCKET_DOORS
from exit_shim.clients.denials import make_denial
from exit_shim.clients.hosts import origin_of_url
from exit_shim.clients.python_binance_clone import Credentials, PythonBinanceClone
from exit_shim.clients.sessions import is_genuine_code, loaded, really_sends, session_settings
from exit_shim.clients.support import ApiError, ClientSupport, CodeStep
from exit_shim.clients.twins import inside_doors
from exit_shim.domain.doors import Identity
from exit_shim.domain.verdicts import Reason

NAME: Final = "binance-sdk-derivatives-trading-usds-futures"

WHOLE: Final = f"{PACKAGE}.derivatives_trading_usds_futures", "DerivativesTradingUsdsFutures"
"""The module and name of the class that holds the others."""


def owns_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of the SDK."""
    return isinstance(name, str) and name.partition(".")[0] in {PACKAGE, "binance_common"}


def owns_rest_class(module: str) -> bool:
    """Return whether a class of a module of this dotted name sends by REST, or holds one that does."""
    return module in {REST[0], WHOLE[0]}


def owns_websocket_class(module: str) -> bool:
    """Return whether a class of a module of this dotted name sends by the WebSocket API."""
    return module == WEBSOCKET[0]


def rest_classes() -> list[type]:
    """Return the class with the order methods of the REST API, once it is imported."""
    return _imported(REST)


def websocket_classes() -> list[type]:
    """Return the class with the order methods of the WebSocket API, once it is imported."""
    return _imported(WEBSOCKET)


def _imported(name: tuple[str, str]) -> list[type]:
    kind = loaded(*name)
    return [kind] if isinstance(kind, type) else []


# Accounts and clones

WEBSOCKET_HOSTS: Final[Mapping[str, str]] = {"ws-fapi.binance.com": "fapi.binance.com"}
"""The host of the REST API by that of the WebSocket API, where they differ."""

SCHEMES: Final[Mapping[str, str]] = {"ws": "http", "wss": "https"}


LIVE: Final = "https://fapi.binance.com"
"""The address of a client that was given none."""


def identity_of(client: Any) -> Identity:
    """Return the API key and the address of a client."""
    configuration = configuration_of(client)
    key = getattr(configuration, "api_key", None)
    return Identity(key if isinstance(key, str) and key else None, address_of(configuration))


def configuration_of(client: Any) -> Any:
    """Return the configuration of a client, or of the REST API in it; None where it has neither."""
    attributes = vars(client)
    return attributes.get("configuration") or attributes.get("_rest_api_config")


def sender_of(client: Any) -> Any:
    """Return the client with the order methods: the one given, or the REST API in it, once that is made."""
    # Not by the property, which makes it.
    attributes = vars(client)
    return client if "configuration" in attributes else attributes.get("_rest_api")


def address_of(configuration: Any) -> str:
    """Return the address of the REST API that belongs to a client's configuration."""
    address = getattr(configuration, "base_path", None)
    if isinstance(address, str):
        return address
    stream = getattr(configuration, "stream_url", None)
    if not isinstance(stream, str):
        return LIVE
    parts = urlsplit(stream)
    return f"{SCHEMES.get(parts.scheme, parts.scheme)}://{WEBSOCKET_HOSTS.get(parts.netloc, parts.netloc)}"


def can_be_cloned(client: Any) -> bool:
    """Return whether a client is the SDK's own, really sends, and has credentials."""
    try:
        sender, configuration = sender_of(client), configuration_of(client)
        send = loaded(f"{PACKAGE}.rest_api.api.trade_api", "send_request")
        return (
            bool(configuration.api_key and (configuration.api_secret or configuration.private_key))
            and is_genuine_code(send, owns_module)
            and (sender is None or _has_genuine_methods(sender))
            and really_sends(session_of(sender))
        )
    except (AttributeError, KeyError, TypeError):
        return False


def session_of(sender: Any) -> Any:
    """Return the session of a client; a new one for the WebSocket API, whose clone asks by HTTP."""
    if sender is not None and "_session" in vars(sender):
        return vars(sender)["_session"]
    from requests import Session  # noqa: PLC0415 - only a clone needs it

    return Session()


def _has_genuine_methods(sender: Any) -> bool:
    doors = WEBSOCKET_DOORS if hasattr(type(sender), "create_connection") else REST_DOORS
    names = [door.method for door in doors if hasattr(type(sender), door.method)]
    functions = [inside_doors(getattr(type(sender), name)) for name in names]
    return not any(name in vars(sender) for name in names) and all(
        is_genuine_code(function, owns_module) for function in functions
    )


def clone(client: Any) -> PythonBinanceClone:
    """Take from a client what it needs to ask the exchange in its place."""
    configuration, session = configuration_of(client), session_of(sender_of(client))
    return PythonBinanceClone.of_credentials(
        Credentials(
            configuration.api_key,
            configuration.api_secret,
            origin_of_url(address_of(configuration)),
            private_key=None if configuration.api_secret else private_key_of(configuration),
            options=_options(configuration),
            session=dict(session_settings(session, is_async=False)),
        )
    )


def private_key_of(configuration: Any) -> str:
    """Return the private key of a configuration, a path or text, as PEM without a passphrase."""
    from Crypto.PublicKey import ECC, RSA  # noqa: PLC0415 - only a clone needs it

    key = configuration.private_key
    text = key.decode() if isinstance(key, bytes) else str(key)
    if "-----BEGIN" not in text:
        text = Path(text).read_text()
    try:
        pem: Any = RSA.import_key(text, passphrase=configuration.private_key_passphrase).export_key()
    except (ValueError, IndexError, TypeError):
        pem = ECC.import_key(text, passphrase=configuration.private_key_passphrase).export_key(format="PEM")
    return pem.decode() if isinstance(pem, bytes) else str(pem)


def _options(configuration: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"timeout": configuration.timeout / 1000}
    proxy = configuration.proxy
    if proxy:
        user = proxy.get("auth") or {}
        credentials = f"{user.get('username', '')}:{user.get('password', '')}@" if user else ""
        address = f"{proxy.get('protocol', 'https')}://{credentials}{proxy.get('host')}:{proxy.get('port')}"
        options["proxies"] = {"http": address, "https": address}
    return options


# Answers

ANSWERS: Final = ("parsed", "ws_response")
"""The variables in which the SDK keeps Binance's answer for `data()`."""


def read_result(result: Any) -> Any:
    """Return Binance's answer to a request, without calling the bot's `data()`."""
    function = getattr(result, "_data_function", None)
    return _unparsed(function) if function is not None else result


def read_websocket_result(result: Any) -> Any:
    """Return Binance's answer to a message, or the refusal that is returned in its place."""
    answer = read_result(result)
    if not isinstance(answer, Mapping):
        return ApiError(None, None, answer)
    if "error" not in answer:
        return answer.get("result", answer)
    error = answer["error"]
    if isinstance(error, Mapping):
        # The SDK drops the status. The codes that prove nothing are recognized without it.
        return ApiError(error.get("code"), HTTP_STATUSES["BadRequestError"], error.get("msg"))
    return ApiError(None, None, error)


def _unparsed(function: Any) -> Any:
    """Return the answer that a response's function parses, or the parsed one as a dict."""
    try:
        variables = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        cell = next((variables[name] for name in ANSWERS if name in variables), None)
        return _as_table(function()) if cell is None else cell.cell_contents
    except Exception:  # noqa: BLE001 - the bot's own call of `data()` raises the same
        return None


def _as_table(data: Any) -> Any:
    if isinstance(data, list):
        return [_as_table(item) for item in data]
    dump = getattr(data, "model_dump", None)
    return data if dump is None else dump(by_alias=True, exclude_none=True)


def make_result(answer: Any, call: Any) -> Any:
    """Return an answer as the method of a call hands it on: an `ApiResponse`."""
    from binance_common.models import ApiResponse  # noqa: PLC0415 - only a simulated order needs it

    return ApiResponse(parser_of(call.method, answer), 200, {}, [])


def make_websocket_result(answer: Any, call: Any) -> Any:
    """Return an answer as the method of a call hands it on: a `WebsocketApiResponse`."""
    from binance_common.models import WebsocketApiResponse  # noqa: PLC0415

    whole = {"id": "", "status": 200, "result": answer, "rateLimits": []}
    return WebsocketApiResponse(parser_of(call.method, whole), [])


def parser_of(method: Any, parsed: Any) -> Callable[[], Any]:
    """Return a function that parses an answer by a method's response model, or returns it unparsed."""
    model = response_model_of(method)

    def data_function() -> Any:
        return _parse(model, parsed)

    try:
        data_function()
    except Exception:  # noqa: BLE001 - whatever pydantic raises; the SDK hands on the answer then, too
        return lambda: parsed
    return data_function


def _parse(model: Any, answer: Any) -> Any:
    if model is None:
        return answer
    from_dict = getattr(model, "from_dict", None)
    return model.model_validate(answer) if from_dict is None else from_dict(answer)


def response_model_of(method: Any) -> Any:
    """Return the class that a method's answer is parsed by; None for a raw request."""
    function = getattr(method, "__func__", method)
    annotated = get_args(inspect.signature(function).return_annotation)
    return next((kind for kind in annotated if isinstance(kind, type)), None)


# Failures

HTTP_STATUSES: Final[Mapping[str, int | None]] = {
    "BadRequestError": 400,
    "UnauthorizedError": 401,
    "ForbiddenError": 403,
    "NotFoundError": 404,
    "RateLimitBanError": 418,
    "TooManyRequestsError": 429,
    # Any other status below 500; it does not say which.
    "ClientError": None,
}
"""The errors whose `status_code` holds Binance's code, and the HTTP status that each stands for."""

BEFORE_SEND: Final = frozenset({"clean_none_value", "encoded_string", "get_signature", "parse_proxies"})
"""The functions that prepare a request."""

SENDING: Final = frozenset({"send_request", "send_message"})
"""The functions that prepare a request, send it and read the answer."""


def read_api_error(error: BaseException) -> ApiError | None:
    """Return what the SDK's exception says of the exchange's answer; None for any other error."""
    code, message = getattr(error, "status_code", None), getattr(error, "error_message", None)
    for name, status in HTTP_STATUSES.items():
        if _is_error(error, name):
            return ApiError(code, status, message)
    # Its text hides Binance's code.
    return ApiError(None, code, message) if _is_error(error, "ServerError") else None


def _is_error(error: BaseException, name: str) -> bool:
    kind = loaded("binance_common.errors", name)
    return isinstance(kind, type) and isinstance(error, kind)


def is_before_send(steps: Sequence[CodeStep]) -> bool:
    """Return whether an error was raised before the request was sent."""
    functions = {step.function for step in steps if owns_module(step.module)}
    return (
        bool(steps)
        and owns_module(steps[0].module)
        and (SENDING.isdisjoint(functions) or not BEFORE_SEND.isdisjoint(functions))
    )


def may_send_again(call: Any, error: BaseException) -> bool:
    """Return whether a call that failed may have been sent more than once: only cancels are repeated."""
    if call.door.operation != "cancel" or call.door.comes_later:
        return False
    attempts = _repeats_before(error)
    return bool(attempts if attempts is not None else call.client.configuration.retries)


def _repeats_before(error: BaseException) -> int | None:
    """Return how many attempts failed before the last one; None where that does not show."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "send_request" and owns_module(frame.f_globals.get("__name__")):
            attempt = frame.f_locals.get("attempt")
            # These are counted as attempts before they are raised.
            is_counted = _is_error(error, "ServerError") or _is_error(error, "NetworkError")
            return attempt - is_counted if isinstance(attempt, int) else None
        trace = trace.tb_next
    return None


def denial(message: str, reasons: tuple[Reason, ...] = (), code: int = -2010) -> errors.ExitOrderDenied:
    """Make the exception of a denied order, which is a `BadRequestError` too."""
    from binance_common.errors import BadRequestError  # noqa: PLC0415 - only a denial needs it

    return make_denial(BadRequestError, _initialize, message, reasons, code)


def _initialize(base: Any, error: Any, message: str, code: int) -> None:
    base.__init__(error, message, code)


BINANCE_SDK: Final = ClientSupport(
    name=NAME,
    package=PACKAGE,
    owns_module=owns_module,
    owns_class=owns_rest_class,
    client_classes=rest_classes,
    doors=REST_DOORS,
    is_async=lambda _: False,
    can_be_cloned=can_be_cloned,
    clone=clone,
    read_api_error=read_api_error,
    is_before_send=is_before_send,
    denial=denial,
    parts=("rest_api", "websocket_api"),
    modules=(PACKAGE,),
    tested_with="18.1.0",
    identity_of=identity_of,
    may_send_again=may_send_again,
    read_result=read_result,
    make_result=make_result,
    may_return_none=False,
)

BINANCE_SDK_WEBSOCKET: Final = BINANCE_SDK._replace(
    name=f"{NAME} (WebSocket API)",
    owns_class=owns_websocket_class,
    client_classes=websocket_classes,
    doors=WEBSOCKET_DOORS,
    is_async=lambda _: True,
    # `create_connection` returns the client itself.
    calls_itself=True,
    parts=(),
    modules=(),
    may_send_again=lambda *_: False,
    read_result=read_websocket_result,
    make_result=make_websocket_result,
)
