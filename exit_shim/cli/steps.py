"""Steps of the exit executor as commands print them: in lines, in tables and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.cli.clock import Clock
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import say
from exit_shim.cli.tables import Column, show_table
from exit_shim.domain.events import ExecutorStep, Record
from exit_shim.journal.record_source import StoredStep

STEP_COLUMNS: Final = (
    Column("symbol"),
    Column("side"),
    Column("step"),
    Column("leg", 1),
    Column("trigger", 3),
    Column("quantity", 2),
    Column("plan", 5),
    Column("order", 4),
    Column("why", 6, wraps=True, below=True),
)
"""The columns of a step, behind its time."""

OPERATIONS: Final[Mapping[str, str]] = {
    "place": "place",
    "close": "place",
    "amend": "modify",
    "cancel": "cancel",
}
"""The operation of the order that a step sends."""

WHOLE: Final = "whole position"


class Around(NamedTuple):
    """A step of an executor with the one before it and the one after it, of the same position."""

    step: StoredStep
    before: StoredStep | None
    after: StoredStep | None


def show_steps(steps: Sequence[StoredStep], clock: Clock, *, as_json: bool) -> None:
    """Print the steps of executors, as a table or as JSON lines."""
    if as_json:
        say(*map(step_json, steps))
        return
    times = clock.column([stored.ts for stored in steps])
    rows = [(times.text(stored.ts), *step_cells(stored)) for stored in steps]
    show_table((Column(times.header), *STEP_COLUMNS), rows)


def show_positions(positions: Sequence[StoredStep], clock: Clock) -> None:
    """Print each position that an executor protected, with its last step."""
    columns = (
        Column("symbol"),
        Column("side"),
        Column("plan", 2),
        Column(f"since ({clock.name})", 1),
        Column("last step"),
        Column("why", 3, wraps=True, below=True),
    )
    show_table(columns, [position_cells(stored, clock) for stored in positions])


def step_cells(stored: StoredStep) -> tuple[str, ...]:
    """Return a step's cells under `STEP_COLUMNS`."""
    step = stored.step
    return (
        step.symbol,
        step.position_side,
        step.verb,
        step.leg or "",
        step.trigger or step.price or "",
        quantity_text(step),
        plan_text(step),
        step.client_order_id or step.order_id or "",
        step.why,
    )


def step_line(stored: StoredStep, clock: Clock) -> str:
    """Return a step as one line, for `tail`."""
    return "  ".join(filter(None, (clock.line_stamp(stored.ts), *step_cells(stored))))


def step_json(stored: StoredStep) -> str:
    """Return a step as a JSON line; `event` tells it from a record."""
    return json_text(step_fields(stored))


def step_fields(stored: StoredStep) -> dict[str, Any]:
    """Return a step as JSON-ready keys, the same for every step."""
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(stored.step))
    return {"event": "executor_step", "ts": stored.ts, "run_id": stored.run_id, "seq": stored.seq, **fields}


def position_cells(stored: StoredStep, clock: Clock) -> tuple[str, ...]:
    """Return the cells of a position, of its last step."""
    step = stored.step
    began_ms = step.state.get("began_ms", "")
    since = clock.second(int(began_ms) * 1_000_000) if began_ms.isdecimal() else ""
    last = f"{clock.second(stored.ts)} {short_text(step)}"
    return step.symbol, step.position_side, plan_text(step), since, last, step.why


def short_text(step: ExecutorStep) -> str:
    """Return a step in two words, such as "place hs"."""
    return f"{step.verb} {step.leg}" if step.leg else step.verb


def quantity_text(step: ExecutorStep) -> str:
    """Return the quantity of the order that a step places."""
    if step.quantity is not None or step.verb != "place":
        return step.quantity or ""
    return WHOLE


def plan_text(step: ExecutorStep) -> str:
    """Return the plan in force, with its revision."""
    return "" if step.plan_id is None else f"{step.plan_id} r{step.revision}"


def find_step(record: Record, steps: Sequence[StoredStep]) -> Around | None:
    """Return the step that a recorded order carried out; None for an order that is not an executor's.

    Args:
        record: The order.
        steps: The steps of its position, oldest first.
    """
    names = order_names(record)
    place = None
    for number, stored in enumerate(steps):
        step = stored.step
        is_of_order = bool(names & {step.client_order_id, step.order_id})
        # A step is written down just before its order.
        is_before = stored.ts <= record.intent.ts
        if is_of_order and is_before and OPERATIONS.get(step.verb) == record.intent.operation:
            place = number
    if place is None:
        return None
    before = steps[place - 1] if place else None
    return Around(steps[place], before, steps[place + 1] if place + 1 < len(steps) else None)


def order_names(record: Record) -> set[str]:
    """Return the ids of an order, and of those that a cancel or change is about."""
    ids: list[object] = [record.intent.order.client_order_id]
    for source in (record.outcome, record.resolution, *record.intent.targets):
        if source is not None:
            ids += [source.client_order_id, source.order_id, source.algo_id]
    return {str(each) for each in ids if each is not None}
