"""Where prices come from: one that stands still, one that walks the same way every time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from .numbers import nearest
from .symbols import Symbol

Number = Decimal | int | str


class Quote(msgspec.Struct, frozen=True):
    """The prices of one symbol: mark, last trade, best bid and best ask."""

    mark: Decimal
    last: Decimal
    bid: Decimal
    ask: Decimal

    def working(self, working_type: str) -> Decimal:
        """Return the price that a conditional order of this workingType watches."""
        return self.mark if working_type == "MARK_PRICE" else self.last


def parse_price(value: Number) -> Decimal:
    """Return a positive number as a Decimal.

    Raises:
        ValueError: when it is not a positive number.
    """
    price = Decimal(value)
    if not (price.is_finite() and price > 0):
        raise ValueError(f"price {value!r} is invalid; expected a number above zero")
    return price


def make_quote(symbol: Symbol, price: Decimal, spread: int) -> Quote:
    """Return a quote around `price`: last price on the nearest tick, book `spread` ticks to either side."""
    traded = max(symbol.tick * (spread + 1), nearest(price, symbol.tick))
    distance = symbol.tick * spread
    return Quote(mark=price, last=traded, bid=traded - distance, ask=traded + distance)


class Market(Protocol):
    """A source of prices, asked when the exchange starts and when a client asks for a price."""

    def opening(self, symbol: Symbol) -> Decimal:
        """Return the price at which the symbol opens."""
        ...

    def asked(self, symbol: Symbol, price: Decimal) -> Decimal | None:
        """Return the price after somebody asked for it, or None when it stays at `price`."""
        ...


class StaticMarket:
    """A market whose prices change only when a test sets them.

    Args:
        prices: opening prices by symbol, for those that should not open at their default.
    """

    def __init__(self, prices: Mapping[str, Number] | None = None) -> None:
        self._prices = {name: parse_price(price) for name, price in (prices or {}).items()}

    def opening(self, symbol: Symbol) -> Decimal:
        """Return the price given for the symbol, or its default."""
        return self._prices.get(symbol.name, symbol.start)

    def asked(self, symbol: Symbol, price: Decimal) -> Decimal | None:  # noqa: ARG002 - the protocol
        """Leave the price where it is."""
        return None


class WalkingMarket(StaticMarket):
    """A market whose prices take one seeded step each time somebody asks for them.

    The walk depends on the seed, the symbol and how often its price was asked, and not on the clock:
    the same bot sees the same market twice.

    Args:
        seed: two markets of one seed walk alike.
        step: the largest step, as a fraction of the price.
        prices: opening prices by symbol.
    """

    def __init__(
        self, seed: int = 0, step: Number = "0.002", prices: Mapping[str, Number] | None = None
    ) -> None:
        super().__init__(prices)
        self._seed = seed
        self._step = Decimal(step)
        self._walks: dict[str, random.Random] = {}
        #: How often each price was asked for.
        self.asked_so_far: dict[str, int] = {}

    def asked(self, symbol: Symbol, price: Decimal) -> Decimal | None:
        """Return `price` moved by at most `step`, on the symbol's tick."""
        self.asked_so_far[symbol.name] = self.asked_so_far.get(symbol.name, 0) + 1
        share = Decimal(self._walk(symbol.name).randint(-1000, 1000)) / 1000
        moved = nearest(price * (1 + share * self._step), symbol.tick)
        return min(max(moved, symbol.min_price), symbol.max_price)

    def resume(self, asked: Mapping[str, int]) -> None:
        """Continue as if each price had been asked for so many times."""
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
