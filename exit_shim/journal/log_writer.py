"""Appending to the journal: never in the way of an order, whatever the files do."""

import contextlib
import itertools
import math
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from exit_shim.domain.events import Intent, Lost, Outcome, RunEnded
from exit_shim.journal.drain import RETRY_S, Drain, complaint
from exit_shim.journal.fork_and_exit import exiting, inherited, journals
from exit_shim.journal.ingest import RunOrigin
from exit_shim.journal.line_format import NOTHING, EventName, compose
from exit_shim.journal.overflow import Overflow
from exit_shim.journal.rows import encode
from exit_shim.journal.run_header import make_header
from exit_shim.journal.schema import JournalError
from exit_shim.journal.spool import Segment, Spool, Sync
from exit_shim.journal.writer_thread import WriterThread

LOCK_S: Final = 0.1
"""The longest that one append waits for this process's other threads."""

LOOK_S: Final = 1.0
"""How often the journal's thread looks for orders that wait for their answers."""

CLOSE_S: Final = 1.0
"""The longest that closing moves what waits, or waits for another process's lock; no order waits for it."""

ABOUT_NOTHING: Final = NOTHING.encode()


class Health(NamedTuple):
    """How the journal fares: events that are not in the database yet, and those lost.

    `waiting` counts those in the spool, which are safe, and those in memory, which `in_memory` counts.
    """

    path: str
    waiting: int
    in_memory: int
    dropped: int
    last_error: str | None


class Journal:
    """Appends to the run's spool; thread-safe, begun anew after `fork`, never slower than a stated bound.

    An event is in the spool when the call returns, and in the database a moment later, by a thread of the
    journal's own. What the spool does not take at once waits in memory, bounded, and is retried; nothing
    here raises.

    Args:
        path: The database; it and its folder are created, readable by their owner alone.
        on_trouble: Told of each failure to write.
        sync: "process": an intent survives the death of the process at any instant, though not the loss of
            power. "power": that too, at the price of one `fdatasync` an order, before it leaves.
        about_run: What the run's header is to say besides host, process and versions; JSON-ready.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        on_trouble: Callable[[Exception], None] | None = None,
        *,
        sync: Sync = "process",
        about_run: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - Path's own raises where the folder is gone
        self.sync = sync
        self._on_trouble = on_trouble or (lambda _: None)
        self._about_run = {**(about_run or {}), "sync": sync}
        self._begin_run()
        journals.add(self)

    def _begin_run(self) -> None:
        """A fresh run: at the start, and in a child after `fork`, where nothing of the parent's is usable."""
        self.run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._started = time.time_ns()
        self._header = ""
        self._seqs = itertools.count(1)
        self._unused: list[int] = []
        self._lock = threading.RLock()  # of whose holder it is known whether it is this thread
        self._holder: int | None = None
        self._spool = Spool(self.path, self.run_id, self.sync)
        self._retry_at = 0.0
        self._failure: OSError | None = None
        self._appended = 0
        self._memory = Overflow()
        origin = partial(Journal.origin, weakref.proxy(self))
        self._mover = Drain(self.path, self._spool, origin, self._memory.lose, self._on_trouble)
        # Not `__del__`: in a circle the connection may be finalized before it, and warns that it is open.
        weakref.finalize(self, let_go, self._mover, self._spool).atexit = False
        self._writer: WriterThread | None = None
        self._hiring = threading.RLock()

    def origin(self) -> RunOrigin:
        """What the run's row is to say."""
        return RunOrigin(self.run_id, self._started, self._header or "{}")

    def open(self) -> None:
        """Begin the run now, not at the first order; a failure is told to `on_trouble` and retried later."""
        self._to_spool(b"")
        self._wake()

    @property
    def is_open(self) -> bool:
        """Whether it has files of its run open."""
        return bool(self._spool.segments)

    def intend(self, intent: Intent) -> int:
        """Write down an order about to leave; returns its `seq` in this run."""
        body = encode(intent)
        seq = next(self._seqs)  # as late as can be: `verify` misses a number that no event has
        self._append(compose(seq, intent.ts, b"intent", ABOUT_NOTHING, body), lasting=True)
        return seq

    def conclude(self, seq: int, outcome: Outcome) -> None:
        """Write down what came of the order that `intend` numbered `seq`."""
        body = encode(outcome)
        self._append(compose(next(self._seqs), time.time_ns(), b"outcome", b"%d" % seq, body))
        self._wake()

    def note(self, event: EventName, body: msgspec.Struct, about: tuple[str, int] | None = None) -> int:
        """Write down any other event; `about` is the run and number of the intent that it is about."""
        subject = ABOUT_NOTHING if about is None else f"{about[0]}:{about[1]}".encode()
        written = encode(body)
        seq = next(self._seqs)
        self._append(compose(seq, time.time_ns(), event.encode(), subject, written))
        self._wake()
        return seq

    def end(self) -> None:
        """Write down that the process ends, if the run has begun."""
        if self._appended:
            self.note("run_ended", RunEnded(self._appended))

    def flush(self, seconds: float = math.inf) -> bool:
        """Move all that waits into the database, now; False where it does not take it, or not in time."""
        self._go_on_where_it_can()
        spooled = self._empty_memory(self._to_spool)
        done = self._mover.flush(seconds) and (spooled or self._empty_memory(self._mover.add))
        failure, self._failure = self._failure, None
        if failure is not None:
            self._on_trouble(complaint(self.path, failure))
        return done

    def _empty_memory(self, take: Callable[[bytes], bool]) -> bool:
        """Give away what waits in memory, and then the number of those that had to be dropped from it."""
        if not self._memory.hand_over(take):
            return False
        lost = self._memory.untold
        if lost:
            body, seq = encode(Lost("neither the spool nor the database kept them", lost)), self._number()
            if not take(compose(seq, time.time_ns(), b"lost", ABOUT_NOTHING, body)):
                self._unused.append(seq)  # this is tried each second for as long as nothing is taken
                return False
            self._memory.told(lost)
        return True

    def _number(self) -> int:
        """The next number, or one that was taken and not used."""
        try:
            return self._unused.pop()
        except IndexError:
            return next(self._seqs)

    def health(self) -> Health:
        """What is waiting and what was lost, for summaries."""
        in_memory = len(self._memory)
        waiting = self._spool.waiting() + in_memory
        return Health(str(self.path), waiting, in_memory, self._memory.dropped, self._mover.last_error)

    def close(self) -> None:
        """Move what is waiting, as far as the database takes it in a second, and let go of the files.

        What it does not take stays in the spool, for whoever opens the journal next. An order opens all anew.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()
        deadline = time.monotonic() + CLOSE_S
        while not self.flush(deadline - time.monotonic()) and time.monotonic() < deadline:
            if "locked" not in (self._mover.last_error or ""):
                break
            time.sleep(CLOSE_S / 20)
        self._mover.let_go()
        with self._having_spool() as is_mine:
            if is_mine:
                self._spool.close()
        if self._memory:
            self._on_trouble(
                JournalError(
                    f"{len(self._memory)} events are in memory alone, since neither the journal {self.path} "
                    "nor its spool takes them: they are lost if the process ends now"
                )
            )

    def tend(self) -> float | None:
        """What the journal's thread does between orders; the seconds after which it comes back unasked."""
        if not self._mover.is_due():
            return RETRY_S
        try:
            self._mover.notice_removal()
            done = self.flush() and self._mover.take_up_once()
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
            self._mover.rest()
            self._on_trouble(error)
            return RETRY_S
        return LOOK_S if done else RETRY_S

    def _append(self, data: bytes, *, lasting: bool = False) -> None:
        if self._memory:  # what waits there goes first
            self._memory.keep(data)
            self._help_out(lasting=lasting)
        elif not self._to_spool(data, lasting=lasting):
            self._memory.keep(data)

    def _help_out(self, *, lasting: bool) -> None:
        """Move on some of what waits in memory: busy threads would fill it faster than one empties it."""
        if self._retry_at <= time.monotonic() and self._memory.help_out(self._to_spool):
            segments = self._spool.segments[-1:]
            if lasting and segments:
                self._is_lasting(*segments)

    def _to_spool(self, data: bytes, *, lasting: bool = False) -> bool:
        me = threading.get_ident()
        if self._holder == me:  # a signal handler places an order: it would wait for what it has interrupted
            return False
        try:  # a signal handler that raises may do so as soon as the lock is had
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
            self._give_up(error)
            return False
        finally:
            if self._holder == me:
                self._holder = None
            try:  # noqa: SIM105 - the first call is to be the release: amid another the handler might raise
                self._lock.release()
            except RuntimeError:  # it was not had
                pass
        return not lasting or self._is_lasting(segment)

    def _is_lasting(self, segment: Segment) -> bool:
        """Have what was appended on the disk, if that is wished for; without the lock, for it takes long."""
        try:
            self._spool.make_lasting(segment)
        except OSError as error:
            self._give_up(error)
            return False
        return True

    def _give_up(self, error: OSError) -> None:
        """Leave the spool alone for a while; whoever flushes tells, for an order must not wait for a log."""
        self._retry_at = time.monotonic() + RETRY_S
        self._failure = error

    def _begin_spool(self) -> None:
        self._spool.begin()
        if not self._header:
            self._header = msgspec.json.encode({**make_header(), **self._about_run}).decode()
            self._spool.append(
                compose(0, self._started, b"run_started", ABOUT_NOTHING, self._header.encode())
            )
            self._appended += 1

    def _go_on_where_it_can(self) -> None:
        """Begin another file where the spool's is big, or where somebody has taken it away or cut it."""
        try:
            with self._having_spool() as is_mine:  # else it might be closed amid the looking
                if not (is_mine and self._spool.wants_another()):
                    return
            another = self._spool.another()
            with self._having_spool() as is_mine:
                if is_mine:
                    self._spool.go_on_in(another)
                else:
                    another.remove()
        except OSError as error:
            self._give_up(error)

    @contextlib.contextmanager
    def _having_spool(self) -> Iterator[bool]:
        """Have the spool to oneself; False where that cannot be, as in a signal handler amid an append."""
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
            try:  # noqa: SIM105 - as above
                self._lock.release()
            except RuntimeError:
                pass

    def _wake(self) -> None:
        writer = self._writer or self._hire()
        if writer is not None:
            writer.wake(self)
        elif exiting.is_set():
            self.close()
        else:
            self.flush()

    def _hire(self) -> WriterThread | None:
        """A writer, or None where no thread can be had: none left, or the interpreter is on its way out."""
        if exiting.is_set():
            return None
        try:
            with self._hiring:  # else each of many threads at once would have one, and they would never end
                writer = self._writer = self._writer or WriterThread(self)
        except RuntimeError:
            return None
        return writer

    def let_go_for_fork(self, held: list[threading.Lock]) -> None:
        """Close the database, and keep it closed until after the fork.

        A child that inherits an open connection inherits SQLite's belief that this process has its locks,
        which it has not: its parent could then take away the WAL that the child writes.
        """
        lock = self._mover.acquire()
        if lock is not None:
            held.append(lock)
            with contextlib.suppress(Exception):
                self._mover.disconnect()

    def abandon(self) -> None:
        """In a child after `fork`: leave the parent's connection untouched; closing it corrupts its locks."""
        if self._mover.connection is not None:
            inherited.append(self._mover.connection)
            self._mover.connection = None
        self._spool.let_go()
        self._begin_run()


def let_go(mover: Drain, spool: Spool) -> None:
    """Close what a journal had open that nobody has any more."""
    with contextlib.suppress(Exception):  # a disk's trouble; nobody is there to be told
        mover.disconnect()
    with contextlib.suppress(Exception):
        spool.let_go()
