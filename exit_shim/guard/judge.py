"""Step three of an order's way: the policy and the book, held against one order."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, OrderFindings, Target
from exit_shim.domain.orders import COUNTDOWN, Operation, Reference, Store, closes_now, fields_of_order
from exit_shim.domain.reason_codes import (
    FOREIGN_CANCEL,
    FUTILE_CANCEL,
    SIMULATED_ORDER,
    STRIPPED,
)
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import ALLOWED, UNDECIDED, Facts, Reason, Verdict
from exit_shim.guard.book import Book, BookContext
from exit_shim.guard.delegations import Delegations
from exit_shim.guard.denials import Denials
from exit_shim.guard.exchange_snapshot import Snapshot
from exit_shim.guard.live_exits import LiveExit, position_of
from exit_shim.guard.policy import CompiledPolicy, Grant
from exit_shim.guard.rules import BOOK_RULES, RULES, CustomRule, RuleContext, RuleFunction, facts_in, is_own
from exit_shim.guard.simulated_orders import SimulatedOrders
from exit_shim.guard.snapshots import Snapshots
from exit_shim.guard.switches import Switches

UNJUDGED: Final = frozenset({"conditional", "unknown"})
PLACES: Final[frozenset[Operation]] = frozenset({"place", "modify"})
SIGNING: Final = frozenset({"signature", "timestamp", "recvWindow"})
UNRULED: Final[frozenset[Operation]] = frozenset({"test", "query"})

OF_CANCELLING: Final = frozenset({FOREIGN_CANCEL, STRIPPED, FUTILE_CANCEL})
OF_PLACING: Final = frozenset(RULES) - OF_CANCELLING
"""Rules that have nothing to say to other intents."""

ABOUT_SIMULATED: Final = Verdict(
    "simulate", (Reason(SIMULATED_ORDER),), on_deny="simulate", is_about_simulated=True
)

MAX_BOOK_WORDS: Final = 8
MAX_PLANS: Final = 20_000


class Found(NamedTuple):
    """A rule's finding, with the level at which it counts."""

    reason: Reason
    is_enforced: bool


class Step(NamedTuple):
    """A rule to ask, and whether what it finds is only recorded."""

    code: str
    rule: RuleFunction
    is_observed: bool


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
        compiled_policy: CompiledPolicy,
        book: Book,
        own: tuple[CustomRule, ...],
        on_trouble: Callable[[str, Exception], None],
        rules: Mapping[str, RuleFunction] = RULES,
    ) -> None:
        self.compiled_policy = compiled_policy
        self.book = book
        self.switches = Switches()
        self.simulated = SimulatedOrders()
        self.denials = Denials()
        self.delegations = Delegations(compiled_policy.policy.delegate)
        self.snapshots = Snapshots(
            within_s=compiled_policy.policy.look_within_s,
            share=compiled_policy.policy.look_share,
            why_unsure=book.why_unsure,
            report=on_trouble,
        )
        self.enforces = compiled_policy.enforces()
        self.tells = True
        """Whether verdicts say beside what; for those that nobody reads it takes long."""
        self.refresh: Callable[[], None] = lambda: None
        """Looks at the switches; called before an order is held back."""
        self._rules: dict[str, RuleFunction] = {**rules, **{rule.code: rule.function for rule in own}}
        self.on_trouble = on_trouble
        self._plans: dict[tuple[str, str | None, Operation], Plan] = {}

    def judge(self, intent: Intent, params: Mapping[str, Any]) -> Verdict:
        """The verdict on an order that is about to leave: what could hold it back is looked at, no more.

        A cancel about which only the exchange can tell is held, as `UNDECIDED`, until that was looked at.
        """
        operation, order, who = intent.operation, intent.order, intent.attribution
        if operation != "place" and self._is_about_simulated(intent):
            return ABOUT_SIMULATED
        if operation in PLACES and order.kind not in UNJUDGED:
            standing = self.compiled_policy.of(
                who.module, who.dotted_module, intent.mode, order.symbol, order.kind
            )
            if not self.enforces or not self.switches.enforcing:
                return standing.warned
            is_held = standing.reason is not None and standing.level == "enforce"
            if not is_held and not self.plan(intent.mode, order.symbol, operation).enforced:
                return standing.warned
            return self._judge_placing(self.coming(intent, params))
        return self._judge_cancelling(intent, params) if operation == "cancel" else ALLOWED

    def _judge_cancelling(self, intent: Intent, params: Mapping[str, Any]) -> Verdict:
        # A countdown takes nothing yet; held back, one that runs already would go off.
        if not self.enforces or not self.switches.enforcing or intent.order.type == COUNTDOWN:
            return ALLOWED
        case = self.coming(intent, params)
        verdict = self.judge_cancel(case)
        return UNDECIDED if not verdict.is_held and self._must_be_seen(case, intent.store) else verdict

    def mark_judged(self, recorded: RecordedEvent) -> None:
        """Note in a recorded intent whether the enforced rules were asked before its send."""
        recorded.was_judged = self.switches.enforcing

    def findings(self, recorded: RecordedEvent) -> OrderFindings | None:
        """Return what the rules that only warn say of an order that was concluded; None: nothing."""
        about = recorded.about
        if about is None or about.params is None or not isinstance(about.event, Intent):
            return None  # another process asks them
        intent = about.event
        if intent.operation in UNRULED or intent.verdict.is_held:
            return None
        near = self.book.context_before(recorded)
        # python-binance signs a raw request in the bot's own dict, which may be sent again.
        params = {name: value for name, value in about.params.items() if name not in SIGNING}
        case = self.case(intent, params, near)
        plan = self.plan(case.mode, case.order.symbol, case.operation)
        reported = {reason.code for reason in intent.verdict.reasons}
        steps = plan.warning if about.was_judged else (*plan.warning, *plan.enforced)
        reasons = tuple(
            Reason(step.code, facts or None, is_observed=step.is_observed)
            for step in steps
            if step.code not in reported and (facts := self.ask(step.code, step.rule, case)) is not None
        )
        return OrderFindings(reasons, words((*near.beside, *near.removed))) if reasons else None

    def plan(self, mode: str, symbol: str | None, operation: Operation) -> Plan:
        """The rules to ask; remembered."""
        key = (mode, symbol, operation)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._make_plan(mode, symbol, operation)
        return plan

    def _make_plan(self, mode: str, symbol: str | None, operation: Operation) -> Plan:
        enforced: list[Step] = []
        warning: list[Step] = []
        for code, rule in self._rules.items():
            if code in (OF_PLACING if operation != "place" else OF_CANCELLING):
                continue
            level = self.compiled_policy.level(code, mode, symbol)
            step = Step(code, rule, level == "observe")
            (enforced if level == "enforce" else warning).append(step)
        return Plan(tuple(enforced), tuple(warning))

    def saw(self, account: str | None, symbol: str | None, snapshot: Snapshot, asked: int) -> None:
        """Set the book right by what rests and is open on a symbol, as asked for at `asked` (ns)."""
        for position in self.book.positions_of(account, symbol):
            self.book.set_size(position, snapshot.size_of(position), asked)
        self.book.compare(account, symbol, [order.reference for order in snapshot.resting], asked)

    def _must_be_seen(self, case: RuleContext, store: Store | None) -> bool:
        """Whether a cancel could have to be held back for what only the exchange can tell.

        A cancel-all may take what the book does not know of; and a stop that seems to be left may have been
        cancelled in the app.
        """
        if any(live.is_protective for live in case.near.removed):
            plan = self.plan(case.mode, case.order.symbol, case.operation)
            if any(step.code == STRIPPED for step in plan.enforced):
                return True
        return store is not None and self._may_not_take_all(case)

    def _may_not_take_all(self, case: RuleContext) -> bool:
        standing = self._standing(case.who, case.mode, case.order.symbol, "sl")
        if standing.role == "owner":
            return False
        level = self.compiled_policy.level(FOREIGN_CANCEL, case.mode, case.order.symbol)
        return "enforce" in (level, standing.level if standing.reason else None)

    def _judge_placing(self, case: RuleContext) -> Verdict:
        standing, order = case.standing, case.order
        found = list(ownership_findings(standing))
        found += self._enforced(case)
        if not any(one.is_enforced for one in found):
            return standing.warned if standing.reason else reasons_only(found)
        reasons = tuple(one.reason for one in found)
        if (
            closes_now(order.type, order.time_in_force)
            and self.compiled_policy.policy.market_closes == "allow"
        ):
            return Verdict("warn", reasons, standing.line)
        return self._held(standing, reasons, case.near)

    def judge_cancel(self, case: RuleContext, strips: bool | None = None) -> Verdict:
        """The verdict on a cancel, by what is known of what it takes; `strips` as the exchange shows it."""
        found = [*self._stops_of_others(case), *self._enforced(case, strips)]
        if not any(one.is_enforced for one in found):
            return reasons_only(found)
        return self._held(case.standing, tuple(one.reason for one in found), case.near)

    def _stops_of_others(self, case: RuleContext) -> list[Found]:
        """Where a module's placing would be denied, so is its cancel of a live stop that is not its own."""
        for live in case.near.removed:
            if not live.is_protective or is_own(
                self.compiled_policy, live.target, live.symbol, case.who, case.mode
            ):
                continue
            standing = self._standing(case.who, case.mode, live.symbol, live.target.kind)
            if standing.reason is not None:
                return ownership_findings(standing)
        return []

    def _enforced(self, case: RuleContext, strips: bool | None = None) -> list[Found]:
        """What the rules say that are enforced here; those that rest on the book warn where it is unsure."""
        found = []
        for code, rule, _ in self.plan(case.mode, case.order.symbol, case.operation).enforced:
            facts = self.ask(code, rule, case)
            if code == STRIPPED and strips is not None:
                facts = (facts or {"symbol": str(case.order.symbol)}) if strips else None
            if facts is None:
                continue
            why = None
            if code in BOOK_RULES and code not in {FOREIGN_CANCEL, STRIPPED}:
                why = self.book.why_unsure(case.account, case.order.symbol)
            found.append(Found(Reason(code, facts or None, is_unsure=why is not None), why is None))
        return found

    def _held(self, standing: Grant, reasons: tuple[Reason, ...], near: BookContext) -> Verdict:
        return Verdict(
            "simulate" if standing.on_deny == "simulate" else "deny",
            reasons,
            standing.line,
            standing.on_deny,
            words((*near.beside, *near.removed)) if self.tells else (),
        )

    def ask(self, code: str, rule: RuleFunction, case: RuleContext) -> Facts | None:
        """Return the facts of what a rule finds; None for nothing, and where it raises."""
        try:
            return facts_in(rule(case))
        except Exception as error:  # noqa: BLE001 - one rule's failure is neither the order's nor another rule's
            self.on_trouble(f"apply the rule {code}", error)
            return None

    def coming(self, intent: Intent, params: Mapping[str, Any]) -> RuleContext:
        """The case of an order that is about to leave."""
        own = fields_of_order(params, intent.batch_index)
        return self.case(intent, own, self.book.context_of(intent))

    def case(self, intent: Intent, params: Mapping[str, Any], near: BookContext) -> RuleContext:
        """What a rule is given of an order, with its own fields in the call."""
        order, who, targets = intent.order, intent.attribution, intent.targets
        if order.symbol is None and near.removed:  # a cancel by algo id names none
            order = msgspec.structs.replace(order, symbol=near.removed[0].symbol)
        return RuleContext(
            intent.operation,
            order,
            who,
            intent.mode,
            self._standing_for(who, intent.mode, order.symbol, order.kind, targets),
            self.compiled_policy,
            intent.account,
            targets,
            params,
            intent.ts,
            intent.door,
            self.delegations.owner_of(order.symbol),
            position_of(intent.account, order),
            near,
            intent.store,
        )

    def _standing_for(
        self, who: Attribution, mode: str, symbol: str | None, kind: str, targets: tuple[Target, ...]
    ) -> Grant:
        """That of the least entitled among what a cancel takes: an owner of targets may not take stops."""
        standing = self._standing(who, mode, symbol, kind)
        for target in targets:
            if target.module is None or is_own(self.compiled_policy, target, symbol, who, mode):
                continue
            standing = self._standing(who, mode, symbol, target.kind)
            if standing.role != "owner":
                break
        return standing

    def _standing(self, who: Attribution, mode: str, symbol: str | None, kind: str) -> Grant:
        return self.compiled_policy.of(who.module, who.dotted_module, mode, symbol, kind)

    def _is_about_simulated(self, intent: Intent) -> bool:
        """Conditional orders cannot be changed, which is the exchange's to answer."""
        if len(intent.targets) != 1:
            return False
        kept = self.simulated.find(intent.account, reference_to(intent.targets[0]))
        return kept is not None and (intent.operation == "cancel" or kept.store == "orders")


def words(lives: tuple[LiveExit, ...]) -> tuple[str, ...]:
    """Live exits for people, as many as a record takes."""
    return tuple(live.words for live in lives[:MAX_BOOK_WORDS])


def reference_to(target: Target) -> Reference:
    """The ids of a target."""
    return Reference(target.order_id, target.algo_id, target.client_order_id)


def ownership_findings(standing: Grant) -> list[Found]:
    """Return what the policy itself has against a module's placing an exit, none or one."""
    return [] if standing.reason is None else [Found(standing.reason, standing.level == "enforce")]


def reasons_only(found: list[Found]) -> Verdict:
    """Nothing is held back: what was found is warned of."""
    return Verdict("warn", tuple(one.reason for one in found)) if found else ALLOWED
