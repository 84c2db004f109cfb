"""The exchange as one object: each operation is a line that calls the module with its rules."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from . import (
    account_settings,
    algo_placement,
    cancels,
    emission,
    isolated_margin,
    liquidation,
    matching,
    motion,
    order_placement,
    permissions,
    prices,
    saved_state,
    timers,
)
from .account import Account
from .aging import KEPT
from .algo import AlgoOrder, AlgoRef, AlgoStore, NewAlgo
from .events import EventFeed
from .exchange_rules import ALGO_SERVICE, find_rules
from .funding import next_time
from .funding import run_due as run_funding
from .history import History
from .listen_keys import ListenKeys
from .market import Number, Quote, parse_price
from .markets import Market, Quotes, StaticMarket
from .order_book import make_order_book
from .orders import Amendment, NewOrder, Order, OrderRef, OrderStore
from .positions import MarginMove
from .reads import ExchangeReads
from .schedule import CANCEL_ALGO, CANCEL_ORDER, OF_TRIGGERS, soonest
from .state import Clock, Motion, State
from .symbols import COIN_QUOTE, DEFAULT_SYMBOLS, ONBOARDED, Symbol, make_coin_symbol, make_symbol
from .trigger_times import parse_delay


def system_clock() -> int:
    """Return the time of day in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Exchange(ExchangeReads):
    """A USDⓈ-M futures exchange with one account, without I/O and threads; use it under a lock.

    Args:
        clock: returns the time in milliseconds; the system's by default.
        symbols: the contracts that trade.
        any_symbol: whether a contract that a request names and that does not trade is made at that moment,
            with its real tiers if it is listed and plausible ones if not.
        market: where prices come from; they stand still by default.
        hedge_mode: whether the account starts in hedge mode.
        wallet: the opening balance in USDT.
        rules: the day whose rules hold, such as "2025-12-08" for those before the Algo Service; those of
            now by default.
        trigger_delay: milliseconds that a conditional order stays TRIGGERING before it becomes an order, or
            the shortest and longest such time, (17, 400) on production; it passes by the clock. None for a
            short time that passes within the operation that fires the order.
        strict_reduce_only: whether resting orders that close occupy the position, so that what finds no room
            beside them is refused with -4118; else they share it until it is closed.
        spread: ticks between the last price and the best bid, and the best ask, of a symbol without a book of
            levels; a MARKET order is filled at the far side, and the mark price is in the middle.
        seed: the seed of the past and of the times of triggers.
        speed: steps a second that a living market takes by time, for symbols in use that nobody asks for
            more often: those that are watched, have an order or a position, or were asked for in the last
            minute.
        funding: whether funding is booked every eight hours; by default where the market lives.
        queue: whether a resting LIMIT order waits behind the depth that is shown at its price.
        kept: how many closed orders, conditional orders and trades are kept of each; on top of the days
            after which the exchange forgets them.
    """

    def __init__(  # noqa: PLR0913 - all by name, each with a default
        self,
        *,
        clock: Clock = system_clock,
        symbols: Sequence[Symbol] = DEFAULT_SYMBOLS,
        any_symbol: bool = False,
        market: Market | None = None,
        hedge_mode: bool = False,
        wallet: Number = 10_000,
        rules: str | date | None = None,
        algo_service: date = ALGO_SERVICE,
        trigger_delay: int | tuple[int, int] | None = None,
        spread: int = 1,
        seed: int = 0,
        strict_reduce_only: bool = True,
        speed: float = 1,
        funding: bool | None = None,
        queue: bool = False,
        kept: int = KEPT,
    ) -> None:
        source = market or StaticMarket()
        contracts: dict[str, Symbol] = {}
        self._clock = clock
        self.state = State(
            market=source,
            symbols=contracts,
            # A wallet that was never updated counts as none for some clients.
            account=Account(wallet=Decimal(wallet), hedge_mode=hedge_mode, update_time=ONBOARDED),
            quotes=Quotes(contracts, source, spread),
            orders=OrderStore(kept),
            algos=AlgoStore(kept),
            trades=deque(maxlen=kept),
            trigger_delay=parse_delay(trigger_delay),
            spread=spread,
            seed=seed,
            strict_reduce_only=strict_reduce_only,
            motion=Motion(speed=float(speed)),
            queue=queue,
            funding=source.lives if funding is None else funding,
            rules=find_rules(rules, algo_service=algo_service),
        )
        self.state.history = History(seed, opening=self.state.quotes.opening)
        if any_symbol:
            in_coin = any(symbol.quote == COIN_QUOTE for symbol in symbols)
            self.state.make_symbol = make_coin_symbol if in_coin else make_symbol
        for symbol in symbols:
            self.state.add_symbol(symbol)
        self.listen_keys = ListenKeys()
        self._ahead = 0

    def _at_now(self) -> State:
        # Time stands still within one operation: a fill has one time wherever it shows.
        self.run_due()
        return self.state

    # Time and prices

    def now(self) -> int:
        """Return the exchange's time in milliseconds."""
        return self._at_now().now

    @property
    def ahead(self) -> int:
        """Return how many milliseconds the exchange's time is ahead of the clock that it was given."""
        return self._ahead

    def advance(self, milliseconds: int) -> None:
        """Let time pass without waiting; whatever comes due meanwhile happens in order, at its own time.

        Raises:
            ValueError: when `milliseconds` is below zero.
        """
        if milliseconds < 0:
            raise ValueError(f"milliseconds={milliseconds!r} is invalid; time cannot go back")
        self.state.added += milliseconds
        self.run_due()

    def run_due(self) -> None:
        """Do what has come due, each at its own time; every operation begins with it."""
        # A listener that looks at the exchange sees the moment of its event.
        if self.state.feed.sending:
            return
        state, now = self.state, self.read_clock()
        if not state.history.start:
            state.history.start = now
        if state.market.lives:
            motion.plan(state, now)
        if state.funding and state.funding_due is None:
            state.funding_due = next_time(now)
        self._run_until(now)
        self._settle()
        self.state.forget_old()

    def read_clock(self) -> int:
        """Return the exchange's time in milliseconds, without doing what has come due."""
        clock = self._clock()
        now = max(clock + self.state.added, self.state.settled)
        self._ahead = now - clock
        return now

    @property
    def next_due(self) -> int | None:
        """Return when something happens by itself, in milliseconds; None when nothing will."""
        state = self.state
        return soonest(
            timers.next_due(state), self.listen_keys.next_expiry, state.motion.next_due, state.funding_due
        )

    def _run_until(self, time: int) -> None:
        while (due := self.next_due) is not None and due <= time:
            self.state.now = due
            timers.run_due(self.state)
            motion.run_due(self.state)
            run_funding(self.state)
            prices.follow_trades(self.state)
            liquidation.liquidate_due(self.state)
            for key in self.listen_keys.take_expired(due):
                emission.emit_listen_key(self.state, key, expired=True)
        self.state.now = time

    def _settle(self) -> None:
        """Follow the trades of an operation, and let the triggers that it has fired take their time."""
        if self.state.feed.sending:
            return
        prices.follow_trades(self.state)
        liquidation.liquidate_due(self.state)
        while self.state.trigger_delay is None:
            due = self.state.schedule.next_due_of(OF_TRIGGERS)
            if due is None:
                return
            self._run_until(due)
            self.state.settled = due

    def ask_price(self, symbol: str) -> Quote:
        """Return the prices of a symbol as a client gets them: a walking market steps first."""
        self.run_due()
        prices.ask(self.state, symbol)
        self._settle()
        return self.state.quotes[symbol]

    def set_mark(self, symbol: str, price: Number) -> None:
        """Put mark price and last price of a symbol at `price` and the book around it.

        What these prices reach trades or fires.

        Raises:
            ExchangeError: -1121.
            ValueError: when `price` is not above zero.
        """
        self.run_due()
        prices.move(self.state, symbol, parse_price(price))
        self._settle()

    def set_prices(self, symbol: str, **changes: Number) -> None:
        """Change any of `mark`, `last`, `bid` and `ask` of a symbol and leave the others."""
        self.run_due()
        prices.change(self.state, symbol, **{name: parse_price(price) for name, price in changes.items()})
        self._settle()

    def set_book(
        self, symbol: str, bids: Iterable[tuple[Number, Number]], asks: Iterable[tuple[Number, Number]]
    ) -> None:
        """Give a symbol a book of (price, quantity) levels, which orders take from until nothing is left.

        Resting orders within its reach trade at once, whole or in part. Best prices follow the book, and
        the last price follows what is traded from it. The book stays until bid, ask or all prices are set.

        Raises:
            ExchangeError: -1121.
            ValueError: for a price or quantity that is not above zero, or bids that reach the asks.
        """
        book = make_order_book(bids, asks)
        self.run_due()
        prices.set_book(self.state, symbol, book)
        self._settle()

    def move_prices(self, symbol: str, price: Number, **others: Number) -> None:
        """Put the prices of a symbol at `price` in one step, but those that `others` gives.

        Args:
            symbol: whose prices.
            price: the price of all four, with the spread around it.
            others: any of `mark`, `last`, `bid` and `ask`.

        Raises:
            ExchangeError: -1121.
            ValueError: when a price is not above zero.
        """
        self.run_due()
        named = {name: parse_price(other) for name, other in others.items()}
        prices.move(self.state, symbol, parse_price(price), **named)
        self._settle()

    def fill_order(self, symbol: str, ref: OrderRef, quantity: Number | None = None) -> Order:
        """Let others trade with a resting order at its own price: wholly, or up to `quantity`.

        Prices stay. An order that may only reduce is filled up to its position.

        Raises:
            ExchangeError: -1121, or -2013 for an order that is not open.
            ValueError: when `quantity` is not above zero.
        """
        size = None if quantity is None else parse_price(quantity)
        self.run_due()
        order = self.open_order(symbol, ref)
        matching.fill_resting(self.state, order, size)
        self._settle()
        return order

    def trade(self, symbol: str, price: Number, quantity: Number) -> None:
        """Let others trade `quantity` at `price`: resting orders that good are filled first, up to it.

        The last price becomes `price`, with all that it fires; the best prices stay.

        Raises:
            ExchangeError: -1121.
            ValueError: when either is not above zero.
        """
        at, size = parse_price(price), parse_price(quantity)
        self.run_due()
        prices.trade(self.state, symbol, at, size)
        self._settle()

    def walk(self, symbol: str, path: Iterable[Number | Mapping[str, Number]]) -> None:
        """Take the prices of a symbol along a path, one step after the other.

        Each step is a price for `set_mark`, or a mapping of any of mark, last, bid and ask.
        """
        for step in path:
            if isinstance(step, Mapping):
                self.set_prices(symbol, **step)
            else:
                self.set_mark(symbol, step)

    # Events

    @property
    def feed(self) -> EventFeed:
        """Return the feed of all events; append a listener to `feed.listeners`."""
        return self.state.feed

    def close_listen_key(self, api_key: str) -> None:
        """End the user data stream of an API key; do nothing when it has none."""
        key = self.listen_keys.close(api_key)
        if key is not None:
            emission.emit_listen_key(self._at_now(), key, expired=False)

    # Orders

    def place_order(self, request: NewOrder) -> Order:
        """Accept an order and trade it as far as it goes."""
        order = order_placement.place(self._at_now(), request)
        self._settle()
        return order

    def check_order(self, request: NewOrder) -> Order:
        """Apply the rules to an order as `place_order` would and return it, changing nothing."""
        return order_placement.judge(self._at_now(), request)

    def amend_order(self, request: Amendment) -> Order:
        """Change price and quantity of a resting order."""
        order = cancels.amend(self._at_now(), request)
        self._settle()
        return order

    def cancel_order(self, symbol: str, ref: OrderRef) -> Order:
        """Cancel an open order."""
        order = cancels.cancel(self._at_now(), symbol, ref)
        self._settle()
        return order

    def cancel_all_orders(self, symbol: str) -> None:
        """Cancel the open orders of a symbol; conditional orders stay."""
        cancels.cancel_all(self._at_now(), symbol)
        self._settle()

    def set_countdown(self, symbol: str, duration: int) -> None:
        """Cancel the open orders of a symbol in `duration` milliseconds; 0 stops the countdown."""
        timers.set_countdown(self._at_now(), symbol, duration)

    # Conditional orders

    def place_algo(self, request: NewAlgo) -> AlgoOrder:
        """Accept a conditional order."""
        return algo_placement.place_algo(self._at_now(), request)

    def cancel_algo(self, ref: AlgoRef) -> AlgoOrder:
        """Cancel a conditional order that waits for its trigger."""
        return algo_placement.cancel_algo(self._at_now(), ref)

    def cancel_all_algos(self, symbol: str) -> None:
        """Cancel the waiting conditional orders of a symbol."""
        algo_placement.cancel_all_algos(self._at_now(), symbol)

    # The account

    def set_leverage(self, symbol: str, leverage: int) -> Decimal:
        """Change the leverage of a symbol and return the largest position that it permits."""
        return account_settings.set_leverage(self._at_now(), symbol, leverage)

    def set_margin_type(self, symbol: str, margin_type: str) -> None:
        """Change a symbol to CROSSED or ISOLATED."""
        account_settings.set_margin_type(self._at_now(), symbol, margin_type)

    def set_hedge_mode(self, hedge_mode: bool) -> None:
        """Change the account between one-way and hedge mode."""
        account_settings.set_hedge_mode(self._at_now(), hedge_mode)

    def set_multi_assets(self, multi_assets: bool) -> None:
        """Change the account between Single-Asset and Multi-Assets mode."""
        account_settings.set_multi_assets(self._at_now(), multi_assets)

    def move_margin(self, symbol: str, side: str, amount: Decimal, *, adds: bool) -> MarginMove:
        """Add USDT to the margin of an isolated position, or take it out."""
        return isolated_margin.move_margin(self._at_now(), symbol, side, amount, adds=adds)

    # Keeping it

    def dump(self) -> bytes:
        """Return the state of the exchange as JSON, without listen keys."""
        return saved_state.dump(self._at_now())

    @classmethod
    def parse(
        cls,
        data: bytes,
        *,
        clock: Clock = system_clock,
        market: Market | None = None,
        any_symbol: bool = False,
        kept: int = KEPT,
    ) -> Exchange:
        """Return the exchange that `dump` has saved.

        Args:
            data: what `dump` returned.
            clock: as for a new one; time goes on from wherever it is.
            market: as for a new one; a walking market of the same seed goes on with its walk.
            any_symbol: as for a new one.
            kept: as for a new one.

        Raises:
            ValueError: when `data` is not a saved exchange.
        """
        exchange = cls(clock=clock, market=market, any_symbol=any_symbol, kept=kept)
        saved_state.restore(exchange.state, data)
        return exchange

    # What the exchange itself decides

    def cancel_later(self, order_id: int, milliseconds: int) -> None:
        """Cancel an order, conditional or not, in some milliseconds, if it is open then."""
        state = self._at_now()
        kind = CANCEL_ORDER if state.orders.get(order_id) else CANCEL_ALGO
        state.schedule.add(state.now + milliseconds, kind, order_id)

    def restrict(self, restriction: str = "") -> None:
        """Restrict the account, as risk control does; nothing lifts the restriction.

        Args:
            restriction: reduce_only (-4087), no_orders (-4088), cooling_off (-4192),
                quantitative_rules (-4400) or large_position (-4401).

        Raises:
            ValueError: for any other word.
        """
        permissions.restrict(self.state.account, restriction)

    def set_status(self, symbol: str, status: str) -> None:
        """Change what may be done with a symbol: TRADING, CLOSE (nothing), or a status between (close only).

        Raises:
            ExchangeError: -1121.
            ValueError: for any other word.
        """
        permissions.set_status(self.state, symbol, status)
