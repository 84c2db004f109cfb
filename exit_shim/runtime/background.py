"""Do work on a background thread, so that no sink and no log handler can hold up an order."""

import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, NamedTuple

from exit_shim.runtime.process_hooks import Releasable, exiting
from exit_shim.runtime.service import Service

INLINE = False
"""Whether work is done at once, on the thread that hands it over; the pytest plugin sets this."""

MAX_WAITING: Final = 10_000
"""Events that may wait for a slow sink or log handler; later ones are dropped and counted."""

GATHER_S: Final = 0.05
"""How long events gather once the thread is awake: the bot is busy with the answer right now."""

EXIT_S: Final = 1.0
"""The longest that work handed over while the process ends waits for a sink or log handler."""


def be_inline() -> Callable[[], None]:
    """Do work on the thread that hands it over from now on; return a function that undoes this."""
    global INLINE
    before, INLINE = INLINE, True

    def restore() -> None:
        global INLINE  # noqa: PLW0603
        INLINE = before

    return restore


# Makes a named tuple in a third of the time.
_new = tuple.__new__


class Origin(NamedTuple):
    """Hold the time, in seconds since the epoch, and the thread of the event being reported."""

    time: float
    thread: threading.Thread


origin: Final[ContextVar[Origin | None]] = ContextVar("exit_shim_origin", default=None)
"""Where the work at hand comes from; None where an event is reported as it happens."""


class _Work(NamedTuple):
    context: Context
    origin: Origin
    act: Callable[..., object]
    args: tuple[Any, ...]


class Dispatch(Service):
    """Queue work, bounded, and do it on a background thread; thread-safe, and empty in a child after `fork`.

    Work runs in a copy of the context that it was handed over in, so the bot's context variables hold.

    Args:
        on_dropped: Called with the number of events dropped since the last call, once there is room again.
    """

    thread_name = "exit-shim-sinks"

    def __init__(self, on_dropped: Callable[[int], object]) -> None:
        self._on_dropped = on_dropped
        super().__init__()

    def renew(self) -> None:
        """Begin with nothing waiting, and no thread."""
        super().renew()
        self._working = threading.RLock()
        self.dropped = 0
        self._reported_dropped = 0
        # Nothing but a `SimpleQueue` may be used in a signal handler that interrupts its use.
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._bells: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._flushing = 0

    def hand_over(self, act: Callable[..., object], *args: Any) -> None:
        """Have `act(*args)` called soon; it has to deal with its own exceptions."""
        if INLINE:
            act(*args)
            return
        if self._waiting.qsize() >= MAX_WAITING:
            with self._lock:
                self.dropped += 1
            return
        now = time.time(), threading.current_thread()
        self._waiting.put(_new(_Work, (copy_context(), _new(Origin, now), act, args)))
        # Only now: a thread that ends looks again once `thread` is None, so one of the two sees the work.
        if self.thread is None:
            self._work_off()
        # Nobody flushes any more once the process ends.
        if exiting:
            self.flush(EXIT_S)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all work handed over before is done; return False where that takes longer."""
        thread = threading.current_thread()
        if self.thread is thread or (self.thread is None and self._waiting.empty()):
            return self._waiting.empty()
        done = threading.Event()
        with self._lock:
            self._flushing += 1
        self._bells.put(None)
        self._waiting.put(_Work(Context(), Origin(time.time(), thread), done.set, ()))
        # A thread that was ended from outside could not say so.
        if (worker := self.thread) is not None and worker.ident is not None and not worker.is_alive():
            self._end(worker)
        elif worker is None:
            self._work_off()
        try:
            return done.wait(timeout_s)
        finally:
            with self._lock:
                self._flushing -= 1

    def stop(self) -> None:
        """Let the thread end after the work that waits; later work starts another one."""
        # It stays `thread` until it has ended: a second one would do later work before what waits.
        if self.thread is not None:
            self._tell_to_stop()

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        self._waiting.put(None)

    def _end(self, thread: threading.Thread) -> None:
        super()._end(thread)
        # It may have been handed over after the thread found nothing more.
        if not self._waiting.empty():
            self._work_off()

    def _work_off(self) -> None:
        """Have the work that waits done: by a thread, or at once where the system gives no more threads."""
        if not self.start():
            with contextlib.suppress(queue.Empty):
                while True:
                    if (work := self._waiting.get_nowait()) is not None:
                        self._do(work, is_rested=False)

    @staticmethod
    def live(owner: "weakref.ref[Dispatch]", stopped: threading.Event) -> None:
        """Do the work that comes, until told to stop."""
        dispatch = owner()
        if dispatch is None:
            return
        waiting, is_rested, is_ending = dispatch._waiting, True, False  # noqa: SLF001 - its own thread
        # Work that comes after `stop` starts a thread that nobody stops.
        weakref.finalize(dispatch, waiting.put, None).atexit = False
        del dispatch
        while not (is_ending and is_rested):
            work = waiting.get()
            dispatch = owner()
            if dispatch is None:
                return
            # Without `stopped`, None was meant for an earlier thread, which a sink ended.
            is_ending = is_ending or (work is None and stopped.is_set())
            if work is not None:
                dispatch._do(work, is_rested=is_rested)  # noqa: SLF001
            is_rested = waiting.empty()
            # Both may be what keeps the shim alive.
            del dispatch, work

    def _do(self, work: _Work, *, is_rested: bool) -> None:
        if is_rested:
            self._gather()
        with contextlib.suppress(Exception), self._working:
            work.context.run(_at, work.origin, work.act, *work.args)
            dropped = self.dropped - self._reported_dropped
            if dropped and self._waiting.empty():
                self._reported_dropped += dropped
                self._on_dropped(dropped)

    def _gather(self) -> None:
        """Let the bot's threads go first, unless one of them waits for this one."""
        with contextlib.suppress(queue.Empty):
            while not self._flushing:
                self._bells.get(timeout=GATHER_S)

    def hold_for_fork(self, held: list[Releasable], until: float) -> None:
        """Keep the thread out of log handlers while the process is copied: their locks would stay shut."""
        if self._working.acquire(timeout=max(0.0, until - time.monotonic())):
            held.append(self._working)

    def end_at_exit(self, until: float) -> None:
        """Wait for the work that waits."""
        self.flush(max(0.0, until - time.monotonic()))


def _at(when: Origin, act: Callable[..., object], *args: Any) -> None:
    origin.set(when)
    act(*args)
