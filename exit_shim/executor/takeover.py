"""Choose the resting orders of others that the executor takes over: those of modules that the policy denies.

A denied module's stops go out as long as no owner's stops cover the position. Beside the executor's own they
would rest for ever, and one with `closePosition` would keep the hard stop from its place.
"""

import time
from collections.abc import Callable
from typing import Final

from exit_shim.domain.events import Target
from exit_shim.guard.exchange_snapshot import OpenOrder
from exit_shim.guard.judge import Guard

ASKED_AGAIN_S: Final = 1.0
"""How long nobody is known to have placed an order before the journal is asked again."""

MOST_UNKNOWN: Final = 1_000
"""Orders of unknown origin that are remembered; an account may have 200 conditional ones."""

NONE: Final[frozenset[str]] = frozenset()


class Takeover:
    """Tell whose resting exits are to be cancelled, once the executor's own stops cover their position.

    Args:
        guard: Has the policy, the switches, and the book of who placed what.
        mode: Returns the mode in force.
        account: The label of the account.
        module: The module that the executor's orders are attributed to.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        guard: Guard,
        mode: Callable[[], str],
        account: str | None,
        module: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guard = guard
        self._mode = mode
        self._account = account
        self._module = module
        self._clock = clock
        self._unknown: dict[str, float] = {}

    def __call__(self, orders: tuple[OpenOrder, ...]) -> frozenset[str]:
        """Return the names of the orders to take over; without enforcement there are none."""
        if not self._guard.enforces:
            return NONE
        # Nothing is cancelled on an old switch.
        self._guard.refresh()
        if not self._guard.switches.enforcing:
            return NONE
        mode = self._mode()
        return frozenset(order.name for order in orders if self._is_denied(order, mode))

    def _is_denied(self, order: OpenOrder, mode: str) -> bool:
        grant_for = self._guard.compiled_policy.grant_for
        # Stops that are no owner's are no cover: a denied module's next stop would go out, again and again.
        if grant_for(self._module, None, mode, order.symbol, "sl").role != "owner":
            return False
        origin = self._find_origin(order)
        # An order that nobody is known to have placed came by hand, or from another bot.
        if origin is None or origin.module is None:
            return False
        return grant_for(origin.module, origin.dotted_module, mode, order.symbol, origin.kind).is_taken_over

    def _find_origin(self, order: OpenOrder) -> Target | None:
        """Return the order as the book knows it, else the journal; None where both do not."""
        live = self._guard.book.find_live(self._account, order.reference)
        if live is not None and live.target.module is not None:
            return live.target
        now = self._clock()
        if now < self._unknown.get(order.name, now):
            return None
        # Reads the journal, which takes a moment.
        origin = self._guard.book.find(self._account, order.reference)
        if origin is None or origin.module is None:
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[order.name] = now + ASKED_AGAIN_S
        return origin
