"""Each order as structlog lines under the prefixes that operators of the first exit gateways filter by."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from exit_shim.doors import Intent
from exit_shim.logs import GATEWAY, GUARD, logger, stamped, time_of_line
from exit_shim.policy import REASONS, code_of, is_loud
from exit_shim.policy.codes import PROTECTIVE_OVERRIDE
from exit_shim.records import Outcome, Record, Submission

NAMES: Final[Mapping[Intent, str]] = {
    "place": "exit order",
    "modify": "change",
    "cancel": "cancel",
    "test": "test order",
}
"""What the lines call what was asked for."""

NEVER_LEFT: Final[Mapping[Outcome, str]] = {
    "denied": "the guard held it back; nothing was sent",
    "suppressed": "the guard answered it; nothing was sent",
    "not_sent": "it never left this process",
}
"""What is said of an order that the exchange has certainly not seen."""

DOUBTS: Final[Mapping[Intent, str]] = {
    "place": "the exchange may have it; look it up by its client order id before placing another",
    "modify": "it may have taken effect; look the order up before changing it again",
    "cancel": "it may have taken effect; look at what rests before you go on",
    "test": "nothing rests at the exchange",
}

WORDS: Final[Mapping[Outcome, str]] = {"unknown": "IN DOUBT", "not_sent": "NOT SENT"}


class LogSink:
    """Logs what the guard found before the send, the submission, the answer, and what was found later.

    Of what never left there is no submission: one line says so, with all that is known of it.
    """

    def emit(self, record: Record) -> None:
        """Log one concluded order: info where all is well, warning or error where somebody should look."""
        log, submission, conclusion = logger(), record.submission, record.conclusion
        names = names_of(submission)
        has_left = conclusion is None or conclusion.outcome not in NEVER_LEFT
        with stamped(record.sent_at):
            warn(log, record, submission.verdict.reasons)
            if has_left:
                text = f"{GATEWAY} submitted {what(submission)}"
                log.info(text, **names, **details(submission), time=time_of_line())
        if conclusion is not None:
            conclude(log, record, names if has_left else {**names, **details(submission)})
        if record.findings is not None:
            warn(log, record, record.findings.reasons)


def tell_resolution(record: Record) -> None:
    """Log what became of an order in doubt: loudest where it is there and the bot was told that it failed."""
    found, submission = record.resolution, record.submission
    if found is None:
        return
    fields = {
        **names_of(submission),
        "record": f"{record.run_id}:{record.seq}",
        "outcome": found.outcome,
        "status": found.status,
        "order_id": found.order_id,
        "algo_id": found.algo_id,
        "client_order_id": found.client_order_id or submission.order.client_order_id,
        "after_s": found.after_s,
        "evidence": "; ".join(found.evidence),
    }
    log, text = logger(), f"{GATEWAY} {what(submission)} no longer in doubt"
    if submission.intent == "place" and found.outcome == "accepted":
        log.error(text, **fields, meaning="it IS at the exchange, and the bot was told that it failed")
    elif submission.intent == "cancel" and found.outcome == "not_there":
        log.warning(text, **fields, meaning="it took nothing away")
    else:
        log.info(text, **fields)


def tell_given_up(record: Record, reason: str) -> None:
    """Log why an order stays in doubt."""
    submission = record.submission
    logger().warning(
        f"{GATEWAY} {what(submission)} stays IN DOUBT",
        because=reason,
        **names_of(submission),
        record=f"{record.run_id}:{record.seq}",
        client_order_id=submission.order.client_order_id,
    )


def what(submission: Submission) -> str:
    """Return what the lines call it: nothing shows that a conditional order is an exit."""
    is_conditional = submission.intent == "place" and submission.order.kind == "conditional"
    return "conditional order" if is_conditional else NAMES[submission.intent]


def names_of(submission: Submission) -> dict[str, Any]:
    """Return the fields that every line about an order begins with."""
    order = submission.order
    return {
        "kind": order.kind,
        "symbol": order.symbol,
        "module": submission.attribution.module,
        "type": order.type,
    }


def warn(log: Any, record: Record, reasons: Iterable[str]) -> None:
    """Log what the guard found of an order, and what it decided."""
    submission = record.submission
    for reason in filter(is_loud, reasons):
        fields = {**guard_fields(reason), **names_of(submission), "intent": submission.intent}
        say = log.error if code_of(reason) == PROTECTIVE_OVERRIDE else log.warning
        say(guard_text(reason), **fields, verdict=record.action, time=time_of_line())


def guard_text(reason: str) -> str:
    """Return the words that a line about a reason begins with."""
    return f"{GUARD} {code_of(reason)}"


def guard_fields(reason: str) -> dict[str, Any]:
    """Return a reason's code, what it means, and the whole of it with its facts."""
    code = code_of(reason)
    return {"code": code, "meaning": REASONS.get(code), "reason": reason}


def details(submission: Submission) -> dict[str, Any]:
    """Return what is told once of each order, beyond the names."""
    order, who = submission.order, submission.attribution
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
        "mode": submission.mode,
        "door": submission.door,
        "targets": ", ".join(
            f"{target.kind} of {target.module or 'unknown'}" for target in submission.targets
        )
        or None,
    }


def conclude(log: Any, record: Record, names: dict[str, Any]) -> None:
    """Log what became of an order, loudest where it may rest at the exchange unseen."""
    submission, conclusion = record.submission, record.conclusion
    if conclusion is None:
        return
    outcome = conclusion.outcome
    fields = {
        **names,
        "order_id": conclusion.order_id,
        "algo_id": conclusion.algo_id,
        "error_code": conclusion.error_code,
        "error": conclusion.error_message,
        "meaning": DOUBTS[submission.intent] if outcome == "unknown" else NEVER_LEFT.get(outcome),
        "client_order_id": conclusion.client_order_id or submission.order.client_order_id,
        "total_us": conclusion.total_us,
        "time": time_of_line(),
    }
    say = log.info if outcome == "accepted" else log.error if outcome == "unknown" else log.warning
    say(f"{GATEWAY} {what(submission)} {WORDS.get(outcome, outcome)}", **present(fields))


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value is not None}
