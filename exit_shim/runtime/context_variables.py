"""Setting context variables where a signal handler may do the same at any moment."""

import sys
from collections import deque
from contextvars import Context, ContextVar, copy_context
from typing import Final, TypeVar

T = TypeVar("T")

KEPT: Final = 256
"""How many contexts are kept, one an order: what a signal handler's first order replaced must outlast it."""

_kept: Final[deque[Context]] = deque(maxlen=KEPT)
_COLLECTS_INSIDE_ALL: Final = sys.version_info < (3, 12)


def set_variable(variable: ContextVar[T], value: T) -> None:
    """Set a context variable, and keep what all of them were until many more were set.

    Before Python 3.12 garbage may be collected, and with it a signal handler run, inside the copying or the
    setting of a context, which then goes on with variables that the handler's own setting has freed: the
    process crashes.
    """
    if _COLLECTS_INSIDE_ALL:
        _kept.append(copy_context())
    variable.set(value)
