"""The command to type after a run."""

import shlex

from exit_shim.cli import COMMANDS
from exit_shim.cli.overview import Overview
from exit_shim.domain.reason_codes import STRIPPED


def next_command(overview: Overview, journal: str | None) -> str:
    """Return the command that tells most about what a run has shown, ready for a shell.

    Args:
        overview: What it has shown.
        journal: Its journal; None for the one that commands read without being told.
    """
    where = [] if journal is None else ["--journal", journal]
    return shlex.join(["exit-shim", *words_for(overview), *where])


def words_for(overview: Overview) -> list[str]:
    """Return the command's name and its arguments but for the journal."""
    symbol = overview.worst_symbol
    if not overview.totals.sites or symbol is None:
        return ["doctor"]
    if "why" in COMMANDS:
        return ["why", symbol]
    if any(found.code == STRIPPED for found in overview.found):
        return ["records", "--symbol", symbol, "--reason", STRIPPED]
    return ["records", "--symbol", symbol]
