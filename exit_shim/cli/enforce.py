"""`exit-shim enforce`: the kill switch of the guard."""

from pathlib import Path
from typing import Literal

import click

from exit_shim.cli.output import say
from exit_shim.cli.switches import by_option, read_switches, turn_switch
from exit_shim.domain.events import Switch
from exit_shim.feeds.other_processes import off_file, who
from exit_shim.guard.policy import (
    FILE_NAME,
    POLICY_VARIABLE,
    CompiledPolicy,
    PolicyError,
    find_policy,
    read_policy,
)
from exit_shim.guard.rules import custom_codes
from exit_shim.journal.default_path import journal_path

PREFIX = "no policy found here enforces anything:"


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]), required=False)
@by_option
def enforce(*, state: Literal["on", "off"] | None, by: str | None) -> None:
    """Switch enforcement on or off in every running bot.

    Off means that no order is held back, whatever the policy says: the kill switch. It works through a file
    beside the journal, so also where the journal cannot be written. On lets the policy decide again. Without
    a word, print "on" or "off".
    """
    if state is None:
        is_off = off_file(Path(journal_path())).exists() or not read_switches().enforcing
        state = "off" if is_off else "on"
        say(state)
    else:
        turn_switch(Switch(by=by or who(), enforce=state))
        say(f"enforce {state}: reaches every bot that writes to {journal_path()} within a second")
    if state == "on" and (why := why_nothing_is_enforced()):
        say(f"{PREFIX} {why}", err=True)


def why_nothing_is_enforced() -> str | None:
    """Return why "on" holds nothing back, by the policy of this folder and environment."""
    path = find_policy(Path.cwd())
    if path is None:
        return (
            f"{POLICY_VARIABLE} is not set and {Path.cwd()} has no {FILE_NAME}; "
            'run this in the bot\'s folder, or write a policy with level = "enforce"'
        )
    try:
        policy = read_policy(path, custom_codes())
    except PolicyError as error:
        return str(error)
    if CompiledPolicy(policy, str(path)).enforces():
        return None
    return f'{path} only warns; set level = "enforce" in it'
