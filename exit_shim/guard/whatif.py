"""What another policy would have said to the orders of a journal: no client, no exchange, no clock."""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.clients.registry import DOOR_NAMES
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
from exit_shim.domain.orders import ExitOrder, Reference, Store, closes_hedge_side
from exit_shim.domain.reason_codes import IGNORED_PARAM, OVERSIZED, REFUSED_PARAMS, STRIPPED
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import ALLOWED, Facts, Reason, Verdict
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.book import Book
from exit_shim.guard.cover import STOP_LIMIT
from exit_shim.guard.judge import ABOUT_SIMULATED, UNRULED, Guard
from exit_shim.guard.live_exits import MAX_LIVE, PROTECTIVE_TYPES, LiveExit, PositionKey, position_of
from exit_shim.guard.order_ids import keys_of
from exit_shim.guard.policy import CompiledPolicy
from exit_shim.guard.rules import RULES, CustomRule, RuleContext, is_owners
from exit_shim.guard.rules.books import oversized
from exit_shim.guard.rules.context import NANOSECONDS, Found

OF_FIELDS: Final = (REFUSED_PARAMS, IGNORED_PARAM)
"""Rules on what of a call is not recorded."""

PROTECTIVE_KINDS: Final = frozenset({"sl", "trailing", "breakeven"})

NO_PARAMS: Final[dict[str, Any]] = {}


class Row(NamedTuple):
    """What would have become of orders: `fate` is "denied" or "overridden".

    "answered" is no denial: a cancel or change of a simulated order gets the guard's answer.
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
    """What tells one placing from another: its moment and its name."""

    ts: int
    client_order_id: str | None


class Due(NamedTuple):
    """What the book learns of an order at a later moment, ns since the epoch."""

    at: int
    number: int
    recorded: RecordedEvent


class Replay:
    """Takes a policy through a history.

    Where the guard would look at the exchange, the book of what was recorded answers: a stop that fired or
    was cancelled elsewhere still counts here, and an owner's stop covers, whatever its quantity. What the
    rules on a call's own fields would say is what they said then, for a journal has not all of the fields.
    """

    def __init__(
        self, compiled_policy: CompiledPolicy, own: tuple[CustomRule, ...] = (), mode: str | None = None
    ) -> None:
        self.orders = 0
        self.rows: Counter[Row] = Counter()
        self.touched: dict[Touched, Counter[str]] = {}
        self.internal_errors = 0
        self._mode = mode
        said = {code: partial(self._said_then, code) for code in OF_FIELDS} | {OVERSIZED: self._oversized}
        self._book = Book()
        self._book.expects = True  # it is to learn of refusals: of what was in doubt
        self._guard = Guard(compiled_policy, self._book, own, self._trouble, {**RULES, **said})
        self._guard.tells = False
        self._then: tuple[Reason, ...] = ()
        self._compiled_policy = compiled_policy
        self._unsent: dict[tuple[str | None, object], Intent] = {}
        """What rested then, and would not have been sent, by its ids."""
        self._idle: dict[Placing, None] = {}
        """Stops in the book that cover nothing at the exchange."""
        self._due: list[Due] = []
        self._numbers = itertools.count()

    def take(
        self,
        intent: Intent,
        outcome: Outcome | None,
        found: tuple[Reason, ...] = (),
        resolution: Resolution | None = None,
    ) -> tuple[str, Verdict]:
        """One order of the history; returns its fate: denied, overridden, answered, sent, or nothing.

        Nothing, where it is about an order that would not have been sent: nobody would have its id. `found`
        is what the rules that only warn said of it then.
        """
        self.orders += 1
        self._then = (*intent.verdict.reasons, *found)
        if self._due:
            self._learn_due(intent.ts)
        if self._mode is not None:
            intent = msgspec.structs.replace(intent, mode=self._mode)
        own: Any = intent
        if own.operation in UNRULED:
            return "sent", ALLOWED
        if own.operation != "place":
            if self._unsent and (unsent := self._find_unsent(own)) is not None:
                return self._answer(own, unsent)
            own = self._aimed(own)
        verdict = self._guard.judge(own, NO_PARAMS)
        if verdict.is_held and own.operation == "cancel":
            case = self._guard.coming(own, NO_PARAMS)
            verdict = self._guard.judge_cancel(case, self._strips(own))
        fate = "sent"
        if verdict.is_held:
            fate = "overridden" if self._must_go(own, verdict) else "denied"
            self._count(fate, own, verdict)
        if fate != "denied":
            self._learn(own, outcome, resolution)
        elif own.operation == "place" and outcome is not None:
            self._forgo(own, outcome)
        return fate, verdict

    def _learn(self, intent: Any, outcome: Any, resolution: Resolution | None) -> None:
        """Have the book learn what came of an order: when the guard's would."""
        if outcome is not None:
            if intent.batch_index is None:
                self._book.fold(event_about(intent, outcome))
            else:  # all of a batch are judged before any is sent
                self._learn_at(intent.ts, intent, outcome)
            if intent.order.type in PROTECTIVE_TYPES and not can_only_reduce(intent.order):
                self._set_idle(placing(intent, outcome))
        if resolution is not None:
            self._learn_at(intent.ts + int(resolution.after_s * NANOSECONDS), intent, resolution)
            self._see_ahead(intent, resolution)

    def _see_ahead(self, intent: Any, resolution: Resolution) -> None:
        """A look at the exchange shows at once what is proved to the book later."""
        if intent.operation == "place" and resolution.result != "accepted":
            self._set_idle(placing(intent, None))
        elif intent.operation == "cancel" and resolution.result == "accepted":
            for live in self._lives(intent):
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

    def _forgo(self, intent: Intent, outcome: Any) -> None:
        """Keep in mind what would not have been sent, for what was done with it then."""
        name = outcome.client_order_id or intent.order.client_order_id
        for key in keys_of(intent.account, Reference(outcome.order_id, outcome.algo_id, name)):
            self._unsent[key] = intent
        while len(self._unsent) > MAX_LIVE:
            del self._unsent[next(iter(self._unsent))]

    def _find_unsent(self, intent: Intent) -> Intent | None:
        """The order that a cancel or change of one is about, where it would not have been sent."""
        if len(intent.targets) != 1 or reach_of(intent) is not None:
            return None
        return self._denied(intent.account, intent.targets[0])

    def _denied(self, account: str | None, target: Target) -> Intent | None:
        for key in keys_of(account, target):
            if (unsent := self._unsent.get(key)) is not None:
                return None if self._book.find_live(account, target) else unsent
        return None

    def _answer(self, intent: Intent, unsent: Intent) -> tuple[str, Verdict]:
        """What its caller gets, to whom the order itself was denied: the guard's answer, or nothing."""
        who, order = unsent.attribution, unsent.order
        standing = self._compiled_policy.of(
            who.module, who.dotted_module, unsent.mode, order.symbol, order.kind
        )
        if standing.on_deny != "simulate":
            return "nothing", ALLOWED
        self._count("answered", intent, ABOUT_SIMULATED, order.symbol)
        return "answered", ABOUT_SIMULATED

    def _aimed(self, intent: Intent) -> Intent:
        """A cancel or change, about what the guard's book would say that it is about.

        The book of then did not know what an earlier run had placed, where it did not have to.
        """
        targets, order = intent.targets, intent.order
        if (store := reach_of(intent)) is not None:
            own = self._all_of(intent, store)
            unproved = order.kind == common_kind(targets)
        elif any(target.module is None for target in targets):
            own = tuple(map(partial(self._named, intent.account), targets))
            unproved = order.kind == "unknown"
        else:
            return intent
        if unproved:
            order = msgspec.structs.replace(order, kind=common_kind(own))
        return msgspec.structs.replace(intent, targets=own, order=order)

    def _named(self, account: str | None, target: Target) -> Target:
        live = self._book.find_live(account, target)
        return target if live is None else live.target

    def _all_of(self, intent: Intent, store: Store) -> tuple[Target, ...]:
        """What a cancel-all takes: what the book has, and what was placed before the history begins."""
        account, targets = intent.account, intent.targets
        known = self._book.all_of(account, intent.order.symbol, store)
        earlier = [
            target
            for target in targets
            if not self._denied(account, target) and not self._book.find_live(account, target)
        ]
        return (*earlier, *known)

    def _said_then(self, code: str, case: RuleContext) -> Facts | None:  # noqa: ARG002 - it is asked as a rule is
        return next((reason.facts or {} for reason in self._then if reason.code == code), None)

    def _oversized(self, case: RuleContext) -> Found:
        """Of the size that the position had by what was said then, and the exits that would have rested."""
        size = (self._said_then(OVERSIZED, case) or {}).get("position")
        return (
            None if size is None else oversized(case._replace(near=case.near._replace(size=to_decimal(size))))
        )

    def _must_go(self, intent: Any, verdict: Verdict) -> bool:
        if verdict.has(STRIPPED) and self._strips(intent):
            return False
        positions = [live.position for live in self._lives(intent)] or [
            position_of(intent.account, intent.order)
        ]
        both = {position: None for one in positions for position in both_of(one)}
        return not all(self._is_covered(position, intent.mode) for position in both)

    def _strips(self, intent: Any) -> bool | None:
        """Whether a cancel bares a symbol that stops of anybody covered; None where that is not enforced."""
        plan = self._guard.plan(intent.mode, intent.order.symbol, intent.operation)
        if all(step.code != STRIPPED for step in plan.enforced):
            return None
        taken = self._lives(intent)
        gone = set(map(id, taken))
        sure = [
            [live for live in self._book.exits_of(position) if self._is_sure(live)]
            for position in dict.fromkeys(position for live in taken for position in both_of(live.position))
        ]
        return all(sure) and not all(any(id(live) not in gone for live in stops) for stops in sure)

    def _is_covered(self, position: PositionKey, mode: str) -> bool:
        return any(self._covers(live, mode) for live in self._book.exits_of(position))

    def _covers(self, live: LiveExit, mode: str) -> bool:
        return self._is_sure(live) and is_owners(self._compiled_policy, live.target, live.symbol, mode)

    def _is_sure(self, live: LiveExit) -> bool:
        """Whether a stop surely closes something when it fires, whoever placed it."""
        is_at_market = live.is_protective and live.type != STOP_LIMIT
        # In hedge mode the exchange may refuse a stop on a quantity when it fires.
        is_taken = live.close_position or live.position.position_side == "BOTH"
        return is_at_market and is_taken and Placing(live.ts, live.target.client_order_id) not in self._idle

    def _count(self, fate: str, intent: Intent, verdict: Verdict, about: str | None = None) -> None:
        order, symbol = intent.order, intent.order.symbol or about
        lives = self._lives(intent)
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
        if fate == "answered":  # it decides about no stop that is there
            return
        positions = [position_of(intent.account, order)] if may_be_stop(order) and not lives else []
        positions += [live.position for live in lives if live.is_protective]
        for position in dict.fromkeys(positions):
            self._touch(position, f"{intent.operation} {fate}")

    def _lives(self, intent: Intent) -> list[LiveExit]:
        found = (self._book.find_live(intent.account, target) for target in intent.targets)
        return [live for live in found if live is not None]

    def _touch(self, position: PositionKey, what: str) -> None:
        key = Touched(position.account, position.symbol, position.position_side, position.side)
        self.touched.setdefault(key, Counter())[what] += 1

    def _trouble(self, step: str, error: Exception) -> None:  # noqa: ARG002 - counted, that is all
        self.internal_errors += 1


def event_about(intent: Intent, event: Outcome | Resolution) -> RecordedEvent:
    """Return what came of an intent as the book learns it."""
    return RecordedEvent("", 0, event, RecordedEvent("", 0, intent))


def both_of(position: PositionKey) -> tuple[PositionKey, ...]:
    """Return the positions that must be covered for one: in hedge mode the other one of its symbol, too."""
    others = {"LONG": ("SHORT", "BUY"), "SHORT": ("LONG", "SELL")}
    other = others.get(position.position_side)
    return (
        (position,) if other is None else (position, PositionKey(position.account, position.symbol, *other))
    )


def placing(intent: Any, outcome: Any) -> Placing:
    """Which placing it is."""
    known = None if outcome is None else outcome.client_order_id
    return Placing(intent.ts, known or intent.order.client_order_id)


def may_be_stop(order: ExitOrder) -> bool:
    """Return whether an order may be a stop: by its type, or by what the code says that it is."""
    return order.type in PROTECTIVE_TYPES or order.kind in PROTECTIVE_KINDS


def can_only_reduce(order: ExitOrder) -> bool:
    """Whether an order is an exit by its own fields, not only by what the code says."""
    return order.close_position or order.reduce_only or closes_hedge_side(order.side, order.position_side)


def reach_of(intent: Intent) -> Store | None:
    """Which orders a cancel-all cancels; None for what is none.

    Journals of earlier releases tell by the door, and by what was there.
    """
    if intent.store is not None or intent.operation != "cancel":
        return intent.store
    door = DOOR_NAMES.get(intent.door)
    if door is None or door.payload != "symbol":
        return None
    return door.store or ("conditional" if any(one.algo_id for one in intent.targets) else "orders")


def replay(history: Iterable[Bodies], into: Replay) -> Iterator[int]:
    """Take bodies of orders through; yields how many orders were, now and then."""
    taken = 0
    for operation, outcome, found, resolution in history:
        into.take(
            DECODERS[Intent].decode(operation),
            None if outcome is None else DECODERS[Outcome].decode(outcome),
            () if found is None else DECODERS[OrderFindings].decode(found).reasons,
            None if resolution is None else DECODERS[Resolution].decode(resolution),
        )
        taken += 1
        if taken % 1000 == 0:
            yield 1000
    yield taken % 1000


def replay_records(history: Iterable[Record], into: Replay) -> Iterator[int]:
    """The same of records, as a database gives them."""
    for record in history:
        intent: Any = record.intent
        outcome: Any = record.outcome
        found = () if record.findings is None else record.findings.reasons
        into.take(intent, outcome, found, record.resolution)
        yield 1
