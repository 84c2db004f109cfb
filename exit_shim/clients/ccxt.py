"""ccxt: the classes of its Binance exchanges, the method through which all their requests go, and its errors.

Facts: the code of ccxt 4.5.90. `binance`, `binanceusdm` and `binancecoinm` are covered, in `ccxt`,
`ccxt.async_support` and `ccxt.pro`. Spot orders pass unread.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from exit_shim import errors
from exit_shim.clients.binance_routes import route_of, websocket_route_of
from exit_shim.clients.ccxt_answers import (
    is_before_send,
    make_result,
    owns_module,
    read_api_error,
    read_result,
)
from exit_shim.clients.ccxt_clone import MARKETS, can_be_cloned, clone, is_async, refresh_clone
from exit_shim.clients.denials import make_denial
from exit_shim.clients.sessions import loaded
from exit_shim.clients.support import ClientSupport
from exit_shim.domain.doors import Door, DoorCall, Identity
from exit_shim.domain.verdicts import Reason

PACKAGES: Final = ("ccxt", "ccxt.async_support", "ccxt.pro")
EXCHANGES: Final = ("binance", "binanceusdm", "binancecoinm")
CLASS_MODULES: Final = frozenset(f"{package}.{exchange}" for package in PACKAGES for exchange in EXCHANGES)

SIGNATURE: Final = frozenset({"apiKey", "signature"})
"""The fields of a message that are not the order's."""

COPIED: Final = frozenset(
    each
    for name in ("maxRetriesOnFailure", "maxRetriesOnFailureDelay", "callerMethodName")
    for each in (name, f"default{name[0].upper()}{name[1:]}")
)
"""The options among an order's fields with which ccxt leaves the bot's dict as it is, and works on a copy."""

_FORWARDER: Final = re.compile(
    r"(create|edit|cancel)\w*order(?!\w*request)|(fapi|dapi|papi)\w*(post|put|delete)\w*(order|countdown)",
    re.IGNORECASE,
)
_WEBSOCKET: Final = re.compile(r"/ws-(?P<market>[fd])api/")
_DOOR: Final = re.compile(r"(?P<verb>\w+) (?P<address>/[fdp]api/v1)/(?P<path>.+)")


def client_classes() -> list[type]:
    """Return the classes of Binance's exchanges, as far as they are imported."""
    kinds = (loaded(f"{package}.{name}", name) for package in PACKAGES for name in EXCHANGES)
    return [kind for kind in kinds if isinstance(kind, type)]


def forwarders_of(kind: type) -> Iterator[str]:
    """Yield the names of the unified and implicit methods of a class that may send an order."""
    return (name for name in dir(kind) if _FORWARDER.match(name))


def parse_request(
    path: object, api: object = "public", method: object = "GET", params: object = None, *_: Any, **__: Any
) -> DoorCall | None:
    """Read one request, unified or implicit; None for one that is about no futures order."""
    # A list since 4.5, a text before.
    section = api[0] if isinstance(api, (list, tuple)) and api else api
    address = MARKETS.get(section) if isinstance(section, str) else None
    if address is None or not isinstance(params, dict):
        return None
    row = route_of(str(method), f"{address}/{path}")
    return None if row is None else DoorCall(row, params)


def parse_message(
    url: object,
    message_hash: object,  # noqa: ARG001 - as ccxt names it
    message: object = None,
    *_: Any,
    **__: Any,
) -> DoorCall | None:
    """Read one message of the WebSocket API of futures; None for one that is about no order."""
    match = _WEBSOCKET.search(url) if isinstance(url, str) else None
    if match is None or not isinstance(message, dict) or not isinstance(message.get("params"), dict):
        return None
    row = websocket_route_of(str(message.get("method")), f"{match['market']}api")
    fields = {name: value for name, value in message["params"].items() if name not in SIGNATURE}
    return None if row is None else DoorCall(row, fields)


def fix_client_order_ids(door: Door, method: Any, params: dict[str, Any]) -> None:
    """Set the client order id that ccxt would invent for an implicit method, in the same dict as it does."""
    client, match = method.__self__, _DOOR.fullmatch(door.method)
    invent = getattr(client, "handle_client_order_id", None)
    if match is None or invent is None or not (client.apiKey and client.secret):
        return
    if not COPIED.isdisjoint(params):
        return
    section = next(name for name, address in MARKETS.items() if address == match["address"])
    invent(params, section, match["path"], match["verb"])


def identity_of(client: Any) -> Identity:
    """Return the API key and the address of a client."""
    key, urls = getattr(client, "apiKey", None), getattr(client, "urls", None)
    api = urls.get("api") if isinstance(urls, dict) else None
    return Identity(
        key if isinstance(key, str) and key else None,
        api.get("fapiPrivate") if isinstance(api, dict) else None,
    )


def denial(message: str, reasons: tuple[Reason, ...] = (), code: int = -2010) -> errors.ExitOrderDenied:
    """Make the exception of a denied order, which is ccxt's `InvalidOrder` too."""
    from ccxt.base.errors import InvalidOrder  # noqa: PLC0415 - only a denial needs it

    return make_denial(InvalidOrder, _initialize, message, reasons, code)


def _initialize(base: Any, error: Any, message: str, code: int) -> None:
    base.__init__(error, f'binance {{"code":{code},"msg":{json.dumps(message)}}}')


CCXT: Final = ClientSupport(
    name="ccxt",
    package="ccxt",
    owns_module=owns_module,
    owns_class=CLASS_MODULES.__contains__,
    client_classes=client_classes,
    doors=(Door("request", parse=parse_request), Door("watch", parse=parse_message)),
    is_async=is_async,
    can_be_cloned=can_be_cloned,
    clone=clone,
    read_api_error=read_api_error,
    is_before_send=is_before_send,
    denial=denial,
    calls_itself=True,
    modules=("ccxt", "ccxt.async_support", "ccxt.pro"),
    tested_with="4.5.90",
    forwarders_of=forwarders_of,
    identity_of=identity_of,
    fix_client_order_ids=fix_client_order_ids,
    read_result=read_result,
    make_result=make_result,
    may_return_none=False,
    refresh_clone=refresh_clone,
)
