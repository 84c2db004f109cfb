"""The WebSocket faces behind aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from exit_shim.exchange.http.control import is_from_own_page
from exit_shim.exchange.http.request import printable
from exit_shim.exchange.http.service import ExchangeService

from .addresses import StreamAddress, read_address
from .api import ApiError, ApiRequest, read_request, render_reply
from .hub import StreamHub
from .message_queue import MessageQueue
from .methods import API_METHODS, SILENT_METHODS
from .subscriptions import NO_SPOT_ACCOUNT_EVENTS, USER_DATA

#: Seconds between two pings of the server (Binance documentation, WebSocket connections).
PING_INTERVAL = 180
#: Bytes of the largest message that a client may send.
LARGEST_MESSAGE = 64 * 1024
#: Seconds that a closing connection waits for the client to say goodbye.
GOODBYE = 0.1

Drop = Callable[[asyncio.Transport | None], None]


class WebSockets:
    """Serve every WebSocket of one exchange.

    Args:
        service: answers the requests.
        drop: resets a connection.
        refuse: makes the server refuse connections for so many seconds.
    """

    def __init__(self, service: ExchangeService, drop: Drop, refuse: Callable[[float], None]) -> None:
        self._service = service
        self._drop = drop
        self._refuse = refuse
        self._hub = StreamHub(service)
        self._open: set[web.WebSocketResponse] = set()

    def takes(self, request: web.BaseRequest) -> bool:
        """Return whether a request asks for a WebSocket at an address that has one."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return False
        has_address = request.path in API_METHODS or read_address(request.path, "") is not None
        return has_address and _socket().can_prepare(request).ok

    async def serve(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """Serve one connection until it closes."""
        socket = _socket()
        self._open.add(socket)
        try:
            query = request.raw_path.partition("?")[2]
            address = read_address(printable(request.path), query, request.host)
            if address is None:
                await self._serve_api(request, socket)
            else:
                await self._serve_stream(request, socket, address)
        except ConnectionError:
            # The client is gone.
            pass
        finally:
            self._open.discard(socket)
        return socket

    async def close(self) -> None:
        """Close every connection."""
        goodbyes = (socket.close(code=WSCloseCode.GOING_AWAY) for socket in tuple(self._open))
        await asyncio.gather(*goodbyes, return_exceptions=True)

    async def _serve_stream(
        self, request: web.BaseRequest, socket: web.WebSocketResponse, address: StreamAddress
    ) -> None:
        queue = MessageQueue(asyncio.get_running_loop(), lambda: self._drop(request.transport))
        # Connected before the handshake is answered: what happens once the client knows is not missed.
        connection = self._hub.connect(address, queue)
        try:
            await socket.prepare(request)
            sending = asyncio.create_task(_deliver(queue, socket))
            try:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        await socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
                        break
                    self._hub.handle_message(connection, message.data)
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending
        finally:
            self._hub.disconnect(connection)

    async def _serve_api(self, request: web.BaseRequest, socket: web.WebSocketResponse) -> None:
        # A browser lets any page open a WebSocket. Some clients name the host itself as the origin.
        origin = urlsplit(request.headers.get("Origin", "")).netloc
        if origin != request.host and not is_from_own_page(request.headers):
            raise web.HTTPForbidden
        await socket.prepare(request)
        shows_limits = request.query.get("returnRateLimits", "true").lower() == "true"
        methods = API_METHODS[request.path]
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                await socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
                break
            try:
                asked = read_request(message.data, shows_limits=shows_limits, methods=methods)
                if asked.method in SILENT_METHODS:
                    self._service.gate.unanswered.note("stream", USER_DATA, NO_SPOT_ACCOUNT_EVENTS)
                reply = await self._answer(asked)
            except ApiError as refused:
                reply = refused.answer
                refused.note(self._service.gate.unanswered)
            if reply is None:
                self._drop(request.transport)
                break
            await socket.send_str(reply)

    async def _answer(self, request: ApiRequest) -> str | None:
        arrival = self._service.receive(request.http)
        await asyncio.sleep(arrival.fault.delay)
        answer = self._service.act(arrival)
        await asyncio.sleep(arrival.fault.answer_delay)
        if arrival.fault.refuse_for:
            self._refuse(arrival.fault.refuse_for)
        return None if answer is None else render_reply(request, answer)


async def _deliver(queue: MessageQueue, socket: web.WebSocketResponse) -> None:
    # The client is gone.
    with contextlib.suppress(ConnectionError):
        await queue.deliver(socket)
        await socket.close()


def _socket() -> web.WebSocketResponse:
    return web.WebSocketResponse(
        timeout=GOODBYE, heartbeat=PING_INTERVAL, compress=False, max_msg_size=LARGEST_MESSAGE
    )
