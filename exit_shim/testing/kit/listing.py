"""Records, findings and spells without a stop as lines of a failed assertion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exit_shim.domain.events import GuardFinding, Record
from exit_shim.exchange.engine.algo import AlgoOrder
from exit_shim.testing.kit.cover_watch import BareSpell

_NS_PER_US = 1000


def count(number: int, title: str) -> str:
    """Return "2 exit orders of kind 'sl'"."""
    head, space, rest = title.partition(" order")
    return f"{number} {head}{space}{'' if number == 1 else 's'}{rest}"


def list_records(records: Sequence[Record], *, reasons: bool = False) -> str:
    """Return a line for each record, with what the guard found if that is asked for."""
    if not records:
        return "  nothing"
    rows = [_cells(record.flat()) for record in records]
    if reasons:
        rows = [
            (*row, "; ".join(map(str, record.reasons))) for row, record in zip(rows, records, strict=True)
        ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def describe_finding(finding: GuardFinding) -> str:
    """Return the line of a finding that is about no single order."""
    return f"  about no order  {finding.symbol or ''}  {finding.reason}"


def describe_spell(spell: BareSpell, records: Sequence[Record]) -> str:
    """Return one line that says how much was bare, since when, and who bared it."""
    ends = {None: "and is bare now", "covered": "and was covered later", "closed": "until it was closed"}
    stop = spell.last_stop
    if stop is None:
        why = "never had a stop"
    else:
        trigger, end = f"{stop.trigger_price.normalize():f}", _end_of(stop)
        why = f"lost its stop at {trigger}, {end}{_by_whom(spell, stop, records)},"
    return f"  {spell.side} {spell.amount.normalize():f} {why} {ends[spell.end]}"


def _end_of(stop: AlgoOrder) -> str:
    words = {"CANCELED": "cancelled", "FINISHED": "which fired", "NEW": "which no longer guards it"}
    return words.get(stop.status, stop.status.lower())


def _by_whom(spell: BareSpell, stop: AlgoOrder, records: Sequence[Record]) -> str:
    """Return the module and place that cancelled a stop, as far as a record says so."""
    if stop.status != "CANCELED":
        return ""
    cancels = [record for record in records if record.intent.operation in {"cancel", "modify"}]
    named = [record for record in cancels if any(_is_about(target, stop) for target in record.intent.targets)]
    # A cancel-all takes what nobody saw placed, too.
    meanwhile = [record for record in cancels if record.intent.store is not None and _spans(record, spell)]
    for record in [*named[::-1], *meanwhile[::-1]]:
        who = record.intent.attribution
        return f" by {who.module} ({who.function}:{who.line})" if who.function else f" by {who.module}"
    return " by no recorded order"


def _is_about(target: Any, stop: AlgoOrder) -> bool:
    # Before the Algo Service a stop's id was that of an order.
    return stop.algo_id in {target.algo_id, target.order_id} or target.client_order_id == stop.client_id


def _spans(record: Record, spell: BareSpell) -> bool:
    intent, outcome = record.intent, record.outcome
    if intent.order.symbol != spell.symbol or outcome is None:
        return False
    return intent.ts <= spell.began_ns <= intent.ts + outcome.total_us * _NS_PER_US


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
