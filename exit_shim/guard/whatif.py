"""Replay a journal under another policy: what it would have denied, without client, exchange or clock."""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.domain.events import (
    DECODERS,
    Bodies,
    Intent,
    OrderFindings,
    Outcome,
    Record,
    Resolution,
    Target,
    common_kind,
)
from exit_shim.domain.orders import PROTECTIVE_TYPES, ExitOrder, Reach, Reference, closes_hedge_side
from exit_shim.domain.reason_codes import IGNORED_PARAM, OVERSIZED, REFUSED_PARAMS, STRIPPED
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import ALLOWED, Facts, Reason, Verdict
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.book import Book
from exit_shim.guard.cover import STOP_LIMIT
from exit_shim.guard.judge import ABOUT_SIMULATED, UNRULED, Guard
from exit_shim.guard.live_exits import MAX_LIVE, LiveExit, PositionKey, position_of
from exit_shim.guard.order_ids import Key, keys_of
from exit_shim.guard.policy import CompiledPolicy
from exit_shim.guard.rules import RULES, CustomRule, RuleContext, is_owners, is_sent_by_owner
from exit_shim.guard.rules.books import oversized
from exit_shim.guard.rules.context import NANOSECONDS, RuleResult

UNRECORDED: Final = (REFUSED_PARAMS, IGNORED_PARAM)
"""Rules on fields of a call that no journal has."""

PROTECTIVE_KINDS: Final = frozenset({"sl", "trailing", "breakeven"})

NO_PARAMS: Final[dict[str, Any]] = {}


class Row(NamedTuple):
    """One line of the result: which orders meet which fate.

    The fates are "denied", "overridden" (denied, and let through all the same) and "answered": a cancel or
    change of a simulated order, which the guard answers.
    """

    fate: str
    module: str
    rule: str
    operation: str
    kind: str
    symbol: str | None


class Touched(NamedTuple):
    """A position whose stops the policy would have decided about."""

    account: str | None
    symbol: str | None
    position_side: str
    side: str | None


class Placing(NamedTuple):
    """The moment and the name of a placed order, which distinguish it from others."""

    ts: int
    client_order_id: str | None


class Due(NamedTuple):
    """An event that the book learns at a later moment, in ns since the epoch."""

    at: int
    number: int
    recorded: RecordedEvent


class Replay:
    """Takes a policy through a history, order by order.

    Where the guard would look at the exchange, the book answers. So a stop that fired or was cancelled
    elsewhere still counts here, and an owner's stop covers whatever its quantity. Rules on fields that no
    journal has find what they found then.

    Args:
        compiled_policy: The policy.
        custom_rules: Rules that are not exit_shim's.
        mode: The mode to judge in; None for that of each order.

    Attributes:
        orders: How many orders were replayed.
        rows: How many orders met which fate.
        touched: The positions whose stops the policy would have decided about, and how.
        internal_errors: How many failures were met.
    """

    def __init__(
        self,
        compiled_policy: CompiledPolicy,
        custom_rules: tuple[CustomRule, ...] = (),
        mode: str | None = None,
    ) -> None:
        self.orders = 0
        self.rows: Counter[Row] = Counter()
        self.touched: dict[Touched, Counter[str]] = {}
        self.internal_errors = 0
        self._mode = mode
        rules = {code: partial(self._find_again, code) for code in UNRECORDED} | {OVERSIZED: self._oversized}
        self._book = Book()
        # So that it learns of refusals: of what was in doubt.
        self._book.expects = True
        self._guard = Guard(compiled_policy, self._book, custom_rules, self._count_error, {**RULES, **rules})
        self._guard.describes_book = False
        self._reasons_then: tuple[Reason, ...] = ()
        self._compiled_policy = compiled_policy
        # What rested then, and would not have been sent, by its ids.
        self._unsent: dict[Key, Intent] = {}
        # Stops in the book that cover nothing at the exchange.
        self._idle: dict[Placing, None] = {}
        self._due: list[Due] = []
        self._numbers = itertools.count()

    def take(
        self,
        intent: Intent,
        outcome: Outcome | None,
        findings: tuple[Reason, ...] = (),
        resolution: Resolution | None = None,
    ) -> tuple[str, Verdict]:
        """Take one order through, and return its fate and verdict.

        The fate is "denied", "overridden", "answered", "sent" or, where it is about an order that would not
        have been sent, "nothing": nobody would have its id.

        Args:
            intent: The order.
            outcome: What came of it.
            findings: What the rules that only warn found then.
            resolution: What was proved of it later.
        """
        self.orders += 1
        self._reasons_then = (*intent.verdict.reasons, *findings)
        if self._due:
            self._learn_due(intent.ts)
        if self._mode is not None:
            intent = msgspec.structs.replace(intent, mode=self._mode)
        if intent.operation in UNRULED:
            return "sent", ALLOWED
        if intent.operation != "place":
            if self._unsent and (unsent := self._find_unsent(intent)) is not None:
                return self._answer(intent, unsent)
            intent = self._retarget(intent)
        verdict = self._guard.judge(intent, NO_PARAMS)
        if verdict.is_held and intent.operation == "cancel":
            context = self._guard.context_before(intent, NO_PARAMS)
            verdict = self._guard.judge_cancel(context, self._strips(intent))
        fate = "sent"
        if verdict.is_held:
            fate = "overridden" if self._is_overridden(intent, verdict) else "denied"
            self._count(fate, intent, verdict)
        if fate != "denied":
            self._learn(intent, outcome, resolution)
        elif intent.operation == "place" and outcome is not None:
            self._remember_unsent(intent, outcome)
        return fate, verdict

    def _learn(self, intent: Intent, outcome: Outcome | None, resolution: Resolution | None) -> None:
        """Have the book learn what came of an order, at the moment at which the guard's would."""
        if outcome is not None:
            if intent.batch_index is None:
                self._book.fold(event_about(intent, outcome))
            else:
                # All orders of a batch are judged before any is sent.
                self._learn_at(intent.ts, intent, outcome)
            if intent.order.type in PROTECTIVE_TYPES and not can_only_reduce(intent.order):
                self._set_idle(placing(intent, outcome))
        if resolution is not None:
            self._learn_at(intent.ts + int(resolution.after_s * NANOSECONDS), intent, resolution)
            self._see_ahead(intent, resolution)

    def _see_ahead(self, intent: Intent, resolution: Resolution) -> None:
        """Have what is proved to the book later count at once for cover, as a look would show it."""
        if intent.operation == "place" and resolution.result != "accepted":
            self._set_idle(placing(intent, None))
        elif intent.operation == "cancel" and resolution.result == "accepted":
            for live in self._find_removed(intent):
                self._set_idle(Placing(live.ts, live.target.client_order_id))

    def _set_idle(self, stop: Placing) -> None:
        self._idle[stop] = None
        if len(self._idle) > MAX_LIVE:
            del self._idle[next(iter(self._idle))]

    def _learn_at(self, at: int, intent: Intent, event: Outcome | Resolution) -> None:
        heapq.heappush(self._due, Due(at, next(self._numbers), event_about(intent, event)))

    def _learn_due(self, now: int) -> None:
        while self._due and self._due[0].at < now:
            due = heapq.heappop(self._due)
            self._book.fold(due.recorded)

    def _remember_unsent(self, intent: Intent, outcome: Outcome) -> None:
        """Remember an order that would not have been sent, for what was done with it then."""
        name = outcome.client_order_id or intent.order.client_order_id
        for key in keys_of(intent.account, Reference(outcome.order_id, outcome.algo_id, name)):
            self._unsent[key] = intent
        while len(self._unsent) > MAX_LIVE:
            del self._unsent[next(iter(self._unsent))]

    def _find_unsent(self, intent: Intent) -> Intent | None:
        """Return the order that a cancel or change is about, where it would not have been sent."""
        if len(intent.targets) != 1 or reach_of(intent) is not None:
            return None
        return self._find_denied(intent.account, intent.targets[0])

    def _find_denied(self, account: str | None, target: Target) -> Intent | None:
        for key in keys_of(account, target):
            if (unsent := self._unsent.get(key)) is not None:
                return None if self._book.find_live(account, target) else unsent
        return None

    def _answer(self, intent: Intent, unsent: Intent) -> tuple[str, Verdict]:
        """Return the fate of a cancel or change of an order that was denied."""
        who, order = unsent.attribution, unsent.order
        grant = self._compiled_policy.grant_for(
            who.module, who.dotted_module, unsent.mode, order.symbol, order.kind
        )
        if grant.on_deny != "simulate":
            return "nothing", ALLOWED
        self._count("answered", intent, ABOUT_SIMULATED, order.symbol)
        return "answered", ABOUT_SIMULATED

    def _retarget(self, intent: Intent) -> Intent:
        """Return a cancel or change, with the targets that the guard's book would find."""
        # The book of then did not know what an earlier run had placed, where it did not have to.
        before, order = intent.targets, intent.order
        if (store := reach_of(intent)) is not None:
            targets = self._all_of(intent, store)
            is_undeclared = order.kind == common_kind(before)
        elif any(target.module is None for target in before):
            targets = tuple(map(partial(self._find_target, intent.account), before))
            is_undeclared = order.kind == "unknown"
        else:
            return intent
        if is_undeclared:
            order = msgspec.structs.replace(order, kind=common_kind(targets))
        return msgspec.structs.replace(intent, targets=targets, order=order)

    def _find_target(self, account: str | None, target: Target) -> Target:
        live = self._book.find_live(account, target)
        return target if live is None else live.target

    def _all_of(self, intent: Intent, store: Reach) -> tuple[Target, ...]:
        """Return what a cancel-all removes: what the book has, and what is older than the history."""
        account, targets = intent.account, intent.targets
        known = self._book.all_of(account, intent.order.symbol, store)
        earlier = [
            target
            for target in targets
            if not self._find_denied(account, target) and not self._book.find_live(account, target)
        ]
        return (*earlier, *known)

    def _find_again(self, code: str, context: RuleContext) -> Facts | None:  # noqa: ARG002 - asked as a rule is
        """Return what a rule found then."""
        return next((reason.facts or {} for reason in self._reasons_then if reason.code == code), None)

    def _oversized(self, context: RuleContext) -> RuleResult:
        """Ask the rule about the position's size of then, and the exits that would have rested."""
        size = (self._find_again(OVERSIZED, context) or {}).get("position")
        return (
            None
            if size is None
            else oversized(context._replace(book=context.book._replace(size=to_decimal(size))))
        )

    def _is_overridden(self, intent: Intent, verdict: Verdict) -> bool:
        """Return whether a denied order would be let through: no owner's stop would cover its position."""
        if verdict.has(STRIPPED) and self._strips(intent):
            return False
        positions = [live.position for live in self._find_removed(intent)] or [
            position_of(intent.account, intent.order)
        ]
        both = dict.fromkeys(side for position in positions for side in both_of(position))
        return not all(self._is_covered(position, intent.mode) for position in both)

    def _strips(self, intent: Intent) -> bool | None:
        """Return whether a cancel bares a symbol that anybody's stops covered; None where not enforced."""
        plan = self._guard.plan(intent.mode, intent.order.symbol, intent.operation)
        if all(step.code != STRIPPED for step in plan.enforced):
            return None
        removed = self._find_removed(intent)
        ids = set(map(id, removed))
        # An owner's cancel may leave a stop on a quantity in hedge mode, too.
        is_owners = is_sent_by_owner(self._compiled_policy, intent, intent.order.symbol)
        positions = dict.fromkeys(side for live in removed for side in both_of(live.position))
        exits = [self._book.exits_of(position) for position in positions]
        return all(any(map(self._is_sure, lives)) for lives in exits) and not all(
            any(self._is_sure(live, in_turn=is_owners) for live in lives if id(live) not in ids)
            for lives in exits
        )

    def _is_covered(self, position: PositionKey, mode: str) -> bool:
        return any(self._covers(live, mode) for live in self._book.exits_of(position))

    def _covers(self, live: LiveExit, mode: str) -> bool:
        return self._is_sure(live) and is_owners(self._compiled_policy, live.target, live.symbol, mode)

    def _is_sure(self, live: LiveExit, *, in_turn: bool = False) -> bool:
        """Return whether a stop surely closes something when it fires, whoever placed it."""
        is_at_market = live.is_protective and live.type != STOP_LIMIT
        # In hedge mode the exchange may refuse a stop on a quantity when it fires.
        is_taken = in_turn or live.close_position or live.position.position_side == "BOTH"
        return is_at_market and is_taken and Placing(live.ts, live.target.client_order_id) not in self._idle

    def _count(self, fate: str, intent: Intent, verdict: Verdict, about: str | None = None) -> None:
        order, symbol = intent.order, intent.order.symbol or about
        lives = self._find_removed(intent)
        if symbol is None and lives:
            symbol = lives[0].symbol
        self.rows[
            Row(
                fate,
                intent.attribution.module,
                verdict.reasons[0].code,
                intent.operation,
                order.kind,
                symbol,
            )
        ] += 1
        # It decides about no stop that is there.
        if fate == "answered":
            return
        positions = [position_of(intent.account, order)] if may_be_stop(order) and not lives else []
        positions += [live.position for live in lives if live.is_protective]
        for position in dict.fromkeys(positions):
            self._touch(position, f"{intent.operation} {fate}")

    def _find_removed(self, intent: Intent) -> list[LiveExit]:
        found = (self._book.find_live(intent.account, target) for target in intent.targets)
        return [live for live in found if live is not None]

    def _touch(self, position: PositionKey, what: str) -> None:
        key = Touched(position.account, position.symbol, position.position_side, position.side)
        self.touched.setdefault(key, Counter())[what] += 1

    def _count_error(self, step: str, error: Exception) -> None:  # noqa: ARG002 - only counted
        self.internal_errors += 1


def event_about(intent: Intent, event: Outcome | Resolution) -> RecordedEvent:
    """Return an event about an intent, as the book learns it."""
    return RecordedEvent("", 0, event, RecordedEvent("", 0, intent))


def both_of(position: PositionKey) -> tuple[PositionKey, ...]:
    """Return the positions that must be covered with one: in hedge mode the symbol's other one, too."""
    others = {"LONG": ("SHORT", "BUY"), "SHORT": ("LONG", "SELL")}
    other = others.get(position.position_side)
    return (
        (position,) if other is None else (position, PositionKey(position.account, position.symbol, *other))
    )


def placing(intent: Intent, outcome: Outcome | None) -> Placing:
    """Return what distinguishes a placed order from others."""
    known = None if outcome is None else outcome.client_order_id
    return Placing(intent.ts, known or intent.order.client_order_id)


def may_be_stop(order: ExitOrder) -> bool:
    """Return whether an order may be a stop: by its type, or by what the code says that it is."""
    return order.type in PROTECTIVE_TYPES or order.kind in PROTECTIVE_KINDS


def can_only_reduce(order: ExitOrder) -> bool:
    """Return whether an order is an exit by its own fields, not only by what the code says."""
    return order.close_position or order.reduce_only or closes_hedge_side(order.side, order.position_side)


def reach_of(intent: Intent) -> Reach | None:
    """Return the store that a cancel-all reaches; None for what is no cancel-all."""
    return intent.store if intent.operation == "cancel" else None


def replay(history: Iterable[Bodies], into: Replay) -> Iterator[int]:
    """Take orders, as JSON, through a replay; yield how many were taken since the last time."""
    taken = 0
    for intent, outcome, findings, resolution in history:
        into.take(
            DECODERS[Intent].decode(intent),
            None if outcome is None else DECODERS[Outcome].decode(outcome),
            () if findings is None else DECODERS[OrderFindings].decode(findings).reasons,
            None if resolution is None else DECODERS[Resolution].decode(resolution),
        )
        taken += 1
        if taken % 1000 == 0:
            yield 1000
    yield taken % 1000


def replay_records(history: Iterable[Record], into: Replay) -> Iterator[int]:
    """Take records of a database through a replay; yield how many were taken since the last time."""
    for record in history:
        findings = () if record.findings is None else record.findings.reasons
        into.take(record.intent, record.outcome, findings, record.resolution)
        yield 1
