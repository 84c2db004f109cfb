"""The steps of a request, without a web server: limits, route, key, time, signature, handler, answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import msgspec

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.errors import (
    INVALID_PATH,
    OUTSIDE_ENGINE_WINDOW,
    RETIRED_PATH,
    UNKNOWN,
    UNSUPPORTED,
    ExchangeError,
)
from exit_shim.exchange.engine.params import Params
from exit_shim.exchange.unanswered import UnansweredLog

from .api_call import ApiCall, Json
from .auth import Credentials, as_api_key, check_key, check_signature, check_time
from .rate_limits import FUTURES_POOL, SPOT_POOL, WALLET_POOL, RateLimits
from .refused import RETIRED, find_gone, find_refusal
from .request import RawRequest
from .route import Route, Security
from .routes import find_route, is_of_coin

__all__ = ["Credentials", "Gate", "HttpAnswer"]

log = logging.getLogger(__name__)
_LIMITED = frozenset({418, 429})


class HttpAnswer(msgspec.Struct, frozen=True):
    """An HTTP answer; `code` is that of its error, if any."""

    status: int
    body: bytes
    headers: dict[str, str] = {}
    code: int | None = None
    content_type: str = "application/json"


class Gate:
    """Answer requests with one engine: limits, route, key, time, signature, handler.

    Args:
        engine: the exchange behind it.
        credentials: API keys and their secrets; may grow while the gate is in use.
        coin: the exchange behind /dapi; none by default.
        rate_limits: whether limits are enforced; they are counted and reported anyway.
        any_key: whether API keys that nobody registered are accepted, too.

    Attributes:
        on_unknown_secret: called with each request of a key with an unknown secret; nothing by default.
    """

    def __init__(
        self,
        engine: Exchange,
        credentials: Credentials,
        *,
        coin: Exchange | None = None,
        rate_limits: bool = True,
        any_key: bool = False,
    ) -> None:
        self.engine = engine
        self._any_key = any_key
        self.on_unknown_secret: Callable[[RawRequest], None] = _ignore
        self.coin = coin
        self.credentials = credentials
        self.limits = RateLimits(enforced=rate_limits, pool=FUTURES_POOL)
        self.spot_limits = RateLimits(enforced=rate_limits, pool=SPOT_POOL)
        self.wallet_limits = RateLimits(enforced=rate_limits, pool=WALLET_POOL)
        #: The requests for what the exchange lacks.
        self.unanswered = UnansweredLog()
        for served in (engine, coin):
            if served is not None:
                served.state.note_symbol = partial(self.unanswered.note, "symbol")
        #: Errors that are the exchange's own fault; a test that finds one here has found a bug.
        self.internal_errors: list[Exception] = []

    def answer(self, request: RawRequest, received: int | None = None, skew: int = 0) -> HttpAnswer:
        """Answer any request; a failure is answered as an error in the exchange's form.

        Args:
            request: the request as it arrived.
            received: when it arrived, if that was not now; its timestamp is held against that time.
            skew: how many milliseconds the clock is off that its timestamp is held against.
        """
        # One operation has one time, whatever the clock does meanwhile.
        now = self.engine.now()
        engine, limits = self._engine_of(request), self._limits_of(request)
        route = find_route(request.method, request.path, engine)
        params = Params(request.params)
        used, headers = limits.count_weight(route.weigh(params) if route else 1, now)
        try:
            limits.require_weight(used, now, request.address)
            endpoint = self._require_route(route, request)
            api_key = self._admit(
                endpoint, request, (now if received is None else received) + skew, now + skew
            )
            key = as_api_key(self.credentials[api_key]) if api_key else None
            result = self._run(endpoint, ApiCall(engine, params, api_key, skew, key), headers, now)
        except ExchangeError as refused:
            if refused.http_status in _LIMITED:
                headers |= limits.retry_after(now)
            if refused.code == UNSUPPORTED.code:
                self._note_missing(request, UNSUPPORTED.reason_of(refused))
            return _refuse(refused, headers)
        except Exception as fault:  # a bug here must not take the server down
            log.exception("the local exchange failed on %s %s", request.method, request.path)
            self.internal_errors.append(fault)
            return _refuse(UNKNOWN.error(), headers)
        return HttpAnswer(200, msgspec.json.encode(result), headers)

    def _require_route(self, route: Route | None, request: RawRequest) -> Route:
        if route is not None:
            return route
        reason = find_refusal(request.method, request.path)
        if reason is not None:
            raise UNSUPPORTED.error(reason)
        asked = f"{request.method} {request.path}"
        if asked in RETIRED:
            error = RETIRED_PATH.error(asked, RETIRED[asked])
            self._note_missing(request, error.msg)
            raise error
        self._note_missing(request, find_gone(request.method, request.path) or "")
        raise INVALID_PATH.error(request.path, request.method)

    def _note_missing(self, request: RawRequest, reason: str) -> None:
        self.unanswered.note("endpoint", f"{request.method} {request.path}", reason)

    def _limits_of(self, request: RawRequest) -> RateLimits:
        if request.path.startswith("/api/"):
            return self.spot_limits
        return self.wallet_limits if request.path.startswith("/sapi/") else self.limits

    def _run(self, route: Route, call: ApiCall, headers: dict[str, str], now: int) -> Json:
        if call.engine is not self.engine:
            call.engine.run_due()
        counts = self.limits.count_orders(route.ten_seconds, now) if route.counts_as_order else {}
        result = route.handler(call)
        headers |= counts
        return result

    def _engine_of(self, request: RawRequest) -> Exchange:
        return self.coin if self.coin is not None and is_of_coin(request) else self.engine

    def _admit(self, route: Route, request: RawRequest, received: int, now: int) -> str:
        if route.security is Security.NONE:
            return ""
        name = check_key(request, self.credentials, any_key=self._any_key)
        secret = as_api_key(self.credentials[name]).secret
        if secret is None:
            self.on_unknown_secret(request)
        if route.security is Security.SIGNED:
            too_late = check_time(request, received, self.engine.ahead)
            check_signature(request, secret)
            if route.reaches_matching and now > too_late:
                raise OUTSIDE_ENGINE_WINDOW.error()
        return name


def _ignore(_: RawRequest) -> None:
    """Do nothing."""


def _refuse(refused: ExchangeError, headers: dict[str, str]) -> HttpAnswer:
    body = msgspec.json.encode(refused.payload())
    return HttpAnswer(refused.http_status, body, headers, refused.code)
