"""One-way and hedge mode: which position side and which reduceOnly an order may carry."""

from __future__ import annotations

from .account import Account
from .errors import NOT_REQUIRED, POSITION_SIDE_MISMATCH


def check_sides(account: Account, position_side: str, reduce_only: bool | None) -> None:
    """Refuse what does not fit the account's position mode.

    Raises:
        ExchangeError: -4061 for the wrong positionSide, -1106 for any reduceOnly in hedge mode.
    """
    if (position_side == "BOTH") is account.hedge_mode:
        raise POSITION_SIDE_MISMATCH.error()
    if account.hedge_mode and reduce_only is not None:
        raise NOT_REQUIRED.error("reduceonly")
