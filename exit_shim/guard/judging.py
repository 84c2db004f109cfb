"""Step three of an order's way: the policy and the book, held against one order."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.attribution import Attribution
from exit_shim.book import Book, Live, Near, Noted, spot_of
from exit_shim.doors import COUNTDOWN, Door, Intent, Reference, Store
from exit_shim.guard.delegations import Delegations
from exit_shim.guard.denials import Denials
from exit_shim.guard.snapshots import Snapshots
from exit_shim.guard.suppressed import Suppressed
from exit_shim.guard.switches import Switches
from exit_shim.orders import closes_now
from exit_shim.policy import ALLOWED, OBSERVED, Standing, Standings, Verdict, code_of
from exit_shim.policy.codes import (
    FOREIGN_CANCEL,
    FUTILE_CANCEL,
    STRIPPED,
    SUPPRESSED_ORDER,
)
from exit_shim.records import Conclusion, Findings, Submission, Target
from exit_shim.rules import BOOK_RULES, RULES, Case, OwnRule, RuleFunction, is_own
from exit_shim.stock import Stock

UNJUDGED: Final = frozenset({"conditional", "unknown"})
PLACES: Final[frozenset[Intent]] = frozenset({"place", "modify"})
SIGNING: Final = ("signature", "timestamp", "recvWindow")
UNRULED: Final[frozenset[Intent]] = frozenset({"test", "query"})

BATCHES: Final = ("batchOrders", "orders")
"""The fields in which calls carry lists of orders."""

OF_CANCELLING: Final = frozenset({FOREIGN_CANCEL, STRIPPED, FUTILE_CANCEL})
OF_PLACING: Final = frozenset(RULES) - OF_CANCELLING
"""Rules that have nothing to say to other intents."""

UNSEEN: Final = Verdict("deny", ("UNSEEN",))
"""Until the exchange was looked at; never recorded."""

MAX_BOOK_WORDS: Final = 8
MAX_PLANS: Final = 20_000


class Found(NamedTuple):
    """A rule's finding, with the level at which it counts."""

    reason: str
    is_enforced: bool


class Step(NamedTuple):
    """A rule to ask, and what its reason ends with."""

    code: str
    rule: RuleFunction
    ending: str


class Plan(NamedTuple):
    """The rules for one intent on one symbol in one mode: asked before the send, and after it."""

    enforced: tuple[Step, ...]
    warning: tuple[Step, ...]


class Guard:
    """Judges orders by a policy and a book; what it denies is carried out elsewhere.

    Args:
        standings: The policy, compiled.
        book: The live exits.
        own: Rules that are not exit_shim's.
        on_trouble: Told of a rule that raises; it is skipped.
        rules: exit_shim's.
    """

    def __init__(
        self,
        standings: Standings,
        book: Book,
        own: tuple[OwnRule, ...],
        on_trouble: Callable[[str, Exception], None],
        rules: Mapping[str, RuleFunction] = RULES,
    ) -> None:
        self.standings = standings
        self.book = book
        self.switches = Switches()
        self.suppressed = Suppressed()
        self.denials = Denials()
        self.delegations = Delegations(standings.policy.delegate)
        self.snapshots = Snapshots(
            within_s=standings.policy.look_within_s,
            share=standings.policy.look_share,
            why_unsure=book.why_unsure,
            on_trouble=on_trouble,
        )
        self.enforces = standings.enforces()
        self.tells = True
        """Whether verdicts say beside what; for those that nobody reads it takes long."""
        self.refresh: Callable[[], None] = lambda: None
        """Looks at the switches; called before an order is held back."""
        self._rules: dict[str, RuleFunction] = {**rules, **{rule.code: rule.function for rule in own}}
        self.on_trouble = on_trouble
        self._plans: dict[tuple[str, str | None, Intent], Plan] = {}

    def judge(self, submission: Submission, params: Mapping[str, Any]) -> Verdict:
        """The verdict on an order that is about to leave: what could hold it back is looked at, no more.

        A cancel about which only the exchange can tell is held, as `UNSEEN`, until that was looked at.
        """
        intent, order, who = submission.intent, submission.order, submission.attribution
        if intent != "place" and self._is_about_suppressed(submission):
            return Verdict("suppress", (SUPPRESSED_ORDER,), answer="monitor")
        if intent in PLACES and order.kind not in UNJUDGED:
            standing = self.standings.of(
                who.module, who.dotted_module, submission.mode, order.symbol, order.kind
            )
            if not self.enforces or not self.switches.enforcing:
                return standing.warned
            is_held = standing.code is not None and standing.level == "enforce"
            if not is_held and not self.plan(submission.mode, order.symbol, intent).enforced:
                return standing.warned
            return self._judge_placing(self.coming(submission, params))
        return self._judge_cancelling(submission, params) if intent == "cancel" else ALLOWED

    def _judge_cancelling(self, submission: Submission, params: Mapping[str, Any]) -> Verdict:
        # A countdown takes nothing yet; held back, one that runs already would go off.
        if not self.enforces or not self.switches.enforcing or submission.order.type == COUNTDOWN:
            return ALLOWED
        case = self.coming(submission, params)
        verdict = self.judge_cancel(case)
        return UNSEEN if not verdict.is_held and self._must_be_seen(case, submission.store) else verdict

    def is_asked_for(self, door: Door, params: Mapping[str, Any]) -> bool:
        """Whether a query may be about an order that only the guard knows: where any account has such."""
        return any(map(self.suppressed.may_have, door.references(params)))

    def note(self, submission: Submission, conclusion: Conclusion, params: Mapping[str, Any]) -> Noted | None:
        """Have the book learn of an order; what is returned is for `findings`, where there may be any."""
        if submission.intent in UNRULED or submission.verdict.is_held:
            self.book.note(submission, conclusion)
            return None
        own = dict(own_params(params, submission.batch_index))
        for name in SIGNING:  # python-binance signs a raw request in the bot's own dict
            own.pop(name, None)
        noted = self.book.note(submission, conclusion, own)
        noted.is_judged = self.enforces and self.switches.enforcing
        return noted

    def findings(self, noted: Noted) -> Findings | None:
        """What the rules that only warn say of an order that was concluded; None: nothing."""
        near = self.book.near(noted)
        case = self.case(noted.submission, noted.params or {}, near)
        plan = self.plan(case.mode, case.order.symbol, case.intent)
        told = {code_of(reason) for reason in noted.submission.verdict.reasons}
        steps = plan.warning if noted.is_judged else (*plan.warning, *plan.enforced)
        reasons = tuple(
            f"{step.code} {facts}".rstrip() + step.ending
            for step in steps
            if step.code not in told and (facts := self.ask(step.code, step.rule, case)) is not None
        )
        return Findings(reasons, words((*near.beside, *near.taken))) if reasons else None

    def plan(self, mode: str, symbol: str | None, intent: Intent) -> Plan:
        """The rules to ask; remembered."""
        key = (mode, symbol, intent)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._make_plan(mode, symbol, intent)
        return plan

    def _make_plan(self, mode: str, symbol: str | None, intent: Intent) -> Plan:
        enforced: list[Step] = []
        warning: list[Step] = []
        for code, rule in self._rules.items():
            if code in (OF_PLACING if intent != "place" else OF_CANCELLING):
                continue
            level = self.standings.level(code, mode, symbol)
            ending = OBSERVED if level == "observe" else ""
            (enforced if level == "enforce" else warning).append(Step(code, rule, ending))
        return Plan(tuple(enforced), tuple(warning))

    def saw(self, account: str | None, symbol: str | None, stock: Stock, asked: int) -> None:
        """Set the book right by what rests and is open on a symbol, as asked for at `asked` (ns)."""
        for spot in self.book.spots_of(account, symbol):
            self.book.saw_size(spot, stock.held(spot), asked)
        self.book.compare(account, symbol, [order.reference for order in stock.resting], asked)

    def _must_be_seen(self, case: Case, store: Store | None) -> bool:
        """Whether a cancel could have to be held back for what only the exchange can tell.

        A cancel-all may take what the book does not know of; and a stop that seems to be left may have been
        cancelled in the app.
        """
        if any(live.is_protective for live in case.near.taken):
            plan = self.plan(case.mode, case.order.symbol, case.intent)
            if any(step.code == STRIPPED for step in plan.enforced):
                return True
        return store is not None and self._may_not_take_all(case)

    def _may_not_take_all(self, case: Case) -> bool:
        standing = self._standing(case.who, case.mode, case.order.symbol, "sl")
        if standing.role == "owner":
            return False
        level = self.standings.level(FOREIGN_CANCEL, case.mode, case.order.symbol)
        return "enforce" in (level, standing.level if standing.code else None)

    def _judge_placing(self, case: Case) -> Verdict:
        standing, order = case.standing, case.order
        found = [] if standing.code is None else [self._ownership(standing, case)]
        found += self._enforced(case)
        if not any(one.is_enforced for one in found):
            return standing.warned if standing.code else reasons_only(found)
        reasons = tuple(one.reason for one in found)
        if closes_now(order.type, order.time_in_force) and self.standings.policy.market_closes == "allow":
            return Verdict("warn", reasons, standing.line)
        return self._held(standing, reasons, case.near)

    def judge_cancel(self, case: Case, strips: bool | None = None) -> Verdict:
        """The verdict on a cancel, by what is known of what it takes; `strips` as the exchange shows it."""
        found = [*self._stops_of_others(case), *self._enforced(case, strips)]
        if not any(one.is_enforced for one in found):
            return reasons_only(found)
        return self._held(case.standing, tuple(one.reason for one in found), case.near)

    def _stops_of_others(self, case: Case) -> list[Found]:
        """Where a module's placing would be denied, so is its cancel of a live stop that is not its own."""
        for live in case.near.taken:
            if not live.is_protective or is_own(
                self.standings, live.target, live.symbol, case.who, case.mode
            ):
                continue
            standing = self._standing(case.who, case.mode, live.symbol, live.target.kind)
            if standing.code is not None:
                return [self._ownership(standing, case)]
        return []

    def _ownership(self, standing: Standing, case: Case) -> Found:
        return Found(standing.reason(case.who.module, case.mode), standing.level == "enforce")

    def _enforced(self, case: Case, strips: bool | None = None) -> list[Found]:
        """What the rules say that are enforced here; those that rest on the book warn where it is unsure."""
        found = []
        for code, rule, _ in self.plan(case.mode, case.order.symbol, case.intent).enforced:
            facts = self.ask(code, rule, case)
            if code == STRIPPED and strips is not None:
                facts = (facts or f"symbol={case.order.symbol}") if strips else None
            if facts is None:
                continue
            reason = f"{code} {facts}".rstrip()
            why = None
            if code in BOOK_RULES and code not in {FOREIGN_CANCEL, STRIPPED}:
                why = self.book.why_unsure(case.account, case.order.symbol)
            found.append(Found(reason + (" sure=no" if why else ""), why is None))
        return found

    def _held(self, standing: Standing, reasons: tuple[str, ...], near: Near) -> Verdict:
        return Verdict(
            "suppress" if standing.denied == "monitor" else "deny",
            reasons,
            standing.line,
            standing.denied,
            words((*near.beside, *near.taken)) if self.tells else (),
        )

    def ask(self, code: str, rule: RuleFunction, case: Case) -> str | None:
        """What a rule says; nothing where it raises."""
        try:
            return rule(case)
        except Exception as error:  # noqa: BLE001 - one rule's failure is neither the order's nor another rule's
            self.on_trouble(f"apply the rule {code}", error)
            return None

    def coming(self, submission: Submission, params: Mapping[str, Any]) -> Case:
        """The case of an order that is about to leave."""
        own = own_params(params, submission.batch_index)
        return self.case(submission, own, self.book.see(submission))

    def case(self, submission: Submission, params: Mapping[str, Any], near: Near) -> Case:
        """What a rule is given of an order, with its own fields in the call."""
        order, who, targets = submission.order, submission.attribution, submission.targets
        if order.symbol is None and near.taken:  # a cancel by algo id names none
            order = msgspec.structs.replace(order, symbol=near.taken[0].symbol)
        return Case(
            submission.intent,
            order,
            who,
            submission.mode,
            self._standing_for(who, submission.mode, order.symbol, order.kind, targets),
            self.standings,
            submission.account,
            targets,
            params,
            submission.ts,
            submission.door,
            self.delegations.owner_of(order.symbol),
            spot_of(submission.account, order),
            near,
            submission.store,
        )

    def _standing_for(
        self, who: Attribution, mode: str, symbol: str | None, kind: str, targets: tuple[Target, ...]
    ) -> Standing:
        """That of the least entitled among what a cancel takes: an owner of targets may not take stops."""
        standing = self._standing(who, mode, symbol, kind)
        for target in targets:
            if target.module is None or is_own(self.standings, target, symbol, who, mode):
                continue
            standing = self._standing(who, mode, symbol, target.kind)
            if standing.role != "owner":
                break
        return standing

    def _standing(self, who: Attribution, mode: str, symbol: str | None, kind: str) -> Standing:
        return self.standings.of(who.module, who.dotted_module, mode, symbol, kind)

    def _is_about_suppressed(self, submission: Submission) -> bool:
        """Conditional orders cannot be changed, which is the exchange's to answer."""
        if len(submission.targets) != 1:
            return False
        kept = self.suppressed.find(submission.account, reference_to(submission.targets[0]))
        return kept is not None and (submission.intent == "cancel" or kept.store == "orders")


def words(lives: tuple[Live, ...]) -> tuple[str, ...]:
    """Live exits for people, as many as a record takes."""
    return tuple(live.words for live in lives[:MAX_BOOK_WORDS])


def own_params(params: Mapping[str, Any], place: int | None) -> Mapping[str, Any]:
    """The fields of one order of a call."""
    if place is None:
        return MappingProxyType(params)  # a rule of one's own must not change what is sent
    for name in BATCHES:
        items = params.get(name)
        if isinstance(items, list) and place < len(items) and isinstance(items[place], Mapping):
            own: Mapping[str, Any] = items[place]
            return MappingProxyType(own)
    return {}


def reference_to(target: Target) -> Reference:
    """The ids of a target."""
    return Reference(target.order_id, target.algo_id, target.client_order_id)


def reasons_only(found: list[Found]) -> Verdict:
    """Nothing is held back: what was found is warned of."""
    return Verdict("warn", tuple(one.reason for one in found)) if found else ALLOWED
