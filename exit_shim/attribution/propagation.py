"""Taking along who asked, to where the stack begins anew: threads, timers, pools."""

import contextlib
import functools
import inspect
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from exit_shim.attribution.attribute import (
    CarriedFrame,
    Declared,
    carried,
    declare,
    declared,
    running_in,
    undo,
)
from exit_shim.attribution.stack import Frame, frames_outwards, frames_within

F = TypeVar("F", bound=Callable[..., Any])

FRAMES: Final = 32
"""How many frames are taken along."""

SERVING: Final = ("asyncio", "concurrent", "multiprocessing", "socketserver")
"""Packages whose threads serve many callers: who happened to start one asked for nothing."""


def carry(function: F) -> F:
    """Bind who asks here and now to `function`, for a pool, a thread or a timer.

    Where the call comes with no frame of the bot's own, the order is attributed to the code that called
    `carry`, with evidence `carried`; what `attributed` declares here goes along too. A function of the
    bot's own that runs in the pool still counts first, as it would if it were called here.

    A coroutine function gives a coroutine function. No local variable is kept alive. The result cannot be
    pickled: for processes, use `attributed` inside the function that runs there.
    """
    return carrying(function, sys._getframe(1))  # noqa: SLF001


def carrying(function: F, frame: Frame | None) -> F:
    """`carry` for the code at `frame`."""
    said, frames = declared.get(), kept(frame)

    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with under(said, frames):
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def inside_async(*args: Any, **kwargs: Any) -> Any:
        with under(said, frames):
            return await function(*args, **kwargs)

    return inside_async if inspect.iscoroutinefunction(function) else inside  # type: ignore[return-value]


class under:  # noqa: N801 - reads as a word where it is used
    """While inside, what was carried here holds; what is declared here already outranks it."""

    __slots__ = ("_before", "_frames", "_runs_in", "_said")

    def __init__(self, said: Declared | None, frames: CarriedFrame | None) -> None:
        self._said = said
        self._frames = frames

    def __enter__(self) -> None:
        self._runs_in = running_in()
        self._before = carried.get(self._runs_in)
        carried[self._runs_in] = self._frames
        if self._said is not None and declared.get() is None:
            declare(self._said, by=self)

    def __exit__(self, *error: object) -> None:
        if self._before is None:
            carried.pop(self._runs_in, None)
        else:
            carried[self._runs_in] = self._before
        if self._said is not None:
            undo(by=self)


def kept(frame: Frame | None) -> CarriedFrame | None:
    """The frames from `frame` outwards, and those that were carried to here, without what they hold alive."""
    before = frames_outwards(carried.get(running_in()))
    linked: CarriedFrame | None = None
    for one in reversed([*itertools.islice(itertools.chain(frames_within(frame), before), FRAMES)]):
        linked = CarriedFrame(one.f_code, one.f_lineno, one.f_lasti, one.f_globals, linked)
    return linked


def carried_on(function: F, frame: Frame) -> F:
    """`carrying`, but a stack that cannot be read costs the evidence, not the work."""
    try:
        return carrying(function, frame)
    except Exception:  # noqa: BLE001
        return function


@contextlib.contextmanager
def carrying_threads() -> Iterator[None]:
    """While inside, `Thread` and its kin, `Timer` and the pools of threads carry who asked.

    `asyncio.to_thread` and the `run_in_executor` of any event loop call `ThreadPoolExecutor.submit`. Exactly
    undone after; a thread that is still running then goes on as it began.
    """
    start = threading.Thread.start

    @functools.wraps(start)
    def start_carrying(self: threading.Thread) -> None:
        take_back = carry_along(self, sys._getframe(1))  # noqa: SLF001
        try:
            start(self)
        except BaseException:
            take_back()
            raise

    own = [(pool, name, vars(pool).get(name)) for pool, name in pools_methods()]
    threading.Thread.start = start_carrying  # type: ignore[method-assign]
    for pool, name, _ in own:
        setattr(pool, name, handing_on(getattr(pool, name)))
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
        for pool, name, method in own:
            if method is None:  # inherited
                delattr(pool, name)
            else:
                setattr(pool, name, method)


def pools_methods() -> list[tuple[type, str]]:
    """Return the methods that take a function, of the standard library's pools of threads.

    Left out are those that call one of these: `ThreadPool.apply`, and `ThreadPoolExecutor.map`.
    """
    from multiprocessing.pool import ThreadPool  # noqa: PLC0415 - heavy, and opt-in

    names = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
    return [(ThreadPoolExecutor, "submit"), *((ThreadPool, name) for name in names)]


def handing_on(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of a pool, which takes a function, so that the function carries who asked."""

    @functools.wraps(method)
    def hand_on(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)  # noqa: SLF001
        if args:
            args = (carried_on(args[0], frame), *args[1:])
        elif "func" in kwargs:
            kwargs["func"] = carried_on(kwargs["func"], frame)
        return method(self, *args, **kwargs)

    return hand_on


def carry_along(thread: threading.Thread, frame: Frame) -> Callable[[], object]:
    """Have the thread's `run` carry who asks at `frame`; returns what takes that back."""
    names = vars(thread)
    if str(frame.f_globals.get("__name__")).partition(".")[0] in SERVING or "run" in names:
        return lambda: None

    def run() -> None:
        names.pop("run", None)
        with under(said, frames):
            thread.run()

    try:
        said, frames = declared.get(), kept(frame)
    except Exception:  # noqa: BLE001 - a stack that cannot be read costs the evidence, not the thread
        return lambda: None
    names["run"] = run
    return lambda: names.pop("run", None)
