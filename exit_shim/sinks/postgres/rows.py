"""Make the rows of the central database: the event to the byte, and the columns to query by."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from exit_shim.domain.attributions import Step
from exit_shim.domain.events import ExecutorStep, Intent, Outcome, Resolution
from exit_shim.journal import StoredEvent
from exit_shim.journal.index_tables import names_of, site_of
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
}
"""Columns and their types, in the order of a row.

Up to `link` they are the event itself, the others are made from it. `body` is text and not json: the chain is
over its bytes, and what a damaged journal holds must be storable too.
"""

MADE: Final = tuple(name for name in COLUMNS if name not in StoredEvent._fields)


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
        *(_storable(made.get(name)) for name in MADE),
    )


def _storable(value: object) -> object:
    # PostgreSQL's text holds any character but NUL, which a bot's garbled symbol may contain.
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return value.replace("\0", "\\0") if isinstance(value, str) else value


def _made(event: StoredEvent) -> dict[str, Any]:
    if event.event == "intent":
        return _of_intent(decode(Intent, event.body))
    if event.event == "executor_step":
        return _of_step(decode(ExecutorStep, event.body))
    subject = event.line.subject()
    about = {} if subject is None else {"about_run": subject[0], "about_seq": subject[1]}
    answer: Outcome | Resolution
    if event.event == "outcome":
        answer = decode(Outcome, event.body)
    elif event.event == "resolution":
        answer = decode(Resolution, event.body)
    else:
        return about
    stack = _stack(answer.chain) if isinstance(answer, Outcome) else None
    return {**about, "result": answer.result, "names": _names(names_of(answer)), "stack": stack}


def _of_intent(intent: Intent) -> dict[str, Any]:
    targets = [name for target in intent.targets for name in names_of(target)]
    return {
        **site_of(intent)._asdict(),
        "account": intent.account,
        "symbol": intent.order.symbol,
        "mode": intent.mode,
        "conflict": bool(intent.verdict.reasons),
        "names": _names([intent.order.client_order_id, *targets]),
        "stack": _stack(intent.attribution.chain),
    }


def _of_step(step: ExecutorStep) -> dict[str, Any]:
    # The episode comes first: queries take it from there.
    names = _names([step.episode, step.client_order_id, step.order_id])
    return {"account": step.account, "symbol": step.symbol, "names": names}


def _names(names: list[object]) -> list[str] | None:
    return [str(name) for name in names if name is not None] or None


def _stack(chain: tuple[Step, ...]) -> int | None:
    """Return a number for a chain, so that different ones are found without reading all."""
    if not chain:
        return None
    digest = hashlib.blake2b(msgspec.json.encode(chain), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
