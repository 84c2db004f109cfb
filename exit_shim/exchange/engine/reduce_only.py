"""What a closing order may close: the position, less what rests and closes it already.

Two readings of Binance's rules are public. In the strict one, resting orders that close occupy the position,
and what finds no room is refused with -4118. In the lenient one they share it until it is closed.
"""

from __future__ import annotations

from decimal import Decimal

from .algo import AlgoOrder
from .errors import REDUCE_ONLY_FAILED, REDUCE_ONLY_REJECTED
from .fills import change_status
from .matching import would_take
from .numbers import ZERO
from .orders import Order
from .state import State

#: Types that come before resting orders when they close the whole position (Binance FAQ 360039707291).
PRIORITY_TYPES = frozenset({"MARKET", "STOP_MARKET"})


def fit_into_position(state: State, order: Order, algo: AlgoOrder | None = None) -> None:
    """Cut a closing order to what it may close, or refuse it.

    Args:
        state: the exchange.
        order: the order, not accepted yet.
        algo: the conditional order that becomes it, if any.

    Raises:
        ExchangeError: -2022 without a position, or for a hedge-mode close of more than there is; -4118
            without room beside the orders that rest.
    """
    closable = _closable(state, order)
    # A hedge-mode close carries no flag that would ask for capping: too much is refused.
    if not closable or (not order.reduce_only and order.quantity > closable):
        raise REDUCE_ONLY_REJECTED.error()
    first = has_priority(state, order, algo)
    order.quantity = min(order.quantity, closable)
    if state.strict_reduce_only and not first:
        _fit_beside_resting(state, order, closable)
    if order.reduce_only and order.type == "LIMIT" and not would_take(state, order):
        _require_no_flip(state, order, closable)


def has_priority(state: State, order: Order, algo: AlgoOrder | None = None) -> bool:
    """Return whether a closing order closes everything and so comes before the orders that rest."""
    if algo is not None and algo.close_position:
        return True
    kind = order.type if algo is None else algo.type
    return order.reduce_only and kind in PRIORITY_TYPES and order.quantity >= _closable(state, order)


def knock_out_resting(state: State, order: Order) -> None:
    """Expire the resting orders that close what `order` was to close."""
    for other in _closing_beside(state, order):
        change_status(state, other, "EXPIRED", expiry="4")


def _closable(state: State, order: Order) -> Decimal:
    return state.position(order.symbol, order.position_side).closable_by(order.side)


def _closing_beside(state: State, order: Order) -> list[Order]:
    return [other for other in _same_way(state, order) if other.only_reduces]


def _same_way(state: State, order: Order) -> list[Order]:
    return [
        other
        for other in state.orders.open_of(order.symbol)
        if (other.side, other.position_side) == (order.side, order.position_side)
        and other.order_id != order.order_id
    ]


def _fit_beside_resting(state: State, order: Order, closable: Decimal) -> None:
    occupied = sum((other.remaining for other in _closing_beside(state, order)), ZERO)
    room = closable - occupied
    if order.remaining <= room:
        return
    # A reduceOnly LIMIT is cut at acceptance, seen since 2026-05; its answer has the cut origQty.
    if room <= 0 or not order.reduce_only or order.type != "LIMIT":
        raise REDUCE_ONLY_FAILED.error()
    order.quantity = order.executed + room


def _require_no_flip(state: State, order: Order, closable: Decimal) -> None:
    """Refuse a reducing order that would turn the position together with the others that rest."""
    others = sum((other.remaining for other in _same_way(state, order) if not other.only_reduces), ZERO)
    if others and others + order.remaining > closable:
        raise REDUCE_ONLY_FAILED.error()
