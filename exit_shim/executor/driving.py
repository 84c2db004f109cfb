"""Do the passes that are due, on a thread or as a task, until stopped."""

import asyncio
import contextlib
import threading
import time
import weakref
from typing import Any, Final, Protocol

from exit_shim.executor.agenda import Agenda
from exit_shim.runtime.service import Service

GATHER_S: Final = 0.002
"""How long what belongs together may take to arrive: the exchange tells of one fill in several events."""

LONGEST_S: Final = 60.0

STOP_S: Final = 10.0
"""The longest that stopping waits for a pass that is under way."""


class Work(Protocol):
    """What is done again and again."""

    agenda: Agenda

    def do_due(self) -> Any:
        """Do the passes that are due; awaitable for an async client."""

    def fail(self, error: Exception) -> None:
        """Report a pass that failed, and have another one done."""


class ThreadDriver(Service):
    """Do the passes on a thread, with a sync client.

    Args:
        work: What to do; it must not hold this driver alive by a reference of its own.
    """

    thread_name = "exit-shim-executor"
    stop_s = STOP_S

    def __init__(self, work: Work) -> None:
        self._work = work
        super().__init__()
        work.agenda.on_change = self._notice

    def renew(self) -> None:
        """Begin with no thread, and with nothing noticed."""
        super().renew()
        self._news = threading.Event()

    @property
    def is_running(self) -> bool:
        """Whether passes are done."""
        return self.thread is not None

    def end_at_exit(self, until: float) -> None:
        """Stop, once the pass that is under way has ended: every order rests on."""
        self._tell_to_stop()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(max(0.0, until - time.monotonic()))

    def _notice(self) -> None:
        self._news.set()

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        self._news.set()

    @staticmethod
    def live(owner: "weakref.ref[ThreadDriver]", stopped: threading.Event) -> None:
        """Wait for what is due, and do it."""
        while not stopped.is_set() and (driver := owner()) is not None:
            work, news = driver._work, driver._news  # noqa: SLF001 - this class's own thread
            # The thread must not keep the driver alive.
            del driver
            news.clear()
            wait_s = work.agenda.wait_s()
            if wait_s == 0:
                stopped.wait(GATHER_S)
                if not stopped.is_set():
                    _try(work)
                continue
            del work
            news.wait(LONGEST_S if wait_s is None else wait_s)


def _try(work: Work) -> None:
    try:
        work.do_due()
    except Exception as error:  # noqa: BLE001 - the next pass may do better
        work.fail(error)


class TaskDriver:
    """Do the passes as a task of the running event loop, with an async client.

    Args:
        work: What to do.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._is_stopping = False
        work.agenda.on_change = self._notice

    @property
    def is_running(self) -> bool:
        """Whether passes are done."""
        return self._task is not None and not self._task.done()

    def start(self) -> bool:
        """Start the task unless it runs.

        Raises:
            RuntimeError: No event loop is running here.
        """
        if not self.is_running:
            self._loop, self._news, self._is_stopping = asyncio.get_running_loop(), asyncio.Event(), False
            self._task = self._loop.create_task(self._live(), name="exit-shim-executor")
        return True

    async def stop(self) -> None:
        """End the task; a pass that is under way is finished, within `STOP_S`."""
        task, self._task = self._task, None
        self._is_stopping = True
        self._news.set()
        if task is not None:
            await asyncio.wait({task}, timeout=STOP_S)

    def _notice(self) -> None:
        """Wake the task, from any thread."""
        if self._loop is not None:
            # The loop may be closed already.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._news.set)

    async def _live(self) -> None:
        while not self._is_stopping:
            self._news.clear()
            wait_s = self._work.agenda.wait_s()
            if wait_s == 0:
                await asyncio.sleep(GATHER_S)
                try:
                    await self._work.do_due()
                except Exception as error:  # noqa: BLE001 - the next pass may do better
                    self._work.fail(error)
                continue
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), LONGEST_S if wait_s is None else wait_s)


Driver = ThreadDriver | TaskDriver
