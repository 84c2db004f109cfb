"""Recorded exit orders, with assertions that list what they found instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

from exit_shim.domain.events import Record

#: How a row is shown: who, what, what came of it.
_COLUMNS = ("kind", "symbol", "side", "type", "amount", "module", "place", "outcome")


NO_EXITS = frozenset({"conditional", "unknown"})


class ExitRecords(Sequence[Record]):
    """The recorded exit orders, oldest first, with assertions that list what they found instead.

    The fixture's own reads the journal at each use; what its methods return is as it was then. Each method
    raises AssertionError with a listing of what was recorded instead, and returns records to go on with:

        exit_records.of_kind("sl").placed_by("position_monitor")
        exit_records.nobody_but("exit_brain_executor")

    Args:
        read: Returns the records as they are now.
        title: What they are, for the messages.
    """

    def __init__(self, read: Callable[[], Iterable[Record]], title: str = "exit order") -> None:
        self._read = read
        self._title = title

    def placed_by(self, module: str) -> ExitRecords:
        """Return the orders that `module`, by short or dotted name, placed; fail without any."""
        __tracebackhide__ = True
        return self._some(
            f"placed by {module!r}",
            lambda record: record.intent.operation == "place" and _is_by(record, module),
        )

    def of_kind(self, kind: str) -> ExitRecords:
        """Return the orders of a kind (sl, tp, partial_tp, trailing, breakeven, close); fail without any."""
        __tracebackhide__ = True
        return self._some(f"of kind {kind!r}", lambda record: record.intent.order.kind == kind)

    def on(self, symbol: str) -> ExitRecords:
        """Return the orders on a symbol; fail without any."""
        __tracebackhide__ = True
        return self._some(f"on {symbol!r}", lambda record: record.intent.order.symbol == symbol)

    def with_outcome(self, outcome: str) -> ExitRecords:
        """Return the orders with an outcome, such as accepted, denied or simulated; fail without any."""
        __tracebackhide__ = True
        return self._some(
            f"with outcome {outcome!r}",
            lambda record: record.outcome is not None and record.outcome.result == outcome,
        )

    def nobody_but(self, *modules: str) -> ExitRecords:
        """Fail unless every exit order was placed, changed or cancelled by one of `modules`.

        What nothing shows to be an exit is recorded, and does not count here: a conditional order that may
        open a position, the cancel of an order that the shim did not see placed.
        """
        __tracebackhide__ = True
        others = [
            record
            for record in self
            if record.intent.order.kind not in NO_EXITS
            and not any(_is_by(record, module) for module in modules)
        ]
        if others:
            listed = " or ".join(map(repr, modules))
            raise AssertionError(
                f"{_count(len(others), self._title)} by others than {listed}:\n{_listing(others)}"
            )
        return self

    def one(self) -> Record:
        """Return the only record; fail unless there is exactly one."""
        __tracebackhide__ = True
        records = list(self)
        if len(records) != 1:
            raise AssertionError(
                f"expected one {self._title}, there are {len(records)}:\n{_listing(records)}"
            )
        return records[0]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return each record as a flat dict, with the keys that `exit-shim records --json` prints."""
        return [record.flat() for record in self]

    def _some(self, what: str, fits: Callable[[Record], bool]) -> ExitRecords:
        __tracebackhide__ = True
        all_of_them = list(self)
        matching = [record for record in all_of_them if fits(record)]
        if not matching:
            raise AssertionError(f"no {self._title} {what}; recorded:\n{_listing(all_of_them)}")
        return ExitRecords(lambda: matching, f"{self._title} {what}")

    def __len__(self) -> int:
        return len(list(self._read()))

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return list(self._read())[index]

    def __iter__(self) -> Any:
        return iter(list(self._read()))

    def __repr__(self) -> str:
        records = list(self)
        return f"{_count(len(records), self._title)}:\n{_listing(records)}"


def _is_by(record: Record, module: str) -> bool:
    who = record.intent.attribution
    return module in {who.module, who.dotted_module}


def _count(number: int, title: str) -> str:
    head, space, rest = title.partition(" order")
    return f"{number} {head}{space}{'' if number == 1 else 's'}{rest}"


def _listing(records: Sequence[Record]) -> str:
    if not records:
        return "  nothing"
    rows = [_cells(record.flat()) for record in records]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    trigger = row["trigger_price"]
    amount = "all" if row["close_position"] else str(row["quantity"] or "")
    if taken := sorted({target["module"] for target in row["targets"] if target.get("module")}):
        amount = f"of {', '.join(taken)} {amount}".rstrip()
    operation = "" if row["operation"] == "place" else f"{row['operation']} "
    code = row["error_code"]
    return (
        f"{operation}{row['kind']}",
        str(row["symbol"] or ""),
        str(row["side"] or ""),
        str(row["type"] or ""),
        f"{amount} at {trigger}" if trigger else amount,
        row["module"],
        f"{row['function']}:{row['line']}" if row["function"] else "",
        (row["outcome"] or "in doubt") + (f" {code}" if code else ""),
    )
