"""Orders of the matching engine, and where they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from .aging import KEPT, Aging
from .errors import DUPLICATE_CLIENT_ID, NO_SUCH_ORDER
from .numbers import ZERO

#: How long an order without a date lives (New Order documentation, GTC).
YEAR = 365 * 24 * 60 * 60 * 1000
OPEN_STATUSES = frozenset({"NEW", "PARTIALLY_FILLED"})


class OrderRef(msgspec.Struct, frozen=True):
    """The ids by which a request names an order; the exchange's id wins when both are sent."""

    order_id: int | None = None
    client_id: str | None = None


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A request for an order, before the rules are applied. None means that it was not sent."""

    symbol: str
    side: str
    type: str
    client_id: str
    position_side: str = "BOTH"
    time_in_force: str = "GTC"
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    reduce_only: bool | None = None
    close_position: bool = False
    price_match: str = "NONE"
    self_trade_prevention: str = "EXPIRE_MAKER"
    good_till_date: int = 0
    wants_result: bool = False


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """A request to change price and quantity of a resting LIMIT order."""

    symbol: str
    ref: OrderRef
    side: str
    quantity: Decimal
    price: Decimal
    reduce_only: bool | None = None
    modify_id: int | None = None


class Order(msgspec.Struct, kw_only=True):
    """An order that the matching engine has accepted. Times are in milliseconds."""

    order_id: int
    client_id: str
    symbol: str
    side: str
    position_side: str
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    reduce_only: bool
    close_position: bool
    price_match: str
    self_trade_prevention: str
    good_till_date: int
    time: int
    update_time: int
    status: str = "NEW"
    executed: Decimal = ZERO
    quote: Decimal = ZERO
    #: The conditional order that became this one, if any.
    algo_id: int | None = None
    #: Grows with each change that loses the place in the queue.
    priority: int = 0
    modify_id: int | None = None
    #: How often it was amended.
    edits: int = 0
    #: What it was placed as, and its trigger, when it became what it is by triggering (rules before the
    #: Algo Service).
    placed_type: str = ""
    stop_price: Decimal = ZERO
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    #: Whether the exchange placed it to liquidate a position.
    liquidates: bool = False

    @property
    def is_open(self) -> bool:
        """Return whether the order can still be filled or cancelled."""
        return self.status in OPEN_STATUSES

    @property
    def due(self) -> int:
        """Return when the order expires, in milliseconds: at its date, or a year after it was made."""
        return self.good_till_date if self.time_in_force == "GTD" else self.time + YEAR

    @property
    def remaining(self) -> Decimal:
        """Return the quantity that is not filled yet."""
        return self.quantity - self.executed

    @property
    def average_price(self) -> Decimal:
        """Return the average price of the fills, zero without any."""
        return self.quote / self.executed if self.executed else ZERO

    @property
    def sign(self) -> int:
        """Return +1 for BUY, -1 for SELL."""
        return 1 if self.side == "BUY" else -1

    @property
    def only_reduces(self) -> bool:
        """Return whether the order can close but never open, by its flag or in hedge mode by its sides."""
        return self.reduce_only or (self.position_side, self.side) in {("LONG", "SELL"), ("SHORT", "BUY")}

    @property
    def original_type(self) -> str:
        """Return the type that the order was placed with."""
        return self.placed_type or self.type


class OrderChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of price and quantity of an order; `count` is how many there were of it."""

    change_id: int
    order_id: int
    client_id: str
    symbol: str
    time: int
    price_before: Decimal
    price: Decimal
    quantity_before: Decimal
    quantity: Decimal
    count: int


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of an order. Commission and realised profit are in USDT."""

    trade_id: int
    order_id: int
    symbol: str
    side: str
    position_side: str
    price: Decimal
    quantity: Decimal
    commission: Decimal
    realised: Decimal
    maker: bool
    time: int


class OrderStore:
    """All orders by id and client id, with the open ones apart; closed ones are forgotten in time.

    Args:
        kept: how many closed orders are kept at most.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._by_id: dict[int, Order] = {}
        self._by_symbol: dict[str, dict[int, Order]] = {}
        self._latest_client: dict[tuple[str, str], Order] = {}
        self._open: dict[str, dict[int, Order]] = {}
        self._aging = Aging(self._forget, kept)

    def add(self, order: Order) -> None:
        """Add an accepted order."""
        self._by_id[order.order_id] = order
        self._by_symbol.setdefault(order.symbol, {})[order.order_id] = order
        self._latest_client[order.symbol, order.client_id] = order
        self._open.setdefault(order.symbol, {})[order.order_id] = order

    def settle(self, order: Order) -> None:
        """Remove a closed order from the open ones; it is remembered for a while."""
        self._open.get(order.symbol, {}).pop(order.order_id, None)
        self._aging.close(order.time, order.order_id, filled=bool(order.executed))

    def forget_old(self, now: int) -> None:
        """Forget the closed orders that the exchange would no longer show at `now` (ms)."""
        self._aging.run(now)

    def _forget(self, order_id: int) -> None:
        order = self._by_id.pop(order_id)
        del self._by_symbol[order.symbol][order_id]
        name = order.symbol, order.client_id
        if self._latest_client.get(name) is order:
            del self._latest_client[name]

    def require_free_client_id(self, symbol: str, client_id: str) -> None:
        """Refuse a client id that an open order of the symbol already has.

        Raises:
            ExchangeError: -4116. A closed order's id may be used again (Binance change log 2024-12-03).
        """
        holder = self._latest_client.get((symbol, client_id))
        if holder is not None and holder.is_open:
            raise DUPLICATE_CLIENT_ID.error()

    def find(self, symbol: str, ref: OrderRef) -> Order:
        """Return the order of `symbol` that `ref` names.

        Raises:
            ExchangeError: -2013.
        """
        if ref.order_id is not None:
            order = self._by_id.get(ref.order_id)
        else:
            order = self._latest_client.get((symbol, ref.client_id or ""))
        if order is None or order.symbol != symbol:
            raise NO_SUCH_ORDER.error()
        return order

    def by_id(self, order_id: int) -> Order:
        """Return the order with this id; it must be remembered."""
        return self._by_id[order_id]

    def get(self, order_id: int) -> Order | None:
        """Return the order with this id, None when it is forgotten."""
        return self._by_id.get(order_id)

    def restore(self, order: Order) -> None:
        """Add an order of a saved exchange, open or closed."""
        self.add(order)
        if not order.is_open:
            self.settle(order)

    def open_of(self, symbol: str) -> list[Order]:
        """Return the open orders of a symbol, oldest first; a copy, safe to change orders under."""
        return list(self._open.get(symbol, {}).values())

    def open(self) -> Iterator[Order]:
        """Walk all open orders by symbol, oldest first."""
        for orders in self._open.values():
            yield from orders.values()

    def all_of(self, symbol: str | None) -> list[Order]:
        """Return every order of a symbol, or of all, oldest first."""
        return list((self._by_symbol.get(symbol, {}) if symbol else self._by_id).values())
