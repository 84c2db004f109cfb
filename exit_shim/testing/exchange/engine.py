"""The exchange as one object: every operation is a line that hands over to the rule that knows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal

from . import algo_placing, announcing, cancelling, placing, prices, settings, timers
from .account import Account
from .algo import AlgoOrder, AlgoRef, NewAlgo
from .errors import NO_SUCH_ORDER
from .events import Feed
from .listen_keys import ListenKeys
from .market import Market, Number, Quote, StaticMarket, price_of, quote_at
from .orders import Amendment, NewOrder, Order, OrderRef, Trade
from .positions import Position
from .state import Clock, State
from .symbols import DEFAULT_SYMBOLS, Symbol


def system_clock() -> int:
    """Return the time of day in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Exchange:
    """A USDⓈ-M futures exchange with one account. No I/O, no threads: not safe without a lock.

    Args:
        clock: returns the time in milliseconds; the system's by default.
        symbols: the contracts that trade.
        market: where prices come from; they stand still by default.
        hedge_mode: whether the account starts in hedge mode.
        wallet: the opening balance in USDT.
    """

    def __init__(
        self,
        *,
        clock: Clock = system_clock,
        symbols: Sequence[Symbol] = DEFAULT_SYMBOLS,
        market: Market | None = None,
        hedge_mode: bool = False,
        wallet: Number = 10_000,
    ) -> None:
        source = market or StaticMarket()
        self._clock = clock
        self.state = State(
            market=source,
            symbols={symbol.name: symbol for symbol in symbols},
            account=Account(wallet=Decimal(wallet), hedge_mode=hedge_mode),
            quotes={symbol.name: quote_at(symbol, source.opening(symbol)) for symbol in symbols},
        )
        self.listen_keys = ListenKeys()

    def _at_now(self) -> State:
        # Time stands still within one operation: a fill has one time wherever it shows.
        self.state.now = self._clock()
        return self.state

    # Time and prices

    def now(self) -> int:
        """Return the exchange's time in milliseconds."""
        return self._at_now().now

    def run_due(self) -> None:
        """Do what has come due by the clock; moving a price and every HTTP request begin with it."""
        timers.run_due(self._at_now())
        for key in self.listen_keys.take_expired(self.state.now):
            announcing.listen_key(self.state, key, expired=True)

    def quote(self, symbol: str) -> Quote:
        """Return the prices of a symbol as they stand."""
        self.state.symbol(symbol)
        return self.state.quotes[symbol]

    def ask_price(self, symbol: str) -> Quote:
        """Return the prices of a symbol as a client that asks gets them: a walking market steps first."""
        self.run_due()
        return prices.ask(self.state, symbol)

    def set_mark(self, symbol: str, price: Number) -> None:
        """Put mark price, last price and book of a symbol at `price`; what rests there trades or fires.

        Raises:
            ExchangeError: -1121.
            ValueError: when `price` is not above zero.
        """
        self.run_due()
        prices.move(self.state, symbol, price_of(price))

    def set_prices(self, symbol: str, **changes: Number) -> None:
        """Change any of `mark`, `last`, `bid` and `ask` of a symbol and leave the others."""
        self.run_due()
        prices.change(self.state, symbol, **{name: price_of(price) for name, price in changes.items()})

    # Events

    @property
    def feed(self) -> Feed:
        """Where everything that happens is told, as it happens: append a listener to `feed.listeners`."""
        return self.state.feed

    def close_listen_key(self, api_key: str) -> None:
        """End the user data stream of an API key; does nothing when it has none."""
        key = self.listen_keys.close(api_key)
        if key is not None:
            announcing.listen_key(self._at_now(), key, expired=False)

    # Orders

    def place_order(self, request: NewOrder) -> Order:
        """Accept an order and trade it as far as it goes."""
        return placing.place(self._at_now(), request)

    def check_order(self, request: NewOrder) -> Order:
        """Judge an order as `place_order` would and return it, changing nothing."""
        return placing.judge(self._at_now(), request)

    def amend_order(self, request: Amendment) -> Order:
        """Change price and quantity of a resting order."""
        return cancelling.amend(self._at_now(), request)

    def cancel_order(self, symbol: str, ref: OrderRef) -> Order:
        """Cancel an open order."""
        return cancelling.cancel(self._at_now(), symbol, ref)

    def cancel_all_orders(self, symbol: str) -> None:
        """Cancel the open orders of a symbol; conditional orders stay."""
        cancelling.cancel_all(self._at_now(), symbol)

    def order(self, symbol: str, ref: OrderRef) -> Order:
        """Return an order, open or closed."""
        self.state.symbol(symbol)
        return self.state.orders.find(symbol, ref)

    def open_order(self, symbol: str, ref: OrderRef) -> Order:
        """Return an order that must be open."""
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

    def set_countdown(self, symbol: str, duration: int) -> None:
        """Cancel the open orders of a symbol in `duration` milliseconds; 0 stops the countdown."""
        timers.set_countdown(self._at_now(), symbol, duration)

    # Conditional orders

    def place_algo(self, request: NewAlgo) -> AlgoOrder:
        """Accept a conditional order."""
        return algo_placing.place_algo(self._at_now(), request)

    def cancel_algo(self, ref: AlgoRef) -> AlgoOrder:
        """Cancel a conditional order that waits for its trigger."""
        return algo_placing.cancel_algo(self._at_now(), ref)

    def cancel_all_algos(self, symbol: str) -> None:
        """Cancel the waiting conditional orders of a symbol."""
        algo_placing.cancel_all_algos(self._at_now(), symbol)

    def algo(self, ref: AlgoRef) -> AlgoOrder:
        """Return a conditional order, waiting or not."""
        return self.state.algos.find(ref)

    def open_algos(self, symbol: str | None = None) -> list[AlgoOrder]:
        """Return the waiting conditional orders of a symbol, or of all."""
        if symbol is not None:
            self.state.symbol(symbol)
        return self.state.algos.open(symbol)

    def all_algos(self, symbol: str) -> list[AlgoOrder]:
        """Return every conditional order of a symbol, oldest first."""
        self.state.symbol(symbol)
        return self.state.algos.all_of(symbol)

    def child_of(self, algo: AlgoOrder) -> Order | None:
        """Return the order that a conditional order became, None before its trigger."""
        return self.state.orders.by_id(algo.child_id) if algo.child_id is not None else None

    # The account

    @property
    def hedge_mode(self) -> bool:
        """Whether the account is in hedge mode."""
        return self.state.account.hedge_mode

    @property
    def wallet(self) -> Decimal:
        """The wallet balance in USDT."""
        return self.state.account.wallet

    def position(self, symbol: str, side: str = "BOTH") -> Position:
        """Return a position, flat or not."""
        self.state.symbol(symbol)
        return self.state.position(symbol, side)

    def set_leverage(self, symbol: str, leverage: int) -> Decimal:
        """Change the leverage of a symbol and return the largest position that it permits."""
        return settings.set_leverage(self._at_now(), symbol, leverage)

    def set_margin_type(self, symbol: str, margin_type: str) -> None:
        """Change a symbol to CROSSED or ISOLATED."""
        settings.set_margin_type(self._at_now(), symbol, margin_type)

    def set_hedge_mode(self, hedge_mode: bool) -> None:
        """Change the account between one-way and hedge mode."""
        settings.set_hedge_mode(self._at_now(), hedge_mode)
