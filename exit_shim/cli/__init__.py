"""The `exit-shim` command. Each command is a file of this folder, loaded when it is asked for."""

from collections.abc import Mapping
from typing import Final

import click

from exit_shim.cli.group import CommandsOnDemand

__all__ = ["COMMANDS", "app"]

# The help page must not load what the commands need, so it reads their first lines from here.
COMMANDS: Final[Mapping[str, str]] = {
    "alert": "List the services that alerts go to, and test them.",
    "audit": "Report unprotected positions and stray exits at the exchange.",
    "doctor": "Check this machine for what would lose records or stops.",
    "enforce": "Switch enforcement on or off in every running bot.",
    "exchange": "Start a local futures exchange on 127.0.0.1.",
    "explain": "Explain one order: who placed it, and what came of it.",
    "init": "Write a policy from what the journal and the bot's source show.",
    "metrics": "Serve Prometheus metrics of the recorded orders.",
    "mode": "Show or change the exit mode of every running bot.",
    "protect": "Hold every position of an account to its exit plan.",
    "prune": "Delete old events from the journal.",
    "reconcile": "Ask the exchange about orders in doubt.",
    "records": "List the recorded exit orders, oldest first.",
    "report": "Draw the exits as one HTML page.",
    "run": "Run a bot under the shim and report who placed what.",
    "scan": "List every place in a bot's source that sends a futures order.",
    "serve": "Show positions, exits and findings live, in a browser.",
    "ship": "Copy the journal to PostgreSQL continuously.",
    "summary": "Show who fights whom, what was found, and what each module did.",
    "tail": "Show exit orders as they are recorded, until Ctrl-C.",
    "verify": "Check that no recorded event is missing or changed.",
    "watch": "Watch an account and the journal, and alert somebody.",
    "whatif": "Test another policy against the recorded orders.",
    "why": "Say whether a position is protected now, and if not, why.",
}
"""Each command with the first line of its help."""


@click.group(
    cls=CommandsOnDemand, summaries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="exit_shim")
def app() -> None:
    """Show which module of a Binance futures bot placed which exit order."""
