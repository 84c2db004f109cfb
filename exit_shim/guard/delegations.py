"""Symbols whose exits were given to an owner, and whether the owner took them."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from exit_shim.domain.reason_codes import DELEGATION_GAP
from exit_shim.domain.verdicts import Reason
from exit_shim.guard.book import Book
from exit_shim.guard.policy import Delegation
from exit_shim.guard.rules import is_guarded_by
from exit_shim.runtime.reentrancy import ReentrantState


class Given(NamedTuple):
    """A delegation that runs: to whom, and until when (on the monotonic clock) a protective order is due."""

    to: str
    within_s: float
    due: float


class Delegations(ReentrantState):
    """Who was given which symbol; thread-safe."""

    def __init__(self, delegations: Iterable[Delegation] = ()) -> None:
        super().__init__()
        self._given: dict[str, Given] = {}
        self._told: set[str] = set()
        for one in delegations:
            self.give(one.symbol, one.to, one.within_s)

    def give(self, symbol: str, to: str, within_s: float) -> None:
        """Delegate a symbol, anew if it was."""
        symbol = symbol.upper()
        with self._lock:
            self._given[symbol] = Given(to, within_s, time.monotonic() + within_s)
            self._told.discard(symbol)

    def take_back(self, symbol: str) -> None:
        """The symbol is nobody's in particular again."""
        with self._lock:
            self._given.pop(symbol.upper(), None)

    def owner_of(self, symbol: str | None) -> str | None:
        """To whom a symbol is delegated."""
        if not self._given or symbol is None:
            return None
        found = self._given.get(symbol)
        return None if found is None else found.to

    def __bool__(self) -> bool:
        return bool(self._given)

    def gaps(self, book: Book) -> list[tuple[str, Reason]]:
        """The delegations that are overdue, each once: the symbol and the reason."""
        if not self._given:
            return []
        found, now = [], time.monotonic()
        with self._lock:
            for symbol, given in self._given.items():
                if symbol in self._told or now < given.due:
                    continue
                self._told.add(symbol)
                if not is_guarded_by(book, None, symbol, given.to):
                    facts = {"to": given.to, "within_s": f"{given.within_s:g}"}
                    found.append((symbol, Reason(DELEGATION_GAP, facts)))
        return found
