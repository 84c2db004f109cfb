"""How a method is called, and what its coroutine is named."""

from collections.abc import Callable, Coroutine
from inspect import CO_COROUTINE
from types import FunctionType
from typing import Any, cast


def is_coroutine_method(method: Callable[..., Any]) -> bool:
    """Return whether calling `method` certainly returns a coroutine, and sends nothing yet."""
    # Only a plain function is trusted: a mock may look like a coroutine function.
    try:
        function = getattr(method, "__func__", method)
    except Exception:  # noqa: BLE001 - an odd object's `__getattr__` may raise anything
        return False
    return type(function) is FunctionType and bool(function.__code__.co_flags & CO_COROUTINE)


def name_after(method: Callable[..., Any], coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """Give a coroutine the names of the client's method, which warnings and task dumps show."""
    own = cast("Any", coroutine)
    for attribute in ("__name__", "__qualname__"):
        try:
            name = getattr(method, attribute, None)
        except Exception:  # noqa: BLE001, S112 - an odd callable has no name to give
            continue
        if isinstance(name, str):
            setattr(own, attribute, name)
    return coroutine
