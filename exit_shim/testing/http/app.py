"""The gate behind aiohttp."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from .gate import Answer
from .request import RawRequest

Serve = Callable[[RawRequest], Answer]


def make_app(serve: Serve) -> web.Application:
    """Return a web application that hands every request to `serve`, whatever its path and method."""

    async def handle(request: web.Request) -> web.Response:
        answer = serve(await read(request))
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            content_type="application/json",
        )

    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


async def read(request: web.Request) -> RawRequest:
    """Take over what arrived, with query and body as they were sent."""
    try:
        body = (await request.read()).decode(errors="replace")
    except web.HTTPRequestEntityTooLarge:
        body = ""
    # Not `rel_url`: it re-quotes, and a signature covers the very characters sent.
    query = request.raw_path.partition("?")[2]
    return RawRequest(
        method=_printable(request.method),
        path=_printable(request.path),
        query=_printable(query),
        body=body,
        headers={name.lower(): value for name, value in request.headers.items()},
    )


def _printable(text: str) -> str:
    # The server hands bytes that are no UTF-8 on as lone surrogates, which JSON cannot carry back.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
