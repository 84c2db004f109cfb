"""The past of every symbol: candles and trades from before the exchange began, drawn from its seed.

Days are drawn backwards from the price at the start, and split into hours, minutes and trades when they are
asked for. Every interval agrees with the others, however and in whatever order they are asked.
"""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cached_property, lru_cache

from .candles import DAY, HOUR, MINUTE, Candle
from .history_split import Row, make_prints, merge, split
from .symbols import ONBOARDED, Symbol
from .tape import LAST_ID_BEFORE, MarketTrade

FIRST_DAY = ONBOARDED // DAY
#: How many days and hours keep their parts, and how many days their sums.
KEPT_DAYS = 2048
KEPT_HOURS = 2048
#: Trades of a day at least: four in every minute, so that it can have a high and a low.
LEAST_TRADES = 30_000
#: Steps that a trade has at least, in the mean of a day.
LEAST_STEPS = 12
#: The volume of a day, as a multiple of the position that 20x permits.
TURNOVER = 60
#: That volume at least, in USDT.
LEAST_TURNOVER = 2e7
#: How much is traded at each hour of the day in UTC, and how much more than usual.
BY_HOUR = (
    0.9, 0.95, 0.9, 0.8, 0.75, 0.75, 0.8, 0.95, 1.05, 1.0, 0.95, 0.95,
    1.1, 1.4, 1.6, 1.5, 1.3, 1.15, 1.05, 1.0, 1.0, 0.9, 0.85, 0.8,
)  # fmt: skip
#: How far prices swing in calm, usual and wild times, and how likely a day is to begin others.
SWINGS = (0.55, 1.0, 1.0, 1.7)
CHANGE_OF_SWING = 0.08
TRENDS = (-0.3, 0.0, 0.0, 0.3)
CHANGE_OF_TREND = 0.06
#: How much further a day of news moves than others, and how likely it is.
SHOCK = 1.8
CHANCE_OF_SHOCK = 0.05
#: The part of its distance from the opening price that a price goes back in a day.
PULL = 0.012
SECONDS = 86_400
#: How many sizes of trades there are.
SIZES = 31
#: Numbers that are kept of each day.
_WIDTH = 7


class History:
    """The past of every symbol.

    Args:
        seed: the same seed gives the same past.
        start: when the exchange began, in milliseconds; 0 before its first operation.
        opening: returns the last price of a symbol at that moment, by its name.
    """

    def __init__(
        self, seed: int = 0, start: int = 0, opening: Callable[[str], Decimal] | None = None
    ) -> None:
        self.seed = seed
        self.start = start
        self._opening = opening
        self._pasts: dict[str, Past] = {}
        self._hours = lru_cache(KEPT_DAYS)(self._split_day)
        self._minutes = lru_cache(KEPT_HOURS)(self._split_hour)
        # Screeners ask for the last day of all symbols, again and again.
        self._merged = lru_cache(KEPT_DAYS)(self._merge_minutes)

    def of(self, symbol: Symbol) -> Past:
        """Return the past of a symbol."""
        past = self._pasts.get(symbol.name)
        if past is None:
            opening = symbol.start if self._opening is None else self._opening(symbol.name)
            past = self._pasts[symbol.name] = Past(self.seed, self.start, symbol, opening)
        return past

    def iterate(self, symbol: Symbol, unit: int, start: int, end: int) -> Iterator[tuple[int, Row]]:
        """Yield (start, candle) of the past minutes, hours or days that begin within [start, end).

        Args:
            symbol: the symbol.
            unit: MINUTE, HOUR or DAY.
            start: in milliseconds, from the day on that symbols began to be traded.
            end: in milliseconds; nothing comes from the start of the exchange on.
        """
        past = self.of(symbol)
        first = max(-(-start // unit), FIRST_DAY * (DAY // unit))
        last = min(-(-end // unit), -(-self.start // unit))
        if unit == DAY:
            for number in range(first, last):
                yield number * DAY, past.day(number)
            return
        size, parts = (DAY // HOUR, self._hours) if unit == HOUR else (HOUR // MINUTE, self._minutes)
        for number in range(first // size, -(-last // size)):
            if first < last:
                rows = parts(symbol, number)
                begin = number * size
                for place in range(max(first - begin, 0), min(last - begin, len(rows))):
                    yield (begin + place) * unit, rows[place]

    def merge_between(self, symbol: Symbol, start: int, end: int) -> Row | None:
        """Return the candle of the past minutes that begin within [start, end), None without any."""
        start, end = max(start, FIRST_DAY * DAY), min(end, self.start)
        return self._merged(symbol, -(-start // MINUTE) * MINUTE, -(-end // MINUTE) * MINUTE)

    def _merge_minutes(self, symbol: Symbol, start: int, end: int) -> Row | None:
        first, last = -(-start // HOUR) * HOUR, end // HOUR * HOUR
        # The last hour of the past has only those minutes.
        if end >= self.start:
            last = -(-end // HOUR) * HOUR
        if first >= last:
            pieces = [(MINUTE, start, end)]
        else:
            pieces = [(MINUTE, start, first), (HOUR, first, last), (MINUTE, last, end)]
        rows = [row for piece in pieces for _, row in self.iterate(symbol, *piece)]
        return merge(rows) if rows else None

    def trades_of(self, symbol: Symbol, minute: int) -> list[MarketTrade]:
        """Return the trades of the past minute that begins at `minute` (ms), oldest first."""
        row = self._minutes(symbol, minute // HOUR)[minute % HOUR // MINUTE]
        span = min(MINUTE, self.start - minute)
        rng = _generator(self.seed, symbol, "trades", minute)
        trade_id = self._first_id(symbol, minute)
        return [
            MarketTrade(
                trade_id + place,
                price * symbol.tick,
                quantity * symbol.step,
                minute + int(at * span),
                buyer_is_maker=not buys,
            )
            for place, (at, price, quantity, buys) in enumerate(make_prints(row, rng))
        ]

    def last_trade(self, symbol: Symbol) -> MarketTrade | None:
        """Return the last trade before the exchange began, None if the symbol was not traded yet."""
        past, minute = self.of(symbol), (self.start - 1) // MINUTE * MINUTE
        if past.last_trade is None and minute >= FIRST_DAY * DAY:
            past.last_trade = self.trades_of(symbol, minute)[-1]
        return past.last_trade

    def find_minute(self, symbol: Symbol, trade_id: int) -> int:
        """Return the past minute with a trade, the first minute for a lower id."""
        past = self.of(symbol)
        number = past.find_day(LAST_ID_BEFORE - trade_id)
        left = trade_id - self._first_id(symbol, number * DAY)
        place, left = _find_part(self._hours(symbol, number), left)
        hour = number * 24 + place
        return hour * HOUR + _find_part(self._minutes(symbol, hour), left)[0] * MINUTE

    def _first_id(self, symbol: Symbol, minute: int) -> int:
        past = self.of(symbol)
        number = minute // DAY
        row = past.day(number)
        first = LAST_ID_BEFORE + 1 - past.count_after(number) - row.trades
        if minute % DAY:
            hour = minute // HOUR
            first += sum(row.trades for row in self._hours(symbol, number)[: hour % 24])
            if minute % HOUR:
                first += sum(row.trades for row in self._minutes(symbol, hour)[: minute % HOUR // MINUTE])
        return first

    def _split_day(self, symbol: Symbol, number: int) -> list[Row]:
        past = self.of(symbol)
        minutes = past.minutes_of(number)
        durations = [min(60, minutes - at) for at in range(0, minutes, 60)]
        rng = _generator(self.seed, symbol, "day", number)
        return split(past.day(number), rng, durations, BY_HOUR[: len(durations)])

    def _split_hour(self, symbol: Symbol, number: int) -> list[Row]:
        hours = self._hours(symbol, number // 24)
        if number % 24 >= len(hours):
            return []
        minutes = min(60, self.of(symbol).minutes_of(number // 24) - number % 24 * 60)
        rng = _generator(self.seed, symbol, "hour", number)
        return split(hours[number % 24], rng, [1] * minutes, [1.0] * minutes)


class Past:
    """The days of one symbol before the exchange began, drawn as far back as they are asked for.

    The last one ends with the minute in which the exchange began, at its opening price.
    """

    def __init__(self, seed: int, start: int, symbol: Symbol, opening: Decimal) -> None:
        self._seed, self._symbol = seed, symbol
        self.last_price = max(1, int(opening / symbol.tick))
        self.last_day = (start - 1) // DAY
        self._minutes = -(-(start - self.last_day * DAY) // MINUTE)
        self._lowest = max(1, min(math.ceil(symbol.min_price / symbol.tick), self.last_price))
        self._highest = max(int(symbol.max_price / symbol.tick), self.last_price)
        deepest = float(symbol.max_notional(min(20, symbol.max_leverage)))
        self._rng = _generator(seed, symbol, "days", 0)
        #: Usual movement of a day, and its usual volume in steps.
        self._usual = min(0.07, max(0.02, 0.021 * (1e8 / max(deepest, 1.0)) ** 0.13))
        turnover = max(LEAST_TURNOVER, deepest * TURNOVER) * self._rng.uniform(0.7, 1.5)
        self.usual_volume = turnover / float(opening * symbol.step)
        self._swing, self._trend = 1.0, 0.0
        #: The newest trade of the past, once it was asked for.
        self.last_trade: MarketTrade | None = None
        #: Newest first: open, high, low, close, volume, part of it that takers bought in 1/1000, trades.
        self._days = array("q")
        self._counts = array("q", [0])

    @cached_property
    def sizes(self) -> tuple[Decimal, ...]:
        """Return quantities of trades of others: most small, a few large."""
        rng = _generator(self._seed, self._symbol, "sizes", 0)
        usual = self.usual_volume / SECONDS
        steps = (max(1, int(usual * 0.25 * min(40.0, rng.paretovariate(1.2)))) for _ in range(SIZES))
        return tuple(number * self._symbol.step for number in steps)

    def minutes_of(self, number: int) -> int:
        """Return the minutes of a day that are past."""
        return self._minutes if number == self.last_day else DAY // MINUTE

    def day(self, number: int) -> Row:
        """Return a day by its number since 1970."""
        at = self._reach(number) * _WIDTH
        opened, high, low, closed, volume, bought, trades = self._days[at : at + _WIDTH]
        quote = volume * (opened + high + low + closed) // 4
        return Row(
            opened, high, low, closed, volume, quote, volume * bought // 1000, quote * bought // 1000, trades
        )

    def count_after(self, number: int) -> int:
        """Return how many trades the later past days have."""
        return self._counts[self._reach(number)]

    def find_day(self, count: int) -> int:
        """Return the day of the trade that has `count` later ones, the first day when there are fewer."""
        while self._counts[-1] <= count and len(self._counts) <= self.last_day - FIRST_DAY + 1:
            self._draw_day()
        return max(FIRST_DAY, self.last_day - bisect_left(self._counts, count + 1) + 1)

    def _reach(self, number: int) -> int:
        place = self.last_day - number
        while len(self._counts) <= place + 1:
            self._draw_day()
        return place

    def _draw_day(self) -> None:
        rng = self._rng
        if rng.random() < CHANGE_OF_SWING:
            self._swing = rng.choice(SWINGS)
        if rng.random() < CHANGE_OF_TREND:
            self._trend = rng.choice(TRENDS)
        closed = self._days[-_WIDTH] if self._days else self.last_price
        part = (self._minutes if not self._days else DAY // MINUTE) * MINUTE / DAY
        deviation = self._usual * self._swing * math.sqrt(part)
        drawn = rng.gauss(self._trend, 1) * (SHOCK if rng.random() < CHANCE_OF_SHOCK else 1)
        change = deviation * drawn + PULL * part * math.log(closed / self.last_price)
        opened = self._within(closed * math.exp(-change))
        reach = deviation * 0.5 * max(opened, closed)
        high = self._within(max(opened, closed) + reach * abs(rng.gauss(0, 1)))
        low = self._within(min(opened, closed) - reach * abs(rng.gauss(0, 1)))
        busy = (0.55 + 0.45 * abs(drawn)) * self._swing**1.3 * math.exp(rng.gauss(0, 0.25))
        trades = int(LEAST_TRADES * (1 + min(busy, 4.0)) * part) + 8
        volume = max(int(self.usual_volume * busy * part * self.last_price / closed), LEAST_STEPS * trades)
        bought = 500 + int(80 * max(-1.0, min(1.0, drawn / 2)) + rng.gauss(0, 15))
        self._days.extend((opened, high, low, closed, volume, bought, trades))
        self._counts.append(self._counts[-1] + trades)

    def _within(self, price: float) -> int:
        return max(self._lowest, min(self._highest, round(price)))


def make_candle(symbol: Symbol, start: int, row: Row) -> Candle:
    """Return a past candle in prices and quantities."""
    tick, step = symbol.tick, symbol.step
    unit = tick * step
    opened, high, low, closed, volume, quote, taker, taker_quote, trades = row
    return Candle(
        start,
        opened * tick,
        high * tick,
        low * tick,
        closed * tick,
        volume * step,
        quote * unit,
        trades,
        taker * step,
        taker_quote * unit,
    )


def _find_part(rows: list[Row], count: int) -> tuple[int, int]:
    """Return the place of the part with the trade that has `count` earlier ones, and its place in there."""
    for place, row in enumerate(rows):
        if count < row.trades:
            return place, count
        count -= row.trades
    return len(rows) - 1, count


def _generator(seed: int, symbol: Symbol, kind: str, number: int) -> random.Random:
    # One generator for each part, so that the order of requests does not matter.
    return random.Random(f"{seed}/{symbol.name}/{kind}/{number}")  # noqa: S311 - a market, not a secret
