"""Deny only under cover: what becomes of a denied order once the exchange was looked at."""

import decimal
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.domain.events import Intent, Target, common_kind
from exit_shim.domain.orders import CONDITIONAL_KINDS, Reference, Store, fields_of_order, upper
from exit_shim.domain.reason_codes import PROTECTIVE_OVERRIDE, STRIPPED
from exit_shim.domain.verdicts import ALLOWED, DUPLICATED_CODE, Reason, Verdict
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.cover import EXACT, Gap, covering, find_gap, is_priced_through, strips
from exit_shim.guard.exchange_snapshot import OpenOrder, Snapshot
from exit_shim.guard.judge import Guard
from exit_shim.guard.live_exits import LiveExit, position_of
from exit_shim.guard.rules import RuleContext, is_owners
from exit_shim.guard.snapshots import Unseen


class Place(NamedTuple):
    """A symbol of an account: what one look at the exchange is about."""

    account: str | None
    symbol: str | None


Sights = Mapping[Place, Snapshot | Unseen]
"""What was seen of each symbol that a call is about."""

OPPONENT: Final = "OPPONENT"
"""What a `priceMatch` begins with that takes the other side's price."""

NOT_ASKED: Final = Unseen("could_not_be_asked")


class OverrideCheck:
    """Settles what a guard would hold back: nothing is, unless owners' stops surely cover the position."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def settled(self, intent: Intent, sights: Sights, params: Mapping[str, Any]) -> Intent:
        """Return a submission with its verdict after a look, whatever the bot's decimal context."""
        with decimal.localcontext(EXACT):
            return self._settled(intent, sights, params)

    def _settled(self, intent: Intent, sights: Sights, params: Mapping[str, Any]) -> Intent:
        """Return a submission with the verdict that it has after a look at the exchange.

        Args:
            intent: One of a call of which some are to be held back.
            sights: What rests and is open on the symbols of the call.
            params: The call's fields.
        """
        if not self.needs_a_look(intent):
            return intent
        if not self._guard.switches.enforcing:
            return undenied(intent)
        place = self.place_of(intent)
        seen = sights.get(place, NOT_ASKED)
        if intent.operation == "cancel":
            intent = self._judged_again(intent, place, seen, params)
            if not intent.verdict.is_held:
                return intent
        gap = self._find_gap(intent, place, seen, params)
        if gap is None:
            return self._held(intent, place, seen)
        return override_denial(intent, gap, place.symbol)

    def needs_a_look(self, intent: Intent) -> bool:
        """Return whether only the exchange can say if an order may be held back.

        The answer about a simulated order is the guard's own: it never was at the exchange.
        """
        return intent.verdict.is_held and not intent.verdict.is_about_simulated

    def place_of(self, intent: Intent) -> Place:
        """Return which symbol a submission is about; a cancel by an algo id names none."""
        symbol, targets = intent.order.symbol, intent.targets
        if symbol is None and targets:
            live = self._guard.book.find_live(intent.account, targets[0])
            symbol = None if live is None else live.symbol
        return Place(intent.account, symbol)

    def _find_gap(
        self, intent: Intent, place: Place, seen: Snapshot | Unseen, params: Mapping[str, Any]
    ) -> Gap | None:
        """Return why an order has to go out although it is denied; None where it may be held back."""
        if isinstance(seen, Unseen):
            return Gap(seen.why)
        within = self._guard.compiled_policy.policy.cover_within
        if intent.operation == "cancel":
            if intent.verdict.has(STRIPPED) and self._strips(intent, place, seen):
                return None
        elif (gap := self._why_the_exchange_answers(intent, seen, params)) is not None:
            return gap
        return find_gap(seen, place.symbol, Owned(self._guard, place.account, intent.mode), within)

    def _held(self, intent: Intent, place: Place, seen: Snapshot | Unseen) -> Intent:
        """Return a submission that is held back, with the stops that cover its symbol's positions."""
        if not isinstance(seen, Snapshot):
            return intent
        owned = Owned(self._guard, place.account, intent.mode)
        stops = covering(seen, place.symbol, owned, self._guard.compiled_policy.policy.cover_within)
        verdict, words = intent.verdict, tuple(map(words_of, stops))
        if verdict.action == "simulate" and self._is_name_simulated(intent):
            verdict = msgspec.structs.replace(
                verdict, action="deny", on_deny="raise", error_code=DUPLICATED_CODE
            )
        return with_verdict(intent, msgspec.structs.replace(verdict, book=(*words, *verdict.book)))

    def _is_name_simulated(self, intent: Intent) -> bool:
        """Return whether an order asks for the client order id of a simulated one that is open."""
        order = intent.order
        if intent.operation != "place" or order.client_order_id is None:
            return False
        store: Store = "conditional" if order.type in CONDITIONAL_KINDS else "orders"
        named = Reference(client_order_id=order.client_order_id, store=store)
        kept = self._guard.simulated.find(intent.account, named)
        return kept is not None and kept.is_open and (kept.store, kept.order.symbol) == (store, order.symbol)

    def _why_the_exchange_answers(
        self, intent: Intent, seen: Snapshot, params: Mapping[str, Any]
    ) -> Gap | None:
        """Return why the exchange itself is to answer an order that owners' stops would let us hold back."""
        order, policy = intent.order, self._guard.compiled_policy.policy
        if not seen.size_of(position_of(intent.account, order)):
            return Gap("no_position")  # it is for one that is still to come, or for the other side
        match = fields_of_order(params, intent.batch_index).get("priceMatch")
        closes = is_priced_through(order, to_decimal(order.price), seen) or upper(match).startswith(OPPONENT)
        if policy.market_closes == "allow" and closes:
            return Gap("closes_at_once")
        name = order.client_order_id
        if intent.verdict.action == "simulate" and name is not None:
            # It refuses a name that a live order has (-4116); a simulated order would take it over.
            holders = [rest for rest in seen.resting if rest.client_order_id == name]
            is_conditional = order.type in CONDITIONAL_KINDS  # each store has names of its own
            if any((rest.type in CONDITIONAL_KINDS) == is_conditional for rest in holders):
                return Gap("name_is_taken", {"order": holders[0].name})
        return None

    def _strips(self, intent: Intent, place: Place, seen: Snapshot | Unseen) -> bool | None:
        """Return whether a cancel strips a position; None where that is not enforced, or cannot be seen."""
        plan = self._guard.plan(intent.mode, place.symbol, intent.operation)
        if not isinstance(seen, Snapshot) or all(step.code != STRIPPED for step in plan.enforced):
            return None
        within = self._guard.compiled_policy.policy.cover_within
        return strips(seen, place.symbol, Taken(intent), within)

    def _judged_again(
        self, intent: Intent, place: Place, seen: Snapshot | Unseen, params: Mapping[str, Any]
    ) -> Intent:
        """Return a cancel judged by what rests: not for what has fired, and for what nobody here knew of."""
        taken = self._guard.book.context_of(intent).removed
        about = intent
        if intent.store is not None:
            taken = self._resting_of(intent, seen, intent.store)
            about = intent = with_targets(intent, tuple(live.target for live in taken))
        elif isinstance(seen, Snapshot) and not taken:
            about = msgspec.structs.replace(intent, targets=())  # it has ended, and nobody loses it
        case: RuleContext = self._guard.case(
            about, fields_of_order(params, intent.batch_index), self._guard.book.context_of_removed(taken)
        )
        return with_verdict(intent, self._guard.judge_cancel(case, self._strips(intent, place, seen)))

    def _resting_of(self, intent: Intent, seen: Snapshot | Unseen, store: Store) -> tuple[LiveExit, ...]:
        """What a cancel-all takes, by what the exchange lists, and what came since or is not listed yet."""
        account, symbol = intent.account, intent.order.symbol
        known = self._guard.book.all_of(account, symbol, store)
        resting = seen.resting if isinstance(seen, Snapshot) else ()
        listed = [one.reference for one in resting if (one.symbol, one.store) == (symbol, store)]
        for reference in listed:
            self._guard.book.find(account, reference)  # catches up where it must
        named: list[Reference | Target] = [*known, *listed]
        lives = (self._guard.book.find_live(account, one) for one in named)
        found = {id(live): live for live in lives if live is not None}
        return tuple(sorted(found.values(), key=lambda live: live.ts))


class Owned:
    """Tells the stops that owners placed, of an account in a mode, as far as the book knows."""

    def __init__(self, guard: Guard, account: str | None, mode: str) -> None:
        self._guard = guard
        self._account = account
        self._mode = mode

    def __call__(self, order: OpenOrder) -> bool:
        """Return whether an owner of exits of its kind placed an order."""
        target = self._guard.book.find(self._account, order.reference)
        return target is not None and is_owners(self._guard.compiled_policy, target, order.symbol, self._mode)


class Taken:
    """Tells the orders that a cancel takes."""

    def __init__(self, intent: Intent) -> None:
        self._intent = intent

    def __call__(self, order: OpenOrder) -> bool:
        """Return whether the cancel takes an order."""
        intent = self._intent
        if intent.store is not None:
            return (order.symbol, order.store) == (intent.order.symbol, intent.store)
        return any(is_named(order, target) for target in intent.targets)


def words_of(stop: OpenOrder) -> str:
    """Describe a stop that covers, for people."""
    size = "whole position" if stop.close_position else f"quantity={stop.quantity}"
    trigger = "trails" if stop.trigger is None else f"trigger={stop.trigger} on {stop.working_type}"
    return f"covers: {stop.type} {size} {trigger} id={stop.name}"


def is_named(order: OpenOrder, target: Target) -> bool:
    """Return whether a target is an order; a number outranks a name."""
    for own, other in ((order.algo_id, target.algo_id), (order.order_id, target.order_id)):
        if own is not None and other is not None:
            return own == other
    return order.client_order_id is not None and order.client_order_id == target.client_order_id


def with_targets(intent: Intent, targets: tuple[Target, ...]) -> Intent:
    """Return a cancel-all with the orders that it takes, and their kind unless the code declared one."""
    order = intent.order
    if order.kind == common_kind(intent.targets):
        order = msgspec.structs.replace(order, kind=common_kind(targets))
    return msgspec.structs.replace(intent, targets=targets, order=order)


def with_verdict(intent: Intent, verdict: Verdict) -> Intent:
    """Return a submission under another verdict."""
    return msgspec.structs.replace(intent, verdict=verdict)


def downgrade_to_warning(verdict: Verdict) -> Verdict:
    """Return a verdict that only warns; of one that nobody has decided yet, none."""
    if verdict.is_undecided:
        return ALLOWED
    return msgspec.structs.replace(verdict, action="warn", on_deny=None)


def override_denial(intent: Intent, gap: Gap, symbol: str | None = None) -> Intent:
    """Return a submission that goes out though it was denied; `symbol` where its order names none."""
    if not intent.verdict.is_held:
        return intent
    verdict = downgrade_to_warning(intent.verdict)
    if not intent.verdict.is_undecided:
        facts = {"symbol": str(intent.order.symbol or symbol), "because": gap.because, **gap.facts}
        reasons = (*verdict.reasons, Reason(PROTECTIVE_OVERRIDE, facts))
        verdict = msgspec.structs.replace(verdict, reasons=reasons)
    return with_verdict(intent, verdict)


def undenied(intent: Intent) -> Intent:
    """Return an intent whose caller gave up before it was settled: nobody denied it."""
    if not intent.verdict.is_held:
        return intent
    return with_verdict(intent, downgrade_to_warning(intent.verdict))
