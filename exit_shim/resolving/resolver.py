"""The thread that looks up orders in doubt, without delaying the bot."""

import itertools
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from exit_shim.clients.accounts import label_of
from exit_shim.clients.registry import can_be_cloned, clone_client
from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.events import Record, Resolution
from exit_shim.resolving.asking import Budget, ExchangeReader
from exit_shim.resolving.doubt import NANOSECONDS, PACE, Doubt, RetryPolicy
from exit_shim.resolving.weight import UsedWeights
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.service import Service

FIND_LEFT: Final = "look for orders that earlier runs left in doubt"

UNDER_WAY_NS: Final = 60 * NANOSECONDS
"""How long an order without an outcome counts as under way, and not as left by a dead process."""

MOST_DOUBTS: Final = 1_000
"""The most orders in doubt that one process looks up; others wait in the journal for the next run."""

Key: TypeAlias = tuple[str, int]
News: TypeAlias = "queue.SimpleQueue[tuple[Doubt | None, str, str | None] | None]"
"""A doubt, None for a new client; the key to ask with; and the account. None stops the thread."""


class StoppedError(Exception):
    """The resolver was stopped."""


class Resolver(Service):
    """Find out what became of orders in doubt, and record it.

    Its thread starts when there may be something to ask and ends when there is nothing left. It asks with a
    client of its own (`ClientClone`), takes no lock that an order waits for, and never places, changes or
    cancels anything.

    Args:
        left_behind: Returns the records in doubt of runs that have ended.
        namesakes: Returns the records of a client order id; None where they cannot be read now.
        write: Records a resolution of the order with this `run_id` and `seq`.
        tell: Called with each record that was resolved.
        give_up: Called with each record that cannot be resolved, and why.
        internal_errors: Reports failures of the resolver itself.
        pace: How patient it is.
        used: The request weight that others use; None: none.
    """

    thread_name = "exit-shim-resolver"
    # A request that is under way is not waited for.
    stop_s = 0.0

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        left_behind: Callable[[], Iterable[Record]],
        namesakes: Callable[[str], Iterable[Record] | None],
        write: Callable[[Resolution, str, int], object],
        tell: Callable[[Record], object],
        give_up: Callable[[Record, str], object],
        internal_errors: InternalErrors,
        pace: RetryPolicy = PACE,
        used: UsedWeights | None = None,
    ) -> None:
        self._left_behind = left_behind
        self._namesakes = namesakes
        self._write = write
        self._tell = tell
        self._give_up = give_up
        self._internal_errors = internal_errors
        self.pace = pace
        self._used = UsedWeights() if used is None else used
        super().__init__()

    def renew(self) -> None:
        """Forget everything: in the child of a fork, doubts, threads and sockets are the parent's."""
        super().renew()
        self._open_news()
        self._budget = Budget(self.pace.weight_a_minute)
        self._readers: dict[str, ExchangeReader] = {}
        self._known_keys: set[str] = set()
        self._doubts: dict[Key, tuple[Doubt, ExchangeReader]] = {}
        self._due: dict[Key, float] = {}
        self._last: threading.Thread | None = None

    def _open_news(self) -> None:
        # Nothing but a `SimpleQueue` may be used in a signal handler that interrupts its use.
        self._news: News = queue.SimpleQueue()
        # The thread waits without holding the resolver; so it is woken when nobody has that any more.
        weakref.finalize(self, self._news.put, None).atexit = False

    def add_client(self, client: Any, account: str | None) -> None:
        """Look up what earlier runs left in doubt of a new client's account; once for each key."""
        # The thread reads the journal, which may first have to copy a long spool.
        key = label_of(client)
        if account is None or key is None or key in self._known_keys:
            return
        if can_be_cloned(client):
            self._queue(client, key, None, account)

    def add_order(self, client: Any, record: Record) -> None:
        """Look up an order of this process if its outcome is unknown."""
        outcome = record.outcome
        if outcome is None or outcome.result != "unknown" or not record.seq:
            return
        key = label_of(client)
        if key is not None and can_be_cloned(client):
            doubt = Doubt(record, self.pace, time.monotonic())
            self._queue(client, key, doubt, record.intent.account)

    def stop(self) -> None:
        """Stop asking until something new is added; do not wait for a request that is under way."""
        with self._lock:
            if self.thread is not None:
                super().stop()

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        self._news.put(None)
        self._open_news()

    def end_at_exit(self, until: float) -> None:  # noqa: ARG002 - nothing is waited for
        """Stop asking: the next run looks up what is left."""
        self.stop()

    def is_busy(self) -> bool:
        """Return whether it still asks about something."""
        return self.thread is not None

    def open_doubts(self) -> list[tuple[Record, str]]:
        """Return the records that it still asks about, each with why it is in doubt."""
        return [(doubt.record, doubt.reason or "not asked yet") for doubt, _ in list(self._doubts.values())]

    def _read_left_by(self, account: str) -> list[Record]:
        records = (record for record in self._left_behind() if record.intent.account == account)
        return list(itertools.islice(records, MOST_DOUBTS))

    def _queue(self, client: Any, key: str, doubt: Doubt | None, account: str | None) -> None:
        reader = self._readers.get(key)
        if reader is None:
            used = self._used.at(exchange_of(key))
            reader = self._readers[key] = ExchangeReader(clone_client(client), self._budget, used)
        reader.watch(client)
        with self._lock:
            self._news.put((doubt, key, account))
            # At the interpreter's end no thread starts; the next run looks the orders up.
            self.start()

    # The thread

    @staticmethod
    def live(owner: "weakref.ref[Resolver]", stopped: threading.Event) -> None:
        """Look up orders in doubt until none is left."""
        resolver = owner()
        if resolver is None:
            return
        # Taken over before `stopped` is read: a thread that is late gets what belongs to the next one.
        news, before = resolver._take_over()  # noqa: SLF001 - this class's own thread
        readers = resolver._readers  # noqa: SLF001
        del resolver
        if stopped.is_set():
            return
        # A stopped thread may still wait for an answer on the same connection.
        if before is not None:
            before.join()
        try:
            look_up_all(owner, news)
        except StoppedError:
            pass
        finally:
            for reader in list(readers.values()):
                reader.close()

    def _take_over(self) -> tuple[News, threading.Thread | None]:
        """Return what this thread waits for, and the thread before it."""
        with self._lock:
            before, self._last = self._last, threading.current_thread()
            return self._news, before

    def _is_finished(self, news: News) -> bool:
        with self._lock:
            done = not self._doubts and news.empty()
            if done and self._news is news:
                self.thread = None
            return done

    def _pause(self) -> float:
        return max(min(self._due.values(), default=0.0) - time.monotonic(), 0.0)

    def _take_in(self, doubt: Doubt | None, key: str, account: str | None) -> None:
        """Add an order in doubt, and what earlier runs left in doubt of a new account."""
        if doubt is not None:
            self._add(doubt, key)
        if key not in self._known_keys and account is not None:
            self._known_keys.add(key)
            # Where that fails, this run's orders are still to be looked up.
            try:
                for record in self._read_left_by(account):
                    self._add(Doubt(record, self.pace), key)
            except Exception as error:  # noqa: BLE001
                self._internal_errors.report(FIND_LEFT, error)

    def _add(self, doubt: Doubt, key: str) -> None:
        name = doubt.record.run_id, doubt.record.seq
        if doubt.hopeless:
            self._report_hopeless(doubt)
        elif name not in self._doubts and len(self._doubts) < MOST_DOUBTS:
            self._doubts[name] = doubt, self._readers[key]
            self._due[name] = time.monotonic() + doubt.pause

    def _look_up_due(self, news: News) -> None:
        now = time.monotonic()
        for name in [
            name for name, due in sorted(self._due.items(), key=lambda entry: entry[1]) if due <= now
        ]:
            doubt, reader = self._doubts[name]
            resolution = None
            try:
                resolution = self._pursue(doubt, reader, news)
                if resolution is not None:
                    self._record(doubt, resolution)
            except StoppedError:
                raise
            # One order's failure must not stop the others.
            except Exception as error:  # noqa: BLE001
                self._internal_errors.report("look up an order in doubt", error)
                doubt.postpone("it could not be looked up")
            if resolution is None and doubt.hopeless:
                self._report_hopeless(doubt)
            if resolution is not None or doubt.hopeless:
                del self._doubts[name], self._due[name]
            else:
                self._due[name] = time.monotonic() + doubt.pause

    def _report_hopeless(self, doubt: Doubt) -> None:
        # A caller's failure must not stop the others.
        try:
            self._give_up(doubt.record, doubt.reason or "")
        except Exception as error:  # noqa: BLE001
            self._internal_errors.report("report an order that stays in doubt", error)

    def _pursue(self, doubt: Doubt, reader: ExchangeReader, news: News) -> Resolution | None:
        resolution = pursue(
            doubt, reader, self._namesakes, lambda seconds: wait(weakref.ref(self), news, seconds)
        )
        # Stopped meanwhile: the journal that it would write to may be closed.
        if self._news is not news:
            raise StoppedError
        return resolution

    def _record(self, doubt: Doubt, resolution: Resolution) -> None:
        """Record a resolution, and report it."""
        record = doubt.record
        self._write(resolution, record.run_id, record.seq)
        self._tell(msgspec.structs.replace(record, resolution=resolution))


def look_up_all(owner: "weakref.ref[Resolver]", news: News) -> None:
    """Look up each order in doubt when it is due, until none is left."""
    while (resolver := owner()) is not None and not resolver._is_finished(news):  # noqa: SLF001 - its thread
        pause = resolver._pause()  # noqa: SLF001
        # The thread must not keep the resolver alive.
        del resolver
        wait(owner, news, pause)
        if (resolver := owner()) is not None:
            resolver._look_up_due(news)  # noqa: SLF001
        del resolver


def wait(owner: "weakref.ref[Resolver]", news: News, seconds: float) -> None:
    """Sleep, and let the resolver take in what is queued meanwhile.

    Raises:
        StoppedError: The resolver was stopped, or nobody has it any more.
    """
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        try:
            item = news.get(timeout=left) if left > 0 else news.get_nowait()
        except queue.Empty:
            return
        resolver = owner()
        if item is None or resolver is None:
            raise StoppedError
        resolver._take_in(*item)  # noqa: SLF001 - this class's own thread
        del resolver


def pursue(
    doubt: Doubt,
    reader: ExchangeReader,
    namesakes: Callable[[str], Iterable[Record] | None],
    pause: Callable[[float], object] = time.sleep,
) -> Resolution | None:
    """Look up an order in doubt once, at the reader's pace; return what that proves, None for nothing yet."""
    named = () if doubt.name is None else namesakes(doubt.name)
    if named is None:
        doubt.postpone("the journal cannot be read now for other orders of its client order id")
        return None
    others, now = [record for record in named if doubt.is_other(record)], time.time_ns()
    if any(other.outcome is None and now - other.intent.ts < UNDER_WAY_NS for other in others):
        doubt.postpone("another order of the same client order id is under way")
        return None
    age_s = doubt.age_s(now, time.monotonic())
    looking = doubt.inquire(now, age_s, taken_numbers(others), reader.clone.offset_ms)
    reply = None
    try:
        while True:
            question = looking.send(reply)  # type: ignore[arg-type] # None begins a generator
            while (seconds := reader.wait_s(question.weight)) > 0:
                pause(seconds)
            reply = reader.ask(question)
    except StopIteration as done:
        resolution: Resolution | None = done.value
        return resolution


def taken_numbers(others: Iterable[Record]) -> frozenset[int]:
    """Return the numbers of the orders that certainly are these records'."""
    return frozenset(
        number
        for other in others
        for proof in (other.outcome, other.resolution)
        if proof is not None and proof.result == "accepted"
        for number in (proof.order_id, proof.algo_id)
        if number is not None
    )
