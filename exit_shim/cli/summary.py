"""`exit-shim summary`: how many exit orders each module placed, and what executors did for each position."""

import click

from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import from_option, json_option, since_option
from exit_shim.cli.output import say
from exit_shim.cli.sources import readable_journal_errors, source_of
from exit_shim.cli.steps import POSITION_COLUMNS, position_row, step_fields
from exit_shim.cli.tables import show_table
from exit_shim.cli.totals import OrderTotals


@click.command()
@json_option
@since_option
@from_option
def summary(*, as_json: bool, since: int | None, dsn: str | None) -> None:
    """Count the recorded exit orders by module and kind.

    Below, each position that an exit executor protected, with its last step.
    """
    with readable_journal_errors():
        source = source_of(dsn)
        totals = OrderTotals(
            source.read_counts(since_ns=since),
            source.read_stacks(since_ns=since),
            source.count_lost(),
        )
        positions = source.read_episodes(since_ns=since)
    if as_json:
        say(json_text({**totals.as_dict(), "positions": list(map(step_fields, positions))}))
        return
    totals.show()
    if positions:
        say("")
        show_table(POSITION_COLUMNS, list(map(position_row, positions)))
