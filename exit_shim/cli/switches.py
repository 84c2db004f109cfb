"""`exit-shim mode` and `enforce`: change what running bots do, and say who did."""

from pathlib import Path
from typing import Literal

import click

from exit_shim.cli.doctor import known_modes
from exit_shim.cli.output import say
from exit_shim.configuration import journal_path
from exit_shim.domain.events import DECODERS, Switch
from exit_shim.feeds.other_processes import off_file, turn, who
from exit_shim.guard.policy import (
    FILE_NAME,
    POLICY_VARIABLE,
    CompiledPolicy,
    PolicyError,
    find_policy,
    meant,
    read_policy,
)
from exit_shim.guard.rules import custom_codes
from exit_shim.journal import Journal, JournalError
from exit_shim.journal.follow import Follower

by_whom = click.option("--by", metavar="WHO", help="Who does it, for the record; by default this user.")

DEFAULT = "default"


@click.command()
@click.argument("name", required=False)
@by_whom
def mode(*, name: str | None, by: str | None) -> None:
    """Change the mode in every running bot of the journal to NAME; without NAME, say which it is.

    "default" goes back to what each bot's environment and code say.
    """
    if name is None:
        say(last_said().mode or DEFAULT)
        return
    modes = [*known_modes(), DEFAULT]
    if name not in modes:
        raise click.UsageError(f"{name!r} is no mode{meant(name, modes)}; there are {', '.join(modes)}")
    turn_switch(Switch(by=by or who(), mode="" if name == DEFAULT else name))
    say(f"mode {name}: within a second in every bot that writes to {journal_path()}")


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]), required=False)
@by_whom
def enforce(*, state: Literal["on", "off"] | None, by: str | None) -> None:
    """Let the policy hold orders back, or not, in every running bot; without a word, say which it is.

    `off` is the kill switch: it works by a file beside the journal too, and outranks all else.
    """
    if state is None:
        off = off_file(Path(journal_path())).exists()
        state = "off" if off else last_said().enforce or "on"
        say(state)
        say(*nothing_enforced() if state == "on" else (), err=True)
        return
    turn_switch(Switch(by=by or who(), enforce=state))
    say(f"enforce {state}: within a second in every bot that writes to {journal_path()}")
    say(*nothing_enforced() if state == "on" else (), err=True)


def nothing_enforced() -> list[str]:
    """Say why "on" holds nothing back, as far as the policy of this folder and environment shows."""
    path = find_policy(Path.cwd())
    if path is None:
        why = f"{POLICY_VARIABLE} is not set and {Path.cwd()} has no {FILE_NAME}"
        way_out = 'ask in the bot\'s folder, or write one that says level = "enforce"'
        return [f"no policy found here enforces anything: {why}; {way_out}"]
    try:
        policy = read_policy(path, custom_codes())
    except PolicyError as error:
        return [f"no policy found here enforces anything: {error}"]
    if CompiledPolicy(policy, str(path)).enforces():
        return []
    return [f'no policy found here enforces anything: {path} only warns; set level = "enforce" in it']


def turn_switch(switch: Switch) -> None:
    """Put a switch where the bots see it; says so where that did not work."""
    problems: list[Exception] = []
    journal = Journal(journal_path(), problems.append)
    off = off_file(journal.path)
    was_off = off.exists()
    done = turn(journal, switch)
    journal.close()
    if not done:
        if was_off:  # what is said to have failed has changed nothing
            off.touch(mode=0o600)
        raise click.ClickException(
            f"the switch could not be turned: {problems[-1] if problems else 'nothing could be written'}"
        )


def last_said() -> Switch:
    """What all switches so far come to."""
    state = Switch(by="nobody")
    try:
        bodies = Follower(Path(journal_path())).skip_to_end()
    except JournalError as error:
        raise click.ClickException(str(error)) from error
    for body in bodies:
        said = DECODERS[Switch].decode(body)
        state = Switch(
            by=said.by,
            mode=state.mode if said.mode is None else said.mode,
            enforce=state.enforce if said.enforce is None else said.enforce,
        )
    return state
