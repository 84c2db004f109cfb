"""Let a denied order through where its position would lose protection: deny only under cover.

This is where a stop of a denied module goes out all the same. `OverrideCheck.decide` gets each order that the
policy denies, with what a look at the exchange has shown. The order is held back only if `find_gap` of
`cover` finds nothing: then live stops of owners surely close every open position of its symbol. Any gap lets
it through, and so does an exchange that could not be looked at. `override_denial` then turns the denial into
a warning, with the reason PROTECTIVE_OVERRIDE and the gap.
"""

import decimal
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.domain.events import Intent, Target, common_kind
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    Reach,
    Reference,
    Store,
    fields_of_order,
    reaches,
    upper,
)
from exit_shim.domain.reason_codes import PROTECTIVE_OVERRIDE, STRIPPED
from exit_shim.domain.verdicts import ALLOWED, DUPLICATED_CODE, Reason, Verdict
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.cover import EXACT, Gap, covering, find_gap, is_priced_through, strips
from exit_shim.guard.exchange_snapshot import OpenOrder, Snapshot
from exit_shim.guard.judge import Guard
from exit_shim.guard.live_exits import LiveExit, position_of
from exit_shim.guard.rules import is_owners, is_sent_by_owner
from exit_shim.guard.snapshots import Unseen


class Place(NamedTuple):
    """A symbol of an account: what one look at the exchange is about."""

    account: str | None
    symbol: str | None


Views = Mapping[Place, Snapshot | Unseen]
"""The results of the looks at the symbols of a call."""

OPPONENT: Final = "OPPONENT"
"""The beginning of each `priceMatch` that takes the other side's price."""

NOT_ASKED: Final = Unseen("could_not_be_asked")


class OverrideCheck:
    """Decides, after a look at the exchange, what becomes of the orders that the policy denies.

    Args:
        guard: Knows the policy and the book.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def decide(self, intent: Intent, views: Views, params: Mapping[str, Any]) -> Intent:
        """Return an intent under its final verdict: denied under cover, else let through.

        Args:
            intent: An order of a call of which some are to be held back.
            views: What the looks at the symbols of the call have shown.
            params: The call's fields.
        """
        # The bot's own decimal context may round, and raise.
        with decimal.localcontext(EXACT):
            return self._decide(intent, views, params)

    def _decide(self, intent: Intent, views: Views, params: Mapping[str, Any]) -> Intent:
        if not self.needs_look(intent):
            return intent
        # The kill switch may have been turned while the exchange was looked at.
        if not self._guard.switches.enforcing:
            return undenied(intent)
        place = self.place_of(intent)
        view = views.get(place, NOT_ASKED)
        if intent.operation == "cancel":
            intent = self._judge_cancel_again(intent, place, view, params)
            if not intent.verdict.is_held:
                return intent
        gap = self._find_gap(intent, place, view, params)
        if gap is None:
            return self._hold_back(intent, place, view)
        return override_denial(intent, gap, place.symbol)

    def needs_look(self, intent: Intent) -> bool:
        """Return whether only a look at the exchange can tell if an order may be held back."""
        # A simulated order never was at the exchange: the guard alone answers for it.
        return intent.verdict.is_held and not intent.verdict.is_about_simulated

    def place_of(self, intent: Intent) -> Place:
        """Return which symbol an order is about."""
        symbol, targets = intent.order.symbol, intent.targets
        # A cancel by an algo id names no symbol.
        if symbol is None and targets:
            live = self._guard.book.find_live(intent.account, targets[0])
            symbol = None if live is None else live.symbol
        return Place(intent.account, symbol)

    def _find_gap(
        self, intent: Intent, place: Place, view: Snapshot | Unseen, params: Mapping[str, Any]
    ) -> Gap | None:
        """Return why an order has to go out although it is denied; None where it may be held back."""
        if isinstance(view, Unseen):
            return Gap(view.why)
        if intent.operation == "cancel":
            # STRIPPED needs no owner: the stop that it keeps is the cover.
            if intent.verdict.has(STRIPPED) and self._strips(intent, place, view):
                return None
        elif (gap := self._find_exemption(intent, view, params)) is not None:
            return gap
        return find_gap(view, place.symbol, self._is_owned(intent, place), self._cover_within)

    def _find_exemption(self, intent: Intent, view: Snapshot, params: Mapping[str, Any]) -> Gap | None:
        """Return why an order goes out even under cover: it needs none, or the exchange refuses it itself."""
        order = intent.order
        # Its position is still to come, or it is for the other side.
        if not view.size_of(position_of(intent.account, order)):
            return Gap("no_position")
        if self._guard.compiled_policy.policy.market_closes == "allow" and closes_at_once(
            intent, view, params
        ):
            return Gap("closes_at_once")
        if intent.verdict.action == "simulate" and (holder := find_name_holder(intent, view)) is not None:
            # The exchange refuses the name (-4116); a simulated order would take it over.
            return Gap("name_is_taken", {"order": holder.name})
        return None

    def _hold_back(self, intent: Intent, place: Place, view: Snapshot | Unseen) -> Intent:
        """Return a denied intent, with the stops that cover its symbol's positions."""
        if not isinstance(view, Snapshot):
            return intent
        stops = covering(view, place.symbol, self._is_owned(intent, place), self._cover_within)
        verdict = intent.verdict
        if verdict.action == "simulate" and self._is_name_simulated(intent):
            verdict = msgspec.structs.replace(
                verdict, action="deny", on_deny="raise", error_code=DUPLICATED_CODE
            )
        book = (*map(describe_cover, stops), *verdict.book)
        return with_verdict(intent, msgspec.structs.replace(verdict, book=book))

    def _is_name_simulated(self, intent: Intent) -> bool:
        """Return whether an open simulated order has the client order id that an order asks for."""
        order = intent.order
        if intent.operation != "place" or order.client_order_id is None:
            return False
        store: Store = "conditional" if order.type in CONDITIONAL_KINDS else "orders"
        reference = Reference(client_order_id=order.client_order_id, store=store)
        simulated = self._guard.simulated.find(intent.account, reference)
        if simulated is None or not simulated.is_open:
            return False
        return (simulated.store, simulated.order.symbol) == (store, order.symbol)

    def _judge_cancel_again(
        self, intent: Intent, place: Place, view: Snapshot | Unseen, params: Mapping[str, Any]
    ) -> Intent:
        """Return a cancel judged by what really rests: without what has fired, with what nobody here knew."""
        book, judged = self._guard.book, intent
        removed = book.context_of(intent).removed
        if intent.store is not None:
            removed = self._find_removed(intent, view, intent.store)
            judged = intent = with_targets(intent, tuple(live.target for live in removed))
        elif isinstance(view, Snapshot) and not removed:
            # The order has ended, and nobody loses it.
            judged = msgspec.structs.replace(intent, targets=())
        fields = fields_of_order(params, intent.batch_index)
        context = self._guard.context_of(judged, fields, book.context_of_removed(removed))
        return with_verdict(intent, self._guard.judge_cancel(context, self._strips(intent, place, view)))

    def _find_removed(self, intent: Intent, view: Snapshot | Unseen, store: Reach) -> tuple[LiveExit, ...]:
        """Return what a cancel-all removes: what the exchange lists, and what is not listed yet."""
        account, symbol, book = intent.account, intent.order.symbol, self._guard.book
        resting = view.resting if isinstance(view, Snapshot) else ()
        listed = [
            order.reference for order in resting if order.symbol == symbol and reaches(store, order.store)
        ]
        references: list[Reference | Target] = [*book.all_of(account, symbol, store), *listed]
        for reference in listed:
            # Reads what other processes did, where the order is unknown.
            book.find(account, reference)
        exits = (book.find_live(account, reference) for reference in references)
        unique = {id(live): live for live in exits if live is not None}
        return tuple(sorted(unique.values(), key=lambda live: live.ts))

    def _strips(self, intent: Intent, place: Place, view: Snapshot | Unseen) -> bool | None:
        """Return whether a cancel bares a position; None where that is not enforced, or cannot be seen."""
        plan = self._guard.plan(intent.mode, place.symbol, intent.operation)
        if not isinstance(view, Snapshot) or all(step.code != STRIPPED for step in plan.enforced):
            return None
        is_owners = is_sent_by_owner(self._guard.compiled_policy, intent, place.symbol)
        return strips(view, place.symbol, IsRemoved(intent), self._cover_within, is_owners=is_owners)

    def _is_owned(self, intent: Intent, place: Place) -> "IsOwned":
        return IsOwned(self._guard, place.account, intent.mode)

    @property
    def _cover_within(self) -> float:
        return self._guard.compiled_policy.policy.cover_within


class IsOwned:
    """Tells whether an owner placed an order, as far as the book knows.

    Args:
        guard: Knows the policy and the book.
        account: Whose orders are asked about.
        mode: The mode whose owners count.
    """

    def __init__(self, guard: Guard, account: str | None, mode: str) -> None:
        self._guard = guard
        self._account = account
        self._mode = mode

    def __call__(self, order: OpenOrder) -> bool:
        """Return whether an owner of exits of its kind placed an order."""
        target = self._guard.book.find(self._account, order.reference)
        return target is not None and is_owners(self._guard.compiled_policy, target, order.symbol, self._mode)


class IsRemoved:
    """Tells whether a cancel removes an order.

    Args:
        cancel: The cancel.
    """

    def __init__(self, cancel: Intent) -> None:
        self._cancel = cancel

    def __call__(self, order: OpenOrder) -> bool:
        """Return whether the cancel removes an order."""
        cancel = self._cancel
        if cancel.store is not None:
            return order.symbol == cancel.order.symbol and reaches(cancel.store, order.store)
        return any(is_target(order, target) for target in cancel.targets)


def closes_at_once(intent: Intent, view: Snapshot, params: Mapping[str, Any]) -> bool:
    """Return whether an order is priced through the market, so that it closes now."""
    match = fields_of_order(params, intent.batch_index).get("priceMatch")
    price = to_decimal(intent.order.price)
    return is_priced_through(intent.order, price, view) or upper(match).startswith(OPPONENT)


def find_name_holder(intent: Intent, view: Snapshot) -> OpenOrder | None:
    """Return the live order that has the client order id that an order asks for; each store has its own."""
    name, is_conditional = intent.order.client_order_id, intent.order.type in CONDITIONAL_KINDS
    if name is None:
        return None
    holders = [order for order in view.resting if order.client_order_id == name]
    return next((order for order in holders if (order.type in CONDITIONAL_KINDS) == is_conditional), None)


def describe_cover(stop: OpenOrder) -> str:
    """Describe a stop that covers, for people."""
    size = "whole position" if stop.close_position else f"quantity={stop.quantity}"
    trigger = "trails" if stop.trigger is None else f"trigger={stop.trigger} on {stop.working_type}"
    return f"covers: {stop.type} {size} {trigger} id={stop.name}"


def is_target(order: OpenOrder, target: Target) -> bool:
    """Return whether a target is an order; a number outranks a client order id."""
    for number, meant in ((order.algo_id, target.algo_id), (order.order_id, target.order_id)):
        if number is not None and meant is not None:
            return number == meant
    return order.client_order_id is not None and order.client_order_id == target.client_order_id


def with_targets(intent: Intent, targets: tuple[Target, ...]) -> Intent:
    """Return a cancel-all with the orders that it removes, and their kind unless the code declared one."""
    order = intent.order
    if order.kind == common_kind(intent.targets):
        order = msgspec.structs.replace(order, kind=common_kind(targets))
    return msgspec.structs.replace(intent, targets=targets, order=order)


def with_verdict(intent: Intent, verdict: Verdict) -> Intent:
    """Return an intent under another verdict."""
    return msgspec.structs.replace(intent, verdict=verdict)


def override_denial(intent: Intent, gap: Gap, symbol: str | None = None) -> Intent:
    """Return a denied intent that goes out all the same, with PROTECTIVE_OVERRIDE and the gap as its reason.

    Args:
        intent: The order; one that is not denied stays as it is.
        gap: Why it must not be held back.
        symbol: Its symbol, where the order itself names none.
    """
    verdict = intent.verdict
    if not verdict.is_held:
        return intent
    # Nobody had denied it yet, so there is nothing to override.
    if verdict.is_undecided:
        return with_verdict(intent, ALLOWED)
    facts = {"symbol": str(intent.order.symbol or symbol), "because": gap.because, **gap.facts}
    reasons = (*verdict.reasons, Reason(PROTECTIVE_OVERRIDE, facts))
    return with_verdict(
        intent, msgspec.structs.replace(verdict, action="warn", on_deny=None, reasons=reasons)
    )


def undenied(intent: Intent) -> Intent:
    """Return an intent whose denial was never carried out, with its reasons as a warning."""
    verdict = intent.verdict
    if not verdict.is_held:
        return intent
    if verdict.is_undecided:
        return with_verdict(intent, ALLOWED)
    return with_verdict(intent, msgspec.structs.replace(verdict, action="warn", on_deny=None))
