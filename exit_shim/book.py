"""The exits that this process knows to rest at the exchange: whose they are, so that a cancel can say it."""

from collections import OrderedDict
from typing import Final

import msgspec

from exit_shim.doors import Reference, Store
from exit_shim.locks import Folding
from exit_shim.orders import CONDITIONAL_KINDS, Kind
from exit_shim.records import Conclusion, Submission, Target

MAX_LIVE: Final = 20_000
"""Orders remembered; beyond it the oldest are forgotten, and their cancels have an unknown target."""


class Live(msgspec.Struct, frozen=True):
    """An accepted exit that nobody has cancelled through a door yet; it may have filled or expired since."""

    account: str | None
    symbol: str | None
    store: Store
    target: Target


class Book(Folding[tuple[Submission, Conclusion]]):
    """Live exits by account and id; thread-safe, bounded."""

    def __init__(self) -> None:
        super().__init__()
        self._live: OrderedDict[tuple[str | None, object], Live] = OrderedDict()

    def note(self, submission: Submission, conclusion: Conclusion) -> None:
        """Learn from a concluded order: what was accepted rests, what was cancelled does not."""
        if conclusion.outcome == "accepted":
            self.take((submission, conclusion))

    def _fold(self, learned: tuple[Submission, Conclusion]) -> None:
        submission, conclusion = learned
        if submission.intent == "place" and submission.order.type != "MARKET":  # which never rests
            self._add(submission, conclusion)
        elif submission.intent == "cancel":
            self._remove(submission)

    def find(self, account: str | None, reference: Reference) -> Target | None:
        """The order behind an id, if this process saw it placed."""
        with self._lock:
            self._fold_all()
            for key in keys(account, reference):
                if (live := self._live.get(key)) is not None:
                    return live.target
        return None

    def all_of(self, account: str | None, symbol: str | None, store: Store) -> tuple[Target, ...]:
        """The live exits that a cancel-all takes away, oldest first."""
        with self._lock:
            self._fold_all()
            found = {
                id(live): live.target
                for live in self._live.values()
                if (live.account, live.symbol, live.store) == (account, symbol, store)
            }
        return tuple(found.values())

    def _add(self, submission: Submission, conclusion: Conclusion) -> None:
        order = submission.order
        target = Target(
            kind=order.kind,
            module=submission.attribution.module,
            order_id=conclusion.order_id,
            algo_id=conclusion.algo_id,
            client_order_id=conclusion.client_order_id or order.client_order_id,
        )
        store: Store = "conditional" if order.type in CONDITIONAL_KINDS else "orders"
        live = Live(submission.account, order.symbol, store, target)
        for key in keys(submission.account, target):
            self._live[key] = live
        while len(self._live) > MAX_LIVE:
            self._live.popitem(last=False)

    def _remove(self, submission: Submission) -> None:
        for target in submission.targets:
            for key in keys(submission.account, target):
                self._live.pop(key, None)


def keys(account: str | None, named: Reference | Target) -> list[tuple[str | None, object]]:
    """The ids under which an order can be looked up; the stores number apart, so a number says which."""
    ids = (
        named.order_id and ("order", named.order_id),
        named.algo_id and ("algo", named.algo_id),
        named.client_order_id and ("client", named.client_order_id),
    )
    return [(account, key) for key in ids if key]


def common_kind(targets: tuple[Target, ...]) -> Kind:
    """The kind of what a cancel takes away, where it is one."""
    kinds = {target.kind for target in targets}
    return kinds.pop() if len(kinds) == 1 else "unknown"
