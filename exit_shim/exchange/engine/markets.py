"""The markets that make prices: they stand still, walk, rise, crash or follow, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

from .market import Number, Quote, make_quote, parse_price
from .numbers import nearest
from .symbols import Symbol

#: The most steps that a walk takes at once, after any time.
MOST_AT_ONCE = 100


class Market(Protocol):
    """A source of prices: those at the start, after a client has asked, and after some time."""

    @property
    def lives(self) -> bool:
        """Return whether prices move with time."""
        ...

    def opening(self, symbol: Symbol) -> Decimal:
        """Return the price at which the symbol opens."""
        ...

    def asked(self, symbol: Symbol, price: Decimal) -> Decimal | None:
        """Return the price after somebody asked for it, or None when it stays at `price`."""
        ...

    def step(self, symbol: Symbol, price: Decimal, count: int) -> Decimal | None:
        """Return the price after so many steps, or None when it stays at `price`."""
        ...


class Quotes(dict[str, Quote]):
    """The prices by symbol; a symbol opens when somebody first looks at its prices.

    Args:
        symbols: the contracts by name; may grow while this is in use.
        market: gives the opening prices.
        spread: ticks between the last price and either side of the book.
        quotes: the prices of the symbols that have opened already.
        openings: the last prices at which they opened.
    """

    def __init__(
        self,
        symbols: Mapping[str, Symbol],
        market: Market,
        spread: int,
        quotes: Mapping[str, Quote] | None = None,
        openings: Mapping[str, Decimal] | None = None,
    ) -> None:
        super().__init__(quotes or {})
        self._symbols = symbols
        self._market = market
        self._spread = spread
        self.openings = dict(openings or {})

    def opening(self, name: str) -> Decimal:
        """Return the last price at which a symbol opened; open it if it has not."""
        if name not in self.openings:
            self.openings[name] = self[name].last
        return self.openings[name]

    def __missing__(self, name: str) -> Quote:
        symbol = self._symbols[name]
        quote = self[name] = make_quote(symbol, self._market.opening(symbol), self._spread)
        self.openings[name] = quote.last
        return quote


class StaticMarket:
    """A market whose prices change only when a test sets them.

    Args:
        prices: opening prices by symbol, for those that should not open at their default.
    """

    lives = False

    def __init__(self, prices: Mapping[str, Number] | None = None) -> None:
        self._prices = {name: parse_price(price) for name, price in (prices or {}).items()}

    def opening(self, symbol: Symbol) -> Decimal:
        """Return the price given for the symbol, or its default."""
        return self._prices.get(symbol.name, symbol.start)

    def asked(self, symbol: Symbol, price: Decimal) -> Decimal | None:  # noqa: ARG002 - the protocol
        """Leave the price where it is."""
        return None

    def step(self, symbol: Symbol, price: Decimal, count: int) -> Decimal | None:  # noqa: ARG002 - as above
        """Leave the price where it is."""
        return None


class WalkingMarket(StaticMarket):
    """A market whose prices take one seeded step each time somebody asks for them, and with time.

    The walk depends on the seed, the symbol and how many steps it has taken: a bot that asks more often
    than the exchange steps by time sees the same market twice.

    Args:
        seed: the same seed gives the same prices.
        step: the largest step, as a fraction of the price.
        prices: opening prices by symbol.
    """

    lives = True

    def __init__(
        self, seed: int = 0, step: Number = "0.002", prices: Mapping[str, Number] | None = None
    ) -> None:
        super().__init__(prices)
        self._seed = seed
        self._step = Decimal(step)
        self._walks: dict[str, random.Random] = {}
        #: How many steps each price has taken.
        self.asked_so_far: dict[str, int] = {}

    def asked(self, symbol: Symbol, price: Decimal) -> Decimal | None:
        """Return `price` moved by one step, on the symbol's tick."""
        number = self.asked_so_far[symbol.name] = self.asked_so_far.get(symbol.name, 0) + 1
        walk = self._walk(symbol.name)
        share = Decimal(walk.randint(-1000, 1000)) / 1000
        moved = nearest(price * (1 + share * self._step + self.drift(symbol, number)), symbol.tick)
        return min(max(moved, symbol.min_price), symbol.max_price)

    def step(self, symbol: Symbol, price: Decimal, count: int) -> Decimal | None:
        """Return `price` moved by so many steps, at most MOST_AT_ONCE."""
        moved: Decimal | None = price
        for _ in range(min(count, MOST_AT_ONCE)):
            moved = self.asked(symbol, moved or price)
        return moved

    def drift(self, symbol: Symbol, number: int) -> Decimal:  # noqa: ARG002 - for those that drift
        """Return the drift of a step, as a fraction of the price; `number` counts from 1."""
        return Decimal(0)

    def resume(self, asked: Mapping[str, int]) -> None:
        """Continue as if each price had taken so many steps."""
        for name, times in asked.items():
            self._walks.pop(name, None)
            for _ in range(times):
                self._walk(name).randint(-1000, 1000)
        self.asked_so_far = dict(asked)

    def _walk(self, name: str) -> random.Random:
        if name not in self._walks:
            # One generator per symbol, so that asking for one does not move another.
            self._walks[name] = random.Random(f"{self._seed}/{name}")  # noqa: S311 - a market, not a secret
        return self._walks[name]


class FollowingMarket:
    """A market whose prices are those of another exchange as long as that one lives.

    Args:
        followed: returns the other exchange's market.
        last: returns the last price there of a symbol's coin, or None when it does not trade there.
    """

    def __init__(self, followed: Callable[[], Market], last: Callable[[Symbol], Decimal | None]) -> None:
        self._followed = followed
        self._last = last

    @property
    def lives(self) -> bool:
        """Return whether prices move with time."""
        return self._followed().lives

    def opening(self, symbol: Symbol) -> Decimal:
        """Return the price there, or the symbol's default."""
        return self.asked(symbol, symbol.start) or symbol.start

    def asked(self, symbol: Symbol, price: Decimal) -> Decimal | None:
        """Return the price there, or None when it is the same or stands still."""
        last = self._last(symbol) if self.lives else None
        return None if last == price else last

    def step(self, symbol: Symbol, price: Decimal, count: int) -> Decimal | None:  # noqa: ARG002 - taken there
        """Return the price there, or None when it is the same or stands still."""
        return self.asked(symbol, price)


class TrendMarket(WalkingMarket):
    """A market that walks and rises all the time.

    Args:
        seed: as for WalkingMarket.
        step: as for WalkingMarket.
        drift: the gain of each step, as a fraction of the price; below zero to fall.
        prices: opening prices by symbol.
    """

    def __init__(
        self,
        seed: int = 0,
        step: Number = "0.001",
        drift: Number = "0.0002",
        prices: Mapping[str, Number] | None = None,
    ) -> None:
        super().__init__(seed, step, prices)
        self._drift = Decimal(drift)

    def drift(self, symbol: Symbol, number: int) -> Decimal:  # noqa: ARG002 - the same in every step
        """Return the gain of a step."""
        return self._drift


class CrashMarket(WalkingMarket):
    """A market that walks, falls by a fifth within some tens of steps, and recovers in part.

    Each symbol falls at a step of its own, drawn from the seed.

    Args:
        seed: as for WalkingMarket.
        step: as for WalkingMarket.
        prices: opening prices by symbol.
    """

    #: The steps between which the fall begins, its length, and the length of the recovery.
    BEGINS = (60, 120)
    FALL = 40
    RECOVERY = 80
    #: The loss of a step of the fall, and the gain of a step of the recovery.
    LOSS = Decimal("-0.00556")
    GAIN = Decimal("0.00118")

    def __init__(
        self, seed: int = 0, step: Number = "0.001", prices: Mapping[str, Number] | None = None
    ) -> None:
        super().__init__(seed, step, prices)
        self._begins: dict[str, int] = {}

    def drift(self, symbol: Symbol, number: int) -> Decimal:
        """Return the loss of a step of the fall, or the gain of a step of the recovery."""
        begin = self._begins.get(symbol.name)
        if begin is None:
            chance = random.Random(f"{self._seed}/{symbol.name}/crash")  # noqa: S311 - no secret either
            begin = self._begins[symbol.name] = chance.randint(*self.BEGINS)
        into = number - begin
        if not 0 <= into < self.FALL + self.RECOVERY:
            return Decimal(0)
        return self.LOSS if into < self.FALL else self.GAIN
