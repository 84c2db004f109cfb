"""The spot account: balances that nothing trades, and transfers between it and the futures wallet."""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .account import Transfer
from .errors import INVALID_PARAMETER, TRANSFER_INSUFFICIENT, UNSUPPORTED
from .margin import available
from .numbers import ZERO, money
from .state import State


def transfer(state: State, asset: str, amount: Decimal, *, to_futures: bool) -> Transfer:
    """Move `amount` of USDT from the spot account to the futures wallet, or back.

    Raises:
        ExchangeError: -1020 for another asset, -1130 for nothing, -5013 for more than there is.
    """
    if asset != "USDT":
        raise UNSUPPORTED.error("The futures wallet holds USDT only.")
    amount = money(amount)
    if amount <= 0:
        raise INVALID_PARAMETER.error("amount")
    spot = state.spot.balances
    if amount > (spot.get(asset, ZERO) if to_futures else available(state)):
        raise TRANSFER_INSUFFICIENT.error()
    moved = amount if to_futures else -amount
    spot[asset] = spot.get(asset, ZERO) - moved
    state.account.wallet += moved
    state.account.update_time = state.spot.update_time = state.now
    state.margins_changed = True
    done = Transfer(
        tran_id=state.ids.next_transfer(), asset=asset, amount=amount, to_futures=to_futures, time=state.now
    )
    state.spot.transfers.append(done)
    emission.emit_account(state, "DEPOSIT" if to_futures else "WITHDRAW")
    return done
