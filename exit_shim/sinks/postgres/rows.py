"""Make the rows of the central database: the event to the byte, and the columns to query by."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from exit_shim.domain.attributions import Step
from exit_shim.domain.events import (
    ExecutorStep,
    GuardFinding,
    Intent,
    OrderFindings,
    Outcome,
    PositionSeen,
    Resolution,
)
from exit_shim.domain.verdicts import Reason
from exit_shim.journal import StoredEvent
from exit_shim.journal.order_state import names_of, site_of
from exit_shim.journal.record_source import TAKING, times_of
from exit_shim.journal.rows import decode

COLUMNS: Final[Mapping[str, str]] = {
    "run_id": "text",
    "seq": "bigint",
    "pos": "bigint",
    "ts": "bigint",
    "event": "text",
    "about": "text",
    "body": "text",
    "link": "bytea",
    "about_run": "text",
    "about_seq": "bigint",
    "host": "text",
    "account": "text",
    "module": "text",
    "symbol": "text",
    "operation": "text",
    "kind": "text",
    "function": "text",
    "place": "text",
    "via": "text",
    "evidence": "text",
    "mode": "text",
    "conflict": "boolean",
    "result": "text",
    "names": "text[]",
    "stack": "bigint",
    "site": "uuid",
    "reasons": "text[]",
    "victims": "text[]",
    "stray_names": "text[]",
    "stray_numbers": "integer[]",
    "before_ns": "bigint",
    "total_ns": "bigint",
    "position_side": "text",
}
"""Columns and their types, in the order of a row.

Up to `link` they are the event itself, the others are made from it. `body` is text and not json: the chain is
over its bytes, and what a damaged journal holds must be storable too. `victims` are the modules that a cancel
or change takes orders from, and "" where that is not known; then `stray_names` has the orders' ids, and
`stray_numbers` which of them an id is of. `position_side` is there where a position's exits are known.
"""

MADE: Final = tuple(name for name in COLUMNS if name not in StoredEvent._fields)


LONGEST: Final = 200
"""An index takes no longer text than some 2,700 bytes, and a damaged journal may hold any."""

WHOLE: Final = frozenset({"function", "place", "via", "evidence"})
"""Columns without an index."""


def make_row(event: StoredEvent, host: str | None) -> tuple[Any, ...]:
    """Return the row of an event, in the order of `COLUMNS`."""
    made = {**_made(event), "host": host}
    return (
        event.run_id,
        event.seq,
        event.pos,
        event.ts,
        event.event,
        event.about,
        event.body,
        event.link,
        *(_storable(made.get(name), None if name in WHOLE else LONGEST) for name in MADE),
    )


def _storable(value: object, longest: int | None) -> object:
    # PostgreSQL's text holds any character but NUL, which a bot's garbled symbol may contain.
    if isinstance(value, list):
        return [_storable(each, longest) for each in value]
    return value.replace("\0", "\\0")[:longest] if isinstance(value, str) else value


def _made(event: StoredEvent) -> dict[str, Any]:
    make = MAKERS.get(event.event)
    made = make(event.body) if make is not None else {}
    subject = event.line.subject()
    if subject is None or event.event in NOT_ABOUT:
        return made
    return {**made, "about_run": subject[0], "about_seq": subject[1]}


def _of_intent(body: str) -> dict[str, Any]:
    intent = decode(Intent, body)
    site = site_of(intent)
    targets = [name for target in intent.targets for name in names_of(target)]
    made = {
        **site._asdict(),
        "site": hashlib.blake2b("\0".join(site).encode(), digest_size=16).hexdigest(),
        "account": intent.account,
        "symbol": intent.order.symbol,
        "mode": intent.mode,
        "conflict": bool(intent.verdict.reasons),
        "names": _names([intent.order.client_order_id, *targets]),
        "stack": _stack(intent.attribution.chain),
        "reasons": _codes(intent.verdict.reasons),
    }
    return {**made, **_taken(intent)} if intent.operation in TAKING else made


def _taken(intent: Intent) -> dict[str, Any]:
    """Return whose orders a cancel or change takes, and the ids of those of which it does not know it."""
    own = intent.attribution.module
    strays = [
        (str(name), number)
        for number, target in enumerate(intent.targets)
        for name in names_of(target)
        if not target.module and name is not None
    ]
    return {
        "victims": [target.module or "" for target in intent.targets if target.module != own] or None,
        "stray_names": [name for name, _ in strays] or None,
        "stray_numbers": [number for _, number in strays] or None,
    }


def _of_outcome(body: str) -> dict[str, Any]:
    outcome = decode(Outcome, body)
    before_ns, total_ns = times_of(outcome)
    return {
        "result": outcome.result,
        "names": _names(names_of(outcome)),
        "stack": _stack(outcome.chain),
        "before_ns": before_ns,
        "total_ns": total_ns,
    }


def _of_resolution(body: str) -> dict[str, Any]:
    resolution = decode(Resolution, body)
    return {"result": resolution.result, "names": _names(names_of(resolution))}


def _of_findings(body: str) -> dict[str, Any]:
    return {"reasons": _codes(decode(OrderFindings, body).reasons)}


def _of_finding(body: str) -> dict[str, Any]:
    finding = decode(GuardFinding, body)
    return {"account": finding.account, "symbol": finding.symbol, "reasons": _codes((finding.reason,))}


def _of_position(body: str) -> dict[str, Any]:
    seen = decode(PositionSeen, body)
    is_known = seen.exits is not None or seen.amount == "0"
    side = seen.position_side if is_known else None
    return {"account": seen.account, "symbol": seen.symbol, "position_side": side}


def _of_step(body: str) -> dict[str, Any]:
    step = decode(ExecutorStep, body)
    # The episode comes first: queries take it from there.
    names = _names([step.episode, step.client_order_id, step.order_id])
    return {"account": step.account, "symbol": step.symbol, "names": names}


def _names(names: list[object]) -> list[str] | None:
    return [str(name) for name in names if name is not None] or None


def _codes(reasons: tuple[Reason, ...]) -> list[str] | None:
    return [reason.code for reason in reasons] or None


def _stack(chain: tuple[Step, ...]) -> int | None:
    """Return a number for a chain, so that different ones are found without reading all."""
    if not chain:
        return None
    digest = hashlib.blake2b(msgspec.json.encode(chain), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


MAKERS: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "intent": _of_intent,
    "outcome": _of_outcome,
    "resolution": _of_resolution,
    "order_findings": _of_findings,
    "guard_finding": _of_finding,
    "executor_step": _of_step,
    "position_seen": _of_position,
}

NOT_ABOUT: Final = frozenset({"intent", "executor_step"})
"""Events that are about no other order, whatever they say."""
