"""One-minute candles of the last price, from which every interval is made."""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal

import msgspec

from .tape import MarketTrade

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: Minutes that are kept of each symbol: a week.
KEPT = 7 * 24 * 60


class Candle(msgspec.Struct):
    """The movement of the last price in one interval from `start` (ms), and what was traded in it.

    `taker_volume` and `taker_quote_volume` are what takers bought of both volumes.
    """

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    trades: int = 0
    taker_volume: Decimal = Decimal(0)
    taker_quote_volume: Decimal = Decimal(0)

    def move(self, price: Decimal) -> None:
        """Add a price."""
        self.reach(price)
        self.close = price

    def reach(self, price: Decimal) -> None:
        """Widen the range to a price."""
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price

    def merge(self, later: Candle) -> None:
        """Add a later candle of the same interval."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.quote_volume += later.quote_volume
        self.trades += later.trades
        self.taker_volume += later.taker_volume
        self.taker_quote_volume += later.taker_quote_volume


class Candles:
    """The one-minute candles of every symbol, oldest first; a minute without a change has none."""

    def __init__(self, rows: dict[str, list[Candle]] | None = None) -> None:
        self.rows: dict[str, list[Candle]] = rows or {}

    def add_price(self, symbol: str, price: Decimal, now: int) -> None:
        """Add a last price."""
        self._current(symbol, price, now).move(price)

    def add_trade(self, symbol: str, trade: MarketTrade, last: Decimal) -> None:
        """Add a trade. `last` is the last price, which only others move: an own fill leaves the close."""
        price, quantity = trade.price, trade.quantity
        candle = self._current(symbol, last, trade.time)
        value = quantity * price
        candle.reach(price)
        candle.volume += quantity
        candle.quote_volume += value
        candle.trades += 1
        if not trade.buyer_is_maker:
            candle.taker_volume += quantity
            candle.taker_quote_volume += value

    def list_between(self, symbol: str, start: int, end: int) -> list[Candle]:
        """Return the minutes that begin within [start, end)."""
        rows = self.rows.get(symbol, [])
        return rows[bisect_left(rows, start, key=_start_of) : bisect_left(rows, end, key=_start_of)]

    def find_close_before(self, symbol: str, start: int) -> Decimal | None:
        """Return the last price before `start`, None when there is none."""
        rows = self.rows.get(symbol, [])
        place = bisect_left(rows, start, key=_start_of)
        return rows[place - 1].close if place else None

    def _current(self, symbol: str, price: Decimal, now: int) -> Candle:
        rows = self.rows.get(symbol)
        if not rows:
            rows = self.rows.setdefault(symbol, [])
        elif now < rows[-1].start + MINUTE:
            return rows[-1]
        start = now // MINUTE * MINUTE
        rows.append(Candle(start, price, price, price, price))
        if len(rows) > KEPT:
            del rows[: len(rows) - KEPT]
        return rows[-1]


def _start_of(candle: Candle) -> int:
    return candle.start
