"""Everything the exchange remembers, in one place that its rules share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from .account import Account
from .aging import KEPT, LONGEST
from .algo import AlgoStore
from .candles import Candles
from .errors import INVALID_SYMBOL
from .events import EventFeed
from .exchange_rules import ExchangeRules
from .market import Market, Quote
from .order_book import OrderBook
from .orders import OrderStore, Trade
from .positions import MarginMove, Position
from .schedule import Schedule
from .symbols import Symbol

#: Milliseconds since 1970.
Clock = Callable[[], int]


@dataclass
class Ids:
    """The last id of each kind, as large as on production: algo ids need more than 32 bits."""

    order: int = 33_878_894_217
    algo: int = 4_000_001_910_058_351
    trade: int = 1_190_331_610
    generated: int = 0
    update: int = 11_671_659_685_961

    def next_order(self) -> int:
        """Take an orderId."""
        self.order += 1
        return self.order

    def next_algo(self) -> int:
        """Take an algoId."""
        self.algo += 1
        return self.algo

    def next_trade(self) -> int:
        """Take a trade id."""
        self.trade += 1
        return self.trade

    def next_client_id(self) -> str:
        """Make the client id of an order that came without one."""
        self.generated += 1
        return f"local_{self.generated:016d}"


@dataclass
class State:
    """The state that all rules share. Positions are keyed by symbol and side (BOTH, LONG, SHORT)."""

    market: Market
    symbols: dict[str, Symbol]
    account: Account
    quotes: dict[str, Quote]
    #: The time of the running operation, in milliseconds.
    now: int = 0
    #: Milliseconds that `advance` has added to the clock.
    added: int = 0
    #: The time up to which triggers have passed within operations, in milliseconds.
    settled: int = 0
    orders: OrderStore = field(default_factory=OrderStore)
    algos: AlgoStore = field(default_factory=AlgoStore)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    trades: deque[Trade] = field(default_factory=lambda: deque(maxlen=KEPT))
    #: Books of levels; a symbol without one trades without end at its best prices.
    books: dict[str, OrderBook] = field(default_factory=dict)
    candles: Candles = field(default_factory=Candles)
    #: The last prices at which levels were traded in the running operation, by symbol.
    traded: dict[str, Decimal] = field(default_factory=dict)
    #: When the next open order comes to its date; None when none has one.
    next_date: int | None = None
    #: What happens by itself at a later time.
    schedule: Schedule = field(default_factory=Schedule)
    #: The shortest and longest time in milliseconds between the reach of a trigger and the order that it
    #: becomes; None for a usual time, which passes within the operation that fires it.
    trigger_delay: tuple[int, int] | None = None
    #: Ticks between the last price and either side of the book, for a symbol without a book of levels.
    spread: int = 1
    #: What chance is drawn from.
    seed: int = 0
    #: Whether resting orders that close occupy the position; else they share it until it is closed.
    strict_reduce_only: bool = True
    #: Whether a price, a fill or a transfer has changed a margin since the last look at them.
    margins_changed: bool = True
    #: The margins that were near their end at the last look: CROSS, or symbol and side.
    margin_called: set[str] = field(default_factory=set)
    #: What was moved into and out of isolated positions.
    margin_moves: deque[MarginMove] = field(default_factory=lambda: deque(maxlen=KEPT))
    rules: ExchangeRules = field(default_factory=ExchangeRules)
    ids: Ids = field(default_factory=Ids)
    #: When the open orders of a symbol are to be cancelled (countdownCancelAll), in milliseconds.
    countdowns: dict[str, int] = field(default_factory=dict)
    feed: EventFeed = field(default_factory=EventFeed)

    def symbol(self, name: str) -> Symbol:
        """Return a symbol by name.

        Raises:
            ExchangeError: -1121.
        """
        if name not in self.symbols:
            raise INVALID_SYMBOL.error()
        return self.symbols[name]

    def note_trade(self, symbol: str, price: Decimal) -> None:
        """Remember the last traded level of a symbol; its prices follow at the end of the operation."""
        self.traded[symbol] = price

    def note_date(self, due: int) -> None:
        """Remember that an open order expires at `due` (ms)."""
        self.next_date = due if self.next_date is None else min(self.next_date, due)

    def forget_old(self) -> None:
        """Forget what the exchange would no longer show."""
        self.orders.forget_old(self.now)
        self.algos.forget_old(self.now)
        while self.trades and self.trades[0].time < self.now - LONGEST:
            self.trades.popleft()

    def position(self, symbol: str, side: str) -> Position:
        """Return a position, flat when nothing was traded there."""
        return self.positions.get((symbol, side)) or Position(symbol, side)

    def position_to_change(self, symbol: str, side: str) -> Position:
        """Return a position that is stored when it changes."""
        return self.positions.setdefault((symbol, side), Position(symbol, side))

    def open_positions(self) -> list[Position]:
        """Return the positions that are not flat."""
        return [position for position in self.positions.values() if position.amount]
