"""`exit-shim summary`: how many exit orders each module placed, and from where."""

import click

from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import from_option, json_option, since_option
from exit_shim.cli.output import say
from exit_shim.cli.sources import readable_journal_errors, source_of
from exit_shim.cli.totals import OrderTotals


@click.command()
@json_option
@since_option
@from_option
def summary(*, as_json: bool, since: int | None, dsn: str | None) -> None:
    """Count the recorded exit orders by module and kind."""
    with readable_journal_errors():
        source = source_of(dsn)
        totals = OrderTotals(
            source.read_counts(since_ns=since),
            source.read_stacks(since_ns=since),
            source.count_lost(),
        )
    if as_json:
        say(json_text(totals.as_dict()))
    else:
        totals.show()
