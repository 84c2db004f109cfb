"""The way of a request: route, key, time, signature, handler, answer. Knows no web server."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import msgspec

from exit_shim.testing.exchange.engine import Exchange
from exit_shim.testing.exchange.errors import INVALID_PATH, UNKNOWN, ExchangeError
from exit_shim.testing.exchange.params import Params

from .auth import check_key, check_signature, check_time
from .call import Call, Json
from .limits import Limits
from .request import RawRequest
from .routes import ROUTES, Route, Security

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `code` is that of the error it carries, if any."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    code: int | None = None


class Gate:
    """Answers requests against one engine.

    Args:
        engine: the exchange behind it.
        credentials: API keys and their secrets; may grow while the gate is in use.
    """

    def __init__(self, engine: Exchange, credentials: dict[str, str]) -> None:
        self.engine = engine
        self.credentials = credentials
        #: Errors that are the exchange's own fault; a test that finds one here has found a bug.
        self.faults: list[Exception] = []
        self._limits = Limits()

    def answer(self, request: RawRequest) -> Answer:
        """Answer any request; whatever is wrong with it comes back as an error of the exchange's form."""
        now = self.engine.now()
        headers = self._limits.weight(_weight(request), now)
        try:
            result = self._run(request)
        except ExchangeError as refused:
            return _refuse(refused, headers)
        except Exception as fault:  # a bug here must not take the server down
            log.exception("the local exchange failed on %s %s", request.method, request.path)
            self.faults.append(fault)
            return _refuse(UNKNOWN.error(), headers)
        if ROUTES[request.method, request.path].counts_as_order:
            headers |= self._limits.orders(now)
        return Answer(200, msgspec.json.encode(result), headers)

    def _run(self, request: RawRequest) -> Json:
        self.engine.run_due()
        route = _route(request)
        api_key = self._admit(route, request)
        return route.handler(Call(self.engine, Params(request.params), api_key))

    def _admit(self, route: Route, request: RawRequest) -> str:
        if route.security is Security.NONE:
            return ""
        key = check_key(request, self.credentials)
        if route.security is Security.SIGNED:
            check_time(request, self.engine.now())
            check_signature(request, self.credentials[key])
        return key


def _route(request: RawRequest) -> Route:
    route = ROUTES.get((request.method, request.path))
    if route is None:
        raise INVALID_PATH.error(request.path, request.method)
    return route


def _weight(request: RawRequest) -> int:
    route = ROUTES.get((request.method, request.path))
    return route.weigh(Params(request.params)) if route else 1


def _refuse(refused: ExchangeError, headers: dict[str, str]) -> Answer:
    body = msgspec.json.encode(refused.payload())
    return Answer(refused.http_status, body, headers, refused.code)
