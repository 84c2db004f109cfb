"""A python-binance client of the exchange that a command asks, for `audit` and `reconcile`."""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import click

from exit_shim.clients.accounts import label_of
from exit_shim.domain.accounts import exchange_of
from exit_shim.runtime.scrubbing import describe, secrets_of
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

KEY_VARIABLE, SECRET_VARIABLE = "BINANCE_API_KEY", "BINANCE_API_SECRET"

LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "::1")


class Credentials(NamedTuple):
    """An API key with its secret."""

    key: str
    secret: str


class LocalUrl(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """The address of a local exchange: http://127.0.0.1:8080, or without the scheme."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return scheme, host and port; refuse another machine, which would see signed requests."""
        expected = f"expected http://HOST:PORT, HOST one of {', '.join(LOCAL_HOSTS)}"
        url = value if "://" in value else f"http://{value}"
        try:
            parts = urlsplit(url)
            is_address = parts.scheme in {"http", "https"} and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address or not parts.hostname:
            self.fail(f"{value!r} is not an address; {expected}", param, ctx)
        if parts.hostname not in LOCAL_HOSTS:
            self.fail(f"{value!r} is not on this machine; {expected}", param, ctx)
        return url


def exchange_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose the exchange; Binance's live one without any."""
    for option in (
        click.option("--demo", is_flag=True, help="Ask Binance's demo exchange, as Client(demo=True) does."),
        click.option("--testnet", is_flag=True, help="Ask the testnet, as Client(testnet=True) does."),
        click.option(
            "--local",
            type=LocalUrl(),
            metavar="URL",
            help="Ask a local exchange at URL or HOST:PORT on this machine.",
        ),
    ):
        command = option(command)
    return command


def check_exchange(local: str | None, *, testnet: bool, demo: bool) -> None:
    """Refuse to ask more than one exchange."""
    if (local is not None) + testnet + demo > 1:
        raise click.UsageError("--local, --testnet and --demo are three exchanges; give one, or none")


def find_credentials(local: str | None) -> Credentials | None:
    """Return the key of the environment, or that of a local exchange; None where there is none."""
    key = os.environ.get(KEY_VARIABLE) or (LOCAL_KEY if local else "")
    secret = os.environ.get(SECRET_VARIABLE) or (LOCAL_SECRET if local else "")
    return Credentials(key, secret) if key and secret else None


@contextlib.contextmanager
def open_client(
    credentials: Credentials, local: str | None, *, testnet: bool = False, demo: bool = False
) -> Iterator[Any]:
    """Open a genuine client; old releases of python-binance send a ping, newer ones nothing."""
    import binance  # noqa: PLC0415 - heavy, and only needed here

    parameters = inspect.signature(binance.Client).parameters
    options = {"ping": False} if "ping" in parameters else {}
    flags = {name: True for name, is_set in (("testnet", testnet), ("demo", demo)) if is_set}
    if not set(flags) <= set(parameters):
        raise click.UsageError(f"the installed python-binance has no {', '.join(flags)}")
    with contextlib.ExitStack() as undo:
        if local is not None:
            undo.enter_context(redirect_clients(local, lambda *_: None))
        client = binance.Client(*credentials, **flags, **options)
        undo.callback(close_client, client)
        if flags and not exchange_of(label_of(client)):
            raise click.UsageError(
                f"the installed python-binance sends futures orders of {', '.join(flags)} to live"
            )
        yield client


def describe_failure(error: Exception, client: Any) -> str:
    """Return type, code, text and HTTP status of a failed request, without the client's secrets."""
    status = getattr(error, "status_code", None)
    return describe(error, secrets_of(client, {})) + (f" (HTTP {status})" if status else "")
