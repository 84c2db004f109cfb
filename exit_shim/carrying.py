"""Taking along who asked, to where the stack begins anew: threads, timers, pools."""

import contextlib
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from exit_shim.attribution import Carried, CarriedFrame, Declared, carried, declared, running_in
from exit_shim.frames import Frame, waits_for_this_task

F = TypeVar("F", bound=Callable[..., Any])

FRAMES: Final = 32
"""How many frames are taken along."""

POOLS: Final = ("asyncio", "concurrent", "multiprocessing", "socketserver")
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


@contextlib.contextmanager
def under(said: Declared | None, frames: CarriedFrame | None) -> Iterator[None]:
    """While inside, what was carried here holds; what is declared here already outranks it."""
    before = carried.set(Carried(frames, running_in()))
    outer = declared.get()
    if said is not None and outer is None:
        declared.set(said)
    try:
        yield
    finally:
        if said is not None and outer is None:
            declared.set(None)
        carried.reset(before)


def kept(frame: Frame | None) -> CarriedFrame | None:
    """The frames from `frame` outwards, and those that were carried to here, without what they hold alive."""
    found: list[Frame] = []
    while frame is not None and len(found) < FRAMES:
        if frame.f_globals.get("__name__") == "asyncio.base_events" and not waits_for_this_task(frame):
            frame = None
            break
        found.append(frame)
        frame = frame.f_back
    before = carried.get()
    more = before.here() if before is not None else None
    while more is not None and len(found) < FRAMES:
        found.append(more)
        more = more.f_back
    linked: CarriedFrame | None = None
    for one in reversed(found):
        linked = CarriedFrame(one.f_code, one.f_lineno, one.f_lasti, one.f_globals, linked)
    return linked


@contextlib.contextmanager
def carrying_threads() -> Iterator[None]:
    """While inside, `Thread` and its kin, `Timer` and `ThreadPoolExecutor.submit` carry who asked.

    Exactly undone after; a thread that is still running then goes on as it began.
    """
    start = threading.Thread.start
    submit: Any = ThreadPoolExecutor.submit

    @functools.wraps(start)
    def start_carrying(self: threading.Thread) -> None:
        undo = carry_along(self, sys._getframe(1))  # noqa: SLF001
        try:
            start(self)
        except BaseException:
            undo()
            raise

    @functools.wraps(submit)
    def submit_carrying(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(Exception):  # a stack that cannot be read costs the evidence, not the work
            fn = carrying(fn, sys._getframe(1))  # noqa: SLF001
        return submit(self, fn, *args, **kwargs)

    threading.Thread.start = start_carrying  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_carrying  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]


def carry_along(thread: threading.Thread, frame: Frame) -> Callable[[], object]:
    """Have the thread's `run` carry who asks at `frame`; returns what takes that back."""
    names = vars(thread)
    if str(frame.f_globals.get("__name__")).partition(".")[0] in POOLS or "run" in names:
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
