"""An exchange as JSON and back, without listen keys, since streams end with the exchange."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from .account import Account, SpotAccount
from .algo import AlgoOrder
from .candles import Candle, Candles
from .exchange_rules import ExchangeRules
from .history import History
from .market import Quote
from .markets import Market, Quotes
from .order_book import OrderBook
from .orders import Order, OrderChange, Trade
from .positions import FundingPayment, MarginMove, Position
from .schedule import Schedule, Step
from .state import Ids, State
from .symbols import Symbol, make_symbol
from .tape import MarketTrade, Tape

VERSION = 1


class SavedState(msgspec.Struct, kw_only=True):
    """The state of an exchange as it is saved; amounts are text, times milliseconds."""

    version: int = VERSION
    now: int
    added: int = 0
    rules: ExchangeRules
    trigger_delay: tuple[int, int] | None
    seed: int
    spread: int
    settled: int
    strict_reduce_only: bool = True
    #: A contract as the table has it is saved as its name.
    symbols: list[Symbol | str]
    account: Account
    spot: SpotAccount = msgspec.field(default_factory=SpotAccount)
    quotes: dict[str, Quote]
    ids: Ids
    orders: list[Order]
    algos: list[AlgoOrder]
    positions: list[Position]
    trades: list[Trade]
    order_changes: list[OrderChange] = []
    margin_moves: list[MarginMove]
    books: dict[str, OrderBook]
    candles: dict[str, list[Candle]]
    countdowns: dict[str, int]
    scheduled: list[Step]
    margin_called: set[str] = set()
    #: When the exchange began, and at which prices; the present where a file does not know.
    started: int | None = None
    openings: dict[str, Decimal] = {}
    tape: dict[str, list[MarketTrade]] = {}
    last_ids: dict[str, int] = {}
    speed: float = 1.0
    funding: bool = False
    funding_due: int | None = None
    funding_payments: list[FundingPayment] = []
    queue: bool = False
    ahead: dict[int, Decimal] = {}
    #: How often the market was asked for each price, so that a walk goes on where it was.
    asked: dict[str, int]


def dump(state: State) -> bytes:
    """Return the state as JSON."""
    saved = SavedState(
        now=state.now,
        added=state.added,
        rules=state.rules,
        trigger_delay=state.trigger_delay,
        seed=state.seed,
        spread=state.spread,
        settled=state.settled,
        strict_reduce_only=state.strict_reduce_only,
        symbols=[name if make_symbol(name) == symbol else symbol for name, symbol in state.symbols.items()],
        account=state.account,
        spot=state.spot,
        # Those at which nobody has looked too: it goes on with these prices, whatever its market then.
        quotes={name: state.quotes[name] for name in state.symbols},
        ids=state.ids,
        orders=state.orders.all_of(None),
        algos=state.algos.all_of(None),
        positions=list(state.positions.values()),
        trades=list(state.trades),
        order_changes=list(state.order_changes),
        margin_moves=list(state.margin_moves),
        books=state.books,
        candles=state.candles.rows,
        countdowns=state.countdowns,
        scheduled=state.schedule.list_steps(),
        margin_called=state.margin_called,
        started=state.history.start,
        openings=state.quotes.openings,
        tape=state.tape.list_all(),
        last_ids=state.tape.last_ids,
        speed=state.motion.speed,
        funding=state.funding,
        funding_due=state.funding_due,
        funding_payments=list(state.funding_payments),
        queue=state.queue,
        ahead=state.ahead,
        asked=dict(getattr(state.market, "asked_so_far", {})),
    )
    return msgspec.json.format(msgspec.json.encode(saved), indent=1)


def restore(state: State, data: bytes) -> None:
    """Replace a fresh state by a saved one.

    Raises:
        ValueError: when `data` is not what `dump` makes.
    """
    try:
        saved = msgspec.json.decode(data, type=SavedState)
    except msgspec.DecodeError as wrong:
        raise ValueError(f"not a saved exchange: {wrong}") from wrong
    if saved.version != VERSION:
        raise ValueError(f"the saved exchange has version {saved.version}; expected {VERSION}")
    state.now, state.added = saved.now, saved.added
    state.seed, state.spread, state.settled = saved.seed, saved.spread, saved.settled
    state.strict_reduce_only = saved.strict_reduce_only
    state.rules, state.trigger_delay = saved.rules, saved.trigger_delay
    state.symbols = {symbol.name: symbol for symbol in _read_symbols(saved)}
    openings = saved.openings or {name: quote.last for name, quote in saved.quotes.items()}
    state.quotes = Quotes(state.symbols, state.market, state.spread, saved.quotes, openings)
    state.account, state.ids = saved.account, saved.ids
    state.spot = saved.spot
    state.books, state.candles = saved.books, Candles(saved.candles)
    state.countdowns, state.schedule = saved.countdowns, Schedule(saved.scheduled)
    state.margin_called = saved.margin_called
    started = saved.now if saved.started is None else saved.started
    state.history = History(saved.seed, started, state.quotes.opening)
    state.tape = Tape(saved.tape, saved.last_ids)
    state.motion.speed = saved.speed
    state.funding, state.funding_due = saved.funding, saved.funding_due
    state.funding_payments.extend(saved.funding_payments)
    state.queue, state.ahead = saved.queue, saved.ahead
    state.positions = {(position.symbol, position.side): position for position in saved.positions}
    state.trades.extend(saved.trades)
    state.order_changes.extend(saved.order_changes)
    state.margin_moves.extend(saved.margin_moves)
    _restore_orders(state, saved)
    _resume(state.market, saved.asked)


def _read_symbols(saved: SavedState) -> Iterator[Symbol]:
    for each in saved.symbols:
        symbol = make_symbol(each) if isinstance(each, str) else each
        if symbol is None:
            raise ValueError(f"the saved exchange has a symbol {each!r}; expected a name such as BTCUSDT")
        yield symbol


def _restore_orders(state: State, saved: SavedState) -> None:
    for order in saved.orders:
        state.orders.restore(order)
        if order.is_open:
            state.note_date(order.due)
    for algo in saved.algos:
        state.algos.restore(algo)


def _resume(market: Market, asked: dict[str, int]) -> None:
    resume = getattr(market, "resume", None)
    if resume is not None:
        resume(asked)
