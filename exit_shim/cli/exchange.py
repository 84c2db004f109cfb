"""`exit-shim exchange`: the local exchange on a port of its own."""

import signal
import threading
from pathlib import Path

import click

from exit_shim.testing import LocalExchange, StaticMarket, WalkingMarket
from exit_shim.testing.pointing import LOCAL_KEY, LOCAL_SECRET

POINTING = """\
listening on {url}, key {key!r}, secret {secret!r}

python-binance   Client.API_URL = "{url}/api"; Client.FUTURES_URL = "{url}/fapi"
                 client = Client({key!r}, {secret!r})
Binance's SDK    UMFutures(key={key!r}, secret={secret!r}, base_url="{url}")
ccxt             ex = ccxt.binanceusdm({{"apiKey": {key!r}, "secret": {secret!r},
                                        "options": {{"fetchCurrencies": False}}}})
                 ex.urls["api"] = {{k: "{url}/" + v.split("/", 3)[3] for k, v in ex.urls["api"].items()
                                   if isinstance(v, str)}}
"""


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Where to listen; 0 for any free port."
)
@click.option("--seed", type=int, help="A market that takes a seeded step whenever a price is asked for.")
@click.option("--mode", type=click.Choice(["one-way", "hedge"]), default="one-way", help="Position mode.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="Go on from FILE; save to it.")
@click.option("--no-limits", is_flag=True, help="Without request and order rate limits.")
def exchange(*, port: int, seed: int | None, mode: str, state: Path | None, no_limits: bool) -> None:
    """Start a local USDⓈ-M futures exchange on 127.0.0.1, until Ctrl-C."""
    local = LocalExchange(
        port=port,
        market=StaticMarket() if seed is None else WalkingMarket(seed=seed),
        hedge_mode=mode == "hedge",
        state=state,
        rate_limits=not no_limits,
    )
    try:
        local.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}") from error
    click.echo(POINTING.format(url=local.url, key=LOCAL_KEY, secret=LOCAL_SECRET))
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())  # so that the state is saved then too
    try:
        stopped.wait()
    except KeyboardInterrupt:
        click.echo("stopped")
    finally:
        local.stop()
        if state is not None:
            local.save()
