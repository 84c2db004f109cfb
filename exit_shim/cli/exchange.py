"""`exit-shim exchange`: a local exchange as a process of its own."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from exit_shim.cli.exchange_control import (
    advance_time,
    choose_market,
    fill_order,
    set_book,
    set_price,
    show_state,
    trade,
)
from exit_shim.cli.exchange_faults import clear_faults, inject_fault, list_faults
from exit_shim.cli.exchange_records import (
    add_key,
    list_requests,
    list_unanswered,
    load_state,
    reset_state,
    save_state,
)
from exit_shim.cli.how_to_connect import describe_plain, describe_tls
from exit_shim.cli.market_options import MarketChoice, market_options
from exit_shim.cli.output import say

if TYPE_CHECKING:
    from exit_shim.exchange.authority import Authority
    from exit_shim.testing import LocalExchange


@click.group(invoke_without_command=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Listen on this port; 0 for any free one."
)
@click.option("--mode", type=click.Choice(["one-way", "hedge"]), default="one-way", help="Position mode.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Load the state from FILE and save it there.",
)
@click.option(
    "--lenient-reduce-only",
    is_flag=True,
    help="Let resting orders that close share the position instead of occupying it.",
)
@click.option("--no-limits", is_flag=True, help="Only count requests and orders; enforce no rate limit.")
@click.option("--any-key", is_flag=True, help="Accept every API key; only registered keys are checked.")
@click.option("--tls", is_flag=True, help="Also listen with TLS, on a second port.")
@click.option(
    "--tls-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="With --tls: its port; 0 for any free one.",
)
@click.option(
    "--tls-ca",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default="local-exchange-ca.pem",
    show_default=True,
    help="With --tls: the file for the certificate that clients must trust.",
)
@market_options
@click.pass_context
def exchange(  # noqa: PLR0913 - the options of the command
    ctx: click.Context,
    *,
    port: int,
    mode: str,
    state: Path | None,
    lenient_reduce_only: bool,
    no_limits: bool,
    any_key: bool,
    tls: bool,
    tls_port: int,
    tls_ca: Path,
    market_choice: MarketChoice,
) -> None:
    """Start a local futures exchange on 127.0.0.1.

    It follows the rules of Binance's USDⓈ-M futures, prints how to connect a client, and runs until Ctrl-C.
    The commands below control an exchange that runs.
    """
    if ctx.invoked_subcommand is not None:
        return
    local = load_exchange(
        state,
        **market_choice.exchange_arguments(),
        port=port,
        hedge_mode=mode == "hedge",
        strict_reduce_only=not lenient_reduce_only,
        rate_limits=not no_limits,
        any_key=any_key,
        tls=make_authority(tls_ca) if tls else None,
        tls_port=tls_port,
    )
    try:
        local.start()
    except OSError as error:
        ports = f"{port} and {tls_port}" if tls else port
        raise click.ClickException(
            f"cannot listen on 127.0.0.1:{ports}: {error.strerror or error}"
        ) from error
    say(*describe_plain(local.url))
    if tls:
        say(*describe_tls(local.tls_url, local.tls_port, tls_ca.absolute()))
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


CONTROLS: Final = (
    *(set_price, set_book, trade, fill_order, advance_time, choose_market, show_state),
    *(inject_fault, list_faults, clear_faults, list_requests, list_unanswered),
    *(add_key, save_state, load_state, reset_state),
)
for control in CONTROLS:
    exchange.add_command(control)


def make_authority(file: Path) -> "Authority":
    """Return a new authority whose certificate is in `file`; refuse a file that cannot be written."""
    from exit_shim.exchange.authority import Authority  # noqa: PLC0415 - heavy, and only with --tls

    try:
        authority = Authority()
        file.write_text(authority.pem, encoding="ascii")
    except ModuleNotFoundError as missing:
        raise click.ClickException(str(missing)) from missing
    except OSError as error:
        raise click.ClickException(
            f"the certificate cannot be written to '{file}': {error.strerror or error}; name another --tls-ca"
        ) from error
    return authority


def load_exchange(state: Path | None, **options: Any) -> "LocalExchange":
    """Return the exchange with the state of a file; refuse a file that cannot be read or saved."""
    from exit_shim.testing import LocalExchange  # noqa: PLC0415 - a web server

    try:
        local = LocalExchange(
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
