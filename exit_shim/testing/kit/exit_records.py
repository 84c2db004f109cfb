"""Recorded exit orders, with assertions that list what they found instead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, get_args, overload

from exit_shim.domain.events import GuardFinding, Record, Result
from exit_shim.domain.orders import KINDS
from exit_shim.domain.reason_codes import REASONS
from exit_shim.guard.rules import custom_codes
from exit_shim.runtime.nearest_name import did_you_mean
from exit_shim.testing.kit.cover_watch import CoverWatch
from exit_shim.testing.kit.listing import count, describe_finding, describe_spell, list_records

NO_EXITS: Final = frozenset({"conditional", "unknown"})


class ExitRecords(Sequence[Record]):
    """The recorded exit orders, oldest first, with assertions that list what they found instead.

    The fixture's own reads the journal at each use; what its methods return is as it was then. Each method
    raises AssertionError with a listing of what was recorded instead, and returns records to go on with:

        exit_records.of_kind("sl").placed_by("position_monitor")
        exit_records.nobody_but("exit_brain_executor")
        exit_records.without("STRIPPED").never_bare("BTCUSDT")

    A kind, outcome or reason code that there is not is a ValueError.

    Args:
        read: Returns the records as they are now.
        title: What they are, for the messages.
        read_findings: Returns what the guard found about no single order; None for nothing.
        cover: Knows which positions had no stop; None where nothing watches the exchange.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Record]],
        title: str = "exit order",
        read_findings: Callable[[], Iterable[GuardFinding]] | None = None,
        cover: CoverWatch | None = None,
    ) -> None:
        self._read = read
        self._title = title
        self._read_findings = read_findings or tuple
        self._cover = cover
        # Whoever bared a position may not be among the records that are left.
        self._read_all = read

    # Who

    def placed_by(self, module: str) -> ExitRecords:
        """Return the orders that `module`, by short or dotted name, placed; fail without any."""
        __tracebackhide__ = True
        return self._by("place", "placed", module)

    def cancelled_by(self, module: str) -> ExitRecords:
        """Return the cancels that `module`, by short or dotted name, asked for; fail without any."""
        __tracebackhide__ = True
        return self._by("cancel", "cancelled", module)

    def nobody_but(self, *modules: str) -> ExitRecords:
        """Fail unless every exit order was placed, changed or cancelled by one of `modules`.

        What nothing shows to be an exit is recorded, and does not count here: a conditional order that may
        open a position, the cancel of an order that the shim did not see placed.
        """
        __tracebackhide__ = True
        records = list(self)
        others = [
            record
            for record in records
            if record.intent.order.kind not in NO_EXITS
            and not any(_is_by(record, module) for module in modules)
        ]
        if others:
            listed = " or ".join(f"{module!r}{_near_module(module, records)}" for module in modules)
            raise AssertionError(
                f"{count(len(others), self._title)} by others than {listed}:\n{list_records(others)}"
            )
        return self

    # Which

    def of_kind(self, kind: str) -> ExitRecords:
        """Return the orders of a kind (sl, tp, partial_tp, trailing, breakeven, close); fail without any."""
        __tracebackhide__ = True
        _check("kind", kind, KINDS)
        return self._some(f"of kind {kind!r}", lambda record: record.intent.order.kind == kind)

    def on(self, symbol: str) -> ExitRecords:
        """Return the orders on a symbol; fail without any."""
        __tracebackhide__ = True
        symbols = {str(record.intent.order.symbol) for record in self}
        return self._some(
            f"on {symbol!r}",
            lambda record: record.intent.order.symbol == symbol,
            "" if symbol in symbols else did_you_mean(symbol, symbols),
            lambda: [finding for finding in self._read_findings() if finding.symbol == symbol],
        )

    def with_outcome(self, outcome: str) -> ExitRecords:
        """Return the orders with an outcome, such as accepted, denied or simulated; fail without any."""
        __tracebackhide__ = True
        _check("outcome", outcome, get_args(Result))
        return self._some(
            f"with outcome {outcome!r}",
            lambda record: record.outcome is not None and record.outcome.result == outcome,
        )

    def one(self) -> Record:
        """Return the only record; fail unless there is exactly one."""
        __tracebackhide__ = True
        records = list(self)
        if len(records) != 1:
            raise AssertionError(
                f"expected one {self._title}, there are {len(records)}:\n{list_records(records)}"
            )
        return records[0]

    # What the guard found

    def with_reason(self, code: str) -> ExitRecords:
        """Return the orders about which the guard found `code`; fail where it found that nowhere."""
        __tracebackhide__ = True
        _check_code(code)
        matching = [record for record in self if _has(record, code)]
        if matching or any(finding.reason.code == code for finding in self._read_findings()):
            return self._narrowed(matching, f"with {code}")
        raise AssertionError(
            f"no {self._title} with {code}; recorded:\n{list_records(list(self), reasons=True)}"
        )

    def without(self, *codes: str) -> ExitRecords:
        """Fail where the guard found one of `codes`, about an order or about no single one."""
        __tracebackhide__ = True
        for code in codes:
            _check_code(code)
        records = [record for record in self if any(_has(record, code) for code in codes)]
        findings = [finding for finding in self._read_findings() if finding.reason.code in codes]
        if records or findings:
            lines = [list_records(records, reasons=True)] if records else []
            listed = "\n".join([*lines, *map(describe_finding, findings)])
            raise AssertionError(f"{count(len(records), self._title)} with {' or '.join(codes)}:\n{listed}")
        return self

    def never_bare(self, symbol: str) -> ExitRecords:
        """Fail where a position on `symbol` was without a stop, however shortly, or never got one.

        The local exchange is watched at each change. The moment between the opening of a position and its
        first stop does not count; the moment between a cancel and the next stop does. Fail too where no
        position was open on the symbol, whose size would then be unknown.
        """
        __tracebackhide__ = True
        cover = self._cover
        if cover is None or symbol not in cover.symbols:
            trades = [] if cover is None else cover.traded
            near = "" if symbol in trades else did_you_mean(symbol, trades)
            raise AssertionError(
                f"sizes are unknown: no position on {symbol!r}{near} was open at the test's local exchange"
            )
        if spells := cover.bare_spells(symbol):
            records = list(self._read_all())
            times = "once" if len(spells) == 1 else f"{len(spells)} times"
            listed = "\n".join(describe_spell(spell, records) for spell in spells)
            raise AssertionError(f"{symbol} was bare {times}:\n{listed}")
        return self

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return each record as a flat dict, with the keys that `exit-shim records --json` prints."""
        return [record.flat() for record in self]

    def _by(self, operation: str, verb: str, module: str) -> ExitRecords:
        __tracebackhide__ = True
        return self._some(
            f"{verb} by {module!r}",
            lambda record: record.intent.operation == operation and _is_by(record, module),
            _near_module(module, self),
        )

    def _some(
        self,
        what: str,
        fits: Callable[[Record], bool],
        hint: str = "",
        read_findings: Callable[[], Iterable[GuardFinding]] | None = None,
    ) -> ExitRecords:
        __tracebackhide__ = True
        all_of_them = list(self)
        matching = [record for record in all_of_them if fits(record)]
        if not matching:
            raise AssertionError(f"no {self._title} {what}{hint}; recorded:\n{list_records(all_of_them)}")
        return self._narrowed(matching, what, read_findings)

    def _narrowed(
        self,
        records: list[Record],
        what: str,
        read_findings: Callable[[], Iterable[GuardFinding]] | None = None,
    ) -> ExitRecords:
        narrowed = ExitRecords(lambda: records, f"{self._title} {what}", read_findings, self._cover)
        narrowed._read_all = self._read_all
        return narrowed

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
        return f"{count(len(records), self._title)}:\n{list_records(records)}"


def _is_by(record: Record, module: str) -> bool:
    who = record.intent.attribution
    return module in {who.module, who.dotted_module}


def _has(record: Record, code: str) -> bool:
    return any(reason.code == code for reason in record.reasons)


def _near_module(module: str, records: Iterable[Record]) -> str:
    """Return a suggestion for a module that asked for nothing; "" for one that did."""
    names = {
        name
        for record in records
        for name in (record.intent.attribution.module, record.intent.attribution.dotted_module)
        if name
    }
    return "" if module in names else did_you_mean(module, names)


def _check(what: str, name: str, names: Collection[str]) -> None:
    if name not in names:
        near, listed = did_you_mean(name, names), ", ".join(sorted(names))
        raise ValueError(f"there is no {what} {name!r}{near}; expected one of {listed}")


def _check_code(code: str) -> None:
    _check("reason", code, [*REASONS, *custom_codes()])
