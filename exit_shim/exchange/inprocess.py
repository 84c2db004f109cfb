"""A requests session and an aiohttp-like session whose other end is a local exchange, without a socket."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import math
import time
from collections.abc import Generator, Iterable, Mapping
from types import SimpleNamespace, TracebackType
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import aiohttp
import requests
from multidict import CIMultiDict
from requests.adapters import BaseAdapter
from requests.utils import get_encoding_from_headers
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from exit_shim.exchange.http.gate import HttpAnswer
from exit_shim.exchange.http.request import RawRequest
from exit_shim.exchange.server import LocalExchange


class Wire:
    """The connection between a client and the exchange, on which injected faults happen.

    `ask` yields the seconds to wait, so that each session waits in its own way.
    """

    def __init__(self, exchange: LocalExchange) -> None:
        self._service = exchange.service
        self._refused_until = 0.0

    def ask(self, request: RawRequest, patience: object) -> Generator[float, None, HttpAnswer]:
        """Send a request and return its answer.

        Raises:
            ConnectionRefusedError: nothing listens at the moment.
            ConnectionResetError: no answer leaves.
            TimeoutError: the answer takes longer than `patience` seconds.
        """
        if time.monotonic() < self._refused_until:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        time_limit = _seconds(patience)
        arrival = self._service.receive(request)
        fault = arrival.fault
        yield min(fault.delay, time_limit)
        # The exchange acts on what it has taken in, though the client may have given up by then.
        answer = self._service.act(arrival)
        if fault.refuse_for:
            self._refused_until = time.monotonic() + fault.refuse_for
        answer_delay = fault.answer_delay + fault.trickle * len(answer.body if answer else b"")
        if fault.delay + answer_delay > time_limit:
            yield max(0.0, time_limit - fault.delay)
            raise TimeoutError(f"no answer within {time_limit} seconds")
        yield answer_delay
        if answer is None:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return answer


class InProcessSession(requests.Session):
    """Answer every prepared request of a requests session by `exchange`, whatever its host.

    Adapters that are mounted on it, as bots do for retries, are never asked.
    """

    def __init__(self, exchange: LocalExchange) -> None:
        super().__init__()
        self.trust_env = False
        self._way = _Adapter(Wire(exchange))

    def get_adapter(self, url: str | bytes) -> BaseAdapter:  # noqa: ARG002 - all hosts are one
        """Return the connection to the exchange."""
        return self._way


class _Adapter(BaseAdapter):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - the base's
        timeout: Any = None,
        *_: Any,
        **__: Any,
    ) -> requests.Response:
        url = request.url or ""
        headers = {name: _text(value) for name, value in request.headers.items()}
        answering = self._wire.ask(
            _raw(request.method or "", url, _text(request.body or ""), headers), timeout
        )
        try:
            answer = _wait_for_answer(answering)
        except ConnectionRefusedError as refused:
            reason = NewConnectionError(None, f"Failed to establish a new connection: {refused}")  # type: ignore[arg-type]
            raise requests.ConnectionError(MaxRetryError(None, url, reason), request=request) from refused  # type: ignore[arg-type]
        except ConnectionResetError as reset:
            raise requests.ConnectionError(
                ProtocolError("Connection aborted.", reset), request=request
            ) from reset
        except TimeoutError as late:
            raise requests.ReadTimeout(f"Read timed out. (read timeout={timeout})", request=request) from late
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update({"Content-Type": answer.content_type, **answer.headers})
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = io.BytesIO(answer.body)
        response.url = url
        response.request = request
        return response

    def close(self) -> None:
        """Do nothing, since nothing is open."""


def _wait_for_answer(answering: Generator[float, None, HttpAnswer]) -> HttpAnswer:
    while True:
        try:
            pause = next(answering)
        except StopIteration as done:
            answer: HttpAnswer = done.value
            return answer
        if pause:
            time.sleep(pause)


class InProcessAsyncSession:
    """Answer the requests of `AsyncClient` by `exchange`, as an aiohttp session would."""

    def __init__(self, exchange: LocalExchange, headers: Mapping[str, str]) -> None:
        self.headers = CIMultiDict(headers)
        self.closed = False
        self._wire = Wire(exchange)

    def get(self, url: object, **options: Any) -> InProcessRequest:
        """Send a GET request."""
        return self.request("GET", url, **options)

    def post(self, url: object, **options: Any) -> InProcessRequest:
        """Send a POST request."""
        return self.request("POST", url, **options)

    def put(self, url: object, **options: Any) -> InProcessRequest:
        """Send a PUT request."""
        return self.request("PUT", url, **options)

    def delete(self, url: object, **options: Any) -> InProcessRequest:
        """Send a DELETE request."""
        return self.request("DELETE", url, **options)

    def request(
        self,
        method: str,
        url: object,
        *,
        params: str | None = None,
        data: str | Iterable[tuple[str, str]] | None = None,
        **options: Any,
    ) -> InProcessRequest:
        """Return the context in which the answer is read; `options` may have headers and timeout."""
        if self.closed:
            # aiohttp's words.
            raise RuntimeError("Session is closed")
        address = f"{url}?{params}" if params else str(url)
        body = data if isinstance(data, str) else urlencode(list(data or ()), doseq=True)
        headers = {**self.headers, **(options.get("headers") or {})}
        return InProcessRequest(
            self._wire, _raw(method, address, body, headers), address, options.get("timeout")
        )

    async def close(self) -> None:
        """Refuse every request from now on."""
        self.closed = True


class InProcessRequest:
    """Ask on entry (`async with session.get(…) as response`); other tasks run before and after."""

    def __init__(self, wire: Wire, request: RawRequest, url: str, timeout: object) -> None:
        self._asked = wire.ask(request, timeout)
        self._request = request
        self._url = url

    async def __aenter__(self) -> InProcessResponse:
        try:
            answer = await self._answer()
        except ConnectionRefusedError as refused:
            raise aiohttp.ClientConnectorError(self._peer(), refused) from refused
        except ConnectionResetError as reset:
            raise aiohttp.ClientOSError(*reset.args) from reset
        except TimeoutError as late:  # in Python 3.10 not yet the same as asyncio's
            raise asyncio.TimeoutError(*late.args) from late
        return InProcessResponse(answer, self._request.method, self._url)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def _answer(self) -> HttpAnswer:
        # Cancelled in the first wait, a task has sent nothing; in the second, it never learns the answer.
        while True:
            try:
                pause = next(self._asked)
            except StopIteration as done:
                answer: HttpAnswer = done.value
                return answer
            await asyncio.sleep(pause)

    def _peer(self) -> Any:
        address = urlsplit(self._url)
        return SimpleNamespace(host=address.hostname, port=address.port or 443, ssl=True, is_ssl=True)


class InProcessResponse:
    """An aiohttp response, as far as bots and `AsyncClient` read it."""

    def __init__(self, answer: HttpAnswer, method: str, url: str) -> None:
        self.status = answer.status
        self.ok = answer.status < 400  # noqa: PLR2004 - aiohttp's rule
        self.headers = CIMultiDict({"Content-Type": answer.content_type, **answer.headers})
        self.content_type = answer.content_type
        self.method = method
        self.url = url
        self._body = answer.body

    async def read(self) -> bytes:
        """Return the body."""
        return self._body

    async def text(self) -> str:
        """Return the body as text."""
        return self._body.decode()

    async def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self._body)


def _seconds(timeout: Any) -> float:
    """Return the seconds to wait for an answer, of requests' or aiohttp's form of a time limit."""
    if isinstance(timeout, tuple):
        timeout = timeout[-1]
    seconds = getattr(timeout, "total", timeout)
    return float(seconds) if isinstance(seconds, (int, float)) else math.inf


def _raw(method: str, url: str, body: str, headers: Mapping[str, str]) -> RawRequest:
    address = urlsplit(url)
    return RawRequest(
        method=method.upper(),
        path=unquote(address.path),
        query=address.query,
        body=body,
        headers={name.lower(): value for name, value in headers.items()},
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
