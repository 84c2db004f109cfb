"""`exit-shim explain`: one order, from the module that asked to what came of it."""

from collections.abc import Iterator, Mapping
from typing import Final

import click

from exit_shim.cli.clock import Clock
from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.order_rows import outcome_of
from exit_shim.cli.origins import find_placing
from exit_shim.cli.output import say
from exit_shim.cli.steps import (
    Around,
    find_step,
    order_names,
    plan_text,
    short_text,
    show_steps,
    step_fields,
)
from exit_shim.domain.events import Outcome, Record, Resolution, Target
from exit_shim.domain.reason_codes import GAPS, REASONS
from exit_shim.domain.verdicts import Reason

EVIDENCE: Final[Mapping[str, str]] = {
    "context": "the code named the module, by attributed() or submit_exit_order(); this outranks the stack",
    "stack": "the first frame of the bot's own code that is neither passthrough nor part of the client",
    "carried": "the call has no frame of the bot; this module handed it to a pool or thread",
    "bind": "the call has no frame of the bot; this module fetched the method from the client",
    "unknown": "neither the call nor the fetch of the method has a frame of the bot",
}
"""How the module was found, for each kind of evidence."""

PARTS: Final[Mapping[str, str]] = {
    "chosen": "asked",
    "passthrough": "skipped: passthrough module",
    "layer": "skipped: wraps the client's method",
    "skipped": "skipped: library code",
    "outer": "called it",
}
"""What a frame was taken for."""

DONE: Final[Mapping[str, str]] = {
    "place": "placed",
    "modify": "changed",
    "cancel": "cancelled",
    "test": "tested",
}
"""The first word about an accepted order."""

REQUESTED: Final[Mapping[str, str]] = {
    "place": "asked to place",
    "modify": "asked to change",
    "cancel": "asked to cancel",
    "test": "asked to test",
}
"""The first words about an order that was not carried out, as far as is known."""


@click.command()
@click.argument("order")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each record.")
@filter_options(omit={"module", "kind", "outcome", "reason", "limit"})
def explain(*, order: str, as_json: bool, selection: Selection) -> None:
    """Explain one order: who placed it, and what came of it.

    ORDER is an order id, an algo id, a client order id, or RUN_ID:SEQ as `records --json` prints them.
    Cancels and changes of the order are explained too. Of an order of the exit executor it shows the plan
    and the steps before and after; given the episode that these name, all steps of that position. Given a
    symbol it shows what `exit-shim why` shows, and the latest orders.
    """
    records = list(selection.narrow(named=order).read_records())
    if not records and (steps := list(selection.read_steps(named=order))):
        show_steps(steps, selection.clock, as_json=as_json)
        return
    if not records:
        # An order of this name is explained without it, and it loads the guard.
        from exit_shim.cli.symbol_orders import explain_symbol, nothing_named  # noqa: PLC0415

        if explain_symbol(order, selection, as_json=as_json):
            return
        raise click.ClickException(nothing_named(order, selection))
    for number, record in enumerate(records):
        around = step_of(record, selection)
        if as_json:
            rule = EVIDENCE[record.intent.attribution.evidence]
            say(json_text({**record.flat(), "rule": rule, "steps": steps_json(around)}))
        else:
            say(*[""] * bool(number), *describe(record, around, selection))


def step_of(record: Record, selection: Selection) -> Around | None:
    """Return the step of the exit executor that an order carried out; None for any other order."""
    for name in sorted(order_names(record)):
        if (around := find_step(record, list(selection.read_steps_named(name)))) is not None:
            return around
    return None


def steps_json(around: Around | None) -> dict[str, object] | None:
    """Return the steps around an order, JSON-ready; None for an order that is not an executor's."""
    if around is None:
        return None
    return {name: None if step is None else step_fields(step) for name, step in around._asdict().items()}


def describe(record: Record, around: Around | None, selection: Selection) -> Iterator[str]:
    """Yield the lines about one record, with the executor's steps around it."""
    intent, answer = record.intent, record.outcome
    words = DONE if outcome_of(record) == "accepted" else REQUESTED
    yield f"{words[intent.operation]} {order_text(record)}"
    yield f"  when      {selection.clock.with_zone(intent.ts)}, record {record.run_id}:{record.seq}"
    yield f"  door      {intent.door}" + (f", account {intent.account}" if intent.account else "")
    if intent.order.client_order_id:
        yield f"  client id {intent.order.client_order_id}"
    yield from describe_attribution(record)
    if around is not None:
        yield from describe_steps(around, selection.clock)
    yield from describe_verdict(record)
    yield from (f"  target    {target_text(target, record, selection)}" for target in intent.targets)
    yield f"  outcome   {outcome_of(record)}" + ids_text(record)
    if answer is not None and (answer.error_code is not None or answer.error_message):
        yield f"  error     {answer.error_code or ''} {answer.error_message or ''}".rstrip()
    if record.resolution is not None:
        yield from describe_resolution(record.resolution)
    if answer is not None:
        yield f"  took      {duration_text(answer)}"


def describe_attribution(record: Record) -> Iterator[str]:
    """Yield who asked, and how that was found."""
    who = record.intent.attribution
    at = f", {who.function} at {who.file}:{who.line}" if who.file else ""
    yield f"  module    {who.module}{at}"
    if who.explanation:
        yield f"  because   {who.explanation}"
    yield f"  evidence  {who.evidence}: {EVIDENCE[who.evidence]}"
    yield from describe_frames(record)


def describe_steps(around: Around, clock: Clock) -> Iterator[str]:
    """Yield the plan and leg that an executor's order is of, and the steps before and after it."""
    step = around.step.step
    plan, episode = plan_text(step) or "none", step.episode or "none"
    yield f"  step      {short_text(step)}, plan {plan}, episode {episode}"
    for label, stored in (("before", around.before), ("after", around.after)):
        if stored is not None:
            at = clock.stamp(stored.ts)
            name = stored.step.client_order_id
            words = " ".join(filter(None, (short_text(stored.step), name)))
            yield f"  {label:<9} {at} {words}: {stored.step.why}"


def describe_frames(record: Record) -> Iterator[str]:
    """Yield the call chain, from the client outwards, each frame with what it was taken for."""
    chain = record.chain
    if not chain:
        yield "  frames    none recorded"
        return
    width = max(len(step.module) for step in chain)
    for number, step in enumerate(chain):
        at = f", {step.function}:{step.line}" if step.function else ""
        label = "            " if number else "  frames    "
        yield f"{label}{step.module:<{width}}  {PARTS[step.part]}{at}"


def describe_verdict(record: Record) -> Iterator[str]:
    """Yield what the guard decided, by which rules, and the live exits that it saw."""
    yield f"  verdict   {record.action} in {record.intent.mode}"
    yield from (f"  rule      {reason}: {meaning_of(reason)}" for reason in record.reasons)
    if record.intent.verdict.policy is not None:
        yield f"  policy    {record.intent.verdict.policy}"
    yield from (f"  live exit {live}" for live in record.book)


def describe_resolution(later: Resolution) -> Iterator[str]:
    """Yield what a later look at the exchange proved, and by which requests."""
    status = f", {later.status}" if later.status else ""
    yield f"  resolved  {later.result}{status}, {later.after_s:.0f} s after it was sent"
    yield from (f"            {question}" for question in later.evidence)


def duration_text(answer: Outcome) -> str:
    """Return how long the call took, and the part of it before the send if it was sent."""
    total = f"{answer.total_us:.0f} µs"
    if answer.result in {"denied", "simulated"}:
        return f"{total} in the shim; nothing was sent"
    if answer.result == "not_sent":
        return f"{total}, of which {answer.presend_us:.0f} µs in the shim; nothing left this process"
    return f"{total}, of which {answer.presend_us:.0f} µs in the shim before the send"


def meaning_of(reason: Reason) -> str:
    """Return what a reason means and, of an override, why the order was let through."""
    gap = GAPS.get(reason.fact("because") or "")
    return REASONS.get(reason.code, "a custom rule") + (f": {gap}" if gap else "")


def order_text(record: Record) -> str:
    """Describe the order in one line."""
    order = record.intent.order
    amounts = {
        "trigger": order.trigger_price,
        "price": order.price,
        "activation": order.activation_price,
        "callback": order.callback_rate,
        "quantity": None if order.close_position else order.quantity,
    }
    words = [order.kind, order.symbol, order.side, order.type, order.position_side]
    words += [f"{name} {value}" for name, value in amounts.items() if value is not None]
    words += ["whole position"] * bool(order.close_position) + ["reduce-only"] * bool(order.reduce_only)
    return " ".join(str(word) for word in words if word)


def target_text(target: Target, record: Record, selection: Selection) -> str:
    """Describe an order that a cancel or change is about, and who placed it."""
    name = target.algo_id or target.order_id or target.client_order_id or "an order without an id"
    if target.module:
        return f"{name}, {target.kind}, placed by {target.module}"
    # The guard's book has only live exits; the journal has ended and older ones too.
    placing = find_placing(target, record, selection.read_named)
    if placing is None:
        return f"{name}, {target.kind}, no record shows who placed it"
    module, kind = placing.intent.attribution.module, placing.intent.order.kind
    return f"{name}, {kind}, placed by {module}, record {placing.run_id}:{placing.seq}"


def ids_text(record: Record) -> str:
    """Return the exchange's ids of the order."""
    answer = record.resolution or record.outcome
    if answer is None:
        return ": no answer was recorded; the order may be live at the exchange"
    ids = (("order id", answer.order_id), ("algo id", answer.algo_id))
    return "".join(f", {name} {value}" for name, value in ids if value is not None)
