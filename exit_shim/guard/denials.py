"""Recent denials: a caller who asks again unchanged gets a fresh look at the exchange."""

from collections import OrderedDict
from typing import Final

import msgspec

from exit_shim.domain.events import Intent, Target
from exit_shim.domain.orders import ExitOrder
from exit_shim.runtime.reentrancy import ReentrantState

MAX_DENIALS: Final = 1_000

Denial = tuple[str | None, str, str | None, str, ExitOrder, tuple[Target, ...]]


class Denials(ReentrantState):
    """Remembers orders that were denied; thread-safe, bounded."""

    def __init__(self) -> None:
        super().__init__()
        self._denials: OrderedDict[Denial, None] = OrderedDict()

    def add(self, intent: Intent) -> None:
        """Remember a denied order."""
        with self._lock:
            self._denials[denial_of(intent)] = None
            while len(self._denials) > MAX_DENIALS:
                self._denials.popitem(last=False)

    def has(self, intent: Intent) -> bool:
        """Return whether the same order of the same module was denied before."""
        return denial_of(intent) in self._denials


def denial_of(intent: Intent) -> Denial:
    """Return what makes two orders the same: all but the client order id, which clients invent anew."""
    who, order = intent.attribution, intent.order
    return (
        intent.account,
        who.module,
        who.dotted_module,
        intent.operation,
        msgspec.structs.replace(order, client_order_id=None),
        intent.targets,
    )
