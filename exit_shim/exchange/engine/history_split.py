"""How a candle of the past is split: a day into hours, an hour into minutes, a minute into trades.

Prices are whole ticks, quantities whole steps and quote volumes ticks times steps, so that the parts add up
to the whole exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

#: The part of a whole that is shared by time alone, so that no part is empty: one in two.
EVEN_SHARE = 2
#: Parts from which on high and low lie in two places between open and close.
FEWEST = 3
#: How likely a rise has its low before its high, and a fall its high before its low.
CHANCE_OF_ORDER = 0.75
#: The mean price of a part is a fifth of its range away from its high and low.
MARGIN = 5
#: Usual wicks, as a part of the usual movement of one part.
WICK = 0.4


class Row(NamedTuple):
    """A candle in ticks and steps; what takers bought is part of volume and quote."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    taker: int
    taker_quote: int
    trades: int


class Print(NamedTuple):
    """One trade in ticks and steps, and its place within the minute from 0 to 1."""

    place: float
    price: int
    quantity: int
    buys: bool


class Path(NamedTuple):
    """Prices from open to close that touch high and low, and where they do."""

    prices: list[int]
    top: int
    bottom: int
    movement: float


def merge(rows: Sequence[Row]) -> Row:
    """Merge consecutive candles into one."""
    return Row(
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        *(sum(row[place] for row in rows) for place in range(4, 9)),
    )


def split(whole: Row, rng: random.Random, durations: Sequence[int], activity: Sequence[float]) -> list[Row]:
    """Return the parts of a candle, oldest first.

    They keep its open, high, low and close, and add up to its volumes and trades.

    Args:
        whole: the candle.
        rng: the source of chance.
        durations: the length of each part, in minutes.
        activity: the usual volume of each part at its time of day, 1 for the average.
    """
    if len(durations) == 1:
        return [whole]
    ranges = _draw_ranges(whole, rng, len(durations))
    weights = _weigh(
        whole, rng, ranges, [span * level for span, level in zip(durations, activity, strict=True)]
    )
    trades = _share_out(whole.trades, durations, weights)
    volumes = _share_out(whole.volume, durations, weights)
    quotes = _price(whole, ranges, volumes, trades)
    takers = _fit(whole.taker, _buying(rng, ranges, volumes), volumes)
    wanted = [quote * taker // volume for quote, taker, volume in zip(quotes, takers, volumes, strict=True)]
    taker_quotes = _fit(whole.taker_quote, wanted, quotes)
    return [
        Row(*prices, *sums)
        for prices, *sums in zip(ranges, volumes, quotes, takers, taker_quotes, trades, strict=True)
    ]


def make_prints(minute: Row, rng: random.Random) -> list[Print]:
    """Return the trades of a minute, oldest first.

    They have its open, high, low and close and its volume, and the buyers among the takers their part of it.
    """
    count, sold = minute.trades, minute.volume - minute.taker
    buys = round(count * minute.taker / minute.volume)
    # Every trade has a quantity: neither side has more trades than steps.
    buys = min(max(buys, count - sold, int(minute.taker > 0)), minute.taker, count - (sold > 0))
    prices = _draw_path(minute, rng, count - 1).prices if count > 1 else [minute.close]
    bought, gone = _sizes(minute.taker, buys, rng), _sizes(sold, count - buys, rng)
    sides = [True] * buys + [False] * (count - buys)
    rng.shuffle(sides)
    return [
        Print((place + rng.random()) / count, price, bought.pop() if side else gone.pop(), side)
        for place, (price, side) in enumerate(zip(prices, sides, strict=True))
    ]


# Prices


def _draw_path(whole: Row, rng: random.Random, steps: int) -> Path:
    start, high, low, end = whole[:4]
    movement = (high - low) * 0.62 / math.sqrt(steps)
    first, second = sorted(rng.sample(range(1, steps), 2)) if steps >= FEWEST else (1, 1)
    # A falling candle mostly has its high before its low.
    top, bottom = (second, first) if (end >= start) == (rng.random() < CHANCE_OF_ORDER) else (first, second)
    top = 0 if start == high else steps if end == high else top
    bottom = 0 if start == low else steps if end == low else bottom
    points = {top: high, bottom: low, 0: start, steps: end}
    prices, price, at = [start], float(start), 0
    gauss, sqrt = rng.gauss, math.sqrt
    for place in sorted(points)[1:]:
        target = points[place]
        for left in range(place - at, 0, -1):
            step = (target - price) / left + gauss(0, movement) * sqrt((left - 1) / left)
            price += step
            if not low <= price <= high:
                price = _reflect(price, low, high)
            prices.append(round(price))
        at = place
    return Path(prices, top, bottom, movement)


def _reflect(price: float, low: int, high: int) -> float:
    # A price that goes too far turns back, so that prices do not stick to the ends.
    if price > high:
        price = 2 * high - price
    elif price < low:
        price = 2 * low - price
    return min(high, max(low, price))


def _draw_ranges(whole: Row, rng: random.Random, count: int) -> list[tuple[int, int, int, int]]:
    """Return open, high, low and close of each part."""
    prices, top, bottom, movement = _draw_path(whole, rng, count)
    # A high or low is mostly within a part and not at its end.
    for place, towards in ((top, -1), (bottom, 1)):
        if 0 < place < count:
            back = towards * int(rng.random() * movement)
            prices[place] = min(whole.high, max(whole.low, prices[place] + back))
    wick, ranges, chance = movement * WICK, [], rng.random
    highest, lowest = whole.high, whole.low
    for opened, closed in pairwise(prices):
        up, down = (opened, closed) if opened > closed else (closed, opened)
        high, low = up + int(chance() * wick), down - int(chance() * wick)
        ranges.append((opened, min(highest, high), max(lowest, low), closed))
    place = max(0, top - 1)
    ranges[place] = (ranges[place][0], whole.high, *ranges[place][2:])
    place = max(0, bottom - 1)
    ranges[place] = (*ranges[place][:2], whole.low, ranges[place][3])
    return ranges


# Volumes


def _weigh(
    whole: Row, rng: random.Random, ranges: list[tuple[int, int, int, int]], usual: list[float]
) -> list[int]:
    """Return the volume of each part: more where prices move, with the mean price of the whole."""
    chance = rng.random
    scale = (whole.high - whole.low) / math.sqrt(len(ranges)) or 1.0
    weights = [
        base * (0.4 + (abs(closed - opened) + 0.3 * (high - low)) / scale) * (0.5 + chance())
        for base, (opened, high, low, closed) in zip(usual, ranges, strict=True)
    ]
    total = sum(weights)
    middles = [(opened + high + low + closed) / 4 for opened, high, low, closed in ranges]
    mean = sum(weight * middle for weight, middle in zip(weights, middles, strict=True)) / total
    spread = (
        sum(weight * (middle - mean) ** 2 for weight, middle in zip(weights, middles, strict=True)) / total
    )
    tilt = (whole.quote / whole.volume - mean) / spread if spread else 0.0
    share = 1000 * len(ranges) / total
    return [
        int(weight * share * min(2.5, max(0.3, 1 + tilt * (middle - mean)))) + 1
        for weight, middle in zip(weights, middles, strict=True)
    ]


def _share_out(total: int, durations: Sequence[int], weights: list[int]) -> list[int]:
    """Split a sum: one half by time, the other by weight."""
    span = sum(durations)
    even = [total * duration // (EVEN_SHARE * span) for duration in durations]
    return [base + part for base, part in zip(even, _divide(total - sum(even), weights), strict=True)]


def _divide(total: int, weights: Sequence[int]) -> list[int]:
    """Split a sum in proportion; a part is never further than one from its share, and without weight 0."""
    whole = sum(weights)
    ends = [total * weight // whole for weight in accumulate(weights)] if whole else [0] * len(weights)
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _fit(total: int, wanted: list[int], most: list[int]) -> list[int]:
    """Change wanted parts so that they add up to a total, each between 0 and its most."""
    excess = sum(wanted) - total
    if excess >= 0:
        return _divide(total, wanted)
    room = [limit - part for limit, part in zip(most, wanted, strict=True)]
    return [part + more for part, more in zip(wanted, _divide(-excess, room), strict=True)]


def _price(
    whole: Row, ranges: list[tuple[int, int, int, int]], volumes: list[int], trades: list[int]
) -> list[int]:
    """Return the quote volumes of the parts, the mean of each well within its prices.

    Volume moves to the parts with the highest or lowest prices where the mean of the whole needs it.
    """
    cheap = [MARGIN * low + high - low for _, high, low, _ in ranges]
    dear = [MARGIN * high - high + low for _, high, low, _ in ranges]
    wanted = MARGIN * whole.quote
    most = sum(volume * price for volume, price in zip(volumes, dear, strict=True))
    least = sum(volume * price for volume, price in zip(volumes, cheap, strict=True))
    if wanted > most:
        best = max(dear)
        _move_volume(volumes, trades, dear.index(best), (wanted - most, whole.volume * best - most))
    elif wanted < least:
        best = min(cheap)
        _move_volume(volumes, trades, cheap.index(best), (least - wanted, least - whole.volume * best))
    lowest = [volume * price // MARGIN for volume, price in zip(volumes, cheap, strict=True)]
    room = [volume * (row[1] - row[2]) for volume, row in zip(volumes, ranges, strict=True)]
    return [base + more for base, more in zip(lowest, _divide(whole.quote - sum(lowest), room), strict=True)]


def _move_volume(volumes: list[int], trades: list[int], target: int, share: tuple[int, int]) -> None:
    """Move a share of every other part's volume to one, but leave a step for each trade."""
    for place, volume in enumerate(volumes):
        if place != target:
            wanted = -(-volume * share[0] // share[1]) if share[1] > share[0] else volume
            moved = max(0, min(wanted, volume - trades[place]))
            volumes[place] -= moved
            volumes[target] += moved


def _buying(rng: random.Random, ranges: list[tuple[int, int, int, int]], volumes: list[int]) -> list[int]:
    """Return the volume that takers buy in each part: more where prices rise."""
    chance = rng.random
    # Between 0.17 and 0.83.
    return [
        int(volume * (0.42 + 0.16 * chance() + 0.25 * (closed - opened) / (high - low or 1)))
        for volume, (opened, high, low, closed) in zip(volumes, ranges, strict=True)
    ]


def _sizes(total: int, count: int, rng: random.Random) -> list[int]:
    """Split a quantity into so many trades, most of them small."""
    if not count:
        return []
    parts = _divide(total - count, [int(100 * rng.paretovariate(1.2)) for _ in range(count)])
    return [1 + part for part in parts]
