"""Append events to the journal without delaying an order, whatever the files do."""

import contextlib
import itertools
import math
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from exit_shim.domain.events import EVENT_NAMES, Event, Intent, Lost, RunEnded, RunStarted
from exit_shim.journal.drain import RETRY_S, Drain, write_failure
from exit_shim.journal.fork_and_exit import inherited
from exit_shim.journal.ingest import RunOrigin
from exit_shim.journal.line_format import NOTHING, compose
from exit_shim.journal.overflow import Overflow
from exit_shim.journal.rows import encode, encode_exactly
from exit_shim.journal.run_header import describe_process
from exit_shim.journal.schema import JournalError
from exit_shim.journal.spool import Segment, Spool, Sync
from exit_shim.journal.writer_thread import WriterThread
from exit_shim.runtime.process_hooks import ProcessAware, Releasable, exiting

LOCK_S: Final = 0.1
"""The longest that an append waits for other threads of this process."""

POLL_S: Final = 1.0
"""How often the journal's thread copies events unasked: an intent alone does not wake it."""

CLOSE_S: Final = 1.0
"""The longest that closing copies events or waits for another process's lock."""

ABOUT_NOTHING: Final = NOTHING.encode()

NAMES: Final = {event: name.encode() for event, name in EVENT_NAMES.items()}


class Health(NamedTuple):
    """Counts of events that are not in the database: `waiting` in spool or memory, and `dropped`.

    Those in the spool are safe; `in_memory` counts those that a crash would lose.
    """

    path: str
    waiting: int
    in_memory: int
    dropped: int
    last_error: str | None


class Journal(ProcessAware):
    """Append events to this run's spool; thread-safe, and a new run in the child of a fork.

    An event is in the spool when `append` returns; the journal's thread copies it into the database. What
    the spool cannot take waits in memory, bounded, and is retried. Nothing here raises, and no append
    takes longer than a stated time.

    Args:
        path: The database; it and its folder are created, readable by their owner alone.
        on_trouble: Called with each failure to write.
        sync: "process": an intent survives the death of the process. "power": it survives a power failure
            too, for the price of one `fdatasync` per order before it leaves.
        account: The account's label, for the run's first event.
        configuration: A digest of the configuration, for the run's first event.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        on_trouble: Callable[[Exception], None] | None = None,
        *,
        sync: Sync = "process",
        account: str | None = None,
        configuration: str | None = None,
    ) -> None:
        # `Path.absolute` raises where the working folder is gone.
        self.path = Path(os.path.abspath(path))  # noqa: PTH100
        self.sync = sync
        self._on_trouble = on_trouble or (lambda _: None)
        self._account = account
        self._configuration = configuration
        self._is_closed = False
        self._begin_run()
        super().__init__()

    def _begin_run(self) -> None:
        """Begin a new run: nothing of a parent's is usable in the child of a fork."""
        self.run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._started = time.time_ns()
        self._header = ""
        self._seqs = itertools.count(1)
        self._unused: list[int] = []
        # A lock that is not re-entrant would let an interrupted `release` free another thread's hold.
        self._lock = threading.RLock()
        self._holder: int | None = None
        self._spool = Spool(self.path, self.run_id, self.sync)
        self._retry_at = 0.0
        self._failure: OSError | None = None
        self._appended = 0
        self._memory = Overflow()
        origin = partial(Journal.origin, weakref.proxy(self))
        self._drain = Drain(self.path, self._spool, origin, self._memory.lose, self._on_trouble)
        # Not `__del__`: in a circle the connection may be finalized before it, and warns that it is open.
        weakref.finalize(self, close_unused, self._drain, self._spool).atexit = False
        self._writer = WriterThread(self)

    def origin(self) -> RunOrigin:
        """Return what the run's row in the database says."""
        return RunOrigin(self.run_id, self._started, self._header or "{}")

    def open(self) -> None:
        """Begin the run before the first order, so that trouble with its files shows at once."""
        self._is_closed = False
        self._to_spool(b"")
        self._wake()

    def append(self, event: Event, about: tuple[str, int] | None = None) -> int:
        """Append an event durably; return its number in this run.

        Args:
            event: The event. An intent outlives what `sync` promises before this returns.
            about: Run and number of the intent that the event is about; None for an event about no order.
        """
        # On an order's path: what the functions called here do is written out where it takes a line.
        try:
            body = encode_exactly(event)
        except Exception:  # noqa: BLE001 - a bot's odd values cost their own exactness, not the record
            body = encode(event)
        subject = ABOUT_NOTHING if about is None else b"%b:%d" % (about[0].encode(), about[1])
        name = NAMES[type(event)]
        if isinstance(event, Intent):
            # An order opens a closed journal again: it is about to leave.
            self._is_closed = False
            # The number is taken last: `verify` reports one that no event has.
            seq = next(self._seqs)
            self._append(compose(seq, event.ts, name, subject, body), lasting=True)
            return seq
        # What comes late to a closed journal is no reason to make its folder again.
        if self._is_closed and not self.path.parent.exists():
            return 0
        seq = next(self._seqs)
        self._append(compose(seq, time.time_ns(), name, subject, body))
        self._wake()
        return seq

    def end(self) -> None:
        """Append the end of the run, if it has begun."""
        if self._appended:
            self.append(RunEnded(self._appended))

    def end_at_exit(self, until: float) -> None:  # noqa: ARG002 - `close` has a limit of its own
        """End the run and close its files."""
        self.end()
        self.close()

    def flush(self, seconds: float = math.inf) -> bool:
        """Copy all waiting events into the database now; return False where that fails or takes too long."""
        self._rotate_spool()
        spooled = self._empty_memory(self._to_spool)
        done = self._drain.flush(seconds) and (spooled or self._empty_memory(self._drain.add))
        failure, self._failure = self._failure, None
        if failure is not None:
            self._on_trouble(write_failure(self.path, failure))
        return done

    def _empty_memory(self, take: Callable[[bytes], bool]) -> bool:
        """Hand over the events in memory, then an event that says how many were dropped."""
        if not self._memory.hand_over(take):
            return False
        lost = self._memory.unrecorded
        if lost:
            body = encode(Lost("neither the spool nor the database kept them", lost))
            seq = self._take_number()
            if not take(compose(seq, time.time_ns(), NAMES[Lost], ABOUT_NOTHING, body)):
                # This is tried each second; a number each time would look like lost events.
                self._unused.append(seq)
                return False
            self._memory.mark_recorded(lost)
        return True

    def _take_number(self) -> int:
        """Return an unused number."""
        try:
            return self._unused.pop()
        except IndexError:
            return next(self._seqs)

    def health(self) -> Health:
        """Return the counts for summaries."""
        in_memory = len(self._memory)
        waiting = self._spool.waiting() + in_memory
        return Health(str(self.path), waiting, in_memory, self._memory.dropped, self._drain.last_error)

    def close(self) -> None:
        """Copy what waits, for a second at most, and close the files.

        What the database does not take stays in the spool for whoever opens the journal next. An order opens
        the journal again; any other event that comes later is written without a thread.
        """
        self._is_closed = True
        self._writer.stop()
        deadline = time.monotonic() + CLOSE_S
        while not self.flush(deadline - time.monotonic()) and time.monotonic() < deadline:
            if "locked" not in (self._drain.last_error or ""):
                break
            time.sleep(CLOSE_S / 20)
        self._drain.close()
        self._close_spool()
        if self._memory:
            self._on_trouble(
                JournalError(
                    f"{len(self._memory)} events are only in memory and are lost when the process ends: "
                    f"neither the journal {self.path} nor its spool folder can be written"
                )
            )

    def _close_spool(self) -> None:
        try:
            with self._holding_spool() as is_mine:
                if is_mine:
                    self._spool.close()
        except OSError as error:
            self._on_trouble(write_failure(self.path, error))

    def tend(self) -> float | None:
        """Copy what waits, on the journal's thread; return the seconds until the next try."""
        if not self._drain.is_due():
            return RETRY_S
        try:
            self._drain.notice_removal()
            done = self.flush() and self._drain.recover_once()
        # The thread must outlive any failure.
        except Exception as error:  # noqa: BLE001
            self._drain.back_off()
            self._on_trouble(error)
            return RETRY_S
        return POLL_S if done else RETRY_S

    def _append(self, data: bytes, *, lasting: bool = False) -> None:
        # What waits in memory goes first.
        if self._memory.lines or self._memory.is_handing_over:
            self._memory.keep(data)
            self._empty_some_memory(lasting=lasting)
        elif not self._to_spool(data, lasting=lasting):
            self._memory.keep(data)

    def _empty_some_memory(self, *, lasting: bool) -> None:
        # Busy threads would fill the memory faster than the journal's thread alone empties it.
        if self._retry_at <= time.monotonic() and self._memory.hand_over_some(self._to_spool):
            segments = self._spool.segments[-1:]
            if lasting and segments:
                self._make_lasting(*segments)

    def _to_spool(self, data: bytes, *, lasting: bool = False) -> bool:
        me = threading.get_ident()
        # A signal handler that places an order would wait for the append that it has interrupted.
        if self._holder == me:
            return False
        # A signal handler that raises may do so at any instruction from the acquisition on.
        try:
            if not self._lock.acquire(timeout=LOCK_S):
                return False
            self._holder = me
            if not self._spool.segments:
                if self._retry_at > time.monotonic():
                    return False
                self._begin_spool()
            segment = self._spool.append(data)
            self._appended += data.count(b"\n")
        except OSError as error:
            self._postpone(error)
            return False
        finally:
            if self._holder == me:
                self._holder = None
            # No `suppress`: a handler might raise inside it, before the release.
            try:  # noqa: SIM105
                self._lock.release()
            except RuntimeError:
                pass
        return not lasting or self.sync != "power" or self._make_lasting(segment)

    def _make_lasting(self, segment: Segment) -> bool:
        # Without the lock, for it takes long.
        try:
            self._spool.make_lasting(segment)
        except OSError as error:
            self._postpone(error)
            return False
        return True

    def _postpone(self, error: OSError) -> None:
        # Reported by whoever flushes: an order must not wait for a log.
        self._retry_at = time.monotonic() + RETRY_S
        self._failure = error

    def _begin_spool(self) -> None:
        self._spool.begin()
        if not self._header:
            started = RunStarted(
                **describe_process(),
                sync=self.sync,
                account=self._account,
                configuration=self._configuration,
            )
            header = encode(started)
            self._header = header.decode()
            self._spool.append(compose(0, self._started, NAMES[RunStarted], ABOUT_NOTHING, header))
            self._appended += 1

    def _rotate_spool(self) -> None:
        """Begin another file where the current one is big, or was removed or truncated."""
        try:
            # Without the lock it might be closed meanwhile.
            with self._holding_spool() as is_mine:
                if not (is_mine and self._spool.wants_another()):
                    return
            another = self._spool.make_segment()
            with self._holding_spool() as is_mine:
                if is_mine:
                    self._spool.append_to(another)
                else:
                    another.remove()
        except OSError as error:
            self._postpone(error)

    @contextlib.contextmanager
    def _holding_spool(self) -> Iterator[bool]:
        """Hold the spool's lock; yield False where that fails, as in a signal handler during an append."""
        me = threading.get_ident()
        if self._holder == me:
            yield False
            return
        try:
            if self._lock.acquire(timeout=LOCK_S):
                self._holder = me
            yield self._holder == me
        finally:
            if self._holder == me:
                self._holder = None
            try:  # noqa: SIM105
                self._lock.release()
            except RuntimeError:
                pass

    def _wake(self) -> None:
        if self._writer.thread is not None:
            self._writer.wake(self)
        elif self._is_closed or exiting:
            self.close()
        elif self._writer.start():
            self._writer.wake(self)
        else:
            self.flush()

    def hold_for_fork(self, held: list[Releasable], until: float) -> None:  # noqa: ARG002 - see `acquire`
        """Close the database until after the fork; add the lock that keeps it closed to `held`."""
        # A child that inherits an open connection believes to hold SQLite's locks, which it does not: the
        # parent could remove the WAL that the child writes.
        lock = self._drain.acquire()
        if lock is not None:
            held.append(lock)
            with contextlib.suppress(Exception):
                self._drain.disconnect()

    def renew_after_fork(self) -> None:
        """Begin a new run in the child of a fork, and leave the parent's files as they are."""
        # Closing the parent's connection would corrupt its locks.
        if self._drain.connection is not None:
            inherited.append(self._drain.connection)
            self._drain.connection = None
        self._spool.close_files()
        self._begin_run()


def close_unused(drain: Drain, spool: Spool) -> None:
    """Close the files of a journal that was garbage-collected."""
    # There is nobody left to report a failure to.
    with contextlib.suppress(Exception):
        drain.disconnect()
    with contextlib.suppress(Exception):
        spool.close_files()
