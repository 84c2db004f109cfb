"""Set context variables where a signal handler may do the same at any moment."""

import sys
from collections import deque
from contextvars import Context, ContextVar, copy_context
from typing import Final, TypeVar

T = TypeVar("T")

KEPT: Final = 256
"""How many contexts are kept, one an order: those that a signal handler replaced must outlast it."""

_kept: Final[deque[Context]] = deque(maxlen=KEPT)
_COLLECTS_INSIDE_ALL: Final = sys.version_info < (3, 12)


def set_variable(variable: ContextVar[T], value: T) -> None:
    """Set a context variable, also while a signal handler may set it."""
    # Before Python 3.12, garbage may be collected while a context is copied or set, and a signal handler may
    # run then. Its own `set` frees variables that the interrupted one still uses, and the process crashes;
    # so the old ones are kept for a while.
    if _COLLECTS_INSIDE_ALL:
        _kept.append(copy_context())
    variable.set(value)
