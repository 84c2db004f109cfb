"""`exit-shim exchange`: the local exchange on a port of its own."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from exit_shim.cli.exchange_control import advance_time, fill_order, set_price, show_state
from exit_shim.cli.output import say
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

if TYPE_CHECKING:
    from exit_shim.testing import LocalExchange

HOW_TO_CONNECT: Final = """\
listening on {url}, key {key!r}, secret {secret!r}

python-binance   Client.API_URL = "{url}/api"; Client.FUTURES_URL = "{url}/fapi"
                 client = Client({key!r}, {secret!r})
Binance's SDK    UMFutures(key={key!r}, secret={secret!r}, base_url="{url}")
ccxt             ex = ccxt.binanceusdm({{"apiKey": {key!r}, "secret": {secret!r},
                                        "options": {{"fetchCurrencies": False}}}})
                 ex.urls["api"] = {{k: "{url}/" + v.split("/", 3)[3] for k, v in ex.urls["api"].items()
                                   if isinstance(v, str)}}
"""


@click.group(invoke_without_command=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Listen on this port; 0 for any free one."
)
@click.option("--seed", type=int, help="Move prices by seeded random steps; without it they stand still.")
@click.option("--mode", type=click.Choice(["one-way", "hedge"]), default="one-way", help="Position mode.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Load the state from FILE and save it there.",
)
@click.option(
    "--lenient-reduce-only",
    is_flag=True,
    help="Let orders that close share the position in place of occupying it.",
)
@click.option("--no-limits", is_flag=True, help="Apply no request and order rate limits.")
@click.pass_context
def exchange(  # noqa: PLR0913 - the options of the command
    ctx: click.Context,
    *,
    port: int,
    seed: int | None,
    mode: str,
    state: Path | None,
    lenient_reduce_only: bool,
    no_limits: bool,
) -> None:
    """Start a local futures exchange on 127.0.0.1.

    It behaves like Binance's USDⓈ-M futures and runs until Ctrl-C. It prints how to connect a client. The
    commands below control one that runs.
    """
    if ctx.invoked_subcommand is not None:
        return
    local = load_exchange(
        seed,
        state,
        port=port,
        hedge_mode=mode == "hedge",
        strict_reduce_only=not lenient_reduce_only,
        rate_limits=not no_limits,
    )
    try:
        local.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}") from error
    say(*HOW_TO_CONNECT.format(url=local.url, key=LOCAL_KEY, secret=LOCAL_SECRET).split("\n"))
    stopped = threading.Event()
    # The state must be saved on SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        stopped.wait()
    except KeyboardInterrupt:
        say("stopped")
    finally:
        local.stop()
        if state is not None:
            local.save()


for control in (set_price, fill_order, advance_time, show_state):
    exchange.add_command(control)


def load_exchange(seed: int | None, state: Path | None, **options: Any) -> "LocalExchange":
    """Return the exchange with the state of a file; refuse a file that cannot be read or saved."""
    from exit_shim.testing import LocalExchange, StaticMarket, WalkingMarket  # noqa: PLC0415 - a web server

    try:
        local = LocalExchange(
            market=StaticMarket() if seed is None else WalkingMarket(seed=seed),
            seed=seed or 0,
            state=state,
            # As on the real one, time passes while a stop fires: requests come in between.
            trigger_delay=(17, 400),
            **options,
        )
        if state is not None:
            local.save()
    except OSError as error:
        raise click.ClickException(
            f"the state cannot be saved to '{state}': {error.strerror or error}; name a file in a folder "
            "that this user can write"
        ) from error
    except ValueError as error:
        raise click.ClickException(f"{error}; expected a file that `exchange --state` has saved") from error
    return local
