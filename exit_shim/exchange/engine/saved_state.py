"""An exchange as JSON and back, without listen keys, since streams end with the exchange."""

from __future__ import annotations

import msgspec

from .account import Account
from .algo import AlgoOrder
from .candles import Candle, Candles
from .exchange_rules import ExchangeRules
from .market import Market, Quote
from .order_book import OrderBook
from .orders import Order, Trade
from .positions import MarginMove, Position
from .schedule import Schedule, Step
from .state import Ids, State
from .symbols import Symbol

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
    symbols: list[Symbol]
    account: Account
    quotes: dict[str, Quote]
    ids: Ids
    orders: list[Order]
    algos: list[AlgoOrder]
    positions: list[Position]
    trades: list[Trade]
    margin_moves: list[MarginMove]
    books: dict[str, OrderBook]
    candles: dict[str, list[Candle]]
    countdowns: dict[str, int]
    scheduled: list[Step]
    margin_called: set[str] = set()
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
        symbols=list(state.symbols.values()),
        account=state.account,
        quotes=state.quotes,
        ids=state.ids,
        orders=state.orders.all_of(None),
        algos=state.algos.all_of(None),
        positions=list(state.positions.values()),
        trades=list(state.trades),
        margin_moves=list(state.margin_moves),
        books=state.books,
        candles=state.candles.rows,
        countdowns=state.countdowns,
        scheduled=state.schedule.list_steps(),
        margin_called=state.margin_called,
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
    state.symbols = {symbol.name: symbol for symbol in saved.symbols}
    state.account, state.quotes, state.ids = saved.account, saved.quotes, saved.ids
    state.books, state.candles = saved.books, Candles(saved.candles)
    state.countdowns, state.schedule = saved.countdowns, Schedule(saved.scheduled)
    state.margin_called = saved.margin_called
    state.positions = {(position.symbol, position.side): position for position in saved.positions}
    state.trades.extend(saved.trades)
    state.margin_moves.extend(saved.margin_moves)
    _restore_orders(state, saved)
    _resume(state.market, saved.asked)


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
