"""Funding: every eight hours longs pay shorts or shorts pay longs, at the rate of the premium index."""

from __future__ import annotations

import random
from decimal import Decimal
from functools import lru_cache

import msgspec

from . import emission
from .candles import HOUR
from .margin import is_isolated
from .numbers import money
from .positions import FundingPayment, Position
from .state import State
from .symbols import ONBOARDED, Symbol

INTERVAL = 8 * 60 * 60 * 1000
#: The rate of a quiet market, and how far others are from it at most.
USUAL_RATE = Decimal("0.00010000")
WIDEST = 30_000
CHANCE_OF_USUAL = 0.4
_UNIT = Decimal("0.00000001")


class FundingRate(msgspec.Struct, frozen=True):
    """The rate of a symbol at one funding time (ms), and the mark price then."""

    symbol: str
    time: int
    rate: Decimal
    mark: Decimal


@lru_cache(4096)
def draw_rate(symbol: str, time: int) -> Decimal:
    """Return the rate that is booked at a funding time, always the same for symbol and time."""
    chance = random.Random(f"{symbol}/funding/{time}")  # noqa: S311 - a rate, not a secret
    # In many markets the rate is the interest rate most of the time.
    if chance.random() < CHANCE_OF_USUAL:
        return USUAL_RATE
    return USUAL_RATE + round(chance.triangular(-WIDEST, WIDEST)) * _UNIT


def next_time(now: int) -> int:
    """Return the first funding time after `now`, in milliseconds."""
    return (now // INTERVAL + 1) * INTERVAL


def list_rates(state: State, symbol: str, window: tuple[int, int], limit: int) -> list[FundingRate]:
    """Return `limit` rates of a window (ms, both ends included), oldest first.

    A window with a beginning gives its first rates, any other the newest.
    """
    start, end = window
    last = min(end, state.now) // INTERVAL
    first = -(-max(start, ONBOARDED) // INTERVAL)
    numbers = range(first, last + 1)
    chosen = numbers[:limit] if start else numbers[max(0, len(numbers) - limit) :]
    contract = state.symbols[symbol]
    return [
        FundingRate(symbol, time, draw_rate(symbol, time), _mark_at(state, contract, time))
        for time in (number * INTERVAL for number in chosen)
    ]


def run_due(state: State) -> None:
    """Book the funding that is due, for every open position."""
    due = state.funding_due
    if due is None or due > state.now:
        return
    state.funding_due = next_time(due)
    for position in state.open_positions():
        _book(state, position, draw_rate(position.symbol, due))


def _book(state: State, position: Position, rate: Decimal) -> None:
    amount = -money(position.amount * state.quotes[position.symbol].mark * rate)
    if not amount:
        return
    state.account.wallet += amount
    state.account.update_time = state.now
    own = is_isolated(state, position.symbol)
    if own:
        position.isolated += amount
    state.margins_changed = True
    state.funding_payments.append(
        FundingPayment(
            symbol=position.symbol,
            side=position.side,
            amount=amount,
            time=state.now,
            payment_id=state.ids.next_trade(),
        )
    )
    # Production names the position of an isolated margin only.
    emission.emit_account(state, "FUNDING_FEE", *((position,) if own else ()), symbol=position.symbol)


def _mark_at(state: State, symbol: Symbol, time: int) -> Decimal:
    close = state.candles.find_close_before(symbol.name, time)
    # Funding is at full hours, and an hour takes less drawing than its last minute.
    past = None if close else state.history.merge_between(symbol, time - HOUR, time)
    if past is not None:
        return past.close * symbol.tick
    return close or state.quotes[symbol.name].mark
