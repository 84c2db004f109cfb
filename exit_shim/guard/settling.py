"""What becomes of an order that is to be held back, once the exchange was looked at."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from exit_shim.book import Live, Spot, common_kind, is_protective, spot_of
from exit_shim.doors import Reference, Store
from exit_shim.guard.judging import PLACES, UNSEEN, Guard, own_params
from exit_shim.policy import ALLOWED, Verdict, code_of
from exit_shim.policy.codes import OWNERSHIP, PROTECTIVE_OVERRIDE, SUPPRESSED_ORDER
from exit_shim.records import Submission, Target
from exit_shim.rules import Case, is_owners
from exit_shim.stock import Resting, Stock, covers

STOP_LIMIT: Final = "STOP"
NOT_ASKED: Final = "the_exchange_could_not_be_asked"


class Settling:
    """Settles what a guard would hold back: a position never has less protection for it."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def settled(self, submission: Submission, stock: Stock | None, params: Mapping[str, Any]) -> Submission:
        """A submission after a look at the exchange: a stop goes out where it must.

        Args:
            submission: One of a call of which some are to be held back.
            stock: What rests and is open on its symbol; None: that could not be seen.
            params: The call's fields.
        """
        verdict = submission.verdict
        if not verdict.is_held or verdict.reasons == (SUPPRESSED_ORDER,):
            return submission
        if not self._guard.switches.enforcing:
            return ruled(submission, ALLOWED if verdict is UNSEEN else let_off(verdict))
        if submission.intent == "cancel":
            return self._settled_cancel(submission, stock, params)
        why = self._why_it_must_go(submission, stock)
        return submission if why is None else let_go(submission, why)

    def _settled_cancel(
        self, submission: Submission, stock: Stock | None, params: Mapping[str, Any]
    ) -> Submission:
        """Judged by what rests: not for what has fired, and for what nobody here knew of."""
        taken = self._guard.book.see(submission).taken
        about = submission
        if submission.store is not None:
            taken = self._resting_of(submission, stock, submission.store)
            about = submission = aimed(submission, tuple(live.target for live in taken))
        elif stock is not None and not taken:
            about = msgspec.structs.replace(submission, targets=())  # it has ended, and nobody loses it
        case = self._guard.case(
            about, own_params(params, submission.batch_index), self._guard.book.around(taken)
        )
        submission = ruled(submission, verdict := self._guard.judge_cancel(case))
        if not verdict.is_held:
            return submission
        why = self._why_cancel_must_go(case, stock, submission.store, verdict.reasons)
        return submission if why is None else let_go(submission, why)

    def _resting_of(self, submission: Submission, stock: Stock | None, store: Store) -> tuple[Live, ...]:
        """What a cancel-all takes, by what the exchange lists, and what came since or is not listed yet."""
        account, symbol = submission.account, submission.order.symbol
        known = self._guard.book.all_of(account, symbol, store)
        resting = () if stock is None else stock.resting
        listed = [one.reference for one in resting if (one.symbol, one.store) == (symbol, store)]
        for reference in listed:
            self._guard.book.find(account, reference)  # catches up where it must
        named: list[Reference | Target] = [*known, *listed]
        lives = (self._guard.book.find_live(account, one) for one in named)
        found = {id(live): live for live in lives if live is not None}
        return tuple(sorted(found.values(), key=lambda live: live.ts))

    def _why_cancel_must_go(
        self, case: Case, stock: Stock | None, store: Store | None, reasons: tuple[str, ...]
    ) -> str | None:
        """Why a denied cancel goes out all the same: else the stop that comes next would be refused.

        Where no owner's stops cover a position, a module that replaces a stop is let do so, as if there were
        no guard: only one closePosition stop of a kind rests at a time. What an owner placed goes only with a
        cancel-all that takes stops of others too.
        """
        others = self.stops_of_others(case, store, reasons)
        if not others:
            return None
        if stock is None:
            takes_owners = len(others) < sum(live.is_protective for live in case.near.taken)
            return None if takes_owners else NOT_ASKED
        found = (self._why_uncovered(live.spot, live.type, stock, case.mode) for live in others)
        return next((why for why in found if why is not None), None)

    def stops_of_others(self, case: Case, store: Store | None, reasons: tuple[str, ...]) -> list[Live]:
        """The stops of non-owners for whose sake a denied cancel may have to go out; none: it may not.

        `reasons` are those of its verdict: what a rule besides those on who may act holds back stays.
        """
        plan = self._guard.plan(case.mode, case.order.symbol, case.intent)
        besides = {step.code for step in plan.enforced} - OWNERSHIP
        if self._guard.standings.policy.strict or not besides.isdisjoint(map(code_of, reasons)):
            return []
        others = [
            live
            for live in case.near.taken
            if live.is_protective
            and not is_owners(self._guard.standings, live.target, live.symbol, case.mode)
        ]
        return [] if store is None and len(others) < len(case.near.taken) else others

    def needs_a_look(self, submission: Submission) -> bool:
        """Whether only the exchange can say if a held order may be held: it may be a stop, or takes some."""
        verdict = submission.verdict
        if not verdict.is_held or verdict.reasons == (SUPPRESSED_ORDER,):
            return False
        return submission.intent == "cancel" or self._may_be_let_go(submission)

    def symbol_of(self, submission: Submission) -> str | None:
        """The symbol that a submission is about; a cancel by an algo id names none."""
        symbol, targets = submission.order.symbol, submission.targets
        if symbol is None and targets:
            live = self._guard.book.find_live(submission.account, targets[0])
            symbol = None if live is None else live.symbol
        return symbol

    def _why_it_must_go(self, submission: Submission, stock: Stock | None) -> str | None:
        """Why a denied stop goes out all the same; None where an owner's stops cover the position."""
        if not self._may_be_let_go(submission):
            return None
        if stock is None:
            return NOT_ASKED
        spot = spot_of(submission.account, submission.order)
        return self._why_uncovered(spot, submission.order.type, stock, submission.mode)

    def _may_be_let_go(self, submission: Submission) -> bool:
        return (
            submission.intent in PLACES
            and not self._guard.standings.policy.strict
            and is_protective(submission.order)
        )

    def _why_uncovered(self, spot: Spot, kind: str | None, stock: Stock, mode: str) -> str | None:
        """Why owners' stops may not do what a stop of type `kind` would; None where they surely do.

        Only owners' stops count: others may take theirs away at any time, and the position would be bare
        where it had been covered by the one that was denied. A stop-limit may stay unfilled in a gap.
        """
        size = stock.held(spot)
        stops = [
            resting
            for resting in stock.resting
            if resting.is_protective
            and resting.spot(spot.account) == spot
            and (resting.type != STOP_LIMIT or kind == STOP_LIMIT)
            and self._is_owners(resting, spot.account, mode)
        ]
        if not stops:
            return "no_owners_stop"
        if not size:
            return "no_position_yet"  # it may become any size
        return None if covers(stops, size) else "owners_stops_do_not_cover"

    def _is_owners(self, resting: Resting, account: str | None, mode: str) -> bool:
        target = self._guard.book.find(account, resting.reference)
        return target is not None and is_owners(self._guard.standings, target, resting.symbol, mode)


def aimed(submission: Submission, targets: tuple[Target, ...]) -> Submission:
    """A cancel-all about what it takes; of the kind of that, unless the code declared one."""
    order = submission.order
    if order.kind == common_kind(submission.targets):
        order = msgspec.structs.replace(order, kind=common_kind(targets))
    return msgspec.structs.replace(submission, targets=targets, order=order)


def ruled(submission: Submission, verdict: Verdict) -> Submission:
    """A submission under another verdict."""
    return msgspec.structs.replace(submission, verdict=verdict)


def let_off(verdict: Verdict) -> Verdict:
    """A verdict of whom nothing is held back."""
    return msgspec.structs.replace(verdict, action="warn", answer=None)


def let_go(submission: Submission, why: str) -> Submission:
    """A submission that goes out though it was to be held back."""
    if not submission.verdict.is_held:
        return submission
    reason = f"{PROTECTIVE_OVERRIDE} symbol={submission.order.symbol} because={why}"
    if submission.verdict is UNSEEN:
        return ruled(submission, ALLOWED)
    verdict = let_off(submission.verdict)
    return ruled(submission, msgspec.structs.replace(verdict, reasons=(*verdict.reasons, reason)))
