"""Triggers of conditional orders: TRIGGERING, then an order, TRIGGERED and FINISHED; or REJECTED."""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .algo import AlgoOrder
from .errors import REDUCE_ONLY_FAILED, REDUCE_ONLY_REJECTED, ExchangeError
from .fills import change_algo_status, schedule_finish, times_of
from .market import Quote
from .order_placement import place_child
from .schedule import CONFIRM_TRIGGER, PLACE_CHILD
from .state import State
from .symbols import Symbol


def fire_reached(state: State, symbol: str) -> None:
    """Fire every conditional order that the price of its symbol has reached, oldest first."""
    quote = state.quotes[symbol]
    fired = [algo for algo in state.algos.open(symbol) if _watch(state, algo, quote)]
    for algo in fired:
        if not _is_protected(algo, state.symbols[symbol], quote):
            _fire(state, algo)


def place_triggered(state: State, algo_id: int) -> None:
    """Place the order that a triggered conditional order becomes, or reject it."""
    algo = state.algos.by_id(algo_id)
    try:
        place_child(state, algo, _quantity(state, algo))
    except ExchangeError as refused:
        algo.reject_reason = reject_reason(refused)
        change_algo_status(state, algo, "REJECTED")
        return
    state.schedule.add(state.now + times_of(state, algo).confirmed, CONFIRM_TRIGGER, algo_id)


def confirm_trigger(state: State, algo_id: int) -> None:
    """Let the Algo Service know the child order, which may have been filled by then."""
    algo = state.algos.by_id(algo_id)
    change_algo_status(state, algo, "TRIGGERED")
    child = None if algo.child_id is None else state.orders.get(algo.child_id)
    if child is None or not child.is_open:
        schedule_finish(state, algo)


def finish(state: State, algo_id: int) -> None:
    """Record that the child order has closed, filled or not (Algo Service documentation, algoStatus)."""
    change_algo_status(state, state.algos.by_id(algo_id), "FINISHED")


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
    state.schedule.add(state.now + times_of(state, algo).placed, PLACE_CHILD, algo.algo_id)


def _quantity(state: State, algo: AlgoOrder) -> Decimal:
    if not algo.close_position:
        return algo.quantity
    return state.position(algo.symbol, algo.position_side).closable_by(algo.side)


def reject_reason(refused: ExchangeError) -> str:
    """Return the `rm` of ALGO_UPDATE for a refusal."""
    reduces = refused.code in {REDUCE_ONLY_REJECTED.code, REDUCE_ONLY_FAILED.code}
    return "Reduce Only reject" if reduces else refused.msg
