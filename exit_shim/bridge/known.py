"""The orders that the bridge has seen: their ids, and what they were."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

MOST_KNOWN: Final = 20_000
"""Orders that are remembered; the exchange is asked about an older one."""


BECOME_LIMIT: Final = frozenset({"STOP", "TAKE_PROFIT"})
"""Conditional types that rest as a LIMIT order once they are triggered."""


WAITING: Final = frozenset({"NEW", "TRIGGERING"})
"""The statuses of a conditional order that has not become another one."""

DEAD: Final = frozenset({"CANCELED", "EXPIRED", "REJECTED"})
"""The statuses of one that never will."""

Name = tuple[str | None, str]
"""A client order id, and the symbol of its order; None for any."""


class KnownStop:
    """A conditional order: its row at the Algo Service, and the order that it became."""

    __slots__ = ("child_id", "row")

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = dict(row)
        self.child_id: int | None = None

    @property
    def algo_id(self) -> int:
        """Its id, which the bot knows as `orderId`."""
        return int(self.row["algoId"])

    @property
    def symbol(self) -> str:
        """Its symbol."""
        return str(self.row.get("symbol"))

    @property
    def is_dead(self) -> bool:
        """Whether it ended without becoming another order."""
        return self.row.get("algoStatus") in DEAD


class KnownOrders:
    """Remember conditional orders by their ids, and ordinary ones by their client order id; thread-safe.

    One for each account: algo ids are the exchange's, client order ids the bot's. A name may be used again
    once its order has ended; it leads to the newest one.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stops: OrderedDict[int, KnownStop] = OrderedDict()
        self._by_name: dict[Name, int] = {}
        self._by_child: dict[int, int] = {}
        self._ordinary: OrderedDict[Name, None] = OrderedDict()
        self._cleared: set[str] = set()

    def now_ms(self) -> int:
        """Return the time in milliseconds since the epoch."""
        return int(self._clock() * 1000)

    def learn(self, row: Mapping[str, Any]) -> KnownStop | None:
        """Remember a conditional order by its row; None for a row without an id."""
        algo_id = row.get("algoId")
        if type(algo_id) is not int:
            return None
        with self._lock:
            stop = self._stops.get(algo_id)
            if stop is None:
                stop = self._stops[algo_id] = KnownStop(row)
                self._name(stop)
            else:
                stop.row.update(row)
            child = str(row.get("actualOrderId") or "")
            if child.isdigit() and int(child):
                stop.child_id = int(child)
                self._by_child[stop.child_id] = algo_id
            while len(self._stops) > MOST_KNOWN:
                self._forget(self._stops.popitem(last=False)[1])
            return stop

    def learn_ordinary(self, symbol: str | None, client_order_id: object) -> None:
        """Remember that a client order id is that of an ordinary order."""
        if not isinstance(client_order_id, str):
            return
        with self._lock:
            stop = self._stops.get(self._by_name.get((symbol, client_order_id), 0))
            # The order may be refused yet, and a stop that waits keeps its name.
            if stop is not None and stop.row.get("algoStatus") not in WAITING:
                del self._by_name[symbol, client_order_id]
            self._ordinary[symbol, client_order_id] = None
            while len(self._ordinary) > MOST_KNOWN:
                self._ordinary.popitem(last=False)

    def find(
        self, order_id: int | None, client_order_id: str | None, symbol: str | None = None
    ) -> KnownStop | None:
        """Return the conditional order of an id, which may be that of the order that it became.

        Args:
            order_id: Its id, which outranks the name.
            client_order_id: Its name.
            symbol: The symbol under which it bears the name; None for any.
        """
        with self._lock:
            if order_id is not None:
                algo_id: int | None = self._by_child.get(order_id, order_id)
            else:
                algo_id = self._by_name.get((symbol, client_order_id or ""))
            return None if algo_id is None else self._stops.get(algo_id)

    def is_ordinary(self, symbol: str | None, client_order_id: str | None) -> bool:
        """Return whether a client order id is known to be that of an ordinary order."""
        name = (symbol, client_order_id or "")
        with self._lock:
            return name in self._ordinary and name not in self._by_name

    def clear(self, symbol: str) -> None:
        """Remember that all conditional orders of a symbol were cancelled."""
        with self._lock:
            self._cleared.add(symbol)
            for stop in self._stops.values():
                if stop.symbol == symbol and stop.row.get("algoStatus") == "NEW":
                    stop.row["algoStatus"] = "CANCELED"

    def was_cleared(self, symbol: str) -> bool:
        """Return whether all conditional orders of a symbol were cancelled once."""
        with self._lock:
            return symbol in self._cleared

    def has_limit_stops(self, symbol: str) -> bool:
        """Return whether a known order of a symbol may have become a LIMIT order by now."""
        with self._lock:
            return any(
                stop.symbol == symbol
                and stop.row.get("orderType") in BECOME_LIMIT
                and stop.row.get("algoStatus") in WAITING
                for stop in self._stops.values()
            )

    @property
    def has_stops(self) -> bool:
        """Whether any conditional order is known."""
        return bool(self._stops)

    def _name(self, stop: KnownStop) -> None:
        """Let the newest conditional order bear its name."""
        written = str(stop.row.get("clientAlgoId"))
        for name in ((stop.symbol, written), (None, written)):
            if stop.algo_id >= self._by_name.get(name, 0):
                self._by_name[name] = stop.algo_id
                self._ordinary.pop(name, None)

    def _forget(self, stop: KnownStop) -> None:
        written = str(stop.row.get("clientAlgoId"))
        for name in ((stop.symbol, written), (None, written)):
            if self._by_name.get(name) == stop.algo_id:
                del self._by_name[name]
        if stop.child_id is not None:
            self._by_child.pop(stop.child_id, None)
