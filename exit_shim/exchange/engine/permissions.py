"""Restrictions of the account and statuses of a symbol."""

from __future__ import annotations

import msgspec

from .account import Account
from .errors import (
    COOLING_OFF,
    LARGE_POSITION,
    NO_ORDER_PERMITTED,
    NOT_FOR_OPENING,
    ONLY_REDUCE_PERMITTED,
    QUANTITATIVE_RULES,
    SYMBOL_CLOSED,
)
from .state import State
from .symbols import Symbol

#: Why an account may not open positions, and what it is answered with; "no_orders" forbids closing too.
RESTRICTIONS = {
    "reduce_only": ONLY_REDUCE_PERMITTED,
    "no_orders": NO_ORDER_PERMITTED,
    "cooling_off": COOLING_OFF,
    "quantitative_rules": QUANTITATIVE_RULES,
    "large_position": LARGE_POSITION,
}
STATUSES = ("TRADING", "PENDING_TRADING", "PRE_SETTLE", "SETTLING", "CLOSE")


def restrict(account: Account, restriction: str) -> None:
    """Restrict the account; nothing lifts the restriction.

    Raises:
        ValueError: for a word that is none of RESTRICTIONS.
    """
    if restriction and restriction not in RESTRICTIONS:
        raise ValueError(f"restriction {restriction!r} is invalid; expected one of {sorted(RESTRICTIONS)}")
    account.restriction = restriction


def set_status(state: State, symbol: str, status: str) -> None:
    """Change the status of a symbol.

    Raises:
        ExchangeError: -1121.
        ValueError: for a word that is none of STATUSES.
    """
    if status not in STATUSES:
        raise ValueError(f"status {status!r} is invalid; expected one of {STATUSES}")
    state.symbols[symbol] = msgspec.structs.replace(state.symbol(symbol), status=status)


def check_permission(account: Account, symbol: Symbol, *, only_reduces: bool) -> None:
    """Refuse what the symbol's status or a restriction of the account forbids.

    Raises:
        ExchangeError: -4141 or -4140 for the symbol, -4087, -4088, -4192, -4400 or -4401 for the account.
    """
    if symbol.status == "CLOSE":
        raise SYMBOL_CLOSED.error()
    if symbol.status != "TRADING" and not only_reduces:
        raise NOT_FOR_OPENING.error()
    if account.restriction and (account.restriction == "no_orders" or not only_reduces):
        raise RESTRICTIONS[account.restriction].error()
