"""Time that a test moves on by itself: a clock that jumps, and an event loop that does not wait."""

import asyncio
import contextlib
import functools
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import exit_shim.shim  # noqa: F401 - all that could keep a clock is loaded before clocks jump

READ: dict[str, Callable[[], Any]] = {
    name: getattr(time, name) for name in ("time", "monotonic", "time_ns", "monotonic_ns")
}
PASSED = [0]
"""How far the clocks of this process are ahead, in nanoseconds."""


def jump(seconds: float) -> None:
    """Let time pass at once."""
    PASSED[0] += int(seconds * 1e9)


def read_ahead(name: str) -> Any:
    """Return what a clock of the module `time` says with all jumps."""
    return READ[name]() + (PASSED[0] if name.endswith("_ns") else PASSED[0] / 1e9)


AHEAD = {READ[name]: functools.partial(read_ahead, name) for name in READ}


@contextlib.contextmanager
def jumping() -> Iterator[None]:
    """Inside, the clocks of the module `time` are ahead by all jumps, and so are defaults of exit_shim's."""
    with contextlib.ExitStack() as undo:
        for name, read in READ.items():
            undo.callback(setattr, time, name, getattr(time, name))
            setattr(time, name, AHEAD[read])
        for function in functions_of_exit_shim():
            for kept in (function.__kwdefaults__ or {}), dict(enumerate(function.__defaults__ or ())):
                for name, default in kept.items():
                    if callable(default) and is_clock(default):
                        undo.callback(set_default, function, name, default)
                        set_default(function, name, AHEAD[default])
        yield


def is_clock(default: Any) -> bool:
    """Return whether a default is a clock of the module `time`."""
    return any(default is read for read in READ.values())


def set_default(function: FunctionType, name: str | int, value: Any) -> None:
    """Change a default of a function, by its name or its place."""
    if isinstance(name, str):
        assert function.__kwdefaults__ is not None
        function.__kwdefaults__[name] = value
    else:
        assert function.__defaults__ is not None
        defaults = list(function.__defaults__)
        defaults[name] = value
        function.__defaults__ = tuple(defaults)


def functions_of_exit_shim() -> Iterator[FunctionType]:
    """Yield the functions and methods of every module of exit_shim that is loaded."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "exit_shim"]
    found = {id(one): one for module in modules for one in vars(module).values()}
    for one in found.values():
        if isinstance(one, FunctionType):
            yield one
        elif isinstance(one, type) and one.__module__.startswith("exit_shim"):
            yield from (method for method in vars(one).values() if isinstance(method, FunctionType))


class JumpingSelector(selectors.DefaultSelector):
    """Waits a thousandth of a second at most, and jumps over the rest."""

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; where nothing is, the time has passed."""
        if not timeout or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, 0.001))
        if not ready:
            jump(timeout)
        return ready


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop in which waiting takes no time."""
    return asyncio.SelectorEventLoop(JumpingSelector())
