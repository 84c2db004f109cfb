"""Off the order path: switches, what other processes do, and what should have happened by now."""

import contextlib
import getpass
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from exit_shim.domain.events import (
    DECODERS,
    GuardFinding,
    Intent,
    Outcome,
    Record,
    Resolution,
    Switch,
)
from exit_shim.domain.orders import Reference
from exit_shim.domain.reason_codes import STRIPPED, UNKNOWN_MODE
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import Reason
from exit_shim.guard.book import Book
from exit_shim.guard.judge import Guard
from exit_shim.journal import Journal, JournalError
from exit_shim.journal.follow import Follower, News

POLL_S: Final = 0.25
"""How often the journal is looked at: a switch reaches every process well within a second."""

STOP_S: Final = 1.0
"""The longest that `stop` waits for a round of the thread to end."""

LOOK_WAITS_S: Final = 2.0
"""How long a look at the journal waits for another one, which may wait for who is looking."""

FRESH_S: Final = 1.0
"""Before an order is held back, the switches have been looked at no longer ago than this."""

TAKEN_UP_NS: Final = 24 * 3600 * 1_000_000_000
"""How far back the book is taken up at the start; older orders are looked up by their ids when asked for."""

MAX_PENDING: Final = 10_000
STRIPPED_WITHIN_S: Final = 5.0


def off_file(journal: Path) -> Path:
    """The file whose being there switches enforcement off, whatever else the journal says."""
    return journal.with_name(f"{journal.name}.enforce-off")


class ProcessFeed:
    """Keeps a guard up to date from a thread of its own, which starts with the first order.

    Args:
        guard: Whose switches and book to keep.
        journal: What to follow; None: only time is watched.
        on_finding: Told of what is found without an order.
        on_trouble: Told of what fails in the thread; it goes on.
    """

    def __init__(
        self,
        guard: Guard,
        journal: Journal | None,
        on_finding: Callable[[GuardFinding], None],
        on_trouble: Callable[[str, Exception], None],
    ) -> None:
        self._guard = guard
        self._journal = journal
        self._on_finding = on_finding
        self._on_trouble = on_trouble
        self._follower = None if journal is None else Follower(journal.path)
        self._pending: OrderedDict[tuple[str, int], RecordedEvent] = OrderedDict()
        self._begun = False
        self._looked = 0.0
        self._start_anew()
        _watchers.add(self)
        guard.book.trust.is_behind = journal is not None
        guard.book.expects = guard.enforces
        if guard.enforces:
            guard.book.catch_up = self.catch_up
        if journal is not None:
            guard.simulated.recall = self.recall

    def _start_anew(self) -> None:
        self._lock = threading.RLock()
        self._taking_up = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def begin(self) -> None:
        """Take the switches as the journal has them; the book follows with the thread."""
        with self._lock:
            if self._begun or self._follower is None:
                return
            self._see_off_file()
            with contextlib.suppress(JournalError):  # the journal itself says what is wrong with it
                for body in self._follower.skip_to_end():
                    self._turn(body)
                self._begun = True

    def run(self) -> None:
        """Have the thread run, if it does not."""
        if self._thread is None:
            with (
                self._lock,
                contextlib.suppress(RuntimeError),
            ):  # no more threads: what is denied looks itself
                if self._thread is None:
                    thread = threading.Thread(
                        target=_watch,
                        args=(weakref.ref(self), self._stopped),
                        name="exit-shim-guard",
                        daemon=True,
                    )
                    thread.start()
                    self._thread = thread

    def on(self, recorded: RecordedEvent) -> None:
        """Take an outcome: from now on there is something to watch, after a fork too."""
        if self._thread is None:
            self.run()
        if self._guard.enforces and self._guard.simulated and may_rest(recorded):
            intent = recorded.intent
            assert intent is not None  # noqa: S101 - `may_rest` has seen it
            self._guard.simulated.forget(intent.account, intent.order)

    def stop(self) -> None:
        """End the thread, waiting a second for its round to end; a later order starts another one."""
        self._stopped.set()
        thread, self._thread, self._stopped = self._thread, None, threading.Event()
        # What a round finds after the journal was closed would open it again.
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_S)

    def switch(self, switch: Switch) -> None:
        """Turn a switch here, and by way of the journal everywhere."""
        if self._journal is not None:
            turn(self._journal, switch)
            self._see_off_file()
        self._guard.switches.turn(switch)

    def refresh(self) -> None:
        """Look at the switches, if nobody did of late: nothing is denied on an old word."""
        if time.monotonic() - self._looked > FRESH_S:
            self.look()

    def look(self) -> None:
        """Take in what is new; not where that takes long, for an order may wait for it.

        Nor where this very thread has interrupted the holder of a lock that the other one waits for: a signal
        handler may place an order.
        """
        if not self._lock.acquire(timeout=LOOK_WAITS_S):
            return
        try:
            self.begin()
            self._looked = time.monotonic()
            self._see_off_file()
            if self._follower is not None and self._journal is not None and self._begun:
                with contextlib.suppress(JournalError):
                    for news in self._follower.read_new(self._journal.run_id):
                        self._take(news)
        finally:
            self._lock.release()

    def look_back(self) -> None:
        """Take up the orders of earlier runs, and of others that run."""
        if self._follower is None or self._journal is None:
            return
        since = time.time_ns() - TAKEN_UP_NS
        with contextlib.suppress(JournalError):
            take_up(self._guard.book, self._follower.read_records(since_ns=since), self._journal.run_id)

    def catch_up(self, account: str | None, reference: Reference | None) -> None:
        """What the book lacks of an order that is asked about: news, and then the journal's index."""
        self.look()
        if reference is None:
            self.take_up_earlier()  # a cancel-all names nothing that could be looked up
            return
        if self._follower is None or self._journal is None:
            return
        live = self._guard.book.find_live(account, reference)
        if live is not None and live.target.module is not None:
            return
        name = reference.algo_id or reference.order_id or reference.client_order_id
        if name is None or (isinstance(name, int) and name < 0):
            return
        with contextlib.suppress(JournalError):
            take_up(self._guard.book, self._follower.read_records(named=str(name)), self._journal.run_id)

    def recall(self, name: str) -> list[Record]:
        """What the journal has of an id; nothing where it cannot be read."""
        with contextlib.suppress(JournalError):
            return [] if self._follower is None else self._follower.read_records(named=name)
        return []

    def take_up_earlier(self) -> None:
        """Take up, once, what `look_back` does; who comes in between waits for it, but not for long."""
        if not self._taking_up.acquire(timeout=LOOK_WAITS_S):
            return
        try:
            if self._guard.book.trust.is_behind and (self._begun or self._journal is None):
                self.look_back()
                self._guard.book.trust.is_behind = False
        finally:
            self._taking_up.release()

    def check_time(self) -> None:
        """Say what should have happened by now and has not: each once."""
        book, now = self._guard.book, time.monotonic()
        book.admit()
        for symbol, reason in self._guard.delegations.gaps(book):
            self._on_finding(GuardFinding(reason, symbol))
        within = self._guard.compiled_policy.rule(STRIPPED).within_s or STRIPPED_WITHIN_S
        for position, since in book.lost_stops():
            if now - since >= within and book.pop_lost_stop(position):
                facts = {
                    "position_side": position.position_side,
                    "side": str(position.side),
                    "within_s": f"{within:g}",
                }
                self._on_finding(GuardFinding(Reason(STRIPPED, facts), position.symbol, position.account))

    def tick(self) -> None:
        """One round of the thread."""
        try:
            self.look()
            self.take_up_earlier()
            self.check_time()
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
            self._on_trouble("watch the journal", error)

    def _expire(self, intent: Intent) -> None:
        """Another process has sent something, or has heard the answer."""
        if not intent.verdict.is_held:
            self._guard.snapshots.expire(intent.account, intent.order.symbol)

    def _see_off_file(self) -> None:
        if self._journal is not None:
            self._guard.switches.force_off(off_file(self._journal.path).exists())

    def _turn(self, body: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):  # a later release's
            switch = DECODERS[Switch].decode(body)
            if switch.mode and switch.mode not in self._guard.compiled_policy.modes:
                self._on_finding(GuardFinding(Reason(UNKNOWN_MODE, {"mode": switch.mode, "by": switch.by})))
                switch = msgspec.structs.replace(switch, mode=None)
            self._guard.switches.turn(switch)

    def _take(self, news: News) -> None:
        if news.event == "switch":
            self._turn(news.body)
            return
        with contextlib.suppress(msgspec.DecodeError):
            if news.event == "intent":
                self._take_intent(news)
            else:
                self._take_outcome(news)

    def _take_intent(self, news: News) -> None:
        intent = DECODERS[Intent].decode(news.body)
        recorded = RecordedEvent(news.run_id, news.seq, intent)
        recorded.leaves = not intent.verdict.is_held
        self._expire(intent)
        self._guard.book.fold(recorded)
        self._pending[news.run_id, news.seq] = recorded
        while len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)

    def _take_outcome(self, news: News) -> None:
        run_id, _, seq = (news.about or "").rpartition(":")
        key = (run_id or news.run_id, int(seq)) if seq.isdigit() else None
        about = None if key is None else self._pending.get(key)
        if key is None or about is None or about.intent is None:
            return
        self._expire(about.intent)
        event: Outcome | Resolution
        if news.event == "outcome":
            event = DECODERS[Outcome].decode(news.body)
        else:
            event = DECODERS[Resolution].decode(news.body)
        if event.result != "unknown":
            del self._pending[key]
        self._guard.book.fold(RecordedEvent(news.run_id, news.seq, event, about))


def may_rest(recorded: RecordedEvent) -> bool:
    """Return whether an outcome leaves an order that may rest at the exchange now."""
    intent, event = recorded.intent, recorded.event
    return (
        intent is not None
        and intent.operation == "place"
        and isinstance(event, Outcome)
        and event.result in {"accepted", "unknown"}
    )


def turn(journal: Journal, switch: Switch) -> bool:
    """Turn a switch in every process of a journal; False where nothing of it could be written.

    `off` is a file beside the journal first: it works where the journal takes nothing.
    """
    done = False
    path = off_file(journal.path)
    with contextlib.suppress(OSError):
        if switch.enforce == "off":
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            done = True
        elif switch.enforce == "on":
            path.unlink(missing_ok=True)
    journal.append(switch)
    return journal.flush() or done


def who() -> str:
    """The user that this process runs as, and its number."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(getattr(os, "getuid", lambda: "unknown")())
    return f"{name} (pid {os.getpid()})"


def take_up(book: Book, records: Iterable[Record], own_run: str) -> None:
    """Let a book learn from records of other runs, oldest first, and from what this run cancelled."""
    for record in records:
        if record.run_id == own_run and record.intent.operation != "cancel":
            continue
        event = record.resolution or record.outcome
        if event is not None:
            about = RecordedEvent(record.run_id, record.seq, record.intent)
            book.fold(RecordedEvent(record.run_id, record.seq, event, about))


_watchers: weakref.WeakSet[ProcessFeed] = weakref.WeakSet()


def _watch(watched: "weakref.ref[ProcessFeed]", stopped: threading.Event) -> None:
    """Watch until stopped; the thread does not keep its watcher alive."""
    while (watcher := watched()) is not None:
        watcher.tick()
        del watcher
        if stopped.wait(POLL_S):
            return


def _after_fork_in_child() -> None:
    for watcher in list(_watchers):
        watcher._start_anew()  # noqa: SLF001 - the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
