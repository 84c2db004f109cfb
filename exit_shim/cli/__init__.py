"""The `exit-shim` command: run a bot under the shim, read what was recorded, start a local exchange."""

import click

from exit_shim.cli.audit import audit
from exit_shim.cli.doctor import doctor
from exit_shim.cli.exchange import exchange
from exit_shim.cli.explain import explain
from exit_shim.cli.keeping import prune_, verify
from exit_shim.cli.output import Commands
from exit_shim.cli.reading import records, summary, tail
from exit_shim.cli.reconcile import reconcile
from exit_shim.cli.run import run
from exit_shim.cli.ship import ship
from exit_shim.cli.switches import enforce, mode
from exit_shim.cli.whatif import whatif

__all__ = ["app"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="exit_shim")
def app() -> None:
    """Say which module of a Binance futures bot placed which exit order."""


for command in (
    run,
    summary,
    records,
    explain,
    tail,
    reconcile,
    verify,
    prune_,
    ship,
    mode,
    enforce,
    whatif,
    audit,
    exchange,
    doctor,
):
    app.add_command(command)
