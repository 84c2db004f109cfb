"""`exit-shim explain`: one order from who asked to what came of it, in sentences."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Final

import click

from exit_shim.cli.origins import find_placing
from exit_shim.cli.output import json_text, say
from exit_shim.cli.reading import read
from exit_shim.cli.sources import from_
from exit_shim.cli.tables import NANOSECONDS, outcome_of
from exit_shim.domain.events import Outcome, Record, Resolution, Target
from exit_shim.domain.reason_codes import REASONS
from exit_shim.domain.verdicts import Reason
from exit_shim.guard.cover import GAPS

RULES: Final = {
    "context": "the code said so, by attributed() or submit_exit_order(), which outranks the stack",
    "stack": "the first frame of the bot's own code that is neither executor nor layer",
    "carried": "the call had no frame of the bot's own; this is who handed it to a pool or thread",
    "bind": "the call had no frame of the bot's own; this is who fetched the method from the client",
    "unknown": "no frame of the bot's own was found, neither of the call nor of the fetch",
}
PARTS: Final = {
    "chosen": "asked",
    "passthrough": "passed: declared an executor",
    "layer": "passed: a layer, its method has a door's name",
    "skipped": "skipped: library code",
    "outer": "led there",
}
DID: Final = {"place": "placed", "modify": "changed", "cancel": "cancelled", "test": "tested"}
ASKED: Final = {
    "place": "asked to place",
    "modify": "asked to change",
    "cancel": "asked to cancel",
    "test": "asked to test",
}
"""Of what was not done, as far as is known."""


@click.command()
@click.argument("order")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, with the rule in words.")
@from_
def explain(*, order: str, as_json: bool, dsn: str | None) -> None:
    """Say all that is known of ORDER: what, when, who asked and how that was found, and what came of it.

    ORDER is an order id, an algo id, a client order id, or RUN_ID:SEQ as `records --json` prints them.
    Cancels and changes that are about the order are told too.
    """
    found = list(read(dsn, named=order))
    if not found:
        raise click.ClickException(
            f"no record is about {order!r}; `exit-shim records` lists the orders, "
            "with their ids in the column `order`"
        )
    for number, record in enumerate(found):
        if as_json:
            rule = RULES[record.intent.attribution.evidence]
            say(json_text({**record.flat(), "rule": rule}))
        else:
            say(*[""] * bool(number), *told(record, dsn))


def told(record: Record, dsn: str | None) -> Iterator[str]:
    """The lines for a person."""
    intent, known = record.intent, record.outcome
    who, order = intent.attribution, intent.order
    when = datetime.fromtimestamp(intent.ts / NANOSECONDS, timezone.utc)
    does = DID if outcome_of(record) == "accepted" else ASKED
    yield f"{does[intent.operation]} {what(record)}"
    yield f"  when      {when:%Y-%m-%d %H:%M:%S.%f} UTC, record {record.run_id}:{record.seq}"
    yield f"  through   {intent.door}" + (f", account {intent.account}" if intent.account else "")
    if order.client_order_id:
        yield f"  its name  {order.client_order_id}"
    yield f"  who       {who.module}" + place(record)
    if who.explanation:
        yield f"  because   {who.explanation}"
    yield f"  found by  {who.evidence}: {RULES[who.evidence]}"
    yield from frames(record)
    yield f"  verdict   {record.action} in {intent.mode}"
    yield from (f"  rule      {reason}: {meaning(reason)}" for reason in record.reasons)
    if intent.verdict.policy is not None:
        yield f"  policy    {intent.verdict.policy}"
    yield from (f"  beside    {live}" for live in record.book)
    yield from (f"  about     {target_told(target, record, dsn)}" for target in intent.targets)
    yield f"  outcome   {outcome_of(record)}" + ids(record)
    if known is not None and (known.error_code is not None or known.error_message):
        yield f"  error     {known.error_code or ''} {known.error_message or ''}".rstrip()
    if record.resolution is not None:
        yield from resolved(record.resolution)
    if known is not None:
        yield f"  took      {took(known)}"


def took(known: Outcome) -> str:
    """Return how long a call took; what sent nothing has no time before the send."""
    whole = f"{known.total_us:.0f} µs"
    if known.result in {"denied", "simulated"}:
        return f"{whole} in the shim; nothing was sent"
    if known.result == "not_sent":
        return f"{whole}, of which {known.presend_us:.0f} in the shim; nothing left this process"
    return f"{whole}, of which the shim before the send {known.presend_us:.0f}"


def resolved(later: Resolution) -> Iterator[str]:
    """What a later look at the exchange found, and by which questions."""
    word = f", {later.status}" if later.status else ""
    yield f"  resolved  {later.result}{word}, {later.after_s:.0f} s after it was sent"
    yield from (f"            {question}" for question in later.evidence)


def meaning(reason: Reason) -> str:
    """Return what a reason means, and of an override why nothing was held back."""
    why = GAPS.get(reason.fact("because") or "")
    return REASONS.get(reason.code, "a rule of your own") + (f": {why}" if why else "")


def what(record: Record) -> str:
    """The order in one line."""
    order = record.intent.order
    facts = {
        "trigger": order.trigger_price,
        "price": order.price,
        "activation": order.activation_price,
        "callback": order.callback_rate,
        "quantity": None if order.close_position else order.quantity,
    }
    words = [order.kind, order.symbol, order.side, order.type, order.position_side]
    words += [f"{name} {value}" for name, value in facts.items() if value is not None]
    words += ["whole position"] * bool(order.close_position) + ["reduce-only"] * bool(order.reduce_only)
    return " ".join(str(word) for word in words if word)


def place(record: Record) -> str:
    """Where in the code, as editors open it."""
    who = record.intent.attribution
    return f", {who.function} at {who.file}:{who.line}" if who.file else ""


def frames(record: Record) -> Iterator[str]:
    """The chain, from the client outwards, each with what it was taken for."""
    chain = record.chain
    if not chain:
        yield "  frames    none recorded"
        return
    width = max(len(step.module) for step in chain)
    for number, step in enumerate(chain):
        where = f"{step.function}:{step.line}" if step.function else ""
        line = f"{step.module:<{width}}  {PARTS[step.part]}{', ' * bool(where)}{where}"
        yield ("            " if number else "  frames    ") + line


def target_told(target: Target, record: Record, dsn: str | None) -> str:
    """Describe an order that a cancel or change is about, and who placed it."""
    name = target.algo_id or target.order_id or target.client_order_id or "an order without an id"
    if target.module:
        return f"{name}, {target.kind}, placed by {target.module}"
    # The guard's book has live exits only; the record has those too that ended before, or are older.
    placed = find_placing(target, record, lambda name: read(dsn, named=name))
    if placed is None:
        return f"{name}, {target.kind}, no record says who placed it"
    module, kind = placed.intent.attribution.module, placed.intent.order.kind
    return f"{name}, {kind}, placed by {module}, record {placed.run_id}:{placed.seq}"


def ids(record: Record) -> str:
    """What the exchange calls it."""
    known = record.resolution or record.outcome
    if known is None:
        return ": no answer was recorded; it may rest at the exchange"
    found = (("order id", known.order_id), ("algo id", known.algo_id))
    return "".join(f", {name} {value}" for name, value in found if value is not None)
