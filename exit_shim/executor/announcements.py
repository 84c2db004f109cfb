"""Log what changes about the protection of positions."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from exit_shim.executor.protection import Protection
from exit_shim.runtime.deferred_log import DeferredLog
from exit_shim.runtime.logs import EXECUTOR

BARE_MS: Final = 10_000
"""How long a position may be bare before that is logged; it is again after each doubling."""


class Told(NamedTuple):
    """Hold what was logged of a position last.

    Attributes:
        state: Whether it is protected, in one word.
        problem: The problem.
        bare_ms: After how long a bare position is logged next.
    """

    state: str | None = None
    problem: str | None = None
    bare_ms: int = BARE_MS


class Announcements:
    """Log each position that becomes protected, bare or flat, and each new problem; nothing twice.

    Args:
        log: Writes the lines.
        now_ms: The clock.
    """

    def __init__(
        self, log: DeferredLog, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._log = log
        self._now_ms = now_ms
        self._told: dict[tuple[str, str], Told] = {}

    def tell(self, protections: Iterable[Protection]) -> None:
        """Log what is new about positions."""
        for each in protections:
            key = each.symbol, each.position_side
            told = self._told.get(key, Told())
            self._told[key] = self._tell(each, told)

    def warn(self, problems: Iterable[str]) -> None:
        """Log problems that are about no single position."""
        for problem in problems:
            self._log.warning(f"{EXECUTOR} {problem}")

    def _tell(self, new: Protection, told: Told) -> Told:
        state = word_for(new)
        if state != told.state and not (told.state is None and state == "flat"):
            self._log.info(f"{EXECUTOR} {new.symbol} is {state}", **_facts(new))
        if new.problem is not None and new.problem != told.problem:
            self._log.warning(f"{EXECUTOR} {new.symbol}: {new.problem}", **_facts(new))
        return Told(state, new.problem, self._tell_bare(new, told.bare_ms))

    def _tell_bare(self, new: Protection, after_ms: int) -> int:
        if new.bare_since is None:
            return BARE_MS
        bare_ms = self._now_ms() - new.bare_since
        if bare_ms < after_ms:
            return after_ms
        text = f"{EXECUTOR} {new.symbol} has been without full protection for {bare_ms / 1000:.0f} s"
        self._log.warning(text, **_facts(new))
        return 2 * bare_ms


def word_for(protection: Protection) -> str:
    """Return how a position is in one word, or a few."""
    if protection.state in {"PROTECTED", "MOVING"}:
        return "protected"
    if protection.state in {"FLAT", "SWEEPING"}:
        return "flat"
    return protection.state.lower().replace("_", " ")


def _facts(protection: Protection) -> dict[str, Any]:
    return {
        "account": protection.account,
        "position_side": protection.position_side,
        "size": protection.size,
        "guarded": protection.guarded,
        "plan": protection.plan_id,
        "revision": protection.revision,
        "next_step": protection.next_step,
    }
