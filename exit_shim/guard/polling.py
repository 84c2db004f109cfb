"""A slow look at positions and both order stores, for those who want the book surer than it is by itself."""

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

from exit_shim.guard.judging import Guard
from exit_shim.policy.codes import ORPHAN
from exit_shim.records import Finding
from exit_shim.stock import Stock, ask, orphans, taking_stock

PATIENCE_S: Final = 5.0
"""The longest that one of the three requests takes."""


class Poller:
    """Takes stock again and again on a thread of its own, with a sync client that only reads.

    Args:
        guard: Whose book to set right.
        client: The client to ask with, not wrapped.
        account: The account's label, as orders of this client have it.
        every_s: Seconds between two looks; one costs a request weight of 85.
        on_finding: Told of exits that outlive their position, each once.
        on_trouble: Told of a look that failed; the next comes all the same.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        client: Any,
        account: str | None,
        every_s: float,
        on_finding: Callable[[Finding], None],
        on_trouble: Callable[[str, Exception], None],
    ) -> None:
        self._guard = guard
        self._client = client
        self._account = account
        self.every_s = every_s
        self._on_finding = on_finding
        self._on_trouble = on_trouble
        self._orphaned: set[str] = set()
        self._told: set[str] = set()
        self.stopped = threading.Event()

    def start(self) -> None:
        """Begin, in a thread that does not keep the poller alive."""
        threading.Thread(
            target=_poll, args=(weakref.ref(self), self.stopped), name="exit-shim-stock", daemon=True
        ).start()

    def look(self) -> None:
        """One look."""
        asked = time.time_ns()
        try:
            stock = ask(taking_stock(self._client, None, PATIENCE_S))
        except Exception as error:  # noqa: BLE001 - whatever the transport raises; the next look may do better
            self._on_trouble("take stock at the exchange", error)
            return
        book = self._guard.book
        symbols = {spot.symbol for spot in book.spots() if spot.account == self._account}
        for symbol in symbols:
            self._guard.saw(self._account, symbol, stock, asked)
        for held in stock.positions:
            book.saw_size(held.spot(self._account), abs(held.amount))
        self._tell_orphans(stock)

    def _tell_orphans(self, stock: Stock) -> None:
        """Those of two looks in a row: between a position's end and its exits' there is always a moment."""
        found = {order.name: order for order in orphans(stock)}
        for name in self._orphaned & set(found) - self._told:
            order = found[name]
            reason = f"{ORPHAN} order={name} type={order.type} side={order.side}"
            self._on_finding(Finding(reason, order.symbol, self._account))
            self._told.add(name)
        self._orphaned = set(found)
        self._told &= self._orphaned


def _poll(watched: "weakref.ref[Poller]", stopped: threading.Event) -> None:
    while (poller := watched()) is not None:
        poller.look()
        pause = poller.every_s
        del poller
        if stopped.wait(pause):
            return
