"""Everything the exchange remembers, in one place that its rules share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from .account import USUAL_LEVERAGE, Account, SpotAccount
from .aging import KEPT, LONGEST
from .algo import AlgoStore
from .candles import Candles
from .errors import INVALID_SYMBOL
from .events import EventFeed
from .exchange_rules import ExchangeRules
from .history import History
from .markets import Market, Quotes
from .order_book import OrderBook
from .orders import OrderChange, OrderStore, Trade
from .positions import FundingPayment, MarginMove, Position
from .schedule import Schedule
from .symbols import Symbol, is_listed, is_well_formed
from .tape import Tape

NOT_TRADED = "it is not among the symbols of this exchange"
MADE_UP = "made up: its price and filters are plausible, not real"
#: Milliseconds since 1970.
Clock = Callable[[], int]


@dataclass
class Ids:
    """The last id of each kind, as large as on production: algo ids need more than 32 bits."""

    order: int = 33_878_894_217
    algo: int = 4_000_001_910_058_351
    trade: int = 1_190_331_610
    transfer: int = 13_526_853_623
    change: int = 5_362
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

    def next_transfer(self) -> int:
        """Take the id of a transfer."""
        self.transfer += 1
        return self.transfer

    def next_change(self) -> int:
        """Take the id of an amendment."""
        self.change += 1
        return self.change

    def next_client_id(self) -> str:
        """Make the client id of an order that came without one."""
        self.generated += 1
        return f"local_{self.generated:016d}"


@dataclass
class Motion:
    """The plan of the steps that the market takes with time, in milliseconds.

    `asked` and `moved` are when each symbol was last asked for and moved.
    """

    speed: float = 1.0
    next_due: int | None = None
    wait: int = 1000
    #: How many waits pass from one step to the next while the exchange catches up.
    stride: int = 1
    asked: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)


@dataclass
class State:
    """The state that all rules share. Positions are keyed by symbol and side (BOTH, LONG, SHORT)."""

    market: Market
    symbols: dict[str, Symbol]
    account: Account
    quotes: Quotes
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
    #: The amendments of orders.
    order_changes: deque[OrderChange] = field(default_factory=lambda: deque(maxlen=KEPT))
    #: Books of levels; a symbol without one trades without end at its best prices.
    books: dict[str, OrderBook] = field(default_factory=dict)
    candles: Candles = field(default_factory=Candles)
    motion: Motion = field(default_factory=Motion)
    #: The past, before the exchange began.
    history: History = field(default_factory=History)
    #: The trades of the market, own ones included.
    tape: Tape = field(default_factory=Tape)
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
    #: Whether funding is booked, when it is due next (ms), and the payments so far.
    funding: bool = False
    funding_due: int | None = None
    funding_payments: deque[FundingPayment] = field(default_factory=lambda: deque(maxlen=KEPT))
    #: Whether resting orders wait behind the depth shown at their prices, and how much is ahead of each.
    queue: bool = False
    ahead: dict[int, Decimal] = field(default_factory=dict)
    spot: SpotAccount = field(default_factory=SpotAccount)
    rules: ExchangeRules = field(default_factory=ExchangeRules)
    ids: Ids = field(default_factory=Ids)
    #: When the open orders of a symbol are to be cancelled (countdownCancelAll), in milliseconds.
    countdowns: dict[str, int] = field(default_factory=dict)
    feed: EventFeed = field(default_factory=EventFeed)
    #: Makes a symbol when it is first asked for; None if no other symbols may trade.
    make_symbol: Callable[[str], Symbol | None] | None = None
    #: Called with a symbol that was asked for and is refused or made up, and with the reason.
    note_symbol: Callable[[str, str], None] | None = None
    #: The symbols that a stream watches.
    watched: set[str] = field(default_factory=set)

    def symbol(self, name: str) -> Symbol:
        """Return a symbol by name; make it first if any symbol may trade.

        Raises:
            ExchangeError: -1121.
        """
        return self.symbols.get(name) or self._open_symbol(name)

    def _open_symbol(self, name: str) -> Symbol:
        symbol = None if self.make_symbol is None else self.make_symbol(name)
        if symbol is None:
            if is_well_formed(name):
                self._note(name, NOT_TRADED)
            raise INVALID_SYMBOL.error()
        if not is_listed(name):
            self._note(name, MADE_UP)
        self.add_symbol(symbol)
        return symbol

    def _note(self, name: str, reason: str) -> None:
        if self.note_symbol is not None:
            self.note_symbol(name, reason)

    def add_symbol(self, symbol: Symbol) -> None:
        """Let a symbol trade."""
        self.symbols[symbol.name] = symbol
        if symbol.max_leverage < USUAL_LEVERAGE:
            self.account.of(symbol.name).leverage = symbol.max_leverage

    def symbols_in_use(self) -> list[str]:
        """Return the symbols with a position, an open order, a book of levels or a price that has changed."""
        used = {position.symbol for position in self.open_positions()}
        used |= {order.symbol for order in self.orders.open()} | {
            algo.symbol for algo in self.algos.open(None)
        }
        used |= self.books.keys() | self.candles.rows.keys()
        return [name for name in self.symbols if name in used]

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
        while self.order_changes and self.order_changes[0].time < self.now - LONGEST:
            self.order_changes.popleft()

    def position(self, symbol: str, side: str) -> Position:
        """Return a position, flat when nothing was traded there."""
        return self.positions.get((symbol, side)) or Position(symbol, side)

    def position_to_change(self, symbol: str, side: str) -> Position:
        """Return a position that is stored when it changes."""
        position = self.positions.get((symbol, side))
        if position is None:
            position = self.positions[symbol, side] = Position(symbol, side)
        return position

    def open_positions(self) -> list[Position]:
        """Return the positions that are not flat."""
        return [position for position in self.positions.values() if position.amount]
