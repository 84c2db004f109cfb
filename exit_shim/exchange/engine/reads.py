"""What is known of an exchange, read without changing anything and without looking at the clock."""

from __future__ import annotations

from decimal import Decimal

from .algo import AlgoOrder, AlgoRef
from .errors import NO_SUCH_ORDER
from .market import Quote
from .orders import Order, OrderRef, Trade
from .positions import Position
from .state import State


class ExchangeReads:
    """The reads of an exchange: they show it as its last operation left it.

    Attributes:
        state: what is read.
    """

    state: State

    def quote(self, symbol: str) -> Quote:
        """Return the present prices of a symbol."""
        self.state.symbol(symbol)
        return self.state.quotes[symbol]

    def order(self, symbol: str, ref: OrderRef) -> Order:
        """Return an order, open or closed."""
        self.state.symbol(symbol)
        return self.state.orders.find(symbol, ref)

    def open_order(self, symbol: str, ref: OrderRef) -> Order:
        """Return an open order."""
        order = self.order(symbol, ref)
        if not order.is_open:
            raise NO_SUCH_ORDER.error()
        return order

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Return the open orders of a symbol, or of all."""
        if symbol is None:
            return list(self.state.orders.open())
        self.state.symbol(symbol)
        return self.state.orders.open_of(symbol)

    def all_orders(self, symbol: str | None = None) -> list[Order]:
        """Return every order of a symbol, or of all, oldest first."""
        if symbol is not None:
            self.state.symbol(symbol)
        return self.state.orders.all_of(symbol)

    def trades(self, symbol: str | None = None) -> list[Trade]:
        """Return the fills of a symbol, or of all, oldest first."""
        if symbol is not None:
            self.state.symbol(symbol)
        return [trade for trade in self.state.trades if symbol is None or trade.symbol == symbol]

    def algo(self, ref: AlgoRef) -> AlgoOrder:
        """Return a conditional order, waiting or not."""
        return self.state.algos.find(ref)

    def open_algos(self, symbol: str | None = None) -> list[AlgoOrder]:
        """Return the waiting conditional orders of a symbol, or of all."""
        if symbol is not None:
            self.state.symbol(symbol)
        return self.state.algos.open(symbol)

    def all_algos(self, symbol: str | None = None) -> list[AlgoOrder]:
        """Return every conditional order of a symbol, or of all, oldest first."""
        if symbol is not None:
            self.state.symbol(symbol)
        return self.state.algos.all_of(symbol)

    def child_of(self, algo: AlgoOrder) -> Order | None:
        """Return the order that a conditional order became, None before TRIGGERED or when forgotten."""
        if algo.child_id is None or algo.status == "TRIGGERING":
            return None
        return self.state.orders.get(algo.child_id)

    @property
    def hedge_mode(self) -> bool:
        """Return whether the account is in hedge mode."""
        return self.state.account.hedge_mode

    @property
    def wallet(self) -> Decimal:
        """Return the wallet balance in USDT."""
        return self.state.account.wallet

    def position(self, symbol: str, side: str = "BOTH") -> Position:
        """Return a position, flat or not."""
        self.state.symbol(symbol)
        return self.state.position(symbol, side)
