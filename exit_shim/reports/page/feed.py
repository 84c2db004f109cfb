"""The feed of the page: who took whose exit, from where, and what the guard found."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, TypeAlias

from exit_shim.domain.events import (
    AlertSent,
    ExecutorStep,
    GuardFinding,
    InternalError,
    Lost,
    Record,
    Switch,
    Target,
)
from exit_shim.domain.orders import Kind
from exit_shim.domain.reason_codes import (
    DELEGATION_GAP,
    FOREIGN_CANCEL,
    PROTECTIVE_OVERRIDE,
    REASONS,
    STRIPPED,
)
from exit_shim.domain.verdicts import Reason
from exit_shim.journal import IN_DOUBT, StoredEvent, state_of
from exit_shim.journal.order_state import site_of
from exit_shim.journal.rows import decode

Level: TypeAlias = Literal["alarm", "warn", "note"]

ALARMING: Final = frozenset({STRIPPED, DELEGATION_GAP, PROTECTIVE_OVERRIDE})
"""Reasons that are about protection, not about manners."""

KIND_WORDS: Final[dict[Kind, str]] = {
    "sl": "stop loss",
    "tp": "take profit",
    "partial_tp": "partial take profit",
    "trailing": "trailing stop",
    "breakeven": "breakeven stop",
    "close": "close",
    "other_exit": "exit",
    "conditional": "conditional order",
    "unknown": "order",
}

DONE: Final = {"cancel": "cancelled", "modify": "changed", "place": "placed"}

ASKED: Final = {"cancel": "asked to cancel", "modify": "asked to change", "place": "asked to place"}

MOST_LONG: Final = 300
"""The characters of a text that the page is given."""


class FeedItem(NamedTuple):
    """One line of the feed.

    Attributes:
        key: Names it, so that a later one takes its place.
        ms: When, in milliseconds since the epoch.
        level: How urgent it is.
        codes: The reasons of the guard, or a word for what it is.
        text: Who did what to whose exit.
        where: Function, file and line.
        symbol: The symbol; "" for none.
        about: What the codes mean.
        record: The order's name for `exit-shim explain`; "" for none.
    """

    key: str
    ms: int
    level: Level
    codes: tuple[str, ...]
    text: str
    where: str = ""
    symbol: str = ""
    about: str = ""
    record: str = ""


def item_of_record(record: Record) -> FeedItem | None:
    """Return the line about an order; None for one that gives no cause for it."""
    if not has_cause(record):
        return None
    state = state_of(record.outcome, record.resolution)
    codes = [reason.code for reason in record.reasons]
    codes += [IN_DOUBT.upper()] * (state == IN_DOUBT) + ["DENIED"] * (state == "denied")
    return make_item(record, level_of(codes), tuple(dict.fromkeys(codes)) or ("TAKEN",))


def has_cause(record: Record) -> bool:
    """Return whether an order gives cause for a line: a finding, a doubt, or another module's exit taken."""
    state = state_of(record.outcome, record.resolution)
    if record.reasons or state in {IN_DOUBT, "denied"}:
        return True
    return state == "accepted" and bool(others_of(record))


def settled_item(record: Record) -> FeedItem:
    """Return the line about an order that was in doubt, and that gives no cause for one any more."""
    return make_item(record, "note", ("SETTLED",))


def make_item(record: Record, level: Level, codes: tuple[str, ...]) -> FeedItem:
    """Return a line about an order."""
    intent, site = record.intent, site_of(record.intent)
    return FeedItem(
        key=key_text(record),
        ms=intent.ts // 1_000_000,
        level=level,
        codes=codes,
        text=cut(sentence(record, state_of(record.outcome, record.resolution), others_of(record))),
        where=cut(f"{site.function} {site.place}"),
        symbol=intent.order.symbol or "",
        about=meanings(record.reasons),
        record=key_text(record),
    )


def key_text(record: Record) -> str:
    """Return the name of an order, as `exit-shim explain` takes it."""
    return f"{record.run_id}:{record.seq}"


def item_of_event(stored: StoredEvent) -> FeedItem | None:
    """Return the line about an event that is about no single order; None for one that has no line."""
    key, ms = f"{stored.run_id}:{stored.seq}", stored.ts // 1_000_000
    if stored.event == "guard_finding":
        finding = decode(GuardFinding, stored.body)
        reason, symbol = finding.reason, finding.symbol or ""
        level = level_of([reason.code])
        return FeedItem(key, ms, level, (reason.code,), meanings([reason]), facts(reason), symbol)
    if stored.event == "switch":
        return FeedItem(key, ms, "note", ("SWITCH",), switch_text(decode(Switch, stored.body)))
    if stored.event == "lost":
        lost = decode(Lost, stored.body)
        return FeedItem(key, ms, "alarm", ("LOST",), cut(f"{lost.events} events were lost: {lost.why}"))
    if stored.event == "alert_sent":
        return alert_item(key, ms, decode(AlertSent, stored.body))
    if stored.event == "internal_error":
        error = decode(InternalError, stored.body)
        return FeedItem(key, ms, "warn", ("INTERNAL_ERROR",), cut(f"{error.step}: {error.error}"))
    return None


def item_of_step(stored: StoredEvent, step: ExecutorStep) -> FeedItem | None:
    """Return the line about a step of an executor: only of a plan that is refused."""
    if step.verb != "refuse":
        return None
    key, ms = f"{stored.run_id}:{stored.seq}", stored.ts // 1_000_000
    return FeedItem(key, ms, "alarm", ("PLAN_REFUSED",), cut(step.why), symbol=step.symbol)


def alert_item(key: str, ms: int, alert: AlertSent) -> FeedItem:
    """Return the line about an alert that was sent, or could not be."""
    text = alert.title if alert.is_sent else f"{alert.title}: not sent ({alert.error or 'no reason known'})"
    return FeedItem(key, ms, "note" if alert.is_sent else "alarm", ("ALERT",), cut(text))


def others_of(record: Record) -> list[Target]:
    """Return the orders of other modules, or of nobody known, that a cancel or change is about."""
    module = record.intent.attribution.module
    return [target for target in record.intent.targets if target.module != module]


def sentence(record: Record, state: str, others: list[Target]) -> str:
    """Return who did what to whose exit."""
    intent = record.intent
    did = (DONE if state == "accepted" else ASKED).get(intent.operation, intent.operation)
    who, kind = intent.attribution.module, KIND_WORDS.get(intent.order.kind, intent.order.kind)
    if intent.operation == "place":
        return f"{who} {did} a {kind}{ending(state)}"
    if not others:
        whose = "its own" if intent.targets else "a"
        kind = kinds_of(intent.targets) or kind
        return f"{who} {did} {whose} {kind}{ending(state)}"
    owners = dict.fromkeys(target.module or "somebody unknown" for target in others)
    whose = " and ".join(f"{owner}'s" for owner in owners)
    return f"{who} {did} {whose} {kinds_of(others)}{ending(state)}"


def kinds_of(targets: Iterable[Target]) -> str:
    """Return what orders were for."""
    return " and ".join(dict.fromkeys(KIND_WORDS.get(target.kind, "order") for target in targets))


def ending(state: str) -> str:
    """Return what came of an order, where it was not accepted."""
    words = {
        "accepted": "",
        IN_DOUBT: ", and nobody knows whether it took effect",
        "not_there": ": not there",
    }
    return words.get(state, f": {state.replace('_', ' ')}")


def level_of(codes: Iterable[str]) -> Level:
    """Return how urgent reasons are."""
    given = set(codes)
    return "alarm" if given & (ALARMING | {IN_DOUBT.upper(), "DENIED"}) else "warn"


def meanings(reasons: Iterable[Reason]) -> str:
    """Return what reasons mean, in words."""
    # The line itself says whose order a cancel took.
    rest = (reason for reason in reasons if reason.code != FOREIGN_CANCEL)
    return "; ".join(dict.fromkeys(REASONS.get(reason.code, str(reason)) for reason in rest))


def facts(reason: Reason) -> str:
    """Return the facts of a reason as text."""
    words = [
        f"no new stop within {value} s"
        if (reason.code, name) == (STRIPPED, "within_s")
        else f"{name} {value}"
        for name, value in (reason.facts or {}).items()
        # In one-way mode there is no other side.
        if (name, value) != ("position_side", "BOTH")
    ]
    return cut(", ".join(words))


def switch_text(switch: Switch) -> str:
    """Return who switched what."""
    changes = []
    if switch.mode is not None:
        changes.append(f"the mode to {switch.mode or 'what code and environment say'}")
    if switch.enforce is not None:
        changes.append(f"enforcement {switch.enforce}")
    if switch.protect is not None:
        changes.append(f"{switch.protect}d the executor on {switch.symbol}")
    return cut(f"{switch.by} switched {' and '.join(changes) or 'nothing'}")


def cut(text: str) -> str:
    """Return a text of a length that fits a page."""
    return text if len(text) <= MOST_LONG else f"{text[:MOST_LONG]}…"
