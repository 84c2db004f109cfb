"""Log each order under the prefixes that operators of the first exit gateways filter by."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from exit_shim.domain.events import (
    ExecutorStep,
    GuardFinding,
    Intent,
    OrderFindings,
    Outcome,
    Record,
    Resolution,
    Result,
    warn_if_found,
)
from exit_shim.domain.orders import Operation
from exit_shim.domain.reason_codes import PROTECTIVE_OVERRIDE, REASONS
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import Reason
from exit_shim.runtime.logs import EXECUTOR, GATEWAY, GUARD, logger, time_of_line

NAMES: Final[Mapping[Operation, str]] = {
    "place": "exit order",
    "modify": "change",
    "cancel": "cancel",
    "test": "test order",
}
"""The name of each operation in the lines."""

NEVER_LEFT: Final[Mapping[Result, str]] = {
    "denied": "the guard held it back; nothing was sent",
    "simulated": "the guard answered it; nothing was sent",
    "not_sent": "it never left this process",
}
"""The meaning of outcomes of orders that the exchange has certainly not seen."""

DOUBTS: Final[Mapping[Operation, str]] = {
    "place": "the exchange may have it; look it up by its client order id before placing another",
    "modify": "it may have taken effect; look the order up before changing it again",
    "cancel": "it may have taken effect; look at what rests before you go on",
    "test": "nothing rests at the exchange",
}

LOUD_VERBS: Final = frozenset({"close", "refuse"})
"""The steps of an exit executor that somebody should look at."""

WORDS: Final[Mapping[Result, str]] = {"unknown": "IN DOUBT", "not_sent": "NOT SENT"}


class LogSink:
    """Log each event under its own time: as info, or louder where somebody should look.

    An order that leaves gets two lines, when it is sent and when it is answered. One that the guard held back
    gets one line with everything.
    """

    def on(self, recorded: RecordedEvent) -> None:
        """Log one event, if its kind has a line."""
        event, intent = recorded.event, recorded.intent
        if intent is None:
            if isinstance(event, GuardFinding):
                log_guard_finding(event)
            elif isinstance(event, ExecutorStep):
                log_step(event)
        elif isinstance(event, Intent):
            log_reasons(intent, intent.verdict.reasons, intent.verdict.action)
            if recorded.leaves:
                fields = {**names_of(intent), **details(intent), "time": time_of_line()}
                logger().info(f"{GATEWAY} submitting {what(intent)}", **fields)
        elif isinstance(event, Outcome):
            has_line = recorded.about is not None and recorded.about.leaves
            log_outcome(intent, event, {} if has_line else details(intent))
        elif isinstance(event, OrderFindings):
            log_reasons(intent, event.reasons, warn_if_found(intent.verdict.action, event.reasons))
        elif isinstance(event, Resolution) and recorded.about is not None:
            about = recorded.about
            log_resolution(Record(about.run_id, about.seq, intent, resolution=event))


def log_guard_finding(finding: GuardFinding) -> None:
    """Log what the guard found about no single order."""
    fields = {**guard_fields(finding.reason), "symbol": finding.symbol, "account": finding.account}
    logger().warning(guard_text(finding.reason), **fields)


def log_step(step: ExecutorStep) -> None:
    """Log what the exit executor is about to do; a closing and a refused plan as warnings."""
    fields = {
        "symbol": step.symbol,
        "position_side": step.position_side,
        "why": step.why,
        "type": step.type,
        "trigger": step.trigger,
        "price": step.price,
        "quantity": step.quantity,
        "guarded": step.guarded,
        "plan": step.plan_id,
        "revision": step.revision,
        "episode": step.episode,
        "client_order_id": step.client_order_id,
        "order_id": step.order_id,
        "account": step.account,
        "time": time_of_line(),
    }
    say = logger().warning if step.verb in LOUD_VERBS else logger().info
    say(f"{EXECUTOR} {step.verb}" + (f" {step.leg}" if step.leg else ""), **present(fields))


def log_resolution(record: Record) -> None:
    """Log what became of an order in doubt, as an error if it is live and the bot believes it failed."""
    resolution, intent = record.resolution, record.intent
    if resolution is None:
        return
    fields = {
        **names_of(intent),
        "record": f"{record.run_id}:{record.seq}",
        "outcome": resolution.result,
        "status": resolution.status,
        "order_id": resolution.order_id,
        "algo_id": resolution.algo_id,
        "client_order_id": resolution.client_order_id or intent.order.client_order_id,
        "after_s": resolution.after_s,
        "evidence": "; ".join(resolution.evidence),
    }
    log, text = logger(), f"{GATEWAY} {what(intent)} no longer in doubt"
    if intent.operation == "place" and resolution.result == "accepted":
        log.error(text, **fields, meaning="it IS at the exchange, and the bot was told that it failed")
    elif intent.operation == "cancel" and resolution.result == "not_there":
        log.warning(text, **fields, meaning="it took nothing away")
    else:
        log.info(text, **fields)


def log_given_up(record: Record, reason: str) -> None:
    """Log why an order stays in doubt."""
    intent = record.intent
    logger().warning(
        f"{GATEWAY} {what(intent)} stays IN DOUBT",
        because=reason,
        **names_of(intent),
        record=f"{record.run_id}:{record.seq}",
        client_order_id=intent.order.client_order_id,
    )


def what(intent: Intent) -> str:
    """Return what the lines call an intent; nothing shows that a conditional order is an exit."""
    is_conditional = intent.operation == "place" and intent.order.kind == "conditional"
    return "conditional order" if is_conditional else NAMES[intent.operation]


def names_of(intent: Intent) -> dict[str, Any]:
    """Return the fields that every line about an order begins with."""
    order = intent.order
    return {
        "kind": order.kind,
        "symbol": order.symbol,
        "module": intent.attribution.module,
        "type": order.type,
    }


def log_reasons(intent: Intent, reasons: Iterable[Reason], action: str) -> None:
    """Log what the guard found about an order, and what it did."""
    log = logger()
    for reason in reasons:
        if reason.is_observed:
            continue
        fields = {**guard_fields(reason), **names_of(intent), "operation": intent.operation}
        say = log.error if reason.code == PROTECTIVE_OVERRIDE else log.warning
        say(guard_text(reason), **fields, verdict=action, time=time_of_line())


def guard_text(reason: Reason) -> str:
    """Return the words that a line about a reason begins with."""
    return f"{GUARD} {reason.code}"


def guard_fields(reason: Reason) -> dict[str, Any]:
    """Return a reason's code, its meaning, and its text with the facts."""
    return {"code": reason.code, "meaning": REASONS.get(reason.code), "reason": str(reason)}


def details(intent: Intent) -> dict[str, Any]:
    """Return the fields that are logged once for each order."""
    order, who = intent.order, intent.attribution
    return {
        "side": order.side,
        "position_side": order.position_side,
        "quantity": order.quantity,
        "price": order.price,
        "trigger_price": order.trigger_price,
        "function": who.function,
        "line": who.line,
        "via": ",".join(who.via) or None,
        "evidence": who.evidence,
        "explanation": who.explanation,
        "mode": intent.mode,
        "door": intent.door,
        "targets": ", ".join(f"{target.kind} of {target.module or 'unknown'}" for target in intent.targets)
        or None,
    }


def log_outcome(intent: Intent, outcome: Outcome, more: Mapping[str, Any]) -> None:
    """Log the outcome of an order, as an error if it may be open at the exchange unseen."""
    log, result = logger(), outcome.result
    fields = {
        **names_of(intent),
        **more,
        "order_id": outcome.order_id,
        "algo_id": outcome.algo_id,
        "error_code": outcome.error_code,
        "error": outcome.error_message,
        "meaning": DOUBTS[intent.operation] if result == "unknown" else NEVER_LEFT.get(result),
        "client_order_id": outcome.client_order_id or intent.order.client_order_id,
        "total_us": outcome.total_us,
        "time": time_of_line(),
    }
    say = log.info if result == "accepted" else log.error if result == "unknown" else log.warning
    say(f"{GATEWAY} {what(intent)} {WORDS.get(result, result)}", **present(fields))


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
