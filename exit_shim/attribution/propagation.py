"""Propagating attribution into threads, timers and pools, where the stack begins anew."""

import contextlib
import functools
import inspect
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from exit_shim.attribution.attribute import CarriedFrame, carried, declare, declared, running_in, undo
from exit_shim.attribution.stack import end_walk_at, frames_outwards, frames_within
from exit_shim.domain.attributions import Declared, Frame

F = TypeVar("F", bound=Callable[..., Any])

MAX_FRAMES: Final = 32
"""How many frames are carried along."""

SERVERS: Final = ("asyncio", "concurrent", "multiprocessing", "socketserver")
"""Packages whose threads serve many callers: whoever happened to start one asked for nothing."""


def carry(function: F) -> F:
    """Bind who asks here and now to `function`, for a pool, a thread or a timer.

    Where the call comes with no frame of the bot's own, the order is attributed to the code that called
    `carry`, with evidence `carried`; what `attributed` declares here goes along too. A function of the
    bot's own that runs in the pool still counts first, as it would if it were called here.

    A coroutine function gives a coroutine function. No local variable is kept alive. The result cannot be
    pickled: for processes, use `attributed` inside the function that runs there.
    """
    return carry_from(sys._getframe(1), function)  # noqa: SLF001


def carry_from(frame: Frame | None, function: F) -> F:
    """Bind who asks at `frame` to `function`, as `carry` does for its caller."""
    declaration, frames = declared.get(), copy_frames(frame)

    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with carrying(declaration, frames):
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def inside_async(*args: Any, **kwargs: Any) -> Any:
        with carrying(declaration, frames):
            return await function(*args, **kwargs)

    return inside_async if inspect.iscoroutinefunction(function) else inside  # type: ignore[return-value]


async def await_carried(
    declaration: Declared | None,
    frames: CarriedFrame | None,
    function: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Await a coroutine function with the attribution of the code at `frames`, whoever awaits this."""
    with carrying(declaration, frames):
        return await function(*args, **kwargs)


end_walk_at(await_carried.__code__)


class carrying:  # noqa: N801 - reads as a word where it is used
    """Let what was carried here hold inside; what is declared here already outranks it."""

    __slots__ = ("_before", "_declaration", "_frames", "_runs_in")

    def __init__(self, declaration: Declared | None, frames: CarriedFrame | None) -> None:
        self._declaration = declaration
        self._frames = frames

    def __enter__(self) -> None:
        self._runs_in = running_in()
        self._before = carried.get(self._runs_in)
        carried[self._runs_in] = self._frames
        if self._declaration is not None and declared.get() is None:
            declare(self._declaration, by=self)

    def __exit__(self, *error: object) -> None:
        if self._before is None:
            carried.pop(self._runs_in, None)
        else:
            carried[self._runs_in] = self._before
        if self._declaration is not None:
            undo(by=self)


def copy_frames(frame: Frame | None) -> CarriedFrame | None:
    """Copy the frames from `frame` outwards, and those carried to here, without their local variables."""
    before = frames_outwards(carried.get(running_in()))
    linked: CarriedFrame | None = None
    for outer in reversed([*itertools.islice(itertools.chain(frames_within(frame), before), MAX_FRAMES)]):
        linked = CarriedFrame(outer.f_code, outer.f_lineno, outer.f_lasti, outer.f_globals, linked)
    return linked


def carry_if_readable(frame: Frame, function: F) -> F:
    """Bind who asks at `frame` to `function`; where the stack cannot be read, return `function` itself."""
    try:
        return carry_from(frame, function)
    except Exception:  # noqa: BLE001 - an unreadable stack costs the evidence, not the work
        return function


@contextlib.contextmanager
def carrying_threads() -> Iterator[None]:
    """Have threads, timers and pools of threads carry who asked, while inside.

    `asyncio.to_thread` and the `run_in_executor` of any event loop call `ThreadPoolExecutor.submit`. All
    of it is exactly undone after; a thread that is still running then goes on as it began.
    """
    start = threading.Thread.start

    @functools.wraps(start)
    def start_carrying(self: threading.Thread) -> None:
        take_back = carry_into_thread(self, sys._getframe(1))  # noqa: SLF001
        try:
            start(self)
        except BaseException:
            take_back()
            raise

    # None for an inherited method.
    originals = [(pool, name, vars(pool).get(name)) for pool, name in pool_methods()]
    threading.Thread.start = start_carrying  # type: ignore[method-assign]
    for pool, name, _ in originals:
        setattr(pool, name, carrying_method(getattr(pool, name)))
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
        for pool, name, method in originals:
            if method is None:
                delattr(pool, name)
            else:
                setattr(pool, name, method)


def pool_methods() -> list[tuple[type, str]]:
    """Return the methods that take a function, of the standard library's pools of threads."""
    from multiprocessing.pool import ThreadPool  # noqa: PLC0415 - heavy, and opt-in

    # Not those that call one of these: `ThreadPool.apply`, and `ThreadPoolExecutor.map`.
    names = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
    return [(ThreadPoolExecutor, "submit"), *((ThreadPool, name) for name in names)]


def carrying_method(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the method of a pool so that the function it is given carries who asked."""

    @functools.wraps(method)
    def inside(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)  # noqa: SLF001
        if args:
            args = (carry_if_readable(frame, args[0]), *args[1:])
        elif "func" in kwargs:
            kwargs["func"] = carry_if_readable(frame, kwargs["func"])
        return method(self, *args, **kwargs)

    return inside


def carry_into_thread(thread: threading.Thread, frame: Frame) -> Callable[[], object]:
    """Have the thread's `run` carry who asks at `frame`; returns a function that takes this back."""
    names = vars(thread)
    if str(frame.f_globals.get("__name__")).partition(".")[0] in SERVERS or "run" in names:
        return lambda: None

    def run() -> None:
        names.pop("run", None)
        with carrying(declaration, frames):
            thread.run()

    try:
        declaration, frames = declared.get(), copy_frames(frame)
    except Exception:  # noqa: BLE001 - an unreadable stack costs the evidence, not the thread
        return lambda: None
    names["run"] = run
    return lambda: names.pop("run", None)
