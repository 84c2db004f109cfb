"""A slow look at positions and both order stores, for those who want the book surer than it is by itself."""

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
from exit_shim.guard.book import READ_LAG_NS
from exit_shim.guard.exchange_snapshot import Snapshot, as_live, ask, orphans, read_snapshot
from exit_shim.guard.judge import Guard

PATIENCE_S: Final = 5.0
"""The longest that one of the three requests takes."""

SOON_S: Final = READ_LAG_NS / 1e9 + 1.0
"""When to look after something was missed: what happened before that is in the exchange's lists by then."""

APART_S: Final = 10.0
"""Between two looks that were asked for: a stream that comes and goes must not use up the request weight."""


class ExchangePoller:
    """Takes stock again and again on a thread of its own, with a sync client that only reads.

    Args:
        guard: Whose book to set right.
        client: The client to ask with, not wrapped; the poller closes it where it `follows` another.
        follows: The bot's client in whose place that asks, for its clock; None: it is the bot's.
        account: The account's label, as orders of this client have it.
        every_s: Seconds between two looks; one costs a request weight of 85.
        on_finding: Told of exits that outlive their position, each once.
        on_trouble: Told of a look that failed; the next comes all the same.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        guard: Guard,
        client: Any,
        follows: Any = None,
        account: str | None,
        every_s: float,
        on_finding: Callable[[GuardFinding], None],
        on_trouble: Callable[[str, Exception], None],
    ) -> None:
        self._guard = guard
        self._client = client
        self._bots = None if follows is None else weakref.ref(follows)
        self.account = account
        self.every_s = every_s
        self._on_finding = on_finding
        self._on_trouble = on_trouble
        self._orphaned: set[str] = set()
        self._told: set[str] = set()
        self._stopped = threading.Event()
        self._wanted = threading.Event()

    def start(self) -> None:
        """Begin, in a thread that does not keep the poller alive."""
        leave = None if self._bots is None else partial(support_of(self._client).close, self._client)
        threading.Thread(
            target=_poll,
            args=(weakref.ref(self), self._stopped, self._wanted, leave),
            name="exit-shim-stock",
            daemon=True,
        ).start()

    def stop(self) -> None:
        """End the thread; a look that is under way is not waited for."""
        self._stopped.set()
        self._wanted.set()

    def look_soon(self) -> None:
        """Do not wait for the next turn: something was missed."""
        self._wanted.set()

    def look(self) -> None:
        """One look."""
        asked = time.time_ns()
        try:
            self._follow_clock()
            snapshot = ask(read_snapshot(self._client, None, PATIENCE_S))
            self._set_right(snapshot, asked)
        except Exception as error:  # noqa: BLE001 - whatever the transport raises; the next look may do better
            if not self._stopped.is_set():
                self._on_trouble("take stock at the exchange", error)
            return
        # A finding that comes after the shim was closed would open its journal again.
        if not self._stopped.is_set():
            self._tell_orphans(snapshot)

    def _follow_clock(self) -> None:
        if self._bots is not None and (bots := self._bots()) is not None:
            support_of(self._client).refresh_clone(self._client, bots)

    def _set_right(self, snapshot: Snapshot, asked: int) -> None:
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

    def _tell_orphans(self, snapshot: Snapshot) -> None:
        """Those of two looks in a row: between a position's end and its exits' there is always a moment."""
        found = {order.name: order for order in orphans(snapshot)}
        for name in self._orphaned & set(found) - self._told:
            order = found[name]
            reason = Reason(ORPHAN, {"order": name, "type": order.type, "side": order.side})
            self._on_finding(GuardFinding(reason, order.symbol, self.account))
            self._told.add(name)
        self._orphaned = set(found)
        self._told &= self._orphaned


def _poll(
    watched: "weakref.ref[ExchangePoller]",
    stopped: threading.Event,
    wanted: threading.Event,
    leave: Callable[[], object] | None,
) -> None:
    soonest = 0.0
    while not stopped.is_set() and (poller := watched()) is not None:
        poller.look()
        pause = poller.every_s
        del poller
        if wanted.wait(pause):
            wanted.clear()  # what is asked for from here on needs another look
            stopped.wait(max(SOON_S, soonest - time.monotonic()))
            soonest = time.monotonic() + APART_S
    if leave is not None:
        leave()
