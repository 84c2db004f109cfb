"""Events that are about no order, in a line: positions, switches, findings, alerts and losses."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import Red, pluralize
from exit_shim.domain.events import (
    DECODERS,
    EVENT_NAMES,
    AlertSent,
    Event,
    GuardFinding,
    Lost,
    PositionSeen,
    Switch,
)
from exit_shim.journal.record_source import StoredEvent

FACTS: Final = frozenset(
    EVENT_NAMES[event] for event in (GuardFinding, PositionSeen, Switch, AlertSent, Lost)
)
"""The events that are shown as they come."""

FLAT: Final = "flat"

BY_NAME: Final[Mapping[str, type[Event]]] = {name: event for event, name in EVENT_NAMES.items()}


class CoverLog:
    """Remember how each position was covered, to tell when that changes."""

    def __init__(self) -> None:
        self._covers: dict[tuple[str | None, str, str], str] = {}

    def change(self, seen: PositionSeen) -> str | None:
        """Return the cover of a position where it is another one than before; None where it is the same."""
        cover = cover_of(seen)
        if cover is None:
            return None
        key = seen.account, seen.symbol, seen.position_side
        before, self._covers[key] = self._covers.get(key), cover
        # Flat positions are worth no line before they were seen open.
        return None if cover == before or (before is None and cover == FLAT) else cover


def cover_of(seen: PositionSeen) -> str | None:
    """Return how much of a position its stops close; None where its orders were not read."""
    try:
        amount, guarded = Decimal(seen.amount), Decimal(seen.guarded or "0")
    except InvalidOperation:
        return None
    if not amount:
        return FLAT
    if seen.exits is None:
        return None
    return "covered" if guarded >= abs(amount) else "partly covered" if guarded else "BARE"


def fact_json(stored: StoredEvent) -> str:
    """Return an event as a JSON line; `event` tells it from a record."""
    about = {"event": stored.event, "ts": stored.ts, "run_id": stored.run_id, "seq": stored.seq}
    body: dict[str, Any] = msgspec.json.decode(stored.body)
    return json_text({**about, **body})


def fact_line(stored: StoredEvent, covers: CoverLog) -> str | None:
    """Return an event in words, red where it is alarming; None where it tells nothing new."""
    event = DECODERS[BY_NAME[stored.event]].decode(stored.body)
    if isinstance(event, PositionSeen):
        return position_line(event, covers)
    return WORDS[type(event)](event)


def position_line(seen: PositionSeen, covers: CoverLog) -> str | None:
    """Return how a position is covered from now on."""
    cover = covers.change(seen)
    if cover is None:
        return None
    side = "" if seen.position_side == "BOTH" else f" {seen.position_side}"
    text = f"position  {seen.symbol}{side} {seen.amount}  {cover}"
    return Red(text) if cover == "BARE" else text


def switch_line(switch: Switch) -> str:
    """Return what was switched, and by whom."""
    changes = {
        "mode": switch.mode,
        "enforce": switch.enforce,
        "protect": switch.protect,
        "symbol": switch.symbol,
    }
    words = [f"{name}={value}" for name, value in changes.items() if value is not None]
    return f"switch  {' '.join(words)}  by {switch.by}"


def finding_line(finding: GuardFinding) -> str:
    """Return what the guard found that is about no order."""
    return Red("  ".join(["guard", finding.symbol or "", str(finding.reason)]))


def alert_line(alert: AlertSent) -> str:
    """Return what somebody was alerted of, or could not be."""
    sent = f"sent to {', '.join(alert.to)}" if alert.is_sent else f"NOT sent: {alert.error}"
    return Red(f"alert  {alert.title}  {sent}")


def lost_line(lost: Lost) -> str:
    """Return how many events could not be kept."""
    return Red(f"{pluralize(lost.events, 'event')} lost: {lost.why}")


WORDS: Final[Mapping[type, Callable[[Any], str]]] = {
    Switch: switch_line,
    GuardFinding: finding_line,
    AlertSent: alert_line,
    Lost: lost_line,
}
"""What words each kind of event."""
