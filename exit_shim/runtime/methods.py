"""Tell from a method's code how it is called."""

from collections.abc import Callable
from inspect import CO_COROUTINE
from types import FunctionType
from typing import Any


def is_coroutine_method(method: Callable[..., Any]) -> bool:
    """Return whether calling `method` certainly returns a coroutine, and sends nothing yet."""
    # Only a plain function is trusted: a mock may look like a coroutine function.
    try:
        function = getattr(method, "__func__", method)
    except Exception:  # noqa: BLE001 - an odd object's `__getattr__` may raise anything
        return False
    return type(function) is FunctionType and bool(function.__code__.co_flags & CO_COROUTINE)
