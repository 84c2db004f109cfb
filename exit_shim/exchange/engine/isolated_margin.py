"""Moving margin between the wallet and an isolated position."""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .errors import (
    AMOUNT_NOT_POSITIVE,
    CROSS_BALANCE_INSUFFICIENT,
    ISOLATED_BALANCE_INSUFFICIENT,
    MARGIN_OF_CROSS_POSITION,
    MARGIN_WITHOUT_POSITION,
)
from .margin import available, is_isolated, margins, unrealised_of
from .numbers import ZERO, money
from .position_mode import check_sides
from .positions import MarginMove
from .state import State


def move_margin(state: State, symbol: str, side: str, amount: Decimal, *, adds: bool) -> MarginMove:
    """Add `amount` of USDT to the margin of an isolated position, or take it out.

    Raises:
        ExchangeError: -4055, -4061, -4049 under cross margin, -4054 while flat, -4050 or -4051 for more
            than there is.
    """
    state.symbol(symbol)
    check_sides(state.account, side, None)
    amount = money(amount)
    if amount <= 0:
        raise AMOUNT_NOT_POSITIVE.error()
    if not is_isolated(state, symbol):
        raise MARGIN_OF_CROSS_POSITION.error()
    position = state.position(symbol, side)
    if not position.amount:
        raise MARGIN_WITHOUT_POSITION.error()
    if adds and amount > available(state):
        raise CROSS_BALANCE_INSUFFICIENT.error()
    spare = position.isolated + min(ZERO, unrealised_of(state, position)) - margins(state, position).position
    if not adds and amount > spare:
        raise ISOLATED_BALANCE_INSUFFICIENT.error()
    position.isolated += amount if adds else -amount
    state.margins_changed = True
    move = MarginMove(symbol=symbol, side=side, amount=amount, adds=adds, time=state.now)
    state.margin_moves.append(move)
    emission.emit_account(state, "MARGIN_TRANSFER", position)
    return move
