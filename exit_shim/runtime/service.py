"""Run threads beside the bot, all with one life cycle."""

import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec

from exit_shim.runtime.process_hooks import end_with_child_process
from exit_shim.runtime.reentrancy import ReentrantState

P = ParamSpec("P")


class Service(ReentrantState):
    """Run a daemon thread: started on first use, stopped within a bound, begun anew in a child after `fork`.

    The thread holds no reference to the service while it waits, so a service that nobody has any more ends.

    Attributes:
        thread_name: What the thread is called; begins with `exit-shim-`.
        stop_s: The longest that `stop` waits for the thread.
        thread: The running thread; None where there is none.
    """

    thread_name: ClassVar[str]
    stop_s: ClassVar[float] = 1.0

    thread: threading.Thread | None

    def renew(self) -> None:
        """Begin with no thread, and with locks that nobody holds."""
        super().renew()
        self._starting = threading.RLock()
        self._stopped = threading.Event()
        self.thread = None

    @staticmethod
    def live(owner: "weakref.ref[Any]", stopped: threading.Event) -> None:
        """Do the thread's work until `stopped` is set or `owner` is gone; on the thread."""
        raise NotImplementedError

    def start(self) -> bool:
        """Start the thread unless it runs; return False where the system gives no more threads."""
        if self.thread is None:
            with self._starting:
                # Another thread may have been faster.
                return self._is_running() or self._start_thread()
        return True

    def _is_running(self) -> bool:
        return self.thread is not None

    def stop(self) -> None:
        """Tell the thread to end, and wait `stop_s` for it; a later `start` starts another one."""
        self._tell_to_stop()
        thread, self.thread = self.thread, None
        # A thread that is about to be started cannot be joined.
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(self.stop_s)

    def stop_with(self, owner: object) -> None:
        """Stop once `owner` is garbage, while this service may still be in use."""
        weakref.finalize(owner, self.stop).atexit = False

    def _tell_to_stop(self) -> None:
        self._stopped.set()

    def _start_thread(self) -> bool:
        if self._stopped.is_set():
            self._stopped = threading.Event()
        thread = threading.Thread(
            target=_run, args=(weakref.ref(self), self._stopped), name=self.thread_name, daemon=True
        )
        # Set before it runs: a signal handler that comes here must not start another one.
        self.thread = thread
        try:
            thread.start()
        except RuntimeError:
            self.thread = None
            return False
        end_with_child_process()
        return True

    def _end(self, thread: threading.Thread) -> None:
        """Note that a thread has ended, however it did, so that `start` starts another one."""
        with self._starting:
            if self.thread is thread:
                self.thread = None


def _run(owner: "weakref.ref[Service]", stopped: threading.Event) -> None:
    service = owner()
    if service is None:
        return
    live = service.live
    del service
    try:
        live(owner, stopped)
    finally:
        service = owner()
        if service is not None:
            service._end(threading.current_thread())  # noqa: SLF001 - the base's own


def weakly(method: Callable[P, None]) -> Callable[P, None]:
    """Return a method for a thread that must not keep the method's object alive."""
    reference = weakref.WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        if (method := reference()) is not None:
            method(*args, **kwargs)

    return call
