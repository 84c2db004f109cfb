"""CSV for spreadsheets, in which no recorded text is taken for a formula."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click

from exit_shim.cli.output import printable, say

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""

csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")


def refuse_both(*, as_json: bool, as_csv: bool) -> None:
    """End the command where two formats are asked for."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")


def print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Print a header and rows as CSV; return how many rows there were."""
    say(csv_line(columns))
    number = 0
    for row in rows:
        say(csv_line([row[column] for column in columns]))
        number += 1
    return number


def csv_line(cells: Iterable[object]) -> str:
    """Return cells as one line of CSV."""
    # Loaded by the few that ask for it.
    import csv  # noqa: PLC0415
    import io  # noqa: PLC0415

    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([harmless(cell) for cell in cells])
    return line.getvalue()


def harmless(cell: object) -> object:
    """Return a cell that no spreadsheet computes: text that begins like a formula gets a ' in front."""
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if cell.startswith(FORMULA_STARTS) else text
