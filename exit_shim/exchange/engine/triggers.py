"""Triggers of conditional orders: NEW, TRIGGERING, TRIGGERED, then FINISHED or REJECTED."""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .algo import AlgoOrder
from .errors import REDUCE_ONLY_FAILED, REDUCE_ONLY_REJECTED, ExchangeError
from .fills import change_algo_status
from .market import Quote
from .order_placement import place_child
from .state import State
from .symbols import Symbol


def fire_reached(state: State, symbol: str) -> None:
    """Fire every conditional order that the price of its symbol has reached, oldest first."""
    quote = state.quotes[symbol]
    fired = [algo for algo in state.algos.open(symbol) if _watch(state, algo, quote)]
    for algo in fired:
        # The fill of an earlier one may have expired this one.
        if algo.is_open and not _is_protected(algo, state.symbols[symbol], quote):
            _fire(state, algo)


def place_triggered(state: State) -> None:
    """Place the orders whose delay after the trigger has passed."""
    due = [algo_id for at, algo_id in state.triggering if at <= state.now]
    state.triggering = [row for row in state.triggering if row[0] > state.now]
    for algo_id in due:
        _place(state, state.algos.by_id(algo_id))


def _watch(state: State, algo: AlgoOrder, quote: Quote) -> bool:
    waited = not algo.activated
    fires = algo.watch(quote)
    if waited and algo.activated:
        emission.emit_algo(state, algo)
    return fires


def _is_protected(algo: AlgoOrder, symbol: Symbol, quote: Quote) -> bool:
    # priceProtect holds an order back while mark and last price are too far apart to be trusted.
    return algo.price_protect and abs(quote.mark - quote.last) > quote.mark * symbol.trigger_protect


def _fire(state: State, algo: AlgoOrder) -> None:
    algo.trigger_time = state.now
    change_algo_status(state, algo, "TRIGGERING")
    if state.trigger_delay:
        state.triggering.append((state.now + state.trigger_delay, algo.algo_id))
    else:
        _place(state, algo)


def _place(state: State, algo: AlgoOrder) -> None:
    try:
        place_child(state, algo, _quantity(state, algo))
    except ExchangeError as refused:
        algo.reject_reason = reject_reason(refused)
        change_algo_status(state, algo, "REJECTED")


def _quantity(state: State, algo: AlgoOrder) -> Decimal:
    if not algo.close_position:
        return algo.quantity
    return state.position(algo.symbol, algo.position_side).closable_by(algo.side)


def reject_reason(refused: ExchangeError) -> str:
    """Return the `rm` of ALGO_UPDATE for a refusal."""
    reduces = refused.code in {REDUCE_ONLY_REJECTED.code, REDUCE_ONLY_FAILED.code}
    return "Reduce Only reject" if reduces else refused.msg
