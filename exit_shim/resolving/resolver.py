"""The thread that asks about orders in doubt, beside the bot and never in its way."""

import atexit
import contextlib
import itertools
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from exit_shim.clients.accounts import label_of
from exit_shim.clients.hosts import exchange_of
from exit_shim.clients.registry import can_be_cloned, clone_client
from exit_shim.domain.events import Record, Resolution
from exit_shim.resolving.asking import Budget, ExchangeReader
from exit_shim.resolving.doubt import NANOSECONDS, PACE, Doubt, RetryPolicy
from exit_shim.resolving.weight import UsedWeights
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.reentrancy import ReentrantState

THREAD: Final = "exit-shim-resolver"
TAKE_UP: Final = "look for orders that earlier runs left in doubt"

UNDER_WAY_NS: Final = 60 * NANOSECONDS
"""How long another order without an outcome counts as on its way, and not as left by a dead process."""

MOST_CASES: Final = 1_000
"""Orders in doubt that one process keeps in mind; what is beyond waits in the journal for the next run."""

Key: TypeAlias = tuple[str, int]
News: TypeAlias = "queue.SimpleQueue[tuple[Doubt | None, str, str | None] | None]"
"""A case, None for a client that appeared; the key that it is asked with; and the account. None: stop."""


class StoppedError(Exception):
    """The resolver was told to stop."""


class Resolver(ReentrantState):
    """Finds out what became of orders in doubt, and has it written down.

    Its thread is started when there may be something to ask, and ends when there is nothing more. It asks
    with a client of its own (see `Sibling`), takes no lock that an order waits for, and never places, changes
    or cancels anything.

    Args:
        left_behind: The records in doubt of runs that have ended.
        namesakes: The records of a client order id; None where they cannot be told now.
        write: Writes a resolution down, of the record with this `run_id` and `seq`.
        tell: Told of each record that was resolved.
        give_up: Told of each record that cannot be, and why.
        troubles: Takes note of what fails in the resolver itself.
        pace: How patient it is.
        used: The request weight that is used; None: only what it uses itself.
    """

    def __init__(  # noqa: PLR0913 - all by name: what it must not know it is given
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
        super().__init__()
        self._left_behind = left_behind
        self._namesakes = namesakes
        self._write = write
        self._tell = tell
        self._give_up = give_up
        self._internal_errors = internal_errors
        self.pace = pace
        self._used = UsedWeights() if used is None else used
        self.begin()
        _resolvers.add(self)

    def begin(self) -> None:
        """Know nothing, as in a new process: a parent's doubts, threads and sockets are its own."""
        # The one means of threading that a signal handler may use amid its own use.
        self._news: News = queue.SimpleQueue()
        self._budget = Budget(self.pace.weight_a_minute)
        self._askers: dict[str, ExchangeReader] = {}
        self._met: set[str] = set()
        self._cases: dict[Key, tuple[Doubt, ExchangeReader]] = {}
        self._due: dict[Key, float] = {}
        self._thread: threading.Thread | None = None
        self._last: threading.Thread | None = None

    def meet(self, client: Any, account: str | None) -> None:
        """A client appeared: what earlier runs left in doubt of its account is taken up; once for each key.

        On the thread: there may be a long spool to move, or an old journal to bring forward.
        """
        key = label_of(client)
        if account is None or key is None or key in self._met:
            return
        if can_be_cloned(client):
            self._take(client, key, None, account)

    def heard(self, client: Any, record: Record) -> None:
        """An order of this process was concluded through `client`."""
        known = record.outcome
        if known is None or known.result != "unknown" or not record.seq:
            return
        key = label_of(client)
        if key is not None and can_be_cloned(client):
            case = Doubt(record, self.pace, time.monotonic())
            self._take(client, key, case, record.intent.account)

    def stop(self) -> None:
        """Ask no more, until something new is heard; a request that is under way is not waited for."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._news.put(None)
                self._news = queue.SimpleQueue()

    def busy(self) -> bool:
        """Whether there is something that it still asks about."""
        return self._thread is not None

    def open_cases(self) -> list[tuple[Record, str]]:
        """What it still asks about, each with the reason why that is in doubt."""
        return [(case.record, case.reason or "not asked yet") for case, _ in list(self._cases.values())]

    def _left_by(self, account: str) -> list[Record]:
        found = (record for record in self._left_behind() if record.intent.account == account)
        return list(itertools.islice(found, MOST_CASES))

    def _take(self, client: Any, key: str, case: Doubt | None, account: str | None) -> None:
        asker = self._askers.get(key)
        if asker is None:
            used = self._used.at(exchange_of(key))
            asker = self._askers[key] = ExchangeReader(clone_client(client), self._budget, used)
        asker.watch(client)
        with self._lock:
            self._news.put((case, key, account))
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        news, before = self._news, self._last
        thread = threading.Thread(target=self._run, args=(news, before), name=THREAD, daemon=True)
        with contextlib.suppress(RuntimeError):  # none starts at the interpreter's end; the journal knows
            thread.start()
            self._thread = self._last = thread

    # The thread

    def _run(self, news: News, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # told to stop, it may still wait for an answer on the same connection
        try:
            while not self._is_done(news):
                self._wait(news, self._pause())
                self._look_at_what_is_due(news)
        except StoppedError:
            pass
        finally:
            for asker in list(self._askers.values()):
                asker.close()

    def _is_done(self, news: News) -> bool:
        with self._lock:
            done = not self._cases and news.empty()
            if done and self._news is news:
                self._thread = None
            return done

    def _pause(self) -> float:
        return max(min(self._due.values(), default=0.0) - time.monotonic(), 0.0)

    def _wait(self, news: News, seconds: float) -> None:
        """Sleep, and take in what is heard meanwhile."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            try:
                heard = news.get(timeout=max(left, 0)) if left > 0 else news.get_nowait()
            except queue.Empty:
                return
            if heard is None:
                raise StoppedError
            case, key, account = heard
            if case is not None:
                self._note(case, key)
            if key not in self._met and account is not None:
                self._met.add(key)
                try:
                    for record in self._left_by(account):
                        self._note(Doubt(record, self.pace), key)
                except Exception as error:  # noqa: BLE001 - this run's orders are still to be asked about
                    self._internal_errors.report(TAKE_UP, error)

    def _note(self, case: Doubt, key: str) -> None:
        name = case.record.run_id, case.record.seq
        if case.hopeless:
            self._say_why(case)
        elif name not in self._cases and len(self._cases) < MOST_CASES:
            self._cases[name] = case, self._askers[key]
            self._due[name] = time.monotonic() + case.pause

    def _look_at_what_is_due(self, news: News) -> None:
        now = time.monotonic()
        for name in [name for name, due in sorted(self._due.items(), key=lambda one: one[1]) if due <= now]:
            case, asker = self._cases[name]
            resolution = None
            try:
                resolution = self._pursue(case, asker, news)
                if resolution is not None:
                    self._settle(case, resolution)
            except StoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - one order's trouble is not another's
                self._internal_errors.report("look up an order in doubt", error)
                case.put_off("it could not be looked up")
            if resolution is None and case.hopeless:
                self._say_why(case)
            if resolution is not None or case.hopeless:
                del self._cases[name], self._due[name]
            else:
                self._due[name] = time.monotonic() + case.pause

    def _say_why(self, case: Doubt) -> None:
        try:
            self._give_up(case.record, case.reason or "")
        except Exception as error:  # noqa: BLE001 - the other orders in doubt are still to be asked about
            self._internal_errors.report("say what stays in doubt", error)

    def _pursue(self, case: Doubt, asker: ExchangeReader, news: News) -> Resolution | None:
        found = pursue(case, asker, self._namesakes, lambda seconds: self._wait(news, seconds))
        if self._news is not news:  # stopped meanwhile: what it would write to may be closed
            raise StoppedError
        return found

    def _settle(self, case: Doubt, resolution: Resolution) -> None:
        """Write down what was found, and tell."""
        record = case.record
        self._write(resolution, record.run_id, record.seq)
        self._tell(msgspec.structs.replace(record, resolution=resolution))


def pursue(
    case: Doubt,
    asker: ExchangeReader,
    namesakes: Callable[[str], Iterable[Record] | None],
    wait: Callable[[float], object] = time.sleep,
) -> Resolution | None:
    """Look once for an order in doubt, at the asker's pace; what that proves, None for nothing yet."""
    named = () if case.name is None else namesakes(case.name)
    if named is None:
        case.put_off("whose other orders have its client order id cannot be read in the journal now")
        return None
    others, now = [record for record in named if case.is_other(record)], time.time_ns()
    if any(other.outcome is None and now - other.intent.ts < UNDER_WAY_NS for other in others):
        case.put_off("another order of the same client order id is under way")
        return None
    age_s = case.age_s(now, time.monotonic())
    looking = case.inquire(now, age_s, taken(others), asker.clone.offset_ms)
    reply = None
    try:
        while True:
            question = looking.send(reply)  # type: ignore[arg-type] # None begins a generator
            while (seconds := asker.wait_s(question.weight)) > 0:
                wait(seconds)
            reply = asker.ask(question)
    except StopIteration as done:
        found: Resolution | None = done.value
        return found


def taken(others: Iterable[Record]) -> frozenset[int]:
    """Numbers of the orders that are proved to be these records'."""
    return frozenset(
        number
        for other in others
        for known in (other.outcome, other.resolution)
        if known is not None and known.result == "accepted"
        for number in (known.order_id, known.algo_id)
        if number is not None
    )


_resolvers: weakref.WeakSet[Resolver] = weakref.WeakSet()


def _stop_all() -> None:
    for resolver in list(_resolvers):
        resolver.stop()


def _begin_all() -> None:
    for resolver in list(_resolvers):
        resolver.begin()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)
