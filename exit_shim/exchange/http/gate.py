"""The steps of a request, without a web server: limits, route, key, time, signature, handler, answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import msgspec

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.errors import INVALID_PATH, OUTSIDE_ENGINE_WINDOW, UNKNOWN, ExchangeError
from exit_shim.exchange.engine.params import Params

from .api_call import ApiCall, Json
from .auth import Credentials, as_api_key, check_key, check_signature, check_time
from .rate_limits import RateLimits
from .request import RawRequest
from .routes import COIN, Route, Security, find_route

__all__ = ["Credentials", "Gate", "HttpAnswer"]

log = logging.getLogger(__name__)
_LIMITED = frozenset({418, 429})


@dataclass(frozen=True)
class HttpAnswer:
    """An HTTP answer; `code` is that of its error, if any."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    code: int | None = None
    content_type: str = "application/json"


class Gate:
    """Answer requests with one engine: limits, route, key, time, signature, handler.

    Args:
        engine: the exchange behind it.
        credentials: API keys and their secrets; may grow while the gate is in use.
        coin: the exchange behind /dapi; none by default.
        rate_limits: whether limits are enforced; they are counted and reported anyway.
    """

    def __init__(
        self,
        engine: Exchange,
        credentials: Credentials,
        *,
        coin: Exchange | None = None,
        rate_limits: bool = True,
    ) -> None:
        self.engine = engine
        self.coin = coin
        self.credentials = credentials
        self.limits = RateLimits(enforced=rate_limits)
        #: Errors that are the exchange's own fault; a test that finds one here has found a bug.
        self.internal_errors: list[Exception] = []

    def answer(self, request: RawRequest, received: int | None = None, skew: int = 0) -> HttpAnswer:
        """Answer any request; a failure is answered as an error in the exchange's form.

        Args:
            request: what arrived.
            received: when it arrived, if that was not now; its timestamp is held against that time.
            skew: how many milliseconds the clock is off that its timestamp is held against.
        """
        now = self.engine.now()
        used, headers = self.limits.count_weight(_weight(request, self._engine_of(request)), now)
        try:
            self.limits.require_weight(used, now, request.address)
            result = self._run(request, now if received is None else received, skew, headers)
        except ExchangeError as refused:
            if refused.http_status in _LIMITED:
                headers |= self.limits.retry_after(now)
            return _refuse(refused, headers)
        except Exception as fault:  # a bug here must not take the server down
            log.exception("the local exchange failed on %s %s", request.method, request.path)
            self.internal_errors.append(fault)
            return _refuse(UNKNOWN.error(), headers)
        return HttpAnswer(200, msgspec.json.encode(result), headers)

    def _run(self, request: RawRequest, received: int, skew: int, headers: dict[str, str]) -> Json:
        engine = self._engine_of(request)
        engine.run_due()
        route = _route(request, engine)
        api_key = self._admit(route, request, received, skew)
        counts = {}
        if route.counts_as_order:
            counts = self.limits.count_orders(route.ten_seconds, engine.now())
        result = route.handler(ApiCall(engine, Params(request.params), api_key, skew))
        headers |= counts
        return result

    def _engine_of(self, request: RawRequest) -> Exchange:
        return self.coin if self.coin is not None and request.path.startswith(COIN) else self.engine

    def _admit(self, route: Route, request: RawRequest, received: int, skew: int) -> str:
        if route.security is Security.NONE:
            return ""
        name = check_key(request, self.credentials)
        if route.security is Security.SIGNED:
            too_late = check_time(request, received + skew, self.engine.ahead)
            check_signature(request, as_api_key(self.credentials[name]).secret)
            if route.reaches_matching and self.engine.now() + skew > too_late:
                raise OUTSIDE_ENGINE_WINDOW.error()
        return name


def _route(request: RawRequest, engine: Exchange) -> Route:
    route = find_route(request.method, request.path, engine)
    if route is None:
        raise INVALID_PATH.error(request.path, request.method)
    return route


def _weight(request: RawRequest, engine: Exchange) -> int:
    route = find_route(request.method, request.path, engine)
    return route.weigh(Params(request.params)) if route else 1


def _refuse(refused: ExchangeError, headers: dict[str, str]) -> HttpAnswer:
    body = msgspec.json.encode(refused.payload())
    return HttpAnswer(refused.http_status, body, headers, refused.code)
