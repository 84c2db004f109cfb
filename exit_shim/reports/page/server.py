"""The web server of the page: answers GET and HEAD alone, and streams what changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Final, TypeAlias, TypeVar

from aiohttp import web

from exit_shim.reports.page.access import HEADERS, METHODS, OPEN_PATHS, Access, is_cross_site
from exit_shim.reports.page.watcher import Watcher

POLL_S: Final = 0.25
"""The pause between two looks at the record."""

BEAT_S: Final = 2.0
"""How often a browser hears that the server is there."""

SLOW_S: Final = 10.0
"""A browser that takes nothing for so long is left; it comes back by itself."""

MOST_STREAMS: Final = 32

FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/ladder.js": ("ladder.js", "text/javascript"),
    "/words.js": ("words.js", "text/javascript"),
    "/sign-in": ("sign-in.html", "text/html"),
    "/sign-in.js": ("sign-in.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""The files of the page: path, name and type."""

Returned = TypeVar("Returned")

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

ReadPage: TypeAlias = Callable[[], tuple[str, bytes]]
"""Makes one more page: returns its content type and its body; called on a thread."""


class PageServer:
    """Serve the page of one watcher.

    Args:
        watcher: What it shows.
        access: Who may read.
        pages: More pages, by their paths, such as "/metrics".
    """

    def __init__(self, watcher: Watcher, access: Access, pages: Mapping[str, ReadPage] | None = None) -> None:
        self._watcher = watcher
        self._access = access
        self._pages = dict(pages or {})
        self._worker = ThreadPoolExecutor(1, "exit-shim-page")
        self._changed = asyncio.Event()
        self._streams = 0
        self._is_stopping = False

    def make_app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._guard])
        app.on_response_prepare.append(add_headers)
        for path, (name, content_type) in FILES.items():
            app.router.add_get(path, serve_file(name, content_type))
        for path, read in self._pages.items():
            app.router.add_get(path, serve_page(read))
        app.router.add_get("/events", self._stream, allow_head=False)
        app.router.add_get("/session", self._start_session, allow_head=False)
        app.cleanup_ctx.append(self._follow)
        app.on_shutdown.append(self._end_streams)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse foreign hosts, other methods, and who has no token."""
        transport = request.transport
        local = None if transport is None else transport.get_extra_info("sockname")
        if not self._access.knows_host(request.headers.get("Host", ""), local[0] if local else None):
            return plain_answer(421, "This server has another name; --allow-host adds one.")
        if request.method not in METHODS:
            return plain_answer(405, "This page only reads.", Allow="GET, HEAD")
        if is_cross_site(request.headers):
            return plain_answer(403, "Other sites may not read this page.")
        is_open = request.path in OPEN_PATHS or request.path == "/session"
        authorization = request.headers.get("Authorization", "")
        if not is_open and not self._access.admits(request.cookies, authorization):
            if request.path == "/":
                return web.Response(status=401, body=read_file("sign-in.html"), content_type="text/html")
            return plain_answer(401, "Sign in with the token that `exit-shim serve` printed.")
        return await handler(request)

    async def _start_session(self, request: web.Request) -> web.StreamResponse:
        """Give a browser that knows the token its cookie."""
        if not self._access.is_token(request.headers.get("Authorization", "")):
            return plain_answer(401, "That is not the token.")
        response = web.Response(status=204)
        response.set_cookie(
            self._access.cookie_name, self._access.cookie_value, httponly=True, samesite="Strict", path="/"
        )
        return response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send what changes, as server-sent events, until either side ends."""
        if self._streams >= MOST_STREAMS:
            return plain_answer(503, f"{MOST_STREAMS} browsers are listening already.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._streams += 1
        try:
            await response.prepare(request)
            await self._send_changes(request, response)
        except (ConnectionError, asyncio.TimeoutError):
            pass
        finally:
            self._streams -= 1
        return response

    async def _send_changes(self, request: web.Request, response: web.StreamResponse) -> None:
        key = request.query.get("show", "")
        event_id = request.headers.get("Last-Event-ID") or request.query.get("after")
        number = -1
        await send(response, b"retry: 1000\n\n" + self._watcher.beat())
        while not self._is_stopping:
            changed = self._changed
            if number == self._watcher.number:
                message = self._watcher.beat()
            else:
                number, event_id, message = await self._on_worker(self._watcher.read_since, event_id, key)
            await send(response, message)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(changed.wait(), BEAT_S)

    async def _follow(self, app: web.Application) -> AsyncIterator[None]:  # noqa: ARG002 - aiohttp's signature
        task = asyncio.create_task(self._keep_reading())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._worker.shutdown(wait=True, cancel_futures=True)

    async def _keep_reading(self) -> None:
        while True:
            if await self._on_worker(self._watcher.step):
                self._wake()
            await asyncio.sleep(POLL_S)

    def _wake(self) -> None:
        # Each stream waits for the event that it has seen; the next one is another.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _end_streams(self, app: web.Application) -> None:  # noqa: ARG002 - aiohttp's signature
        self._is_stopping = True
        self._wake()

    async def _on_worker(self, act: Callable[..., Returned], *args: object) -> Returned:
        return await asyncio.get_running_loop().run_in_executor(self._worker, act, *args)


async def send(response: web.StreamResponse, message: bytes) -> None:
    """Write to a browser; raise TimeoutError where it takes nothing."""
    await asyncio.wait_for(response.write(message), SLOW_S)


def plain_answer(status: int, text: str, **headers: str) -> web.Response:
    """Return an answer of one line."""
    return web.Response(status=status, text=f"{text}\n", headers=headers)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001
    """Put the headers on every answer that say what a browser may do with it."""
    response.headers.update(HEADERS)


def read_file(name: str) -> bytes:
    """Return a file of the page."""
    return files(__package__).joinpath(name).read_bytes()


def serve_file(name: str, content_type: str) -> Handler:
    """Return the handler that answers with a file of the page."""
    body = read_file(name)

    async def answer(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - aiohttp's signature
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return answer


def serve_page(read: ReadPage) -> Handler:
    """Return the handler that answers with what a function makes."""

    async def answer(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - aiohttp's signature
        content_type, body = await asyncio.to_thread(read)
        return web.Response(body=body, headers={"Content-Type": content_type})

    return answer
