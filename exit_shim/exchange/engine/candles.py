"""One-minute candles of the last price, from which every interval is made."""

from __future__ import annotations

from decimal import Decimal

import msgspec

MINUTE = 60_000
#: Minutes that are kept of each symbol: a week.
KEPT = 7 * 24 * 60


class Candle(msgspec.Struct):
    """The movement of the last price in one interval from `start` (ms). Volumes are of own trades."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    trades: int = 0

    def move(self, price: Decimal) -> None:
        """Add a price."""
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price

    def merge(self, later: Candle) -> None:
        """Add a later candle of the same interval."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.quote_volume += later.quote_volume
        self.trades += later.trades


class Candles:
    """The one-minute candles of every symbol, oldest first; a minute without a change has none."""

    def __init__(self, rows: dict[str, list[Candle]] | None = None) -> None:
        self.rows: dict[str, list[Candle]] = rows or {}

    def add_price(self, symbol: str, price: Decimal, now: int) -> None:
        """Add a last price."""
        self._current(symbol, price, now).move(price)

    def add_trade(self, symbol: str, price: Decimal, quantity: Decimal, now: int) -> None:
        """Add a trade of the account."""
        candle = self._current(symbol, price, now)
        candle.volume += quantity
        candle.quote_volume += quantity * price
        candle.trades += 1

    def list_between(self, symbol: str, start: int, end: int) -> list[Candle]:
        """Return the minutes that begin within [start, end)."""
        return [candle for candle in self.rows.get(symbol, ()) if start <= candle.start < end]

    def find_close_before(self, symbol: str, start: int) -> Decimal | None:
        """Return the last price before `start`, None when there is none."""
        closes = [candle.close for candle in self.rows.get(symbol, ()) if candle.start < start]
        return closes[-1] if closes else None

    def _current(self, symbol: str, price: Decimal, now: int) -> Candle:
        rows = self.rows.setdefault(symbol, [])
        start = now // MINUTE * MINUTE
        if rows and rows[-1].start >= start:
            return rows[-1]
        rows.append(Candle(start, price, price, price, price))
        if len(rows) > KEPT:
            del rows[: len(rows) - KEPT]
        return rows[-1]
