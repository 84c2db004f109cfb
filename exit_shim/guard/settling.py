"""Deny only under cover: what becomes of a denied order once the exchange was looked at."""

import decimal
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.book import Live, common_kind, number, spot_of
from exit_shim.doors import Reference, Store
from exit_shim.guard.cover import EXACT, Gap, covering, find_gap, is_priced_through, strips
from exit_shim.guard.judging import UNSEEN, Guard, own_params
from exit_shim.guard.snapshots import Unseen
from exit_shim.orders import CONDITIONAL_KINDS, upper
from exit_shim.policy import ALLOWED, Verdict, code_of
from exit_shim.policy.codes import PROTECTIVE_OVERRIDE, STRIPPED, SUPPRESSED_ORDER
from exit_shim.policy.verdicts import DUPLICATED_CODE
from exit_shim.records import Submission, Target
from exit_shim.rules import Case, is_owners
from exit_shim.stock import Resting, Stock


class Place(NamedTuple):
    """A symbol of an account: what one look at the exchange is about."""

    account: str | None
    symbol: str | None


Sights = Mapping[Place, Stock | Unseen]
"""What was seen of each symbol that a call is about."""

OPPONENT: Final = "OPPONENT"
"""What a `priceMatch` begins with that takes the other side's price."""

NOT_ASKED: Final = Unseen("could_not_be_asked")


class Settling:
    """Settles what a guard would hold back: nothing is, unless owners' stops surely cover the position."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def settled(self, submission: Submission, sights: Sights, params: Mapping[str, Any]) -> Submission:
        """Return a submission with its verdict after a look, whatever the bot's decimal context."""
        with decimal.localcontext(EXACT):
            return self._settled(submission, sights, params)

    def _settled(self, submission: Submission, sights: Sights, params: Mapping[str, Any]) -> Submission:
        """Return a submission with the verdict that it has after a look at the exchange.

        Args:
            submission: One of a call of which some are to be held back.
            sights: What rests and is open on the symbols of the call.
            params: The call's fields.
        """
        verdict = submission.verdict
        if not self.needs_a_look(submission):
            return submission
        if not self._guard.switches.enforcing:
            return ruled(submission, ALLOWED if verdict is UNSEEN else let_off(verdict))
        place = self.place_of(submission)
        seen = sights.get(place, NOT_ASKED)
        if submission.intent == "cancel":
            submission = self._judged_again(submission, place, seen, params)
            if not submission.verdict.is_held:
                return submission
        gap = self._find_gap(submission, place, seen, params)
        if gap is None:
            return self._held(submission, place, seen)
        return let_go(submission, gap, place.symbol)

    def needs_a_look(self, submission: Submission) -> bool:
        """Return whether only the exchange can say if an order may be held back.

        The answer about a simulated order is the guard's own: it never was at the exchange.
        """
        verdict = submission.verdict
        return verdict.is_held and verdict.reasons != (SUPPRESSED_ORDER,)

    def place_of(self, submission: Submission) -> Place:
        """Return which symbol a submission is about; a cancel by an algo id names none."""
        symbol, targets = submission.order.symbol, submission.targets
        if symbol is None and targets:
            live = self._guard.book.find_live(submission.account, targets[0])
            symbol = None if live is None else live.symbol
        return Place(submission.account, symbol)

    def _find_gap(
        self, submission: Submission, place: Place, seen: Stock | Unseen, params: Mapping[str, Any]
    ) -> Gap | None:
        """Return why an order has to go out although it is denied; None where it may be held back."""
        if isinstance(seen, Unseen):
            return Gap(seen.why)
        within = self._guard.standings.policy.cover_within
        if submission.intent == "cancel":
            if STRIPPED in map(code_of, submission.verdict.reasons) and self._strips(submission, place, seen):
                return None
        elif (gap := self._why_the_exchange_answers(submission, seen, params)) is not None:
            return gap
        return find_gap(seen, place.symbol, Owned(self._guard, place.account, submission.mode), within)

    def _held(self, submission: Submission, place: Place, seen: Stock | Unseen) -> Submission:
        """Return a submission that is held back, with the stops that cover its symbol's positions."""
        if not isinstance(seen, Stock):
            return submission
        owned = Owned(self._guard, place.account, submission.mode)
        stops = covering(seen, place.symbol, owned, self._guard.standings.policy.cover_within)
        verdict, words = submission.verdict, tuple(map(words_of, stops))
        if verdict.action == "suppress" and self._is_name_simulated(submission):
            verdict = msgspec.structs.replace(
                verdict, action="deny", answer="raise", error_code=DUPLICATED_CODE
            )
        return ruled(submission, msgspec.structs.replace(verdict, book=(*words, *verdict.book)))

    def _is_name_simulated(self, submission: Submission) -> bool:
        """Return whether an order asks for the client order id of a simulated one that is open."""
        order = submission.order
        if submission.intent != "place" or order.client_order_id is None:
            return False
        store: Store = "conditional" if order.type in CONDITIONAL_KINDS else "orders"
        named = Reference(client_order_id=order.client_order_id, store=store)
        kept = self._guard.suppressed.find(submission.account, named)
        return kept is not None and kept.is_open and (kept.store, kept.order.symbol) == (store, order.symbol)

    def _why_the_exchange_answers(
        self, submission: Submission, seen: Stock, params: Mapping[str, Any]
    ) -> Gap | None:
        """Return why the exchange itself is to answer an order that owners' stops would let us hold back."""
        order, policy = submission.order, self._guard.standings.policy
        if not seen.held(spot_of(submission.account, order)):
            return Gap("no_position")  # it is for one that is still to come, or for the other side
        match = own_params(params, submission.batch_index).get("priceMatch")
        closes = is_priced_through(order, number(order.price), seen) or upper(match).startswith(OPPONENT)
        if policy.market_closes == "allow" and closes:
            return Gap("closes_at_once")
        name = order.client_order_id
        if submission.verdict.action == "suppress" and name is not None:
            # It refuses a name that a live order has (-4116); a simulated order would take it over.
            holders = [rest for rest in seen.resting if rest.client_order_id == name]
            is_conditional = order.type in CONDITIONAL_KINDS  # each store has names of its own
            if any((rest.type in CONDITIONAL_KINDS) == is_conditional for rest in holders):
                return Gap("name_is_taken", f"order={holders[0].name}")
        return None

    def _strips(self, submission: Submission, place: Place, seen: Stock | Unseen) -> bool | None:
        """Return whether a cancel strips a position; None where that is not enforced, or cannot be seen."""
        plan = self._guard.plan(submission.mode, place.symbol, submission.intent)
        if not isinstance(seen, Stock) or all(step.code != STRIPPED for step in plan.enforced):
            return None
        within = self._guard.standings.policy.cover_within
        return strips(seen, place.symbol, Taken(submission), within)

    def _judged_again(
        self, submission: Submission, place: Place, seen: Stock | Unseen, params: Mapping[str, Any]
    ) -> Submission:
        """Return a cancel judged by what rests: not for what has fired, and for what nobody here knew of."""
        taken = self._guard.book.see(submission).taken
        about = submission
        if submission.store is not None:
            taken = self._resting_of(submission, seen, submission.store)
            about = submission = aimed(submission, tuple(live.target for live in taken))
        elif isinstance(seen, Stock) and not taken:
            about = msgspec.structs.replace(submission, targets=())  # it has ended, and nobody loses it
        case: Case = self._guard.case(
            about, own_params(params, submission.batch_index), self._guard.book.around(taken)
        )
        return ruled(submission, self._guard.judge_cancel(case, self._strips(submission, place, seen)))

    def _resting_of(self, submission: Submission, seen: Stock | Unseen, store: Store) -> tuple[Live, ...]:
        """What a cancel-all takes, by what the exchange lists, and what came since or is not listed yet."""
        account, symbol = submission.account, submission.order.symbol
        known = self._guard.book.all_of(account, symbol, store)
        resting = seen.resting if isinstance(seen, Stock) else ()
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

    def __call__(self, order: Resting) -> bool:
        """Return whether an owner of exits of its kind placed an order."""
        target = self._guard.book.find(self._account, order.reference)
        return target is not None and is_owners(self._guard.standings, target, order.symbol, self._mode)


class Taken:
    """Tells the orders that a cancel takes."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    def __call__(self, order: Resting) -> bool:
        """Return whether the cancel takes an order."""
        submission = self._submission
        if submission.store is not None:
            return (order.symbol, order.store) == (submission.order.symbol, submission.store)
        return any(is_named(order, target) for target in submission.targets)


def words_of(stop: Resting) -> str:
    """Describe a stop that covers, for people."""
    size = "whole position" if stop.close_position else f"quantity={stop.quantity}"
    trigger = "trails" if stop.trigger is None else f"trigger={stop.trigger} on {stop.working_type}"
    return f"covers: {stop.type} {size} {trigger} id={stop.name}"


def is_named(order: Resting, target: Target) -> bool:
    """Return whether a target is an order; a number outranks a name."""
    for own, other in ((order.algo_id, target.algo_id), (order.order_id, target.order_id)):
        if own is not None and other is not None:
            return own == other
    return order.client_order_id is not None and order.client_order_id == target.client_order_id


def aimed(submission: Submission, targets: tuple[Target, ...]) -> Submission:
    """Return a cancel-all with the orders that it takes, and their kind unless the code declared one."""
    order = submission.order
    if order.kind == common_kind(submission.targets):
        order = msgspec.structs.replace(order, kind=common_kind(targets))
    return msgspec.structs.replace(submission, targets=targets, order=order)


def ruled(submission: Submission, verdict: Verdict) -> Submission:
    """Return a submission under another verdict."""
    return msgspec.structs.replace(submission, verdict=verdict)


def let_off(verdict: Verdict) -> Verdict:
    """Return a verdict that only warns."""
    return msgspec.structs.replace(verdict, action="warn", answer=None)


def let_go(submission: Submission, gap: Gap, symbol: str | None = None) -> Submission:
    """Return a submission that goes out though it was denied; `symbol` where its order names none."""
    if not submission.verdict.is_held:
        return submission
    if submission.verdict is UNSEEN:
        return ruled(submission, ALLOWED)
    reason = f"{PROTECTIVE_OVERRIDE} symbol={submission.order.symbol or symbol} {gap}"
    verdict = let_off(submission.verdict)
    return ruled(submission, msgspec.structs.replace(verdict, reasons=(*verdict.reasons, reason)))


def unsent(submission: Submission) -> Submission:
    """A submission whose call was ended from outside before it was settled: nobody denied it."""
    verdict = submission.verdict
    if not verdict.is_held:
        return submission
    return ruled(submission, ALLOWED if verdict is UNSEEN else let_off(verdict))
