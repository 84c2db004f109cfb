"""Follow the journal for switches and for what other processes do, and watch what is overdue."""

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

from exit_shim.domain.accounts import exchange_of, is_on_loopback
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
from exit_shim.runtime.service import Service

POLL_S: Final = 0.25
"""How often the journal is read: a switch reaches every process well within a second."""

LOCK_S: Final = 2.0
"""How long reading the journal waits for another thread that reads it."""

FRESH_S: Final = 1.0
"""Before an order is held back, switches that were read longer ago than this are read again."""

TAKEN_UP_NS: Final = 24 * 3600 * 1_000_000_000
"""How far back the book learns at the start; older orders are looked up by their ids when asked for."""

MAX_PENDING: Final = 10_000
STRIPPED_WITHIN_S: Final = 5.0


def off_file(journal: Path) -> Path:
    """Return the file that switches enforcement off while it exists, whatever the journal says."""
    return journal.with_name(f"{journal.name}.enforce-off")


class ProcessFeed(Service):
    """Keep a guard up to date on a thread that starts with the first order.

    Args:
        guard: Whose switches and book to keep.
        journal: What to follow; None: only time is watched.
        on_finding: Called with each finding that is about no single order.
        on_trouble: Called with what fails on the thread; the thread goes on.
    """

    thread_name = "exit-shim-guard"

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
        self._own_accounts: dict[str | None, bool] = {}
        self._has_begun = False
        self._read_at = 0.0
        super().__init__()
        guard.book.trust.is_behind = journal is not None
        guard.book.expects = guard.enforces
        if guard.enforces:
            guard.book.catch_up = self.catch_up
        if journal is not None:
            guard.simulated.recall = self.recall

    def renew(self) -> None:
        """Begin with no thread, and with locks that nobody holds."""
        super().renew()
        self._reading_earlier = threading.RLock()

    @staticmethod
    def live(owner: "weakref.ref[ProcessFeed]", stopped: threading.Event) -> None:
        """Read the journal and the clock several times a second."""
        while (feed := owner()) is not None:
            feed.run_once()
            # The thread must not keep the feed alive.
            del feed
            if stopped.wait(POLL_S):
                return

    def read_switches(self) -> None:
        """Take the switches as the journal has them, once; the book follows with the thread."""
        with self._lock:
            if self._has_begun or self._follower is None:
                return
            self._read_off_file()
            # The journal itself reports what is wrong with it.
            with contextlib.suppress(JournalError):
                for body in self._follower.skip_to_end():
                    self._turn(body)
                self._has_begun = True

    def on(self, recorded: RecordedEvent) -> None:
        """Take an outcome: from now on there is something to watch, after a fork too."""
        about = recorded.about
        # By no property and no method: on an order's path each call counts.
        if about is not None and isinstance(about.event, Intent):
            self._own_accounts[about.event.account] = True
        if self.thread is None:
            self.start()
        if self._guard.enforces and self._guard.simulated and may_rest(recorded):
            intent = recorded.intent
            assert intent is not None  # noqa: S101 - `may_rest` has seen it
            self._guard.simulated.forget(intent.account, intent.order)

    def switch(self, switch: Switch) -> None:
        """Turn a switch here and, through the journal, in every other process."""
        if self._journal is not None:
            turn(self._journal, switch)
            self._read_off_file()
        self._guard.switches.turn(switch)

    def refresh(self) -> None:
        """Read the switches unless that was done of late: no order is denied on an old switch."""
        if time.monotonic() - self._read_at > FRESH_S:
            self.read_news()

    def read_news(self) -> None:
        """Take in what is new in the journal, unless another thread is at it for too long."""
        # An order may wait for this. A signal handler that interrupted the reader comes here as well.
        if not self._lock.acquire(timeout=LOCK_S):
            return
        try:
            self.read_switches()
            self._read_at = time.monotonic()
            self._read_off_file()
            if self._follower is not None and self._journal is not None and self._has_begun:
                with contextlib.suppress(JournalError):
                    for news in self._follower.read_new(self._journal.run_id):
                        self._take(news)
        finally:
            self._lock.release()

    def read_earlier_runs(self) -> None:
        """Let the book learn the orders of earlier runs, and of other processes."""
        if self._follower is None or self._journal is None:
            return
        since = time.time_ns() - TAKEN_UP_NS
        with contextlib.suppress(JournalError):
            take_up(self._guard.book, self._follower.read_records(since_ns=since), self._journal.run_id)

    def read_earlier_runs_once(self) -> None:
        """Read the earlier runs unless that was done; wait, within a bound, for a thread that does."""
        if not self._reading_earlier.acquire(timeout=LOCK_S):
            return
        try:
            if self._guard.book.trust.is_behind and (self._has_begun or self._journal is None):
                self.read_earlier_runs()
                self._guard.book.trust.is_behind = False
        finally:
            self._reading_earlier.release()

    def catch_up(self, account: str | None, reference: Reference | None) -> None:
        """Let the book learn what the journal has of one order; None: of all, for a cancel-all."""
        self.read_news()
        if reference is None:
            # A cancel-all names nothing that could be looked up.
            self.read_earlier_runs_once()
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
        """Return what the journal has of an id; nothing where it cannot be read."""
        with contextlib.suppress(JournalError):
            return [] if self._follower is None else self._follower.read_records(named=name)
        return []

    def report_overdue(self) -> None:
        """Report what should have happened by now and has not, each once."""
        book, now = self._guard.book, time.monotonic()
        book.admit()
        for symbol, reason in self._guard.delegations.gaps(book):
            self._on_finding(GuardFinding(reason, symbol))
        within = self._guard.compiled_policy.rule(STRIPPED).within_s or STRIPPED_WITHIN_S
        for position, since in book.lost_stops():
            if not self._may_exist(position.account):
                continue
            if now - since >= within and book.pop_lost_stop(position):
                facts = {
                    "position_side": position.position_side,
                    "side": str(position.side),
                    "within_s": f"{within:g}",
                }
                self._on_finding(GuardFinding(Reason(STRIPPED, facts), position.symbol, position.account))

    def _may_exist(self, account: str | None) -> bool:
        """Return whether an account may still exist; a local exchange takes its accounts with it."""
        exchange = exchange_of(account)
        return not is_on_loopback(exchange) or exchange in set(map(exchange_of, list(self._own_accounts)))

    def run_once(self) -> None:
        """Do one round of the thread."""
        try:
            self.read_news()
            self.read_earlier_runs_once()
            self.report_overdue()
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
            self._on_trouble("watch the journal", error)

    def _expire(self, intent: Intent) -> None:
        """Make older looks at the exchange void: another process sent something, or heard the answer."""
        if not intent.verdict.is_held:
            self._guard.snapshots.expire(intent.account, intent.order.symbol)

    def _read_off_file(self) -> None:
        if self._journal is not None:
            self._guard.switches.force_off(off_file(self._journal.path).exists())

    def _turn(self, body: str) -> None:
        # A later release may have written what this one cannot decode.
        with contextlib.suppress(msgspec.DecodeError):
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
    """Turn a switch in every process of a journal; return False where nothing could be written."""
    # "off" is a file first, which works even where the journal cannot be written.
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
    """Return the user that this process runs as, and its number."""
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
