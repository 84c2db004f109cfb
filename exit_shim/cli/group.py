"""The group of commands: it loads them on demand and turns what ends one early into one line."""

import importlib
from collections.abc import Mapping
from typing import Any, cast

import click

from exit_shim.cli.output import readable_errors


class CommandsOnDemand(click.Group):
    """A group whose commands are imported when they are used.

    Args:
        summaries: Each command with its one-line help. Its module and function have the same name.
        options: What `click.Group` takes.
    """

    def __init__(self, *, summaries: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None where there is none of this name."""
        if cmd_name not in self._summaries:
            return None
        return cast("click.Command", getattr(importlib.import_module(f"exit_shim.cli.{cmd_name}"), cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the command line; this is where --help prints."""
        with readable_errors():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with readable_errors():
            return super().invoke(ctx)
