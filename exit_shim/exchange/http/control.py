"""Control of the exchange from another process, under `/exchange/`; `control_actions` has what it can do.

It is no part of Binance's interface, needs no key, and no fault or limit applies to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from exit_shim.exchange.engine.errors import ExchangeError

from .control_actions import ACTIONS
from .gate import HttpAnswer
from .request import RawRequest
from .service import ExchangeService

PREFIX = "/exchange/"
#: The names of this machine; a page of another site in a browser comes with its own (DNS rebinding).
OWN_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
#: Names under it are this machine's, too (RFC 6761).
OWN_DOMAIN = ".localhost"
#: Seconds for which a browser need not ask again whether it may send a request.
PREFLIGHT_SECONDS = 600


def control(service: ExchangeService, request: RawRequest) -> HttpAnswer:
    """Do what a control request asks, and return the state that follows from it."""
    if not _is_from_here(request.headers):
        return _refuse(403, "only programs on this machine may control the exchange: Host must be 127.0.0.1")
    answer = _preflight() if request.method == "OPTIONS" else _act(service, request)
    origin = request.headers.get("origin")
    if origin is not None:
        answer.headers.update({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
    return answer


def _act(service: ExchangeService, request: RawRequest) -> HttpAnswer:
    action = ACTIONS.get((request.method, request.path.removeprefix(PREFIX)))
    if action is None:
        return _refuse(404, f"unknown control request; expected one of {', '.join(_list_actions())}")
    try:
        with service.lock:
            service.engine.run_due()
            return HttpAnswer(200, msgspec.json.encode(action(service, request)), {})
    except ExchangeError as refused:
        return _refuse(400, refused.msg, refused.code)
    except ValueError as wrong:
        return _refuse(400, str(wrong))


def _preflight() -> HttpAnswer:
    headers = {
        "Access-Control-Allow-Methods": ", ".join(sorted({method for method, _ in ACTIONS})),
        "Access-Control-Allow-Headers": "content-type",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return HttpAnswer(204, b"", headers)


def _is_from_here(headers: Mapping[str, str]) -> bool:
    return _is_own(f"//{headers.get('host', '')}") and is_from_own_page(headers)


def is_from_own_page(headers: Mapping[str, str]) -> bool:
    """Return whether no page of another site in a browser sent a request; a browser names it in Origin."""
    origin = headers.get("origin")
    return origin is None or _is_own(origin)


def _is_own(address: str) -> bool:
    try:
        name = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return name in OWN_HOSTS or name.endswith(OWN_DOMAIN)


def _list_actions() -> list[str]:
    return [f"{method} {PREFIX}{name}" for method, name in ACTIONS]


def _refuse(status: int, text: str, code: int | None = None) -> HttpAnswer:
    body = {"msg": text} if code is None else {"code": code, "msg": text}
    return HttpAnswer(status, msgspec.json.encode(body), {}, code)
