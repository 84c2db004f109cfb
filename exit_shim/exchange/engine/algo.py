"""Conditional orders of the Algo Service (Binance change log 2025-12-09), and where they are kept."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .aging import KEPT, Aging
from .errors import DUPLICATE_CLIENT_ID, NO_SUCH_ORDER
from .market import Quote
from .numbers import ZERO

STOP_TYPES = frozenset({"STOP", "STOP_MARKET"})
TAKE_PROFIT_TYPES = frozenset({"TAKE_PROFIT", "TAKE_PROFIT_MARKET"})
TRAILING = "TRAILING_STOP_MARKET"
CONDITIONAL_TYPES = STOP_TYPES | TAKE_PROFIT_TYPES | {TRAILING}
FINAL_STATUSES = frozenset({"CANCELED", "EXPIRED", "FINISHED", "REJECTED"})
LIMIT_CHILD_TYPES = frozenset({"STOP", "TAKE_PROFIT"})


class AlgoRef(msgspec.Struct, frozen=True):
    """The ids by which a request names a conditional order; algoId wins when both are sent."""

    algo_id: int | None = None
    client_id: str | None = None


class NewAlgo(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a conditional order, before the rules are applied. None means that it was not sent."""

    symbol: str
    side: str
    type: str
    client_id: str
    position_side: str = "BOTH"
    time_in_force: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    activate_price: Decimal | None = None
    callback_rate: Decimal | None = None
    working_type: str = "CONTRACT_PRICE"
    price_match: str = "NONE"
    price_protect: bool = False
    close_position: bool = False
    reduce_only: bool | None = None
    self_trade_prevention: str = "EXPIRE_MAKER"
    good_till_date: int = 0


class AlgoOrder(msgspec.Struct, kw_only=True):
    """A conditional order. Times are in milliseconds; `callback_rate` is in percent (1 = 1%)."""

    algo_id: int
    client_id: str
    symbol: str
    side: str
    position_side: str
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    trigger_price: Decimal
    activate_price: Decimal
    callback_rate: Decimal
    working_type: str
    price_match: str
    price_protect: bool
    close_position: bool
    reduce_only: bool
    self_trade_prevention: str
    good_till_date: int
    create_time: int
    update_time: int
    status: str = "NEW"
    trigger_time: int = 0
    #: The order that it became, once triggered.
    child_id: int | None = None
    reject_reason: str = ""
    #: Trailing stops only: watching since activation, and the best price seen since.
    activated: bool = False
    extreme: Decimal = ZERO

    @property
    def is_open(self) -> bool:
        """Return whether the order still waits for its trigger."""
        return self.status == "NEW"

    @property
    def kind(self) -> str:
        """Return STOP or TAKE_PROFIT; one of each may rest per direction with closePosition."""
        return "TAKE_PROFIT" if self.type in TAKE_PROFIT_TYPES else "STOP"

    @property
    def needs_position(self) -> bool:
        """Return whether the order lives only as long as the position (GTE, good till expired)."""
        return self.close_position or self.time_in_force == "GTE_GTC"

    @property
    def child_type(self) -> str:
        """Return the type of the order that this one becomes."""
        return "LIMIT" if self.type in LIMIT_CHILD_TYPES else "MARKET"

    def watch(self, quote: Quote) -> bool:
        """Process a new price and return whether the order fires on it."""
        price = quote.working(self.working_type)
        if self.type == TRAILING:
            return self._trail(price)
        return reached(self.type, self.side, price, self.trigger_price)

    def _trail(self, price: Decimal) -> bool:
        buys = self.side == "BUY"
        if not self.activated:
            self.activated = price <= self.activate_price if buys else price >= self.activate_price
            self.extreme = price
            return False
        self.extreme = min(self.extreme, price) if buys else max(self.extreme, price)
        rate = self.callback_rate / 100
        return price >= self.extreme * (1 + rate) if buys else price <= self.extreme * (1 - rate)


def reached(order_type: str, side: str, price: Decimal, trigger: Decimal) -> bool:
    """Return whether `price` meets the trigger of a stop or take-profit.

    A stop fires when the price runs away (BUY at or above, SELL at or below), a take-profit when it
    comes towards the order.
    """
    rises = (side == "BUY") == (order_type in STOP_TYPES)
    return price >= trigger if rises else price <= trigger


class AlgoStore:
    """All conditional orders by id, with the open ones apart; closed ones are forgotten in time.

    Args:
        kept: how many closed ones are kept at most.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._by_id: dict[int, AlgoOrder] = {}
        self._aging = Aging(self._forget, kept)
        self._latest_client: dict[str, AlgoOrder] = {}
        self._open: dict[int, AlgoOrder] = {}

    def add(self, algo: AlgoOrder) -> None:
        """Add an accepted conditional order."""
        self._by_id[algo.algo_id] = algo
        self._latest_client[algo.client_id] = algo
        self._open[algo.algo_id] = algo

    def settle(self, algo: AlgoOrder) -> None:
        """Remove an order from the open ones, since it no longer waits."""
        self._open.pop(algo.algo_id, None)

    def close(self, algo: AlgoOrder) -> None:
        """Record that an order will not change any more; it is remembered for a while."""
        self.settle(algo)
        self._aging.close(algo.create_time, algo.algo_id, filled=algo.status not in {"CANCELED", "EXPIRED"})

    def restore(self, algo: AlgoOrder) -> None:
        """Add a conditional order of a saved exchange, waiting or not."""
        self.add(algo)
        if not algo.is_open:
            self.settle(algo)
        if algo.status in FINAL_STATUSES:
            self.close(algo)

    def forget_old(self, now: int) -> None:
        """Forget the closed orders that the exchange would no longer show at `now` (ms)."""
        self._aging.run(now)

    def _forget(self, algo_id: int) -> None:
        algo = self._by_id.pop(algo_id)
        if self._latest_client.get(algo.client_id) is algo:
            del self._latest_client[algo.client_id]

    def require_free_client_id(self, client_id: str) -> None:
        """Refuse a client id that an open conditional order already has.

        Raises:
            ExchangeError: -4116.
        """
        holder = self._latest_client.get(client_id)
        if holder is not None and holder.is_open:
            raise DUPLICATE_CLIENT_ID.error()

    def find(self, ref: AlgoRef) -> AlgoOrder:
        """Return the conditional order that `ref` names.

        Raises:
            ExchangeError: -2013.
        """
        if ref.algo_id is not None:
            algo = self._by_id.get(ref.algo_id)
        else:
            algo = self._latest_client.get(ref.client_id or "")
        if algo is None:
            raise NO_SUCH_ORDER.error()
        return algo

    def by_id(self, algo_id: int) -> AlgoOrder:
        """Return the conditional order with this id; it must exist."""
        return self._by_id[algo_id]

    def get(self, algo_id: int) -> AlgoOrder | None:
        """Return the conditional order with this id, None when it is forgotten."""
        return self._by_id.get(algo_id)

    @property
    def open_count(self) -> int:
        """Return how many conditional orders wait for their trigger, over all symbols."""
        return len(self._open)

    def open(self, symbol: str | None = None) -> list[AlgoOrder]:
        """Return the conditional orders that wait for their trigger, oldest first."""
        return [algo for algo in self._open.values() if symbol is None or algo.symbol == symbol]

    def all_of(self, symbol: str | None) -> list[AlgoOrder]:
        """Return every conditional order of a symbol, or of all, oldest first."""
        return [algo for algo in self._by_id.values() if symbol in {None, algo.symbol}]
