"""Recorded orders as commands print them: in tables, in lines and as CSV."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from exit_shim.cli.clock import Clock
from exit_shim.cli.output import Red, line_limit
from exit_shim.cli.tables import GAP, UNKNOWN, Column, show_table
from exit_shim.domain.events import Record
from exit_shim.domain.reason_codes import FOREIGN_CANCEL, OWNERSHIP_CONFLICT, STRIPPED
from exit_shim.journal import state_of

ALARMING: Final = frozenset({STRIPPED, FOREIGN_CANCEL, OWNERSHIP_CONFLICT})
"""The reasons that are red on a terminal: one module acts on another's exits, or a stop is gone."""

ORDER_COLUMNS: Final = (
    Column("module"),
    Column("does"),
    Column("kind"),
    Column("symbol"),
    Column("side", 8),
    Column("type", 9),
    Column("trigger", 5),
    Column("quantity", 7),
    Column("outcome", 1),
    Column("order", 4),
    Column("place", 6),
    Column("found", 2, wraps=True, below=True),
)
"""The columns of an order, behind its time."""

IN_A_LINE: Final = 4
"""The rank of a column from which a line on a terminal leaves it out."""

WHOLE: Final = "whole position"


def show_orders(records: Sequence[Record], clock: Clock) -> None:
    """Print orders as a table."""
    times = clock.column([record.intent.ts for record in records])
    show_table(
        (Column(times.header), *ORDER_COLUMNS),
        [(times.text(record.intent.ts), *order_cells(record)) for record in records],
    )


def order_line(record: Record, clock: Clock) -> str:
    """Return an order as one line, for `tail`; on a terminal without what rarely matters."""
    cells = order_cells(record)
    if line_limit() is not None:
        cells = tuple(
            cell for column, cell in zip(ORDER_COLUMNS, cells, strict=True) if column.rank < IN_A_LINE
        )
    return GAP.join(filter(None, (clock.line_stamp(record.intent.ts), *cells)))


def order_cells(record: Record) -> tuple[str, ...]:
    """Return a record's cells under `ORDER_COLUMNS`."""
    order, who, answer = record.intent.order, record.intent.attribution, record.outcome
    outcome = outcome_of(record)
    if answer is not None and answer.error_code is not None:
        outcome = f"{outcome} {answer.error_code}"
    return (
        who.module,
        record.intent.operation,
        order.kind,
        order.symbol or UNKNOWN,
        order.side or UNKNOWN,
        order.type or UNKNOWN,
        order.trigger_price or order.price or "",
        WHOLE if order.close_position else order.quantity or "",
        outcome,
        str((answer and (answer.order_id or answer.algo_id)) or order.client_order_id or ""),
        f"{PurePath(who.file).name}:{who.line}" if who.file else UNKNOWN,
        found_text(record),
    )


def outcome_of(record: Record) -> str:
    """Return an order's proven outcome, or "in doubt" until an answer or a later look proves one."""
    return state_of(record.outcome, record.resolution)


def found_text(record: Record) -> str:
    """Return whose orders a cancel or change took, and what the guard found; red where it is alarming."""
    codes = list(dict.fromkeys(reason.code for reason in record.reasons))
    text = ": ".join(filter(None, (whose_text(record), " ".join(codes))))
    return red_if_alarming(text, record)


def red_if_alarming(text: str, record: Record) -> str:
    """Return a text about an order, red where what was found about it is alarming."""
    return Red(text) if any(reason.code in ALARMING for reason in record.reasons) else text


def whose_text(record: Record) -> str:
    """Return whose orders a cancel or change is about, "" for the module's own."""
    me = record.intent.attribution.module
    owners = {target.module or "nobody known" for target in record.intent.targets} - {me}
    return f"of {', '.join(sorted(owners))}" if owners else ""


CSV_COLUMNS: Final = (
    *("time", "run_id", "seq", "account", "module", "function", "file", "line", "via", "evidence"),
    *("operation", "kind", "symbol", "side", "position_side", "type", "quantity", "price"),
    *("trigger_price", "close_position", "reduce_only", "client_order_id", "targets", "mode", "verdict"),
    *("reasons", "outcome", "resolution", "order_id", "algo_id", "error_code", "error_message", "ts"),
)
"""The columns of a spreadsheet of orders: the fields of `records --json` that fit a cell, and the time."""


def csv_fields(record: Record, clock: Clock) -> dict[str, Any]:
    """Return a record as cells of a spreadsheet, by column; its time is in the chosen zone."""
    flat = record.flat()
    moment = clock.time_of(record.intent.ts).astimezone(clock.zone).isoformat(timespec="milliseconds")
    return {"time": moment, **{name: csv_text(value) for name, value in flat.items()}}


def csv_text(value: Any) -> object:
    """Return one cell of what may be a list."""
    if isinstance(value, (list, tuple)):
        return "; ".join(map(step_text, value))
    return "" if value is None else value


def step_text(part: Any) -> str:
    """Return one element of a list: a frame, a target, or text."""
    if not isinstance(part, Mapping):
        return str(part)
    return " ".join(str(value) for value in part.values() if value is not None)
