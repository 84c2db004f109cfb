"""Tables for people: rich on a terminal, aligned text when piped."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import PurePath
from typing import Final

from exit_shim.cli.output import printable, say
from exit_shim.domain.events import Record
from exit_shim.journal import state_of

NANOSECONDS: Final = 1_000_000_000

GAP: Final = "  "
RICH_GAP: Final = "   "
"""What stands between two columns, as text and in a table of rich."""

MAX_LAST_WIDTH: Final = 24
"""The width of the last column beyond which its text may wrap, so that one long cell splits no table."""

RECORD_COLUMNS: Final = (
    "time",
    "module",
    "does",
    "kind",
    "symbol",
    "side",
    "type",
    "trigger",
    "quantity",
    "outcome",
    "order",
    "place",
)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: drawn by rich on a terminal that is wide enough, aligned text elsewhere."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if not sys.stdout.isatty():
        show_aligned([columns, *cells], [range(len(columns))], widths)
        return
    limit = terminal_width()
    if sum(widths) + len(RICH_GAP) * len(widths) <= limit:
        show_rich(columns, cells)
    else:
        show_aligned([columns, *cells], split_columns(widths, limit), widths)


def terminal_width() -> int:
    """Return the columns of the terminal behind stdout, or what COLUMNS says instead."""
    columns = os.environ.get("COLUMNS", "")
    # shutil has the same, and loads four compression libraries.
    return int(columns) if columns.isdecimal() else os.get_terminal_size(sys.stdout.fileno()).columns or 80


def show_rich(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a table with rich."""
    # In a pipe there is no terminal to draw for, and rich is most of a command's start.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    # A plain str would be read as rich's markup, and load the names of all emoji for that.
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(Text(column))
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table)


def show_aligned(lines: Sequence[Sequence[str]], groups: Sequence[range], widths: Sequence[int]) -> None:
    """Print aligned text; each row takes a line for each group of columns, indented from the second on."""
    for line in lines:
        for number, group in enumerate(groups):
            padded = GAP.join(line[column].ljust(widths[column]) for column in group)
            say((GAP * bool(number) + padded).rstrip())


def split_columns(widths: Sequence[int], limit: int) -> list[range]:
    """Split columns into groups that fit a line; long text in the last column is left to the terminal."""
    groups, begin, used = [], 0, 0
    for place, width in enumerate([*widths[:-1], min(widths[-1], MAX_LAST_WIDTH)]):
        if place > begin and used + width > limit:
            groups.append(range(begin, place))
            begin, used = place, len(GAP)
        used += width + len(GAP)
    return [*groups, range(begin, len(widths))]


def outcome_of(record: Record) -> str:
    """Return an order's proven outcome, or "in doubt" until an answer or a later look proves one."""
    return state_of(record.outcome, record.resolution)


def utc_time(ns: int) -> datetime:
    """Return the UTC time of nanoseconds since the epoch."""
    return datetime.fromtimestamp(ns / NANOSECONDS, timezone.utc)


def record_row(record: Record) -> tuple[object, ...]:
    """Return a record's cells under `RECORD_COLUMNS`; times are UTC."""
    order, who, answer = record.intent.order, record.intent.attribution, record.outcome
    outcome = outcome_of(record)
    if answer is not None and answer.error_code is not None:
        outcome = f"{outcome} {answer.error_code}"
    return (
        f"{utc_time(record.intent.ts):%Y-%m-%d %H:%M:%S.%f}"[:-3],
        who.module,
        record.intent.operation,
        order.kind,
        order.symbol or "?",
        order.side or "?",
        order.type or "?",
        order.trigger_price or order.price or "",
        "whole position" if order.close_position else order.quantity or "",
        outcome,
        (answer and (answer.order_id or answer.algo_id)) or order.client_order_id or "",
        f"{PurePath(who.file).name}:{who.line}" if who.file else "?",
    )
