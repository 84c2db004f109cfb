"""Leverage brackets: how large a position each leverage permits, and what margin it must keep."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from .numbers import ZERO

#: Leverage, the largest position in USDT at that leverage, and its maintenance rate.
Tier = tuple[int, Decimal, Decimal]


class Bracket(msgspec.Struct, frozen=True):
    """One bracket. A position in it must keep `notional * rate - deduction` in USDT.

    The deduction makes the margin of a position grow without a leap from bracket to bracket (`cum`).
    """

    leverage: int
    floor: Decimal
    cap: Decimal
    rate: Decimal
    deduction: Decimal


def make_brackets(tiers: Iterable[Tier]) -> tuple[Bracket, ...]:
    """Return the brackets of a contract from its tiers, which begin with small positions."""
    brackets: list[Bracket] = []
    floor = before = deduction = ZERO
    for leverage, cap, rate in tiers:
        deduction += floor * (rate - before)
        brackets.append(Bracket(leverage, floor, cap, rate, deduction))
        floor, before = cap, rate
    return tuple(brackets)


def find_bracket(brackets: tuple[Bracket, ...], notional: Decimal) -> Bracket:
    """Return the bracket of a position; the last one for any that is larger than all."""
    return next((bracket for bracket in brackets if notional <= bracket.cap), brackets[-1])
