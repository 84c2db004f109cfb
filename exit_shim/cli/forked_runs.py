"""The runs of processes that a bot forked, whose orders are none of its own run."""

from collections.abc import Iterator, Mapping
from typing import Final

from exit_shim.cli.filters import Selection
from exit_shim.cli.output import Line, pluralize
from exit_shim.cli.tables import text_lines
from exit_shim.journal.record_source import RecordFilter

MOST: Final = 3
"""How many forked processes have a line."""


def count_forked(selection: Selection, since_ns: int, suffix: str) -> dict[str, int]:
    """Return how many orders other runs sent to one exchange, by run; those without any are left out.

    Args:
        selection: The bot's own run.
        since_ns: When it started; a forked run begins later.
        suffix: How the labels of accounts at the exchange end.
    """
    source, own = selection.source, selection.wanted.run_id
    later = [run.run_id for run in source.read_runs() if run.started >= since_ns and run.run_id != own]
    counts = {
        run_id: sum(
            str(record.intent.account).endswith(suffix)
            for record in source.read_records(RecordFilter(run_id=run_id))
        )
        for run_id in later
    }
    return {run_id: number for run_id, number in counts.items() if number}


def forked_lines(counts: Mapping[str, int], option: str) -> Iterator[Line]:
    """Yield how many orders forked processes sent, and the commands that show them.

    Args:
        counts: The number of orders, by run.
        option: The option of the commands that names the journal; empty for the usual one.
    """
    for run_id, number in list(counts.items())[:MOST]:
        text = (
            f"Not counted: {pluralize(number, 'order')} of a forked process; exit-shim summary --run {run_id}"
        )
        yield from text_lines("", f"{text}{option}", style="bold")
    if rest := list(counts.values())[MOST:]:
        yield from text_lines("", f"and {pluralize(sum(rest), 'order')} of {len(rest)} more", style="bold")
