"""What recorded orders and events call for: orders in doubt, denied stops, switches, losses. Pure."""

from collections.abc import Iterator
from typing import Final

from exit_shim.alerts.episodes import Episodes, Message, Trouble
from exit_shim.alerts.wording import SECOND_NS, duration, lines, plain
from exit_shim.domain.events import ExecutorStep, Lost, Record, Switch
from exit_shim.domain.orders import PROTECTIVE_TYPES
from exit_shim.journal import IN_DOUBT, StoredEvent, state_of
from exit_shim.journal.order_state import site_of
from exit_shim.journal.rows import decode

IN_DOUBT_ALERT: Final = "in_doubt"

DOUBT_S: Final = 90.0
"""How long an order may be in doubt: by then it was looked up several times."""

FORGOTTEN_NS: Final = 24 * 3_600 * SECOND_NS
"""An order that nobody could look up for so long is no news any more."""

MOST_DOUBTS: Final = 10_000

MOST_SHOWN: Final = 5
"""The orders of a message that are shown one by one."""

NOTICED: Final = frozenset({"switch", "lost", "executor_step"})
"""The events, besides orders, that may call for a message."""


class OrdersInDoubt:
    """Know the orders in doubt, and when there is something to tell of them: one episode per account.

    Args:
        episodes: What was told so far.
        after_s: How long an order may be in doubt.
    """

    def __init__(self, episodes: Episodes, after_s: float = DOUBT_S) -> None:
        self._episodes = episodes
        self._after_ns = int(after_s * SECOND_NS)
        self._orders: dict[tuple[str, int], Record] = {}

    def take(self, record: Record) -> None:
        """Take an order in doubt, or one that is not in doubt any more."""
        key = record.run_id, record.seq
        if state_of(record.outcome, record.resolution) == IN_DOUBT:
            if len(self._orders) < MOST_DOUBTS:
                self._orders[key] = record
        else:
            self._orders.pop(key, None)

    def advance(self, now_ns: int) -> Iterator[Message]:
        """Yield the messages that are due."""
        self._orders = {
            key: record for key, record in self._orders.items() if now_ns - record.intent.ts < FORGOTTEN_NS
        }
        overdue: dict[str, list[Record]] = {}
        for record in self._orders.values():
            if now_ns - record.intent.ts >= self._after_ns:
                overdue.setdefault(record.intent.account or "-", []).append(record)
        for account in {*overdue, *self._episodes.open_keys(IN_DOUBT_ALERT)}:
            message = self._advance(account, overdue.get(account, []), now_ns)
            if message is not None:
                yield message

    def _advance(self, account: str, overdue: list[Record], now_ns: int) -> Message | None:
        if not overdue:
            title = f"no order of {plain(account)} is in doubt any more"
            return self._episodes.end(IN_DOUBT_ALERT, account, now_ns, title)
        since_ns = min(record.intent.ts for record in overdue)
        oldest = duration(now_ns - since_ns)
        count = f"{len(overdue)} orders are" if len(overdue) > 1 else "an order is"
        title = f"{count} in doubt, for up to {oldest}: the exchange may have it, or not"
        shown = [order_text(record) for record in overdue[:MOST_SHOWN]]
        rest = len(overdue) - len(shown)
        text = lines(
            ("account", plain(account)),
            *(("order", each) for each in shown),
            ("and", f"{rest} more" if rest else ""),
            ("next", "exit-shim reconcile"),
        )
        return self._episodes.hold(Trouble(IN_DOUBT_ALERT, account, since_ns, title, text), now_ns)


def order_text(record: Record) -> str:
    """Return an order in a few words: who, what, from where."""
    intent, order = record.intent, record.intent.order
    site = site_of(intent)
    what = f"{intent.operation} {order.type or ''} {order.symbol or ''}".strip()
    return f"{plain(what)} by {plain(site.module)} ({plain(site.function)} {plain(site.place)})"


def notice_denial(record: Record) -> Message | None:
    """Return the message about a stop that the guard denied; None for any other order."""
    intent = record.intent
    order = intent.order
    is_stop = intent.operation == "place" and order.type in PROTECTIVE_TYPES
    if intent.verdict.action != "deny" or not is_stop:
        return None
    module = plain(intent.attribution.module)
    text = lines(
        ("account", plain(intent.account or "without a label")),
        ("order", order_text(record)),
        ("why", plain("; ".join(str(reason) for reason in intent.verdict.reasons))),
        ("next", f"exit-shim why {plain(order.symbol or 'SYMBOL')}"),
        ("note", f"further denials of {module} within the hour are not told one by one"),
    )
    key = f"{intent.account or '-'} {intent.attribution.module}"
    return Message("denied", key, f"a stop of {module} on {plain(order.symbol or '?')} was denied", text)


def notice_event(stored: StoredEvent) -> Message | None:
    """Return the message that an event about no order calls for, if it calls for one."""
    if stored.event == "switch":
        return notice_switch(decode(Switch, stored.body), stored)
    if stored.event == "lost":
        return notice_loss(decode(Lost, stored.body), stored)
    if stored.event == "executor_step":
        return notice_step(decode(ExecutorStep, stored.body))
    return None


def notice_switch(switch: Switch, stored: StoredEvent) -> Message:
    """Return the message about a switch that somebody turned."""
    turned = []
    if switch.enforce is not None:
        turned.append(f"enforcement was switched {switch.enforce}")
    if switch.mode is not None:
        turned.append(f"the mode was switched to {plain(switch.mode) or 'what environment and code say'}")
    if switch.protect is not None:
        turned.append(f"the exit executor was told to {switch.protect} {plain(switch.symbol or '?')}")
    key = f"{stored.run_id}:{stored.seq}"
    text = lines(("by", plain(switch.by)), ("next", "exit-shim mode"))
    return Message("enforcement", key, ", ".join(turned) or "a switch was turned", text)


def notice_loss(lost: Lost, stored: StoredEvent) -> Message:
    """Return the message about events that could not be kept."""
    text = lines(("run", plain(stored.run_id)), ("why", plain(lost.why)), ("next", "exit-shim verify"))
    title = f"{lost.events} events were lost: the record has a gap"
    return Message("lost", stored.run_id, title, text)


def notice_step(step: ExecutorStep) -> Message | None:
    """Return the message about a plan that the executor refuses; None for any other step."""
    if step.verb != "refuse":
        return None
    text = lines(
        ("account", plain(step.account or "without a label")),
        ("why", plain(step.why)),
        ("plan", plain(step.plan_id or "")),
        ("next", "correct the plan; the one before stays in force"),
    )
    key = f"{step.account or '-'} {step.symbol} {step.position_side} refuse"
    return Message("hands_off", key, f"the exit executor refuses a plan for {plain(step.symbol)}", text)
