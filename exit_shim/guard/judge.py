"""Give an order its verdict: what the policy, the rules and the book say of it. No look at the exchange."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, OrderFindings, Target
from exit_shim.domain.orders import COUNTDOWN, Operation, Reach, Reference, closes_now, fields_of_order
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
"""Kinds of orders that nothing shows to be exits."""

PLACES: Final[frozenset[Operation]] = frozenset({"place", "modify"})
SIGNING: Final = frozenset({"signature", "timestamp", "recvWindow"})
UNRULED: Final[frozenset[Operation]] = frozenset({"test", "query"})

CANCEL_RULES: Final = frozenset({FOREIGN_CANCEL, STRIPPED, FUTILE_CANCEL})
PLACING_RULES: Final = frozenset(RULES) - CANCEL_RULES
"""Rules that never find anything in a cancel or change."""

ABOUT_SIMULATED: Final = Verdict(
    "simulate", (Reason(SIMULATED_ORDER),), on_deny="simulate", is_about_simulated=True
)
"""The verdict on a cancel or change of a simulated order."""

MAX_BOOK_WORDS: Final = 8
MAX_PLANS: Final = 20_000


class RuleFinding(NamedTuple):
    """A finding of a rule, and whether the order is to be held back for it."""

    reason: Reason
    is_enforced: bool


class RuleStep(NamedTuple):
    """A rule to ask, and whether what it finds is only recorded."""

    code: str
    rule: RuleFunction
    is_observed: bool


class RulePlan(NamedTuple):
    """The rules for one operation on one symbol in one mode: those asked before the send, and after it."""

    enforced: tuple[RuleStep, ...]
    warning: tuple[RuleStep, ...]


class Guard:
    """Judges orders by a policy and a book, and holds all state of the guard.

    Args:
        compiled_policy: The policy.
        book: The live exits.
        custom_rules: Rules that are not exit_shim's.
        report: Takes an internal error and the step that it was met in; a rule that raises is skipped.
        rules: exit_shim's own rules, by code.

    Attributes:
        enforces: Whether anything in the policy could hold an order back.
        describes_book: Whether verdicts describe the live exits around the order; it takes time.
        refresh: Reads the switches; called before an order is held back.
    """

    def __init__(
        self,
        compiled_policy: CompiledPolicy,
        book: Book,
        custom_rules: tuple[CustomRule, ...],
        report: Callable[[str, Exception], None],
        rules: Mapping[str, RuleFunction] = RULES,
    ) -> None:
        self.compiled_policy = compiled_policy
        self.book = book
        self.report = report
        self.switches = Switches()
        self.simulated = SimulatedOrders()
        self.denials = Denials()
        self.delegations = Delegations(compiled_policy.policy.delegate)
        self.snapshots = Snapshots(
            within_s=compiled_policy.policy.look_within_s,
            share=compiled_policy.policy.look_share,
            why_unsure=book.why_unsure,
            report=report,
        )
        self.enforces = compiled_policy.enforces()
        self.describes_book = True
        self.refresh: Callable[[], None] = lambda: None
        self._rules: dict[str, RuleFunction] = {
            **rules,
            **{rule.code: rule.function for rule in custom_rules},
        }
        self._plans: dict[tuple[str, str | None, Operation], RulePlan] = {}

    # Before the send

    def judge(self, intent: Intent, params: Mapping[str, Any]) -> Verdict:
        """Return the verdict on an order that is about to leave, by the rules that could hold it back.

        A cancel about which only the exchange can tell is `UNDECIDED`.
        """
        operation, order, who = intent.operation, intent.order, intent.attribution
        if operation != "place" and self._is_about_simulated(intent):
            return ABOUT_SIMULATED
        if operation in PLACES and order.kind not in UNJUDGED:
            grant = self.compiled_policy.grant_for(
                who.module, who.dotted_module, intent.mode, order.symbol, order.kind
            )
            if not self.enforces or not self.switches.enforcing:
                return grant.warned
            is_denied = grant.reason is not None and grant.level == "enforce"
            if not is_denied and not self.plan(intent.mode, order.symbol, operation).enforced:
                return grant.warned
            return self._judge_placing(self.context_before(intent, params))
        return self._judge_cancelling(intent, params) if operation == "cancel" else ALLOWED

    def _judge_placing(self, context: RuleContext) -> Verdict:
        grant, order = context.grant, context.order
        findings = [*findings_of(grant), *self._ask_enforced(context)]
        if not any(finding.is_enforced for finding in findings):
            return grant.warned if grant.reason else warn(findings)
        reasons = tuple(finding.reason for finding in findings)
        is_close = closes_now(order.type, order.time_in_force)
        if is_close and self.compiled_policy.policy.market_closes == "allow":
            return Verdict("warn", reasons, grant.line)
        return self._deny(grant, reasons, context.book)

    def _judge_cancelling(self, intent: Intent, params: Mapping[str, Any]) -> Verdict:
        # A countdown takes nothing yet; held back, one that runs already would go off.
        if not self.enforces or not self.switches.enforcing or intent.order.type == COUNTDOWN:
            return ALLOWED
        context = self.context_before(intent, params)
        verdict = self.judge_cancel(context)
        return UNDECIDED if not verdict.is_held and self._needs_look(context, intent.store) else verdict

    def judge_cancel(self, context: RuleContext, strips: bool | None = None) -> Verdict:
        """Return the verdict on a cancel, by what is known of what it removes.

        Args:
            context: The cancel and what is around it.
            strips: Whether it bares a position, as the exchange shows; None where that is not known.
        """
        findings = [*self._find_foreign_stop(context), *self._ask_enforced(context, strips)]
        if not any(finding.is_enforced for finding in findings):
            return warn(findings)
        return self._deny(context.grant, tuple(finding.reason for finding in findings), context.book)

    def _needs_look(self, context: RuleContext, store: Reach | None) -> bool:
        """Return whether a cancel could have to be held back for what only the exchange can tell."""
        # A stop that seems to be left may have been cancelled in the app.
        if any(live.is_protective for live in context.book.removed):
            plan = self.plan(context.mode, context.order.symbol, context.operation)
            if any(step.code == STRIPPED for step in plan.enforced):
                return True
        # A cancel-all may take what the book does not know of.
        return store is not None and self._may_not_cancel_all(context)

    def _may_not_cancel_all(self, context: RuleContext) -> bool:
        grant = self._grant_of(context.who, context.mode, context.order.symbol, "sl")
        if grant.role == "owner":
            return False
        level = self.compiled_policy.level(FOREIGN_CANCEL, context.mode, context.order.symbol)
        return "enforce" in (level, grant.level if grant.reason else None)

    def _find_foreign_stop(self, context: RuleContext) -> list[RuleFinding]:
        """Return what is against a cancel of a live stop that is not the module's own, none or one."""
        # Where a module's placing would be denied, so is its cancel.
        for live in context.book.removed:
            if not live.is_protective or is_own(
                self.compiled_policy, live.target, live.symbol, context.who, context.mode
            ):
                continue
            grant = self._grant_of(context.who, context.mode, live.symbol, live.target.kind)
            if grant.reason is not None:
                return findings_of(grant)
        return []

    def _ask_enforced(self, context: RuleContext, strips: bool | None = None) -> list[RuleFinding]:
        """Return what the enforced rules find; those that rest on an unsure book only warn."""
        findings = []
        for code, rule, _ in self.plan(context.mode, context.order.symbol, context.operation).enforced:
            facts = self.ask(code, rule, context)
            if code == STRIPPED and strips is not None:
                facts = (facts or {"symbol": str(context.order.symbol)}) if strips else None
            if facts is None:
                continue
            # These two are decided by a look at the exchange.
            rests_on_book = code in BOOK_RULES and code not in {FOREIGN_CANCEL, STRIPPED}
            is_unsure = rests_on_book and self._is_unsure(context)
            findings.append(RuleFinding(Reason(code, facts or None, is_unsure=is_unsure), not is_unsure))
        return findings

    def _is_unsure(self, context: RuleContext) -> bool:
        return self.book.why_unsure(context.account, context.order.symbol) is not None

    def _deny(self, grant: Grant, reasons: tuple[Reason, ...], book: BookContext) -> Verdict:
        return Verdict(
            "simulate" if grant.on_deny == "simulate" else "deny",
            reasons,
            grant.line,
            grant.on_deny,
            describe((*book.beside, *book.removed)) if self.describes_book else (),
        )

    def _is_about_simulated(self, intent: Intent) -> bool:
        if len(intent.targets) != 1:
            return False
        order = self.simulated.find(intent.account, reference_to(intent.targets[0]))
        # Conditional orders cannot be changed, which is for the exchange to answer.
        return order is not None and (intent.operation == "cancel" or order.store == "orders")

    # After the send

    def mark_judged(self, recorded: RecordedEvent) -> None:
        """Note in a recorded intent whether the enforced rules were asked before its send."""
        recorded.was_judged = self.switches.enforcing

    def findings(self, recorded: RecordedEvent) -> OrderFindings | None:
        """Return what the rules that only warn find in an order that was concluded; None for nothing."""
        about = recorded.about
        # Another process asks about its own orders.
        if about is None or about.params is None or not isinstance(about.event, Intent):
            return None
        intent = about.event
        if intent.operation in UNRULED or intent.verdict.is_held:
            return None
        book = self.book.context_before(recorded)
        # python-binance signs a raw request in the bot's own dict, which may be sent again.
        params = {name: value for name, value in about.params.items() if name not in SIGNING}
        context = self.context_of(intent, params, book)
        plan = self.plan(context.mode, context.order.symbol, context.operation)
        steps = plan.warning if about.was_judged else (*plan.warning, *plan.enforced)
        reasons = tuple(
            Reason(step.code, facts or None, is_observed=step.is_observed)
            for step in steps
            if not intent.verdict.has(step.code)
            and (facts := self.ask(step.code, step.rule, context)) is not None
        )
        return OrderFindings(reasons, describe((*book.beside, *book.removed))) if reasons else None

    # Rules

    def plan(self, mode: str, symbol: str | None, operation: Operation) -> RulePlan:
        """Return the rules to ask; cached."""
        key = (mode, symbol, operation)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._make_plan(mode, symbol, operation)
        return plan

    def _make_plan(self, mode: str, symbol: str | None, operation: Operation) -> RulePlan:
        enforced: list[RuleStep] = []
        warning: list[RuleStep] = []
        for code, rule in self._rules.items():
            if code in (PLACING_RULES if operation != "place" else CANCEL_RULES):
                continue
            level = self.compiled_policy.level(code, mode, symbol)
            step = RuleStep(code, rule, level == "observe")
            (enforced if level == "enforce" else warning).append(step)
        return RulePlan(tuple(enforced), tuple(warning))

    def ask(self, code: str, rule: RuleFunction, context: RuleContext) -> Facts | None:
        """Return the facts of what a rule finds; None for nothing, and where it raises."""
        try:
            return facts_in(rule(context))
        except Exception as error:  # noqa: BLE001 - one rule's failure is neither the order's nor another rule's
            self.report(f"apply the rule {code}", error)
            return None

    def context_before(self, intent: Intent, params: Mapping[str, Any]) -> RuleContext:
        """Return what a rule is given of an order that is about to leave.

        Args:
            intent: The order.
            params: The fields of its call.
        """
        fields = fields_of_order(params, intent.batch_index)
        return self.context_of(intent, fields, self.book.context_of(intent))

    def context_of(self, intent: Intent, params: Mapping[str, Any], book: BookContext) -> RuleContext:
        """Return what a rule is given of an order.

        Args:
            intent: The order.
            params: Its own fields in the call.
            book: What the book has around it.
        """
        order, who, targets = intent.order, intent.attribution, intent.targets
        # A cancel by algo id names no symbol.
        if order.symbol is None and book.removed:
            order = msgspec.structs.replace(order, symbol=book.removed[0].symbol)
        return RuleContext(
            intent.operation,
            order,
            who,
            intent.mode,
            self._grant_for_targets(who, intent.mode, order.symbol, order.kind, targets),
            self.compiled_policy,
            intent.account,
            targets,
            params,
            intent.ts,
            intent.door,
            self.delegations.owner_of(order.symbol),
            position_of(intent.account, order),
            book,
            intent.store,
            intent.is_bridged,
        )

    def _grant_for_targets(
        self, who: Attribution, mode: str, symbol: str | None, kind: str, targets: tuple[Target, ...]
    ) -> Grant:
        """Return the grant of the most restricted order that a cancel removes; else that of the order."""
        grant = self._grant_of(who, mode, symbol, kind)
        for target in targets:
            if target.module is None or is_own(self.compiled_policy, target, symbol, who, mode):
                continue
            # An owner of take-profits may not cancel stops.
            grant = self._grant_of(who, mode, symbol, target.kind)
            if grant.role != "owner":
                break
        return grant

    def _grant_of(self, who: Attribution, mode: str, symbol: str | None, kind: str) -> Grant:
        return self.compiled_policy.grant_for(who.module, who.dotted_module, mode, symbol, kind)

    # What the exchange says

    def correct_book(self, account: str | None, symbol: str | None, snapshot: Snapshot, asked: int) -> None:
        """Correct the book by what rests and is open on a symbol, as asked for at `asked` (ns)."""
        for position in self.book.positions_of(account, symbol):
            self.book.set_size(position, snapshot.size_of(position), asked)
        self.book.compare(account, symbol, [order.reference for order in snapshot.resting], asked)


def describe(exits: tuple[LiveExit, ...]) -> tuple[str, ...]:
    """Describe live exits for people, as many as a record takes."""
    return tuple(live.words for live in exits[:MAX_BOOK_WORDS])


def reference_to(target: Target) -> Reference:
    """Return the ids of a target."""
    return Reference(target.order_id, target.algo_id, target.client_order_id)


def findings_of(grant: Grant) -> list[RuleFinding]:
    """Return what the policy itself has against a module's placing an exit, none or one."""
    return [] if grant.reason is None else [RuleFinding(grant.reason, grant.level == "enforce")]


def warn(findings: list[RuleFinding]) -> Verdict:
    """Return the verdict that holds nothing back: what was found is warned of."""
    return Verdict("warn", tuple(finding.reason for finding in findings)) if findings else ALLOWED
