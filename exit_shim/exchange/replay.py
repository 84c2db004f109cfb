"""A market that repeats recorded candles, and markets by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from .engine.markets import CrashMarket, Market, StaticMarket, TrendMarket, WalkingMarket
from .engine.numbers import nearest
from .engine.symbols import Symbol

EXPECTED = "expected time,open,high,low,close[,volume,...] as Binance's klines have them"
#: Open, high, low and close come after the time of a row.
_PRICES = slice(1, 5)
#: BTCUSDT-1m-2026-01.csv has candles of BTCUSDT.
_NAME = re.compile(r"[A-Za-z0-9]+(_PERP)?")


class ReplayMarket(StaticMarket):
    """A market that repeats the candles of files, in four steps each: open, low, high, close, or high first.

    A candle that falls has its high before its low.
    It steps by time only, and stands still at the end of its files; symbols without a file stand still.

    Args:
        files: CSV files as Binance's klines have their columns, with or without a header. A file is named
            for its symbol (BTCUSDT-1m.csv), or given as BTCUSDT=FILE.

    Raises:
        ValueError: for a row that is no candle, or a file without a symbol.
        OSError: for a file that cannot be read.
    """

    lives = True

    def __init__(self, *files: str | Path) -> None:
        self._paths = dict(_read_file(file) for file in files)
        super().__init__({name: path[0] for name, path in self._paths.items()})
        #: How many steps each price has taken.
        self.asked_so_far: dict[str, int] = {}

    def step(self, symbol: Symbol, price: Decimal, count: int) -> Decimal | None:  # noqa: ARG002 - recorded
        """Return the price after so many more steps, None at the end."""
        path = self._paths.get(symbol.name, ())
        before = self.asked_so_far.get(symbol.name, 0)
        number = min(before + count, len(path) - 1)
        if number <= before:
            return None
        self.asked_so_far[symbol.name] = number
        return max(symbol.tick, nearest(path[number], symbol.tick))

    def resume(self, asked: dict[str, int]) -> None:
        """Continue after so many steps."""
        self.asked_so_far = dict(asked)


MARKETS: dict[str, type[StaticMarket]] = {
    "flat": StaticMarket,
    "random": WalkingMarket,
    "trend": TrendMarket,
    "crash": CrashMarket,
    "replay": ReplayMarket,
}
"""The markets by the names that commands have for them."""


def make_market(name: str, *, seed: int = 1, files: Sequence[str | Path] = ()) -> Market:
    """Return a market by its name.

    Args:
        name: flat, random, trend, crash or replay.
        seed: the same seed gives the same prices.
        files: the files to replay; see ReplayMarket.

    Raises:
        ValueError: for another name, or files that are missing, not wanted or wrong.
        OSError: for a file that cannot be read.
    """
    kind = MARKETS.get(name)
    if kind is None:
        raise ValueError(f"market {name!r} is invalid; expected one of {', '.join(MARKETS)}")
    if (kind is ReplayMarket) != bool(files):
        raise ValueError("market 'replay' takes at least one file of candles, and no other market takes any")
    if issubclass(kind, ReplayMarket):
        return kind(*files)
    return kind(seed=seed) if issubclass(kind, WalkingMarket) else kind()


def _read_file(file: str | Path) -> tuple[str, list[Decimal]]:
    """Return the symbol of a file and its prices, step by step."""
    symbol, separator, name = str(file).partition("=")
    path = Path(name if separator else file)
    if not separator:
        named = _NAME.match(path.name)
        symbol = named.group() if named else ""
    if not symbol or "/" in symbol:
        raise ValueError(f"{file}: no symbol; expected SYMBOL=FILE, or a file such as BTCUSDT-1m.csv")
    prices: list[Decimal] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        # The first line may be a header.
        if line.strip() and not (number == 1 and not line[0].isdigit()):
            prices += _read_row(f"{path}, line {number}", line)
    if not prices:
        raise ValueError(f"{path}: no candles; {EXPECTED}")
    return symbol.upper(), prices


def _read_row(place: str, line: str) -> list[Decimal]:
    try:
        opened, high, low, closed = (Decimal(field.strip()) for field in line.split(",")[_PRICES])
        is_candle = 0 < low <= min(opened, closed) and max(opened, closed) <= high < Decimal("Infinity")
    except (ValueError, InvalidOperation):
        is_candle = False
    if not is_candle:
        raise ValueError(f"{place}: {line[:80]!r} is not a candle; {EXPECTED}")
    return [opened, low, high, closed] if closed >= opened else [opened, high, low, closed]
