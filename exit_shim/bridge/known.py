"""The orders that the bridge has seen: their ids, and what they were."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

MOST_KNOWN: Final = 20_000
"""Orders that are remembered; the exchange is asked about an older one."""


BECOME_LIMIT: Final = frozenset({"STOP", "TAKE_PROFIT"})
"""Conditional types that rest as a LIMIT order once they are triggered."""


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


class KnownOrders:
    """Remember conditional orders by their ids, and ordinary ones by their client order id; thread-safe.

    One for each account: algo ids are the exchange's, client order ids the bot's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: OrderedDict[int, KnownStop] = OrderedDict()
        self._by_name: dict[str, int] = {}
        self._by_child: dict[int, int] = {}
        self._ordinary: OrderedDict[str, None] = OrderedDict()

    def learn(self, row: Mapping[str, Any]) -> KnownStop | None:
        """Remember a conditional order by its row; None for a row without an id."""
        algo_id = row.get("algoId")
        if type(algo_id) is not int:
            return None
        with self._lock:
            stop = self._stops.get(algo_id)
            if stop is None:
                stop = self._stops[algo_id] = KnownStop(row)
            else:
                stop.row.update(row)
            self._by_name[str(stop.row.get("clientAlgoId"))] = algo_id
            child = str(row.get("actualOrderId") or "")
            if child.isdigit() and int(child):
                stop.child_id = int(child)
                self._by_child[stop.child_id] = algo_id
            while len(self._stops) > MOST_KNOWN:
                self._forget(self._stops.popitem(last=False)[1])
            return stop

    def learn_ordinary(self, client_order_id: object) -> None:
        """Remember that a client order id is that of an ordinary order."""
        if isinstance(client_order_id, str):
            with self._lock:
                self._ordinary[client_order_id] = None
                while len(self._ordinary) > MOST_KNOWN:
                    self._ordinary.popitem(last=False)

    def find(self, order_id: int | None, client_order_id: str | None) -> KnownStop | None:
        """Return the conditional order of an id, which may be that of the order that it became."""
        with self._lock:
            if order_id is not None:
                algo_id: int | None = self._by_child.get(order_id, order_id)
            else:
                algo_id = self._by_name.get(client_order_id or "")
            return None if algo_id is None else self._stops.get(algo_id)

    def is_ordinary(self, client_order_id: str | None) -> bool:
        """Return whether a client order id is known to be that of an ordinary order."""
        with self._lock:
            return client_order_id in self._ordinary and client_order_id not in self._by_name

    def has_limit_stops(self, symbol: str) -> bool:
        """Return whether a known order of a symbol may have become a LIMIT order by now."""
        with self._lock:
            return any(
                stop.symbol == symbol
                and stop.row.get("orderType") in BECOME_LIMIT
                and stop.row.get("algoStatus") in {"NEW", "TRIGGERING"}
                for stop in self._stops.values()
            )

    @property
    def has_stops(self) -> bool:
        """Whether any conditional order is known."""
        return bool(self._stops)

    def _forget(self, stop: KnownStop) -> None:
        name = str(stop.row.get("clientAlgoId"))
        if self._by_name.get(name) == stop.algo_id:
            del self._by_name[name]
        if stop.child_id is not None:
            self._by_child.pop(stop.child_id, None)
