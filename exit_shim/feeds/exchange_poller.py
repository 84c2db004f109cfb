"""Look at positions and open orders now and then, for a book that is surer than it is by itself."""

import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from exit_shim.clients.registry import support_of
from exit_shim.domain.events import GuardFinding
from exit_shim.domain.reason_codes import ORPHAN
from exit_shim.domain.verdicts import Reason
from exit_shim.feeds.exchange_log import ExchangeLog, Sight
from exit_shim.guard.book import READ_LAG_NS
from exit_shim.guard.exchange_snapshot import Snapshot, as_live, ask, orphans, read_snapshot
from exit_shim.guard.judge import Guard
from exit_shim.runtime.service import Service

REQUEST_S: Final = 5.0
"""The longest that one of a look's requests takes."""

SOON_S: Final = READ_LAG_NS / 1e9 + 1.0
"""The pause before a look that was asked for: the exchange's lists show by then what was missed."""

APART_S: Final = 10.0
"""The pause between two looks that were asked for: an unsteady stream must not use up the request weight."""


class ExchangePoller(Service):
    """Look at the exchange again and again on a thread, with a sync client that only reads.

    Args:
        guard: Whose book to correct.
        client: The client to ask with, not wrapped; closed at the end where it `follows` another.
        follows: The bot's client that `client` was cloned from, for its clock; None: `client` is the bot's.
        account: The account's label, as orders of this client have it.
        every_s: Seconds between two looks; one costs a request weight of 85.
        exchange_log: Records what was seen.
        on_finding: Called with each exit that outlives its position, once.
        on_trouble: Called with each look that failed; the next comes all the same.
    """

    thread_name = "exit-shim-poller"
    # A look that is under way is not waited for.
    stop_s = 0.0

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        guard: Guard,
        client: Any,
        follows: Any = None,
        account: str | None,
        every_s: float,
        exchange_log: ExchangeLog,
        on_finding: Callable[[GuardFinding], None],
        on_trouble: Callable[[str, Exception], None],
    ) -> None:
        self._guard = guard
        self._client = client
        self._bots = None if follows is None else weakref.ref(follows)
        self.account = account
        self.every_s = every_s
        self._exchange_log = exchange_log
        self._on_finding = on_finding
        self._on_trouble = on_trouble
        self._orphaned: set[str] = set()
        self._reported: set[str] = set()
        super().__init__()

    def renew(self) -> None:
        """Begin with no thread and no look that was asked for."""
        super().renew()
        self._wanted = threading.Event()

    def look_soon(self) -> None:
        """Ask for a look before the next one is due: something was missed."""
        self._wanted.set()

    def look(self) -> None:
        """Read positions and open orders, correct the book, and report orphans."""
        asked = time.time_ns()
        try:
            self._follow_clock()
            snapshot = ask(read_snapshot(self._client, None, REQUEST_S))
            self._correct(snapshot, asked)
            # A finding that comes after the shim was closed would open its journal again.
            if not self._stopped.is_set():
                sight = Sight(snapshot.positions, snapshot.resting, asked, has_algos=snapshot.has_algos)
                self._exchange_log.take_sight(self.account, sight, "poller", self.every_s)
                self._report_orphans(snapshot)
        except Exception as error:  # noqa: BLE001 - whatever the transport raises; the next look may do better
            if not self._stopped.is_set():
                self._on_trouble("take stock at the exchange", error)

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        self._wanted.set()

    def _follow_clock(self) -> None:
        if self._bots is not None and (bots := self._bots()) is not None:
            support_of(bots).refresh_clone(self._client, bots)

    def _correct(self, snapshot: Snapshot, asked: int) -> None:
        book = self._guard.book
        for symbol in {position.symbol for position in book.positions() if position.account == self.account}:
            self._guard.correct_book(self.account, symbol, snapshot, asked)
        for position in {
            *book.sized_positions(self.account),
            *(held.position_key(self.account) for held in snapshot.positions),
        }:
            book.set_size(position, snapshot.size_of(position), asked)
        for order in snapshot.resting:
            if order.can_only_reduce:
                book.announce(as_live(order, self.account, asked))
        if not book.trust.is_behind:
            book.trust.restore(self.account, asked - READ_LAG_NS)

    def _report_orphans(self, snapshot: Snapshot) -> None:
        # Only those of two looks in a row: a position always ends a moment before its exits do.
        orphaned = {order.name: order for order in orphans(snapshot)}
        for name in self._orphaned & set(orphaned) - self._reported:
            order = orphaned[name]
            reason = Reason(ORPHAN, {"order": name, "type": order.type, "side": order.side})
            self._on_finding(GuardFinding(reason, order.symbol, self.account))
            self._reported.add(name)
        self._orphaned = set(orphaned)
        self._reported &= self._orphaned

    @staticmethod
    def live(owner: "weakref.ref[ExchangePoller]", stopped: threading.Event) -> None:
        """Look every so many seconds, and soon after a look was asked for."""
        poller = owner()
        if poller is None:
            return
        wanted, leave = poller._wanted, poller._leave()  # noqa: SLF001 - this class's own thread
        soonest = 0.0
        while not stopped.is_set() and (poller := owner()) is not None:
            poller.look()
            pause = poller.every_s
            # The thread must not keep the poller alive.
            del poller
            if wanted.wait(pause):
                # A look that is asked for from here on is another one.
                wanted.clear()
                stopped.wait(max(SOON_S, soonest - time.monotonic()))
                soonest = time.monotonic() + APART_S
        if leave is not None:
            leave()

    def _leave(self) -> Callable[[], object] | None:
        """Return what closes the client; None where it is the bot's."""
        return None if self._bots is None else partial(support_of(self._client).close, self._client)
