"""`exit-shim exchange`: the local exchange on a port of its own."""

import threading

import click

from exit_shim.testing import LocalExchange
from exit_shim.testing.pointing import LOCAL_KEY, LOCAL_SECRET


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Where to listen; 0 for any free port."
)
def exchange(*, port: int) -> None:
    """Start a local USDⓈ-M futures exchange on 127.0.0.1, until Ctrl-C."""
    local = LocalExchange(port=port)
    try:
        local.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}") from error
    click.echo(f"listening on {local.url}, key {LOCAL_KEY!r}, secret {LOCAL_SECRET!r}; python-binance:")
    click.echo(f"  Client.API_URL, Client.FUTURES_URL = '{local.url}/api', '{local.url}/fapi'")
    click.echo(f"  client = Client({LOCAL_KEY!r}, {LOCAL_SECRET!r})")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("stopped")
    finally:
        local.stop()
