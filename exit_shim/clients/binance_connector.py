"""Binance's older connector, binance-futures-connector: its classes, requests and errors.

Facts: the code of binance-futures-connector 4.2.0. Its package is named `binance`, as python-binance's is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from exit_shim import errors
from exit_shim.clients.binance_routes import route_of
from exit_shim.clients.denials import make_denial
from exit_shim.clients.hosts import origin_of_url
from exit_shim.clients.python_binance_clone import Credentials, PythonBinanceClone
from exit_shim.clients.sessions import is_genuine_code, loaded, really_sends, session_settings
from exit_shim.clients.support import ApiError, ClientSupport, CodeStep
from exit_shim.clients.twins import inside_doors
from exit_shim.domain.doors import Door, DoorCall, Identity
from exit_shim.domain.verdicts import Reason

MODULES: Final = frozenset({"api", "cm_futures", "error", "lib", "um_futures"})
"""The names below `binance` that are the connector's."""

SENDING: Final = ("sign_request", "send_request", "_dispatch_request", "_handle_exception", "_get_sign")
"""The methods that make a client send to an exchange; a subclass may have replaced one."""

AFTER_SEND: Final = frozenset({"_dispatch_request", "_handle_exception"})
"""The methods that send a request or read its answer; `send_request` prepares it, too."""


def owns_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of the connector."""
    return isinstance(name, str) and name.startswith("binance.") and name.split(".", 2)[1] in MODULES


def client_classes() -> list[type]:
    """Return the connector's client classes, as far as they are imported."""
    names = (("binance.um_futures", "UMFutures"), ("binance.cm_futures", "CMFutures"))
    return [kind for module, name in names if type(kind := loaded(module, name)) is type]


def parse_request(
    http_method: object, url_path: object, payload: object = None, *_: Any, **__: Any
) -> DoorCall | None:
    """Read a signed request; None for one that is about no order."""
    if not isinstance(http_method, str) or not isinstance(url_path, str) or not isinstance(payload, dict):
        return None
    row = route_of(http_method, url_path)
    return None if row is None else DoorCall(row, payload)


def identity_of(client: Any) -> Identity:
    """Return the API key and the address of a client."""
    attributes = vars(client)
    key = attributes.get("key")
    return Identity(key if isinstance(key, str) else None, attributes.get("base_url"))


def can_be_cloned(client: Any) -> bool:
    """Return whether a client is the connector's own, really sends, and has credentials."""
    kind = type(client)
    try:
        return (
            not any(name in vars(client) for name in SENDING)
            and all(is_genuine_code(inside_doors(getattr(kind, name)), owns_module) for name in SENDING)
            and bool(client.key and (client.secret or client.private_key))
            and really_sends(client.session)
        )
    except (AttributeError, KeyError, TypeError):
        return False


def clone(client: Any) -> PythonBinanceClone:
    """Take from a client what it needs to ask the exchange in its place."""
    address = origin_of_url(client.base_url)
    return PythonBinanceClone.of_credentials(
        Credentials(
            client.key,
            client.secret,
            address,
            private_key=client.private_key or None,
            private_key_password=client.private_key_pass,
            other_addresses={"FUTURES_COIN_URL": f"{address}/dapi"},
            options=_options(client),
            session=dict(session_settings(client.session, is_async=False)),
        )
    )


def _options(client: Any) -> Mapping[str, Any]:
    options = {"timeout": client.timeout, "proxies": client.proxies}
    return {name: value for name, value in options.items() if value is not None}


def read_result(result: Any) -> Any:
    """Return Binance's answer; a client that shows limits or headers has it under `data`."""
    if isinstance(result, dict) and "data" in result and not {"limit_usage", "header"}.isdisjoint(result):
        return result["data"]
    return result


def make_result(answer: Any, call: Any) -> Any:
    """Return an answer as the client of a call hands it on."""
    client = getattr(call.method, "__self__", None)
    whole: dict[str, Any] = {}
    if getattr(client, "show_limit_usage", False):
        whole["limit_usage"] = {}
    if getattr(client, "show_header", False):
        whole["header"] = {}
    return {**whole, "data": answer} if whole else answer


def read_api_error(error: BaseException) -> ApiError | None:
    """Return what the connector's exception says of the exchange's answer; None for any other error."""
    kind = loaded("binance.error", "ClientError")
    if not isinstance(kind, type) or not isinstance(error, kind):
        return None
    names = ("error_code", "status_code", "error_message")
    return ApiError(*(getattr(error, name, None) for name in names))


def is_connector_error(error: BaseException) -> bool:
    """Return whether an exception is the connector's: its HTTP status is then the exchange's for certain."""
    kinds = (loaded("binance.error", name) for name in ("ClientError", "ServerError"))
    return any(isinstance(kind, type) and isinstance(error, kind) for kind in kinds)


def is_before_send(steps: Sequence[CodeStep]) -> bool:
    """Return whether an error was raised before the request was sent."""
    functions = {step.function for step in steps}
    return (
        bool(steps)
        and owns_module(steps[0].module)
        and AFTER_SEND.isdisjoint(functions)
        and steps[-1].function != "send_request"
    )


def denial(message: str, reasons: tuple[Reason, ...] = (), code: int = -2010) -> errors.ExitOrderDenied:
    """Make the exception of a denied order, which is a `ClientError` too."""
    from binance.error import ClientError  # noqa: PLC0415 - only a denial needs it

    return make_denial(ClientError, _initialize, message, reasons, code)


def _initialize(base: Any, error: Any, message: str, code: int) -> None:
    base.__init__(error, 400, code, message, {})


BINANCE_CONNECTOR: Final = ClientSupport(
    name="binance-futures-connector",
    package="binance",
    owns_module=owns_module,
    owns_class=owns_module,
    client_classes=client_classes,
    doors=(
        Door("sign_request", parse=parse_request),
        Door("limited_encoded_sign_request", parse=parse_request),
    ),
    is_async=lambda _: False,
    can_be_cloned=can_be_cloned,
    clone=clone,
    read_api_error=read_api_error,
    is_before_send=is_before_send,
    denial=denial,
    calls_itself=True,
    modules=("binance.um_futures", "binance.cm_futures"),
    tested_with="4.2.0",
    identity_of=identity_of,
    read_result=read_result,
    make_result=make_result,
)
