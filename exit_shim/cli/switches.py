"""`exit-shim mode` and `enforce`: change what running bots do, and say who did."""

from pathlib import Path
from typing import Literal

import click

from exit_shim.cli.doctor import known_modes
from exit_shim.configuration import journal_path
from exit_shim.guard.watching import off_file, turn, who
from exit_shim.journal import Journal, JournalError
from exit_shim.journal.following import Follower
from exit_shim.policy import meant
from exit_shim.records import DECODERS, Switch

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
        click.echo(last_said().mode or DEFAULT)
        return
    modes = [*known_modes(), DEFAULT]
    if name not in modes:
        raise click.UsageError(f"{name!r} is no mode{meant(name, modes)}; there are {', '.join(modes)}")
    say(Switch(by=by or who(), mode="" if name == DEFAULT else name))
    click.echo(f"mode {name}: within a second in every bot that writes to {journal_path()}")


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]), required=False)
@by_whom
def enforce(*, state: Literal["on", "off"] | None, by: str | None) -> None:
    """Let the policy hold orders back, or not, in every running bot; without a word, say which it is.

    `off` is the kill switch: it works by a file beside the journal too, and outranks all else.
    """
    if state is None:
        off = off_file(Path(journal_path())).exists()
        click.echo("off" if off else last_said().enforce or "on")
        return
    say(Switch(by=by or who(), enforce=state))
    click.echo(f"enforce {state}: within a second in every bot that writes to {journal_path()}")


def say(switch: Switch) -> None:
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
        bodies = Follower(Path(journal_path())).begin()
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
