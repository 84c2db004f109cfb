"""Switches that reach every running bot of a journal, for `exit-shim mode` and `enforce`."""

from collections.abc import Mapping
from pathlib import Path

import click

from exit_shim.cli.sources import readable_journal_errors
from exit_shim.domain.events import DECODERS, Switch
from exit_shim.feeds.other_processes import off_file, turn
from exit_shim.guard.policy import PolicyError, find_policy, modes_of, read_policy
from exit_shim.guard.policy.model import BUILT_IN
from exit_shim.guard.rules import custom_codes
from exit_shim.guard.switches import Switches
from exit_shim.journal import Journal
from exit_shim.journal.default_path import journal_path
from exit_shim.journal.follow import Follower

by_option = click.option(
    "--by", metavar="WHO", help="Who is switching, for the journal.  [default: this user]"
)


def turn_switch(switch: Switch) -> None:
    """Write a switch where the bots see it; end the command where that failed."""
    problems: list[Exception] = []
    journal = Journal(journal_path(), problems.append)
    off = off_file(journal.path)
    was_off = off.exists()
    is_done = turn(journal, switch)
    journal.close()
    if not is_done:
        # A switch that is reported as failed must have changed nothing.
        if was_off:
            off.touch(mode=0o600)
        raise click.ClickException(
            f"the switch failed: {problems[-1] if problems else 'nothing could be written'}"
        )


def read_switches() -> Switches:
    """Return the state that all switches so far add up to."""
    state = Switches()
    with readable_journal_errors():
        bodies = Follower(Path(journal_path())).skip_to_end()
    for body in bodies:
        state.turn(DECODERS[Switch].decode(body))
    return state


def available_modes() -> Mapping[str, object]:
    """Return the modes of the policy in this folder or environment, or the built-in ones."""
    path = find_policy(Path.cwd())
    try:
        return BUILT_IN if path is None else modes_of(read_policy(path, custom_codes()))
    except PolicyError:
        return BUILT_IN
