"""The service behind aiohttp: every path goes to it, and faults happen to the connection here."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from exit_shim.exchange.engine.errors import ILLEGAL_REQUEST, UNKNOWN
from exit_shim.exchange.ws.sockets import WebSockets

from .control import PREFIX, control
from .gate import HttpAnswer
from .request import RawRequest, printable
from .service import ExchangeService

log = logging.getLogger(__name__)
#: The largest body that is read, in bytes.
LARGEST_BODY = 4 * 1024 * 1024
#: Statuses from here on are for failures of the server itself.
OWN_FAULT = 500


class ExchangeRunner(web.ServerRunner):
    """Hand every request to `service`, whatever its path and method.

    Args:
        service: answers the requests.
        refuse: makes the server refuse connections for so many seconds.
    """

    # Not a web.Application: its router costs as much as the rest of the web server, and what no route can
    # match (CONNECT, *) would be answered by it.

    def __init__(self, service: ExchangeService, refuse: Callable[[float], None]) -> None:
        server = web.Server(self._handle, request_factory=_make_request)
        super().__init__(server, access_log=None, shutdown_timeout=0.1)
        self._service = service
        self._refuse = refuse
        self._sockets = WebSockets(service, drop=reset, refuse=refuse)

    async def shutdown(self) -> None:
        """Close every WebSocket."""
        await self._sockets.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._sockets.takes(request):
            return await self._sockets.serve(request)
        return await _serve(request, self._service, self._refuse)


def _make_request(
    message: RawRequestMessage,
    body: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, body, protocol, writer, task, loop, client_max_size=LARGEST_BODY)


async def _serve(
    request: web.BaseRequest, service: ExchangeService, refuse: Callable[[float], None]
) -> web.StreamResponse:
    try:
        sent = await read(request)
    except (web.RequestPayloadError, ConnectionError):
        return _make_refusal(400)
    if service.other_hosts is not None and (answer := await service.other_hosts(sent)) is not None:
        return _render(answer)
    if sent.path.startswith(PREFIX):
        return _render(control(service, sent))
    arrival = service.receive(sent)
    fault = arrival.fault
    if fault.delay:
        await asyncio.sleep(fault.delay)
    answer = service.act(arrival)
    if fault.answer_delay:
        await asyncio.sleep(fault.answer_delay)
    if fault.refuse_for:
        refuse(fault.refuse_for)
    if answer is None:
        reset(request.transport)
        return web.Response(status=500)
    if fault.trickle:
        return await _trickle(request, answer, fault.trickle)
    return _render(answer)


def _render(answer: HttpAnswer) -> web.Response:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


_BY_CLIENTS = (web.RequestPayloadError, ConnectionError)


class PoliteHandler(RequestHandler):
    """Answer malformed HTTP in the exchange's own form, without a log line."""

    __slots__ = ()

    def log_exception(self, *args: Any, **details: Any) -> None:
        """Log failures of the server, not what a client has sent or how it hung up."""
        error = details.get("exc_info") or sys.exc_info()[1]
        if not isinstance(error, _BY_CLIENTS):
            super().log_exception(*args, **details)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it is about the web server, not the exchange
    ) -> web.StreamResponse:
        """Return an error and close the connection."""
        if status >= OWN_FAULT and not isinstance(exc, _BY_CLIENTS):
            log.error("the local exchange failed on a connection of %s", request.remote, exc_info=exc)
        return _make_refusal(status)


class TlsHandler(PoliteHandler):
    """Serve a connection with TLS, and note a client that leaves without a request.

    So does one that compares the certificate with the only one that it accepts.

    Args:
        manager: the server of aiohttp.
        loop: the event loop.
        on_silence: called when the client leaves without a request.
    """

    __slots__ = ("_has_spoken", "_on_silence")

    def __init__(
        self, manager: web.Server, loop: asyncio.AbstractEventLoop, on_silence: Callable[[], None]
    ) -> None:
        super().__init__(manager, loop=loop, access_log=None)  # type: ignore[arg-type] # no log
        self._has_spoken = False
        self._on_silence = on_silence

    def data_received(self, data: bytes) -> None:
        """Handle what the client sends."""
        self._has_spoken = True
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Clean up after the client."""
        if not self._has_spoken:
            self._on_silence()
        super().connection_lost(exc)


def _make_refusal(status: int) -> web.Response:
    error = (ILLEGAL_REQUEST if status < OWN_FAULT else UNKNOWN).error()
    body = msgspec.json.encode(error.payload())
    answer = web.Response(status=status, body=body, content_type="application/json")
    answer.force_close()
    return answer


def reset(transport: asyncio.Transport | None) -> None:
    """Drop a connection so that its other end sees a reset, and not an orderly end."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def read(request: web.BaseRequest) -> RawRequest:
    """Return a request as it was sent, query and body unchanged.

    Raises:
        RequestPayloadError: when the body is not what its headers say.
    """
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = (await request.read()).decode(errors="replace") if request.body_exists else ""
    except web.HTTPRequestEntityTooLarge:
        body = ""
    # Not `rel_url`: it re-quotes, and a signature covers the very characters sent.
    query = request.raw_path.partition("?")[2]
    return RawRequest(
        method=printable(request.method),
        path=printable(request.path),
        query=printable(query),
        body=body,
        headers=request.headers,
        address=request.remote or "",
    )


async def _trickle(request: web.BaseRequest, answer: HttpAnswer, pause: float) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = answer.content_type
    response.content_length = len(answer.body)
    await response.prepare(request)
    for byte in answer.body:
        await response.write(bytes([byte]))
        await asyncio.sleep(pause)
    await response.write_eof()
    return response
