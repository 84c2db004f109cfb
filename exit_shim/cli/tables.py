"""Tables for people: rich on a terminal, aligned text when piped; and the counts that fill them."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exit_shim.cli.output import printable, say
from exit_shim.cli.passthrough import probable_passthrough
from exit_shim.domain.events import Record
from exit_shim.journal import Count, OrderSite, Stack, state_of

NANOSECONDS = 1_000_000_000


class Report:
    """What is recorded, counted.

    Args:
        counts: Orders by place, mode and state.
        stacks: The chains that they came by.
        lost: Events that the journal itself says it lost.
    """

    def __init__(self, counts: Iterable[Count], stacks: Iterable[Stack], lost: int = 0) -> None:
        self.rows: Counter[OrderSite] = Counter()
        self.conflicts: Counter[OrderSite] = Counter()
        self.outcomes: dict[OrderSite, Counter[str]] = {}
        self.modes: Counter[str] = Counter()
        for found in counts:
            row = found.site
            self.rows[row] += found.orders
            self.modes[found.mode] += found.orders * is_exit(row)
            self.conflicts[row] += found.conflicts
            self.outcomes.setdefault(row, Counter())[found.state] += found.orders
        self.passthrough = probable_passthrough(stacks)
        self.lost = lost

    def exits(self) -> int:
        """Return how many exit orders were asked for."""
        return sum(number for row, number in self.rows.items() if is_exit(row))

    def total(self, operation: str) -> int:
        """Return how many cancels, changes, tests or orders of any kind were asked for."""
        return sum(number for row, number in self.rows.items() if row.operation == operation)

    def conditional(self) -> int:
        """Return how many orders wait for a trigger, and show by nothing that they can only reduce."""
        return self.total("place") - self.exits()

    def as_dict(self) -> dict[str, Any]:
        """The counts, JSON-ready."""
        return {
            "total_orders": self.exits(),
            "conditional_orders": self.conditional(),
            "cancels": self.total("cancel"),
            "modifications": self.total("modify"),
            "test_orders": self.total("test"),
            "ownership_conflicts": sum(self.conflicts.values()),
            "orders_by_module": self._by("module"),
            "orders_by_kind": self._by("kind"),
            "orders_by_outcome": dict(
                sum((found for row, found in self.outcomes.items() if is_exit(row)), Counter())
            ),
            "orders_by_mode": dict(self.modes),
            "events_lost": self.lost,
            "probable_passthrough": [
                {**found._asdict(), "configuration": found.configuration} for found in self.passthrough
            ],
            "sites": [
                {
                    **row._asdict(),
                    "orders": number,
                    "conflicts": self.conflicts[row],
                    "outcomes": dict(self.outcomes[row]),
                }
                for row, number in sorted(self.rows.items())
            ],
        }

    def _by(self, field: str) -> dict[str, int]:
        counted: Counter[str] = Counter()
        for row, number in self.rows.items():
            if is_exit(row):
                counted[getattr(row, field)] += number
        return dict(counted.most_common())

    def show(self) -> None:
        """Print the table and one closing line."""
        show(
            ("module", "does", "kind", "number", "conflicts", "outcome", "where", "via", "evidence"),
            [
                (
                    row.module,
                    row.operation,
                    row.kind,
                    number,
                    self.conflicts[row] or "",
                    " ".join(f"{name}={count}" for name, count in self.outcomes[row].most_common()),
                    f"{row.function} {row.place}",
                    row.via,
                    row.evidence,
                )
                for row, number in sorted(self.rows.items())
            ],
        )
        modules = len({row.module for row in self.rows if is_exit(row)})
        numbers = [
            f"{self.exits()} exit orders by {modules} module{'s' * (modules != 1)}",
            *[f"{number} conditional orders" for number in [self.conditional()] if number],
            f"{self.total('cancel')} cancels",
            f"{self.total('modify')} changes",
            f"{sum(self.conflicts.values())} ownership conflicts",
            *[f"{number} in {mode}" for mode, number in self.modes.most_common() if number],
        ]
        say(", ".join(numbers))
        if self.lost:
            say(f"{self.lost} events were lost: the journal could not be written; see exit-shim doctor")
        for found in self.passthrough:
            say(
                f"{found.module} is probably an executor: it always acts for others "
                f"({', '.join(found.callers)}). To name them instead: "
                f"ExitShim(roles={found.configuration})"
            )


def is_exit(site: OrderSite) -> bool:
    """Whether what a place asks for counts as an exit order: a conditional order may be an entry."""
    return site.operation == "place" and site.kind != "conditional"


def outcome_of(record: Record) -> str:
    """What is known of an order: "in doubt" until an answer, or a later look at the exchange, proves more."""
    return state_of(record.outcome, record.resolution)


def show(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: rich on a terminal, two spaces between the columns elsewhere."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(box=box.SIMPLE, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))  # a str would be read as rich's markup
        Console().print(table)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


RECORD_COLUMNS = (
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


def record_row(record: Record) -> tuple[object, ...]:
    """One record as a line for people; times are UTC."""
    order, who, known = record.intent.order, record.intent.attribution, record.outcome
    when = datetime.fromtimestamp(record.intent.ts / NANOSECONDS, timezone.utc)
    outcome = outcome_of(record)
    if known is not None and known.error_code is not None:
        outcome = f"{outcome} {known.error_code}"
    return (
        f"{when:%Y-%m-%d %H:%M:%S.%f}"[:-3],
        who.module,
        record.intent.operation,
        order.kind,
        order.symbol or "?",
        order.side or "?",
        order.type or "?",
        order.trigger_price or order.price or "",
        "whole position" if order.close_position else order.quantity or "",
        outcome,
        (known and (known.order_id or known.algo_id)) or order.client_order_id or "",
        f"{Path(who.file).name}:{who.line}" if who.file else "?",
    )
