"""The exceptions of denied orders, each of which is also its library's own error."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from exit_shim import errors
from exit_shim.domain.verdicts import Reason

Initialize: TypeAlias = Callable[[Any, Any, str, int], None]
"""Fills in a new error of a class, as the library would, from a message and Binance's code."""


def make_denial(
    base: Any, initialize: Initialize, message: str, reasons: tuple[Reason, ...], code: int
) -> errors.ExitOrderDenied:
    """Make the exception of a denied order, which is an error of the class `base` too.

    Args:
        base: The library's error.
        initialize: A function of a module, so that the exception can be pickled.
        message: What the bot's log shows.
        reasons: Why the order was denied.
        code: Binance's code.
    """
    denial: errors.ExitOrderDenied = _denial_class(base, initialize)(message, reasons, code)
    return denial


@functools.lru_cache(maxsize=16)
def _denial_class(base: Any, initialize: Initialize) -> Any:
    # Bots' logs and the docs show this name.
    class ExitOrderDenied(errors.ExitOrderDenied, base):  # type: ignore[misc]
        __module__, __qualname__ = "exit_shim", "ExitOrderDenied"
        __doc__ = errors.ExitOrderDenied.__doc__
        # A base may have a property of this name, which means something else.
        code = 0

        def __init__(self, message: str, reasons: tuple[Reason, ...], code: int) -> None:
            initialize(base, self, message, code)
            self.message, self.reasons, self.code = message, reasons, code

        def __reduce__(self) -> Any:
            return make_denial, (base, initialize, self.message, self.reasons, self.code)

    return ExitOrderDenied
