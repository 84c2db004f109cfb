"""Leverage brackets: how large a position each leverage permits, and what margin it must keep."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from functools import lru_cache

import msgspec

from .numbers import ZERO

#: (highest leverage, largest position in USDT at that leverage) of the deepest contract, falling leverage.
DEEPEST: tuple[tuple[int, Decimal], ...] = (
    (150, Decimal(300_000)),
    (100, Decimal(800_000)),
    (75, Decimal(3_000_000)),
    (50, Decimal(12_000_000)),
    (25, Decimal(70_000_000)),
    (20, Decimal(100_000_000)),
    (10, Decimal(230_000_000)),
    (5, Decimal(480_000_000)),
    (2, Decimal(800_000_000)),
    (1, Decimal(1_200_000_000)),
)
#: The position that the deepest contract permits at 20x.
DEEPEST_AT_20 = Decimal(100_000_000)
RATE_STEP = Decimal("0.0001")


class Bracket(msgspec.Struct, frozen=True):
    """One bracket. A position in it must keep `notional * rate - deduction` in USDT.

    The deduction makes the margin of a position grow without a leap from bracket to bracket (`cum`).
    """

    leverage: int
    floor: Decimal
    cap: Decimal
    rate: Decimal
    deduction: Decimal


@lru_cache(maxsize=256)
def make_brackets(max_leverage: int, cap_at_20: Decimal, lowest_rate: Decimal) -> tuple[Bracket, ...]:
    """Return the brackets of a contract, smallest positions first.

    They are those of the deepest contract in proportion to the position that 20x permits. The maintenance
    rate is half of the initial margin at the bracket's leverage, and `lowest_rate` at least.
    """
    brackets: list[Bracket] = []
    floor, rate, deduction = ZERO, lowest_rate, ZERO
    for leverage, cap in _rows(max_leverage):
        before, rate = rate, max(lowest_rate, (1 / Decimal(2 * leverage)).quantize(RATE_STEP, ROUND_UP))
        deduction += floor * (rate - before)
        scaled = cap * cap_at_20 / DEEPEST_AT_20
        brackets.append(Bracket(leverage, floor, scaled, rate, deduction))
        floor = scaled
    return tuple(brackets)


def _rows(max_leverage: int) -> list[tuple[int, Decimal]]:
    rows = [row for row in DEEPEST if row[0] <= max_leverage]
    if not rows or rows[0][0] != max_leverage:
        caps = [cap for leverage, cap in DEEPEST if leverage > max_leverage]
        rows.insert(0, (max_leverage, caps[-1] if caps else DEEPEST[0][1]))
    return rows


def find_bracket(brackets: tuple[Bracket, ...], notional: Decimal) -> Bracket:
    """Return the bracket of a position; the last one for any that is larger than all."""
    return next((bracket for bracket in brackets if notional <= bracket.cap), brackets[-1])
