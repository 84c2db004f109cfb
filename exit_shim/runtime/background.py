"""Sinks and log lines on a thread of the shim's own, so that none of them can hold up an order."""

import atexit
import contextlib
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, NamedTuple

from exit_shim.runtime.reentrancy import ReentrantState

INLINE = False
"""Whether work is done by who hands it over: so under pytest, where a test looks for the line at once."""

MAX_WAITING: Final = 10_000
"""Events held while a sink or log handler takes its time; what comes beyond it is dropped and counted."""

GATHER_S: Final = 0.05
"""How long events gather once the thread is awake: the bot is busy with the answer right now."""

EXIT_S: Final = 1.0
"""The longest that the end of the process, or a fork, waits for a sink or log handler."""


def be_inline() -> Callable[[], None]:
    """From here on have work done by who hands it over; returns the way back to what was before."""
    global INLINE
    before, INLINE = INLINE, True

    def restore() -> None:
        global INLINE  # noqa: PLW0603
        INLINE = before

    return restore


_new = tuple.__new__
"""Makes a named tuple in a third of the time."""


class Origin(NamedTuple):
    """When, in seconds since the epoch, and on which thread there came to be what is told of later."""

    time: float
    thread: threading.Thread


origin: Final[ContextVar[Origin | None]] = ContextVar("exit_shim_origin", default=None)
"""What the work at hand tells of; None where it is told of as it happens."""


class _Work(NamedTuple):
    context: Context
    origin: Origin
    act: Callable[..., object]
    args: tuple[Any, ...]


class Dispatch(ReentrantState):
    """A bounded queue, and a thread that does what is in it; thread-safe, and fresh in a child after `fork`.

    Work is done in a copy of the context that it was handed over in, so context variables of the bot hold.
    A `SimpleQueue` is the one means of threading that a signal handler may use amid its own use.

    Args:
        on_dropped: Called with the number of events dropped since the last time, once there is room again.
    """

    def __init__(self, on_dropped: Callable[[int], object]) -> None:
        super().__init__()
        self._on_dropped = on_dropped
        self.begin()
        _all.add(self)

    def begin(self) -> None:
        """With nothing waiting, and no thread."""
        self.amid = threading.RLock()
        self.dropped = 0
        self._told_dropped = 0
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._bells: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._awaiting = 0
        self._thread: threading.Thread | None = None

    def hand_over(self, act: Callable[..., object], *args: Any) -> None:
        """Have `act(*args)` done soon; what it raises is for itself to see to."""
        if INLINE or (self._thread is None and not self._start()):
            act(*args)
            return
        if self._waiting.qsize() >= MAX_WAITING:
            with self._lock:
                self.dropped += 1
            return
        now = time.time(), threading.current_thread()
        self._waiting.put(_new(_Work, (copy_context(), _new(Origin, now), act, args)))
        if _exiting:  # nobody else waits for it any more
            self.flush(EXIT_S)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was handed over before is done; False where that takes longer."""
        if self._thread is None or self._thread is threading.current_thread():
            return self._waiting.empty()
        done = threading.Event()
        with self._lock:
            self._awaiting += 1
        self._bells.put(None)
        self._waiting.put(_Work(Context(), Origin(time.time(), self._thread), done.set, ()))
        try:
            return done.wait(timeout_s)
        finally:
            with self._lock:
                self._awaiting -= 1

    def stop(self) -> None:
        """Let the thread end once it is through with what waits; later work begins another."""
        if self._thread is not None:
            self._thread = None
            self._waiting.put(None)

    def _start(self) -> bool:
        """Begin a thread; False where none can be had: none left, or the interpreter is on its way out."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="exit-shim-sinks", daemon=True)
                self._thread = thread  # before it runs: a signal handler here must not begin another
                try:
                    thread.start()
                except RuntimeError:
                    self._thread = None
                    return False
                _flush_at_exit_of_a_child()
        return True

    def _run(self) -> None:
        me, is_rested = threading.current_thread(), True
        try:
            while True:
                work = self._waiting.get()
                if work is not None:
                    if is_rested:
                        self._gather()
                    self._do(work)
                elif self._thread is not me:  # else meant for one before, which was held up
                    return
                work = None  # which holds what it is about, and maybe the shim itself
                is_rested = self._waiting.empty()
        finally:
            if self._thread is me:
                self._thread = None

    def _gather(self) -> None:
        """Let the bot's threads go first, unless one of them waits for this one."""
        with contextlib.suppress(queue.Empty):
            while not self._awaiting:
                self._bells.get(timeout=GATHER_S)

    def _do(self, work: _Work) -> None:
        with contextlib.suppress(Exception), self.amid:
            work.context.run(_at, work.origin, work.act, *work.args)
            dropped = self.dropped - self._told_dropped
            if dropped and self._waiting.empty():
                self._told_dropped += dropped
                self._on_dropped(dropped)


def _at(when: Origin, act: Callable[..., object], *args: Any) -> None:
    origin.set(when)
    act(*args)


_exiting = False
_all: weakref.WeakSet[Dispatch] = weakref.WeakSet()
_held: list[threading.RLock] = []
_children: set[int] = set()


def _flush_all() -> None:
    deadline = time.monotonic() + EXIT_S
    for dispatch in list(_all):
        dispatch.flush(max(0.0, deadline - time.monotonic()))


def _flush_at_exit_of_a_child() -> None:
    """Wait for what waits where a child of `multiprocessing` ends: it skips `atexit`."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and os.getpid() not in _children:
        _children.add(os.getpid())
        util.Finalize(None, _flush_all, exitpriority=0)


def _flush_for_good() -> None:
    global _exiting  # noqa: PLW0603 - there is one end of the process
    _exiting = True
    _flush_all()


def _before_fork() -> None:
    """Let no thread of ours be inside a log handler while the process is copied: locks would stay shut."""
    deadline = time.monotonic() + EXIT_S
    _held.extend(
        dispatch.amid
        for dispatch in list(_all)
        if dispatch.amid.acquire(timeout=max(0.0, deadline - time.monotonic()))
    )


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _held.clear()
    for dispatch in list(_all):
        dispatch.begin()


atexit.register(_flush_for_good)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
