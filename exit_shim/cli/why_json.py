"""The incident of a position as JSON."""

from collections.abc import Sequence
from typing import Any

from exit_shim.cli.why_policy import Ruling
from exit_shim.domain.events import Record
from exit_shim.reports.incident import Incident, Moment
from exit_shim.reports.lives import Actor, Life, Span
from exit_shim.reports.position_cover import PositionState


def incident_fields(
    incident: Incident, record: Record | None, ruling: Ruling | None, next_ones: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return an incident, JSON-ready; times are nanoseconds since the epoch, amounts are strings."""
    account, symbol, side = incident.position
    return {
        "symbol": symbol,
        "position_side": side,
        "account": account,
        "cover": incident.now.cover,
        "doubt": incident.now.doubt,
        "now": state_fields(incident.now),
        "last_known": None if incident.then is None else state_fields(incident.then),
        "gap": None if incident.gap is None else span_fields(incident.gap),
        "gaps": incident.gaps,
        "gaps_ns": incident.gaps_ns,
        "cause": incident.cause,
        "last_stop": None if incident.last_stop is None else life_fields(incident.last_stop),
        "taken_by": actor_fields(incident.culprit, record),
        "policy": None if ruling is None else ruling._asdict(),
        "events": [moment_fields(moment) for moment in incident.moments],
        "read_since_ns": incident.since_ns,
        "next": [command for command, _ in next_ones],
    }


def state_fields(state: PositionState) -> dict[str, Any]:
    """Return what is known of a position at a moment."""
    return {
        "cover": state.cover,
        "since_ns": state.since_ns,
        "amount": None if state.amount is None else f"{state.amount:f}",
        "entry_price": state.entry_price,
        "mark_price": state.mark_price,
        "seen_ns": state.seen_ns,
        "source": state.source,
        "exits": [life_fields(life) for life in state.exits],
    }


def span_fields(span: Span) -> dict[str, Any]:
    """Return a time in which the cover stayed the same."""
    return {"cover": span.cover, "start_ns": span.start_ns, "end_ns": span.end_ns}


def life_fields(life: Life) -> dict[str, Any]:
    """Return an exit, from its placing to its end."""
    return {
        "order": life.name,
        "kind": life.kind,
        "type": life.type,
        "side": life.side,
        "level": None if life.level is None else f"{life.level:f}",
        "quantity": None if life.quantity is None else f"{life.quantity:f}",
        "close_position": life.close_position,
        "is_stop": life.is_stop,
        "in_doubt": life.is_in_doubt,
        "placed_ns": life.placed_ns,
        "placed_by": actor_fields(life.placed_by),
        "ended_ns": life.ended_ns,
        "end": life.end,
        "ended_by": actor_fields(life.ended_by),
    }


def actor_fields(actor: Actor | None, record: Record | None = None) -> dict[str, Any] | None:
    """Return who did something, and of a record also the whole path and what the guard did."""
    if actor is None:
        return None
    fields: dict[str, Any] = {**actor._asdict(), "record": f"{actor.run_id}:{actor.seq}"}
    if record is not None:
        who = record.intent.attribution
        fields |= {
            "account": record.intent.account,
            "file": who.file,
            "line": who.line,
            "verdict": record.action,
            "reasons": [reason.code for reason in record.reasons],
            "mode": record.intent.mode,
        }
    return fields


def moment_fields(moment: Moment) -> dict[str, Any]:
    """Return something that happened."""
    by = moment.actor
    return {
        "at_ns": moment.at_ns,
        "text": moment.text,
        "record": None if by is None else f"{by.run_id}:{by.seq}",
    }
