"""Delegations: symbols whose exits are given to an owner, and whether the owner places a stop in time."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from exit_shim.domain.reason_codes import DELEGATION_GAP
from exit_shim.domain.verdicts import Reason
from exit_shim.guard.book import Book
from exit_shim.guard.policy import Delegation
from exit_shim.guard.rules import is_guarded_by
from exit_shim.runtime.reentrancy import ReentrantState


class RunningDelegation(NamedTuple):
    """A delegation: to whom, and until when (on the monotonic clock) the owner's stop is due."""

    to: str
    within_s: float
    due: float


class Delegations(ReentrantState):
    """Remembers which symbol is delegated to whom; thread-safe."""

    def __init__(self, delegations: Iterable[Delegation] = ()) -> None:
        super().__init__()
        self._running: dict[str, RunningDelegation] = {}
        self._reported: set[str] = set()
        for delegation in delegations:
            self.give(delegation.symbol, delegation.to, delegation.within_s)

    def give(self, symbol: str, to: str, within_s: float) -> None:
        """Delegate a symbol, from now on."""
        symbol = symbol.upper()
        with self._lock:
            self._running[symbol] = RunningDelegation(to, within_s, time.monotonic() + within_s)
            self._reported.discard(symbol)

    def take_back(self, symbol: str) -> None:
        """End the delegation of a symbol."""
        with self._lock:
            self._running.pop(symbol.upper(), None)

    def owner_of(self, symbol: str | None) -> str | None:
        """Return to whom a symbol is delegated; None for nobody."""
        if not self._running or symbol is None:
            return None
        delegation = self._running.get(symbol)
        return None if delegation is None else delegation.to

    def __bool__(self) -> bool:
        return bool(self._running)

    def gaps(self, book: Book) -> list[tuple[str, Reason]]:
        """Return the delegations that are overdue, each once: the symbol and the reason."""
        if not self._running:
            return []
        gaps, now = [], time.monotonic()
        with self._lock:
            for symbol, delegation in self._running.items():
                if symbol in self._reported or now < delegation.due:
                    continue
                self._reported.add(symbol)
                if not is_guarded_by(book, None, symbol, delegation.to):
                    facts = {"to": delegation.to, "within_s": f"{delegation.within_s:g}"}
                    gaps.append((symbol, Reason(DELEGATION_GAP, facts)))
        return gaps
