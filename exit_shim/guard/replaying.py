"""What another policy would have said to the orders of a journal: no client, no exchange, no clock."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.book import Book, Live, Spot, is_protective, spot_of
from exit_shim.doors import Intent
from exit_shim.guard.judging import PLACES, Guard
from exit_shim.orders import ExitOrder
from exit_shim.policy import OBSERVED, Standings, Verdict, code_of
from exit_shim.policy.codes import IGNORED_PARAM, REFUSED_PARAMS
from exit_shim.records import Findings, Outcome, Record, Target
from exit_shim.rules import RULES, Case, OwnRule, is_owners


class Asker(msgspec.Struct, frozen=True):
    """Who asked, as far as a policy looks at it."""

    module: str
    dotted_module: str | None = None


class Submitted(msgspec.Struct, frozen=True):
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


class Concluded(msgspec.Struct, frozen=True):
    """An outcome, as far as the book learns from it."""

    outcome: Outcome
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None


SUBMITTED: Final = msgspec.json.Decoder(Submitted)
CONCLUDED: Final = msgspec.json.Decoder(Concluded)

FOUND: Final = msgspec.json.Decoder(Findings)

OF_FIELDS: Final = (REFUSED_PARAMS, IGNORED_PARAM)
"""Rules on what of a call is not recorded."""

NO_PARAMS: Final[dict[str, Any]] = {}


class Row(NamedTuple):
    """What would have become of orders: `fate` is "denied" or "overridden"."""

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


class Replay:
    """Takes a policy through a history.

    Where the guard would look at the exchange, the book of what was recorded answers: a stop that fired or
    was cancelled elsewhere still counts here. What the rules on a call's own fields would say is what they
    said then, for a journal has not all of the fields.
    """

    def __init__(self, standings: Standings, own: tuple[OwnRule, ...] = (), mode: str | None = None) -> None:
        self.orders = 0
        self.rows: Counter[Row] = Counter()
        self.touched: dict[Touched, Counter[str]] = {}
        self.troubles = 0
        self._mode = mode
        said = {code: partial(self._said_then, code) for code in OF_FIELDS}
        self._guard = Guard(standings, Book(), own, self._trouble, {**RULES, **said})
        self._then: tuple[str, ...] = ()
        self._standings = standings

    def take(
        self, submission: Submitted, conclusion: Concluded | None, found: tuple[str, ...] = ()
    ) -> tuple[str, Verdict]:
        """One order of the history; returns what would become of it: denied, overridden, or sent.

        `found` is what the rules that only warn said of it then.
        """
        self.orders += 1
        self._then = (*submission.verdict.reasons, *found)
        if self._mode is not None:
            submission = msgspec.structs.replace(submission, mode=self._mode)
        own: Any = submission
        verdict = self._guard.judge(own, NO_PARAMS)
        fate = "sent"
        if verdict.is_held:
            fate = "overridden" if self._must_go(submission) else "denied"
            self._count(fate, submission, verdict)
        if fate != "denied" and conclusion is not None:
            known: Any = conclusion
            self._guard.book.note(own, known)
        return fate, verdict

    def _said_then(self, code: str, case: Case) -> str | None:  # noqa: ARG002 - it is asked as a rule is
        for reason in self._then:
            if code_of(reason) == code:
                return reason.removeprefix(code).removesuffix(OBSERVED).strip()
        return None

    def _must_go(self, submission: Submitted) -> bool:
        if submission.intent not in PLACES or self._standings.policy.strict:
            return False
        if not is_protective(submission.order):
            return False
        spot = spot_of(submission.account, submission.order)
        return not any(self._covers(live, submission.mode) for live in self._guard.book.guarding(spot))

    def _covers(self, live: Live, mode: str) -> bool:
        return (
            live.is_protective
            and not live.in_doubt
            and is_owners(self._standings, live.target, live.symbol, mode)
        )

    def _count(self, fate: str, submission: Submitted, verdict: Verdict) -> None:
        order, symbol = submission.order, submission.order.symbol
        lives = [
            live
            for target in submission.targets
            if (live := self._guard.book.find_live(submission.account, target)) is not None
        ]
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
        spots = [spot_of(submission.account, order)] if is_protective(order) and not lives else []
        spots += [live.spot for live in lives if live.is_protective]
        for spot in dict.fromkeys(spots):
            self._touch(spot, f"{submission.intent} {fate}")

    def _touch(self, spot: Spot, what: str) -> None:
        key = Touched(spot.account, spot.symbol, spot.position_side, spot.side)
        self.touched.setdefault(key, Counter())[what] += 1

    def _trouble(self, step: str, error: Exception) -> None:  # noqa: ARG002 - counted, that is all
        self.troubles += 1


def replay(history: Iterable[tuple[str, str | None, str | None]], into: Replay) -> Iterator[int]:
    """Take bodies of intents, outcomes and findings through; yields how many orders were, now and then."""
    taken = 0
    for intent, outcome, found in history:
        into.take(
            SUBMITTED.decode(intent),
            None if outcome is None else CONCLUDED.decode(outcome),
            () if found is None else FOUND.decode(found).reasons,
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
        into.take(submission, conclusion, () if record.findings is None else record.findings.reasons)
        yield 1
