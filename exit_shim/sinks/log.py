"""Each order as structlog lines under the prefixes that operators of the first exit gateways filter by."""

from collections.abc import Mapping
from typing import Any, Final

from exit_shim.doors import Intent
from exit_shim.logs import GATEWAY, GUARD, logger
from exit_shim.policy import REASONS
from exit_shim.records import Conclusion, Record, Submission

WORDS: Final[Mapping[Intent, tuple[str, str]]] = {
    "place": ("submitting exit order", "exit order"),
    "modify": ("changing order", "change"),
    "cancel": ("cancelling", "cancel"),
    "test": ("testing order", "test order"),
}
"""What a record's lines call the deed and its object."""


class LogSink:
    """Logs the submission and the conclusion, and before them what the guard found."""

    def emit(self, record: Record) -> None:
        """Log one concluded order: info where all is well, warning or error where somebody should look."""
        log, submission = logger(), record.submission
        names = {
            "kind": submission.order.kind,
            "symbol": submission.order.symbol,
            "module": submission.attribution.module,
            "type": submission.order.type,
        }
        for reason in submission.verdict.reasons:
            log.warning(f"{GUARD} {guard_text(reason)}", reason=reason, **names)
        doing, what = WORDS[submission.intent]
        log.info(f"{GATEWAY} {doing}", **names, **submitted(submission))
        if record.conclusion is not None:
            conclude(log, what, record.conclusion, names, submission.order.client_order_id)


def tell_resolution(record: Record) -> None:
    """Log what became of an order in doubt: loudest where it is there and the bot was told that it failed."""
    found, submission = record.resolution, record.submission
    if found is None:
        return
    _, what = WORDS[submission.intent]
    fields = {
        "kind": submission.order.kind,
        "symbol": submission.order.symbol,
        "module": submission.attribution.module,
        "record": f"{record.run_id}:{record.seq}",
        "status": found.status,
        "order_id": found.order_id,
        "algo_id": found.algo_id,
        "client_order_id": found.client_order_id or submission.order.client_order_id,
        "after_s": found.after_s,
        "evidence": "; ".join(found.evidence),
    }
    log, text = logger(), f"{GATEWAY} {what} no longer in doubt: {found.outcome}"
    if submission.intent == "place" and found.outcome == "accepted":
        log.error(f"{text}; it IS at the exchange, and the bot was told that it failed", **fields)
    elif submission.intent == "cancel" and found.outcome == "not_there":
        log.warning(f"{text}; it took nothing away", **fields)
    else:
        log.info(text, **fields)


def tell_given_up(record: Record, reason: str) -> None:
    """Log why an order stays in doubt."""
    submission = record.submission
    logger().warning(
        f"{GATEWAY} {WORDS[submission.intent][1]} stays IN DOUBT: {reason}",
        kind=submission.order.kind,
        symbol=submission.order.symbol,
        module=submission.attribution.module,
        record=f"{record.run_id}:{record.seq}",
        client_order_id=submission.order.client_order_id,
    )


def guard_text(reason: str) -> str:
    """A reason's code, and what it means, as the words that the line begins with."""
    code = reason.partition(" ")[0]
    return f"{code}: {REASONS.get(code, reason)}"


def submitted(submission: Submission) -> dict[str, Any]:
    """What the line of a submission tells beyond the names."""
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


def conclude(
    log: Any, what: str, conclusion: Conclusion, names: dict[str, Any], client_order_id: str | None
) -> None:
    """Log what became of an order, loudest where it may rest at the exchange unseen."""
    known = {
        "client_order_id": conclusion.client_order_id or client_order_id,
        "total_us": conclusion.total_us,
    }
    if conclusion.outcome == "accepted":
        log.info(
            f"{GATEWAY} {what} accepted",
            **names,
            order_id=conclusion.order_id,
            algo_id=conclusion.algo_id,
            **known,
        )
        return
    wrong = {"error_code": conclusion.error_code, "error": conclusion.error_message}
    if conclusion.outcome == "unknown":
        log.error(
            f"{GATEWAY} {what} IN DOUBT: the exchange may have it; look it up by its client order id "
            "before placing another",
            **names,
            **wrong,
            **known,
        )
    elif conclusion.outcome == "not_sent":
        log.warning(f"{GATEWAY} {what} NOT SENT: it never left this process", **names, **wrong, **known)
    else:
        log.warning(f"{GATEWAY} {what} {conclusion.outcome}", **names, **wrong, **known)
