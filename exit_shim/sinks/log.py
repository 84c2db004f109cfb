"""Each order as structlog lines under the prefixes that operators of the first exit gateways filter by."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from exit_shim.domain.events import Intent, Record, Result
from exit_shim.domain.orders import Operation
from exit_shim.domain.reason_codes import PROTECTIVE_OVERRIDE, REASONS
from exit_shim.domain.verdicts import code_of, is_loud
from exit_shim.runtime.logs import GATEWAY, GUARD, logger, stamped, time_of_line

NAMES: Final[Mapping[Operation, str]] = {
    "place": "exit order",
    "modify": "change",
    "cancel": "cancel",
    "test": "test order",
}
"""What the lines call what was asked for."""

NEVER_LEFT: Final[Mapping[Result, str]] = {
    "denied": "the guard held it back; nothing was sent",
    "simulated": "the guard answered it; nothing was sent",
    "not_sent": "it never left this process",
}
"""What is said of an order that the exchange has certainly not seen."""

DOUBTS: Final[Mapping[Operation, str]] = {
    "place": "the exchange may have it; look it up by its client order id before placing another",
    "modify": "it may have taken effect; look the order up before changing it again",
    "cancel": "it may have taken effect; look at what rests before you go on",
    "test": "nothing rests at the exchange",
}

WORDS: Final[Mapping[Result, str]] = {"unknown": "IN DOUBT", "not_sent": "NOT SENT"}


class LogSink:
    """Logs what the guard found before the send, the submission, the answer, and what was found later.

    Of what never left there is no submission: one line says so, with all that is known of it.
    """

    def emit(self, record: Record) -> None:
        """Log one concluded order: info where all is well, warning or error where somebody should look."""
        log, intent, outcome = logger(), record.intent, record.outcome
        names = names_of(intent)
        has_left = outcome is None or outcome.result not in NEVER_LEFT
        with stamped(record.sent_at):
            warn(log, record, intent.verdict.reasons)
            if has_left:
                text = f"{GATEWAY} submitted {what(intent)}"
                log.info(text, **names, **details(intent), time=time_of_line())
        if outcome is not None:
            conclude(log, record, names if has_left else {**names, **details(intent)})
        if record.findings is not None:
            warn(log, record, record.findings.reasons)


def tell_resolution(record: Record) -> None:
    """Log what became of an order in doubt: loudest where it is there and the bot was told that it failed."""
    found, intent = record.resolution, record.intent
    if found is None:
        return
    fields = {
        **names_of(intent),
        "record": f"{record.run_id}:{record.seq}",
        "outcome": found.result,
        "status": found.status,
        "order_id": found.order_id,
        "algo_id": found.algo_id,
        "client_order_id": found.client_order_id or intent.order.client_order_id,
        "after_s": found.after_s,
        "evidence": "; ".join(found.evidence),
    }
    log, text = logger(), f"{GATEWAY} {what(intent)} no longer in doubt"
    if intent.operation == "place" and found.result == "accepted":
        log.error(text, **fields, meaning="it IS at the exchange, and the bot was told that it failed")
    elif intent.operation == "cancel" and found.result == "not_there":
        log.warning(text, **fields, meaning="it took nothing away")
    else:
        log.info(text, **fields)


def tell_given_up(record: Record, reason: str) -> None:
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
    """Return what the lines call it: nothing shows that a conditional order is an exit."""
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


def warn(log: Any, record: Record, reasons: Iterable[str]) -> None:
    """Log what the guard found of an order, and what it decided."""
    intent = record.intent
    for reason in filter(is_loud, reasons):
        fields = {**guard_fields(reason), **names_of(intent), "operation": intent.operation}
        say = log.error if code_of(reason) == PROTECTIVE_OVERRIDE else log.warning
        say(guard_text(reason), **fields, verdict=record.action, time=time_of_line())


def guard_text(reason: str) -> str:
    """Return the words that a line about a reason begins with."""
    return f"{GUARD} {code_of(reason)}"


def guard_fields(reason: str) -> dict[str, Any]:
    """Return a reason's code, what it means, and the whole of it with its facts."""
    code = code_of(reason)
    return {"code": code, "meaning": REASONS.get(code), "reason": reason}


def details(intent: Intent) -> dict[str, Any]:
    """Return what is told once of each order, beyond the names."""
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


def conclude(log: Any, record: Record, names: dict[str, Any]) -> None:
    """Log what became of an order, loudest where it may rest at the exchange unseen."""
    intent, outcome = record.intent, record.outcome
    if outcome is None:
        return
    result = outcome.result
    fields = {
        **names,
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
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value is not None}
