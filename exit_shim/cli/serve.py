"""`exit-shim serve`: the live page."""

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from exit_shim.cli.clock import NANOSECONDS, UNITS, clock_of
from exit_shim.cli.filters import OPTIONS, Selection, select
from exit_shim.cli.output import say
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.journal import RecordSource
from exit_shim.sinks.prometheus import Exporter

if TYPE_CHECKING:
    from exit_shim.reports.page.access import Access
    from exit_shim.reports.page.server import PageServer, ReadPage
    from exit_shim.reports.page.views import OwnerOf

TOKEN_VARIABLE: Final = "EXIT_SHIM_PAGE_TOKEN"  # noqa: S105 - the name of a variable

SHORTEST_S: Final = 60
LONGEST_S: Final = 7 * 86_400

MOST_DIGITS: Final = 7

WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - what a user may ask for


class Age(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A time back from now: 90s, 15m, 2h, 7d."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds."""
        if isinstance(value, int):
            return value
        number, unit = value[:-1], UNITS.get(value[-1:])
        if not (unit and number.isascii() and number.isdecimal() and len(number) <= MOST_DIGITS):
            self.fail(f"{value!r} is not an age; expected 90s, 15m, 2h or 7d", param, ctx)
        seconds = int(timedelta(**{unit: int(number)}).total_seconds())
        if not SHORTEST_S <= seconds <= LONGEST_S:
            self.fail(f"{value!r} is not between 60s and 7d", param, ctx)
        return seconds * NANOSECONDS


@click.command()
@click.option(
    "--bind", "address", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Listen here."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: a free one.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="Let browsers call this server NAME too.")
@click.option("--window", type=Age(), default="24h", show_default=True, metavar="AGE", help="Go back so far.")
@OPTIONS["journal"]
@OPTIONS["dsn"]
@OPTIONS["account"]
@OPTIONS["host"]
@OPTIONS["run"]
@OPTIONS["symbol"]
def serve(
    *,
    address: str,
    port: int,
    allow_host: tuple[str, ...],
    window: int,
    **filters: str | None,
) -> None:
    """Show positions, exits and findings live, in a browser.

    The page only reads: nothing can be switched or sent from it. Where it listens on another address than
    this machine's own, a browser needs the token that is printed at the start, or EXIT_SHIM_PAGE_TOKEN.
    """
    with readable_journal_errors():
        selection = select(clock_of(click.get_current_context()), **filters)
    with contextlib.closing(listen(address, port)) as listening:
        access = make_access(address, listening.getsockname()[1], allow_host)
        from exit_shim.reports.page.server import PageServer  # noqa: PLC0415 - aiohttp takes a while
        from exit_shim.reports.page.watcher import Watcher  # noqa: PLC0415 - as above

        watcher = Watcher(selection.source, selection.wanted, window, find_owner())
        server = PageServer(watcher, access, make_pages(selection.source))
        say(*opening_lines(address, access, selection))
        asyncio.run(run_until_stopped(server, listening))
        say("stopped")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; end the command where that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        # A name that cannot be resolved has a number below zero.
        if (error.errno or 0) < 0 or error.errno == errno.EADDRNOTAVAIL:
            raise click.UsageError(f"--bind {host!r} is not an address of this machine") from error
        hint = "; name another --port" if error.errno == errno.EADDRINUSE else ""
        # Python adds the address to the text of the error.
        why = os.strerror(error.errno) if error.errno else error
        raise click.ClickException(f"cannot listen on {host}:{port}: {why}{hint}") from error


def make_access(host: str, port: int, more: tuple[str, ...]) -> "Access":
    """Return who may read: everybody on this machine, else who has the token."""
    from exit_shim.reports.page.access import (  # noqa: PLC0415 - a command loads what it needs
        SHORTEST_TOKEN,
        Access,
        allowed_hosts,
        is_loopback,
    )

    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise click.UsageError(f"{TOKEN_VARIABLE} is too short; expected {SHORTEST_TOKEN} characters or more")
    if is_loopback(host):
        return Access(allowed_hosts(host, more), token, port)
    hosts = allowed_hosts(host, (*more, socket.gethostname()))
    return Access(hosts, token or secrets.token_urlsafe(24), port)


def opening_lines(host: str, access: "Access", selection: Selection) -> list[str]:
    """Return what is printed at the start; the only place where the token is shown."""
    name = socket.gethostname() if host in WILDCARDS else f"[{host}]" if ":" in host else host
    url = f"http://{name}:{access.port}/"
    filters = "".join(f", {option} {text}" for option, text in selection.given.items())
    lines = [f"follows {selection.source.name}{filters}"]
    if access.token is None:
        return [f"serving {url}", *lines, "Ctrl-C stops it"]
    if os.environ.get(TOKEN_VARIABLE):
        return [f"serving {url}", *lines, f"the token is that of {TOKEN_VARIABLE}", "Ctrl-C stops it"]
    return [
        f"serving {url}#token={access.token}",
        *lines,
        "whoever has this address can read; HTTP is not encrypted, so use a tunnel or a proxy with TLS",
        "Ctrl-C stops it",
    ]


async def run_until_stopped(server: "PageServer", listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from aiohttp import web  # noqa: PLC0415 - takes a while

    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows' loops have no signal handlers; Ctrl-C ends asyncio.run there.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    # Requests are not logged: nobody reads that, and it must never have the token.
    runner = web.AppRunner(server.make_app(), access_log=None, shutdown_timeout=2.0, handle_signals=False)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        await stopped.wait()
    finally:
        await runner.cleanup()


def find_owner() -> "OwnerOf":
    """Return the function that says who should hold the stops of a symbol, by the policy in force here."""
    from exit_shim.configuration import chosen_policy  # noqa: PLC0415 - a command loads what it needs
    from exit_shim.guard.policy.compiled import find_scope  # noqa: PLC0415 - as above

    compiled = chosen_policy(None, None).compiled_policy

    def owner_of(symbol: str, mode: str) -> str | None:
        table = compiled.modes.get(mode)
        if table is None:
            return None
        _, scope = find_scope(table, symbol, "sl")
        owners = table.owners if scope is None or scope.owners is None else scope.owners
        return " or ".join(owners) if owners else None

    return owner_of


def make_pages(source: RecordSource) -> "Mapping[str, ReadPage]":
    """Return more pages to serve, by their paths: the metrics, where prometheus-client is installed."""
    try:
        exporter = Exporter(source)
    except ModuleNotFoundError:
        return {}

    def read_metrics() -> tuple[str, bytes]:
        body, content_type = exporter.render()
        return content_type, body

    return {"/metrics": read_metrics}
