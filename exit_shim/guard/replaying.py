"""What another policy would have said to the orders of a journal: no client, no exchange, no clock."""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.book import (
    MAX_LIVE,
    PROTECTIVE_TYPES,
    Book,
    Live,
    Spot,
    common_kind,
    is_protective,
    keys,
    number,
    spot_of,
)
from exit_shim.doors import DOOR_NAMES, Intent, Reference, Store
from exit_shim.guard.cover import STOP_LIMIT
from exit_shim.guard.judging import UNRULED, Guard
from exit_shim.guard.watching import resolved
from exit_shim.journal.reading import Bodies
from exit_shim.orders import ExitOrder, closes_hedge_side
from exit_shim.policy import ALLOWED, OBSERVED, Standings, Verdict, code_of
from exit_shim.policy.codes import IGNORED_PARAM, OVERSIZED, REFUSED_PARAMS, STRIPPED, SUPPRESSED_ORDER
from exit_shim.records import Findings, Outcome, Record, Resolution, Target
from exit_shim.rules import RULES, Case, OwnRule, is_owners
from exit_shim.rules.books import oversized
from exit_shim.rules.case import NANOSECONDS


class Asker(msgspec.Struct, frozen=True, gc=False):
    """Who asked, as far as a policy looks at it."""

    module: str
    dotted_module: str | None = None


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A submission as far as a policy looks at it: reading the rest of a million takes too long."""

    ts: int
    door: str
    intent: Intent
    order: ExitOrder
    attribution: Asker
    mode: str
    verdict: Verdict = Verdict()
    account: str | None = None
    batch_index: int | None = None
    targets: tuple[Target, ...] = ()
    store: Store | None = None


class Concluded(msgspec.Struct, frozen=True, gc=False):
    """An outcome, as far as the book learns from it."""

    outcome: Outcome
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None


SUBMITTED: Final = msgspec.json.Decoder(Submitted)
CONCLUDED: Final = msgspec.json.Decoder(Concluded)

FOUND: Final = msgspec.json.Decoder(Findings)
RESOLVED: Final = msgspec.json.Decoder(Resolution)

OF_FIELDS: Final = (REFUSED_PARAMS, IGNORED_PARAM)
"""Rules on what of a call is not recorded."""

NO_PARAMS: Final[dict[str, Any]] = {}


class Row(NamedTuple):
    """What would have become of orders: `fate` is "denied" or "overridden".

    "answered" is no denial: a cancel or change of a simulated order gets the guard's answer.
    """

    fate: str
    module: str
    rule: str
    intent: str
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
    submission: Any
    conclusion: Any
    settles: bool = False


class Replay:
    """Takes a policy through a history.

    Where the guard would look at the exchange, the book of what was recorded answers: a stop that fired or
    was cancelled elsewhere still counts here, and an owner's stop covers, whatever its quantity. What the
    rules on a call's own fields would say is what they said then, for a journal has not all of the fields.
    """

    def __init__(self, standings: Standings, own: tuple[OwnRule, ...] = (), mode: str | None = None) -> None:
        self.orders = 0
        self.rows: Counter[Row] = Counter()
        self.touched: dict[Touched, Counter[str]] = {}
        self.troubles = 0
        self._mode = mode
        said = {code: partial(self._said_then, code) for code in OF_FIELDS} | {OVERSIZED: self._oversized}
        self._book = Book()
        self._book.expects = True  # it is to learn of refusals: of what was in doubt
        self._guard = Guard(standings, self._book, own, self._trouble, {**RULES, **said})
        self._guard.tells = False
        self._then: tuple[str, ...] = ()
        self._standings = standings
        self._unsent: dict[tuple[str | None, object], Submitted] = {}
        """What rested then, and would not have been sent, by its ids."""
        self._idle: dict[Placing, None] = {}
        """Stops in the book that cover nothing at the exchange."""
        self._due: list[Due] = []
        self._numbers = itertools.count()

    def take(
        self,
        submission: Submitted,
        conclusion: Concluded | None,
        found: tuple[str, ...] = (),
        resolution: Resolution | None = None,
    ) -> tuple[str, Verdict]:
        """One order of the history; returns its fate: denied, overridden, answered, sent, or nothing.

        Nothing, where it is about an order that would not have been sent: nobody would have its id. `found`
        is what the rules that only warn said of it then.
        """
        self.orders += 1
        self._then = (*submission.verdict.reasons, *found)
        if self._due:
            self._learn_due(submission.ts)
        if self._mode is not None:
            submission = msgspec.structs.replace(submission, mode=self._mode)
        own: Any = submission
        if own.intent in UNRULED:
            return "sent", ALLOWED
        if own.intent != "place":
            if self._unsent and (unsent := self._find_unsent(own)) is not None:
                return self._answer(own, unsent)
            own = self._aimed(own)
        verdict = self._guard.judge(own, NO_PARAMS)
        if verdict.is_held and own.intent == "cancel":
            case = self._guard.coming(own, NO_PARAMS)
            verdict = self._guard.judge_cancel(case, self._strips(own))
        fate = "sent"
        if verdict.is_held:
            fate = "overridden" if self._must_go(own, verdict) else "denied"
            self._count(fate, own, verdict)
        if fate != "denied":
            self._learn(own, conclusion, resolution)
        elif own.intent == "place" and conclusion is not None:
            self._forgo(own, conclusion)
        return fate, verdict

    def _learn(self, submission: Any, conclusion: Any, resolution: Resolution | None) -> None:
        """Have the book learn what came of an order: when the guard's would."""
        if conclusion is not None:
            if submission.batch_index is None:
                self._book.note(submission, conclusion)
            else:  # all of a batch are judged before any is sent
                self._learn_at(submission.ts, submission, conclusion)
            if submission.order.type in PROTECTIVE_TYPES and not can_only_reduce(submission.order):
                self._set_idle(placing(submission, conclusion))
        if resolution is not None:
            at = submission.ts + int(resolution.after_s * NANOSECONDS)
            self._learn_at(at, submission, resolved(submission.intent, resolution), settles=True)
            self._see_ahead(submission, resolution)

    def _see_ahead(self, submission: Any, resolution: Resolution) -> None:
        """A look at the exchange shows at once what is proved to the book later."""
        if submission.intent == "place" and resolution.outcome != "accepted":
            self._set_idle(placing(submission, None))
        elif submission.intent == "cancel" and resolution.outcome == "accepted":
            for live in self._lives(submission):
                self._set_idle(Placing(live.ts, live.target.client_order_id))

    def _set_idle(self, stop: Placing) -> None:
        self._idle[stop] = None
        if len(self._idle) > MAX_LIVE:
            del self._idle[next(iter(self._idle))]

    def _learn_at(self, at: int, submission: Any, conclusion: Any, *, settles: bool = False) -> None:
        heapq.heappush(self._due, Due(at, next(self._numbers), submission, conclusion, settles))

    def _learn_due(self, now: int) -> None:
        while self._due and self._due[0].at < now:
            due = heapq.heappop(self._due)
            self._book.note(due.submission, due.conclusion)
            if due.settles:
                self._book.settle(due.submission.account, due.submission.order.symbol)

    def _forgo(self, submission: Submitted, conclusion: Any) -> None:
        """Keep in mind what would not have been sent, for what was done with it then."""
        name = conclusion.client_order_id or submission.order.client_order_id
        for key in keys(submission.account, Reference(conclusion.order_id, conclusion.algo_id, name)):
            self._unsent[key] = submission
        while len(self._unsent) > MAX_LIVE:
            del self._unsent[next(iter(self._unsent))]

    def _find_unsent(self, submission: Submitted) -> Submitted | None:
        """The order that a cancel or change of one is about, where it would not have been sent."""
        if len(submission.targets) != 1 or reach_of(submission) is not None:
            return None
        return self._denied(submission.account, submission.targets[0])

    def _denied(self, account: str | None, target: Target) -> Submitted | None:
        for key in keys(account, target):
            if (unsent := self._unsent.get(key)) is not None:
                return None if self._book.find_live(account, target) else unsent
        return None

    def _answer(self, submission: Submitted, unsent: Submitted) -> tuple[str, Verdict]:
        """What its caller gets, to whom the order itself was denied: the guard's answer, or nothing."""
        who, order = unsent.attribution, unsent.order
        standing = self._standings.of(who.module, who.dotted_module, unsent.mode, order.symbol, order.kind)
        if standing.denied != "monitor":
            return "nothing", ALLOWED
        verdict = Verdict("suppress", (SUPPRESSED_ORDER,), answer="monitor")
        self._count("answered", submission, verdict, order.symbol)
        return "answered", verdict

    def _aimed(self, submission: Submitted) -> Submitted:
        """A cancel or change, about what the guard's book would say that it is about.

        The book of then did not know what an earlier run had placed, where it did not have to.
        """
        targets, order = submission.targets, submission.order
        if (store := reach_of(submission)) is not None:
            own = self._all_of(submission, store)
            unproved = order.kind == common_kind(targets)
        elif any(target.module is None for target in targets):
            own = tuple(map(partial(self._named, submission.account), targets))
            unproved = order.kind == "unknown"
        else:
            return submission
        if unproved:
            order = msgspec.structs.replace(order, kind=common_kind(own))
        return msgspec.structs.replace(submission, targets=own, order=order)

    def _named(self, account: str | None, target: Target) -> Target:
        live = self._book.find_live(account, target)
        return target if live is None else live.target

    def _all_of(self, submission: Submitted, store: Store) -> tuple[Target, ...]:
        """What a cancel-all takes: what the book has, and what was placed before the history begins."""
        account, targets = submission.account, submission.targets
        known = self._book.all_of(account, submission.order.symbol, store)
        earlier = [
            target
            for target in targets
            if not self._denied(account, target) and not self._book.find_live(account, target)
        ]
        return (*earlier, *known)

    def _said_then(self, code: str, case: Case) -> str | None:  # noqa: ARG002 - it is asked as a rule is
        for reason in self._then:
            if code_of(reason) == code:
                return reason.removeprefix(code).removesuffix(OBSERVED).strip()
        return None

    def _oversized(self, case: Case) -> str | None:
        """Of the size that the position had by what was said then, and the exits that would have rested."""
        for fact in (self._said_then(OVERSIZED, case) or "").split():
            name, _, value = fact.partition("=")
            if name == "position":
                return oversized(case._replace(near=case.near._replace(size=number(value))))
        return None

    def _must_go(self, submission: Any, verdict: Verdict) -> bool:
        if STRIPPED in map(code_of, verdict.reasons) and self._strips(submission):
            return False
        spots = [live.spot for live in self._lives(submission)] or [
            spot_of(submission.account, submission.order)
        ]
        both = {spot: None for one in spots for spot in both_of(one)}
        return not all(self._is_covered(spot, submission.mode) for spot in both)

    def _strips(self, submission: Any) -> bool | None:
        """Whether a cancel bares a symbol that stops of anybody covered; None where that is not enforced."""
        plan = self._guard.plan(submission.mode, submission.order.symbol, submission.intent)
        if all(step.code != STRIPPED for step in plan.enforced):
            return None
        taken = self._lives(submission)
        gone = set(map(id, taken))
        sure = [
            [live for live in self._book.guarding(spot) if self._is_sure(live)]
            for spot in dict.fromkeys(spot for live in taken for spot in both_of(live.spot))
        ]
        return all(sure) and not all(any(id(live) not in gone for live in stops) for stops in sure)

    def _is_covered(self, spot: Spot, mode: str) -> bool:
        return any(self._covers(live, mode) for live in self._book.guarding(spot))

    def _covers(self, live: Live, mode: str) -> bool:
        return self._is_sure(live) and is_owners(self._standings, live.target, live.symbol, mode)

    def _is_sure(self, live: Live) -> bool:
        """Whether a stop surely closes something when it fires, whoever placed it."""
        is_at_market = live.is_protective and live.type != STOP_LIMIT
        return is_at_market and Placing(live.ts, live.target.client_order_id) not in self._idle

    def _count(self, fate: str, submission: Submitted, verdict: Verdict, about: str | None = None) -> None:
        order, symbol = submission.order, submission.order.symbol or about
        lives = self._lives(submission)
        if symbol is None and lives:
            symbol = lives[0].symbol
        self.rows[
            Row(
                fate,
                submission.attribution.module,
                code_of(verdict.reasons[0]),
                submission.intent,
                order.kind,
                symbol,
            )
        ] += 1
        if fate == "answered":  # it decides about no stop that is there
            return
        spots = [spot_of(submission.account, order)] if is_protective(order) and not lives else []
        spots += [live.spot for live in lives if live.is_protective]
        for spot in dict.fromkeys(spots):
            self._touch(spot, f"{submission.intent} {fate}")

    def _lives(self, submission: Submitted) -> list[Live]:
        found = (self._book.find_live(submission.account, target) for target in submission.targets)
        return [live for live in found if live is not None]

    def _touch(self, spot: Spot, what: str) -> None:
        key = Touched(spot.account, spot.symbol, spot.position_side, spot.side)
        self.touched.setdefault(key, Counter())[what] += 1

    def _trouble(self, step: str, error: Exception) -> None:  # noqa: ARG002 - counted, that is all
        self.troubles += 1


def both_of(spot: Spot) -> tuple[Spot, ...]:
    """Return the positions that must be covered for one: in hedge mode the other one of its symbol, too."""
    others = {"LONG": ("SHORT", "BUY"), "SHORT": ("LONG", "SELL")}
    other = others.get(spot.position_side)
    return (spot,) if other is None else (spot, Spot(spot.account, spot.symbol, *other))


def placing(submission: Any, conclusion: Any) -> Placing:
    """Which placing it is."""
    known = None if conclusion is None else conclusion.client_order_id
    return Placing(submission.ts, known or submission.order.client_order_id)


def can_only_reduce(order: ExitOrder) -> bool:
    """Whether an order is an exit by its own fields, not only by what the code says."""
    return order.close_position or order.reduce_only or closes_hedge_side(order.side, order.position_side)


def reach_of(submission: Submitted) -> Store | None:
    """Which orders a cancel-all cancels; None for what is none.

    Journals of earlier releases tell by the door, and by what was there.
    """
    if submission.store is not None or submission.intent != "cancel":
        return submission.store
    door = DOOR_NAMES.get(submission.door)
    if door is None or door.carries != "symbol":
        return None
    return door.store or ("conditional" if any(one.algo_id for one in submission.targets) else "orders")


def replay(history: Iterable[Bodies], into: Replay) -> Iterator[int]:
    """Take bodies of orders through; yields how many orders were, now and then."""
    taken = 0
    for intent, outcome, found, resolution in history:
        into.take(
            SUBMITTED.decode(intent),
            None if outcome is None else CONCLUDED.decode(outcome),
            () if found is None else FOUND.decode(found).reasons,
            None if resolution is None else RESOLVED.decode(resolution),
        )
        taken += 1
        if taken % 1000 == 0:
            yield 1000
    yield taken % 1000


def replay_records(history: Iterable[Record], into: Replay) -> Iterator[int]:
    """The same of records, as a database gives them."""
    for record in history:
        submission: Any = record.submission
        conclusion: Any = record.conclusion
        found = () if record.findings is None else record.findings.reasons
        into.take(submission, conclusion, found, record.resolution)
        yield 1
