"""`exit-shim prune`: delete old events from the journal."""

import re
from typing import Any, Final

import click

from exit_shim.cli.clock import PointInTime
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import journal_option, json_option
from exit_shim.cli.output import pluralize, say
from exit_shim.cli.progress import ProgressBar
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.journal import prune as prune_journal
from exit_shim.journal.default_path import journal_path

UNITS: Final = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


class Size(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A number of bytes: 500MB, 2GB, 1500000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        if isinstance(value, int):
            return value
        size = re.fullmatch(r"(\d+)([KMG]?)B?", value.strip().upper(), re.ASCII)
        if size is None:
            self.fail(f"{value!r} is not a size; expected 500MB, 2GB or a number of bytes", param, ctx)
        return int(size[1]) * UNITS[size[2]]


@click.command()
@click.option(
    "--older-than", type=PointInTime(), metavar="T", help="Delete events older than T: 90d, 12h, 2026-01-01."
)
@click.option(
    "--max-size", type=Size(), metavar="BYTES", help="Delete the oldest until the file fits: 500MB, 2GB."
)
@json_option
@journal_option
def prune(*, older_than: int | None, max_size: int | None, as_json: bool, journal: str | None) -> None:
    """Delete old events from the journal.

    Orders in doubt, switches in force, the last step of each protected position and events that still have to
    be shipped are kept. Bots can go on running. Each run loses
    its oldest events, up to the first that must be kept; a run that has ended goes with its last event.
    """
    if older_than is None and max_size is None:
        raise click.UsageError("name what to delete: --older-than 90d, --max-size 2GB or both")
    with readable_journal_errors(), ProgressBar("pruning"):
        pruned = prune_journal(journal_path(journal), before_ns=older_than, max_bytes=max_size)
    if as_json:
        say(json_text(pruned._asdict()))
        return
    say(
        f"deleted {pluralize(pruned.events, 'event')} and {pluralize(pruned.runs, 'run')}; "
        f"freed {pluralize(pruned.bytes, 'byte')}"
    )
    if pruned.in_doubt:
        say(
            f"orders in doubt keep old events in {pluralize(pruned.in_doubt, 'run')}; see exit-shim reconcile"
        )
    if pruned.in_force:
        say(
            "switches in force or protected positions keep old events in "
            f"{pluralize(pruned.in_force, 'run')}; see exit-shim summary"
        )
    if pruned.unshipped:
        say(f"unshipped events remain in {pluralize(pruned.unshipped, 'run')}; see exit-shim ship")
