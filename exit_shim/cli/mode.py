"""`exit-shim mode`: the exit mode of running bots."""

import click

from exit_shim.cli.output import say
from exit_shim.cli.switches import available_modes, by_option, read_switches, turn_switch
from exit_shim.domain.events import Switch
from exit_shim.feeds.other_processes import who
from exit_shim.journal.default_path import journal_path
from exit_shim.runtime.nearest_name import did_you_mean

DEFAULT = "default"


@click.command()
@click.argument("name", required=False)
@by_option
def mode(*, name: str | None, by: str | None) -> None:
    """Show or change the exit mode of every running bot.

    NAME is a mode of the policy, or "default" for what each bot's environment and code say. Bots that use
    this journal change within a second; bots that start later start in this mode. Without NAME, print the
    mode that was switched to last.
    """
    if name is None:
        say(read_switches().mode or DEFAULT)
        return
    modes = [*available_modes(), DEFAULT]
    if name not in modes:
        raise click.UsageError(
            f"{name!r} is not a mode{did_you_mean(name, modes)}; expected {', '.join(modes)}"
        )
    turn_switch(Switch(by=by or who(), mode="" if name == DEFAULT else name))
    say(f"mode {name}: reaches every bot that writes to {journal_path()} within a second")
