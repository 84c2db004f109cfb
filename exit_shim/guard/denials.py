"""What was denied of late, so that a caller who asks again unchanged gets a fresh look at the exchange."""

from collections import OrderedDict
from typing import Final

import msgspec

from exit_shim.locks import Locked
from exit_shim.orders import ExitOrder
from exit_shim.records import Submission, Target

MAX_DENIALS: Final = 1_000

Denial = tuple[str | None, str, str | None, str, ExitOrder, tuple[Target, ...]]


class Denials(Locked):
    """Orders that were denied; thread-safe, bounded."""

    def __init__(self) -> None:
        super().__init__()
        self._denials: OrderedDict[Denial, None] = OrderedDict()

    def add(self, submission: Submission) -> None:
        """Take note of a denied order."""
        with self._lock:
            self._denials[denial_of(submission)] = None
            while len(self._denials) > MAX_DENIALS:
                self._denials.popitem(last=False)

    def has(self, submission: Submission) -> bool:
        """Return whether the same order of the same module was denied before."""
        return denial_of(submission) in self._denials


def denial_of(submission: Submission) -> Denial:
    """Return what makes two orders the same: all but the name, which clients invent anew."""
    who, order = submission.attribution, submission.order
    return (
        submission.account,
        who.module,
        who.dotted_module,
        submission.intent,
        msgspec.structs.replace(order, client_order_id=None),
        submission.targets,
    )
