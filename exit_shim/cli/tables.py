"""Tables for people: rich on a terminal, aligned text when piped."""

import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import PurePath
from typing import Final

from exit_shim.cli.output import printable, say
from exit_shim.domain.events import Record
from exit_shim.journal import state_of

NANOSECONDS: Final = 1_000_000_000

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
    """Print a table: rich on a terminal, two spaces between the columns elsewhere."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    (show_rich if sys.stdout.isatty() else show_aligned)(columns, cells)


def show_rich(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a table that folds its cells to the width of the terminal."""
    # In a pipe there is no terminal to draw for, and rich is most of a command's start.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        # A plain str would be read as rich's markup.
        table.add_row(*map(Text, row))
    Console().print(table)


def show_aligned(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell."""
    lines = [columns, *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


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
