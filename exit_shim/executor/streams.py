"""What a running executor hears: the user data stream, and the mark prices that managed stops wait for."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from exit_shim.clients.support import ClientClone
from exit_shim.executor.agenda import Agenda
from exit_shim.feeds import (
    Gap,
    Over,
    Rests,
    Sized,
    StreamListener,
    UserStreamListener,
    learned,
    symbol_in,
)
from exit_shim.feeds.stream_listener import MOST_WAITING
from exit_shim.guard.exchange_snapshot import price

SOON_S: Final = 0.1
"""The pause before a pass that only sees that an order rests."""

APART_S: Final = 1.0
"""The pause between two passes over a symbol for the sake of its price."""

PRICE_AGE_S: Final = 3.0
"""How old a mark price may be; the exchange sends one a second."""

Report = Callable[[str, Exception], None]


class Wake(NamedTuple):
    """A price at which there is something to do: at it or beyond, in the direction of 1 or -1."""

    direction: int
    level: Decimal

    def is_reached(self, at: Decimal) -> bool:
        """Return whether a price is at the level or beyond."""
        return self.direction * (at - self.level) >= 0


class NewsListener(UserStreamListener):
    """Have a pass done over the symbol of each event about a position or an exit.

    Args:
        agenda: Takes the passes.
        clone, address, on_trouble: As `StreamListener` has them.
    """

    def __init__(
        self, agenda: Agenda, *, clone: ClientClone, address: str | None, on_trouble: Report
    ) -> None:
        self._agenda = agenda
        self.is_connected = False
        super().__init__(clone=clone, address=address, on_trouble=on_trouble)

    def stop(self) -> None:
        """Stop listening."""
        super().stop()
        self.is_connected = False

    def connected(self) -> None:
        """Have a pass over the account done: earlier events were missed."""
        super().connected()
        self.is_connected = True
        self._agenda.want(None)

    def lost(self) -> None:
        """Go back to polling, at once."""
        self.is_connected = False
        if not self._stopped.is_set():
            self._agenda.want(None)

    def hear(self, event: Mapping[str, Any]) -> bool:
        """Have the pass done that an event calls for; return False after a gap."""
        news = learned(event)
        if isinstance(news, Gap):
            return False
        if isinstance(news, Sized):
            for held in {size[0] for size in news.sizes}:
                self._agenda.want(held)
        elif isinstance(news, Rests):
            self._agenda.want(news.order.symbol, SOON_S)
        elif isinstance(news, Over) and (symbol := symbol_in(event)) is not None:
            self._agenda.want(symbol)
        return True


class MarkPriceListener(StreamListener):
    """Keep the mark prices of symbols, and have a pass done where one reaches what is waited for.

    Args:
        agenda: Takes the passes.
        may_wake: Whether there is request weight for a pass.
        clock: Seconds that only go forward.
        clone, address, on_trouble: As `StreamListener` has them.
    """

    what = "mark price stream"

    def __init__(
        self,
        agenda: Agenda,
        *,
        clone: ClientClone,
        address: str | None,
        on_trouble: Report,
        may_wake: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agenda = agenda
        self._may_wake = may_wake
        self._clock = clock
        self._prices: dict[str, tuple[Decimal, float]] = {}
        self._woken: dict[str, float] = {}
        self.wakes: Mapping[str, tuple[Wake, ...]] = {}
        self.is_connected = False
        super().__init__(clone=clone, address=address, on_trouble=on_trouble)

    @staticmethod
    def open_socket(clone: ClientClone, client: Any, address: str | None) -> Any:
        """Return the library's socket of the stream, not connected yet."""
        return clone.mark_prices(client, address, MOST_WAITING)

    def stop(self) -> None:
        """Stop listening."""
        super().stop()
        self.is_connected = False

    def connected(self) -> None:
        """Note that prices are heard from now on."""
        super().connected()
        self.is_connected = True

    def lost(self) -> None:
        """Have the account polled again."""
        self.is_connected = False
        if not self._stopped.is_set():
            self._agenda.want(None)

    def price_of(self, symbol: str) -> Decimal | None:
        """Return the mark price of a symbol; None where none is heard, or not lately."""
        at, since = self._prices.get(symbol, (None, 0.0))
        return at if self._clock() - since <= PRICE_AGE_S else None

    def hear(self, event: Mapping[str, Any]) -> bool:
        """Take in the prices of the symbols that matter; return False where the connection has ended."""
        if event.get("e") == "error":
            return False
        rows = event.get("data")
        for row in rows if isinstance(rows, list) else [rows]:
            if isinstance(row, Mapping) and row.get("s") in self.wakes:
                self._take(row["s"], price(row.get("p")))
        return True

    def _take(self, symbol: str, at: Decimal | None) -> None:
        if at is None:
            return
        now = self._clock()
        self._prices[symbol] = at, now
        if any(wake.is_reached(at) for wake in self.wakes.get(symbol, ())) and self._may_wake():
            since = now - self._woken.get(symbol, now - APART_S)
            self._agenda.want(symbol, max(0.0, APART_S - since))
            self._woken[symbol] = now


class Streams:
    """Start and stop what a running executor hears.

    Args:
        agenda: Takes the passes.
        clone: The client to listen with.
        address: Where the streams are; None: python-binance's own choice.
        on_trouble: Called when a stream is not available, once until it was.
        may_wake: Whether there is request weight for a pass for the sake of a price.
    """

    def __init__(
        self,
        agenda: Agenda,
        *,
        clone: ClientClone,
        address: str | None,
        on_trouble: Report,
        may_wake: Callable[[], bool] = lambda: True,
    ) -> None:
        self._user = NewsListener(agenda, clone=clone, address=address, on_trouble=on_trouble)
        self._marks = MarkPriceListener(
            agenda, clone=clone, address=address, on_trouble=on_trouble, may_wake=may_wake
        )
        self._is_stopped = True

    @property
    def are_heard(self) -> bool:
        """Whether all that calls for a pass is heard at once."""
        return self._user.is_connected and (not self._marks.wakes or self._marks.is_connected)

    def start(self) -> None:
        """Listen to the user data stream; to mark prices once something waits for one."""
        self._is_stopped = False
        self._user.start()

    def stop(self) -> None:
        """Listen to nothing."""
        self._is_stopped = True
        self._user.stop()
        self._marks.stop()

    def wait_for(self, wakes: Mapping[str, tuple[Wake, ...]]) -> None:
        """Listen to mark prices for as long as something waits for one."""
        self._marks.wakes = wakes
        if wakes and not self._is_stopped:
            self._marks.start()
        elif not wakes and self._marks.thread is not None:
            self._marks.stop()

    def price_of(self, symbol: str, working_type: str) -> Decimal | None:
        """Return the price of a working type that was heard of lately; None without one."""
        return self._marks.price_of(symbol) if working_type == "MARK_PRICE" else None
