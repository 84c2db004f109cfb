"""A fill and its consequences for order, position, wallet and other orders."""

from __future__ import annotations

from decimal import Decimal

from . import emission
from .account import MAKER_RATE, TAKER_RATE
from .algo import FINAL_STATUSES, AlgoOrder
from .numbers import money
from .orders import Order, Trade
from .positions import Position
from .schedule import FINISH_ALGO
from .state import State
from .trigger_times import TriggerTimes, draw_times


def fill(  # noqa: PLR0913 - all but the four that it is about by name
    state: State,
    order: Order,
    quantity: Decimal,
    price: Decimal,
    *,
    maker: bool,
    commission: Decimal | None = None,
    prints: bool = True,
) -> None:
    """Trade `quantity` of an order at `price`: order, position, wallet and trade list move together.

    The market sees it unless `prints` is false.
    """
    now = state.now
    state.margins_changed = True
    order.executed += quantity
    order.quote += quantity * price
    position = state.position_to_change(order.symbol, order.position_side)
    before = position.amount
    realised = position.apply(quantity * order.sign, price)
    settings = state.account.of(order.symbol)
    if settings.margin_type == "ISOLATED":
        position.isolate(before, price, settings.leverage)
    if commission is None:
        commission = money(quantity * price * (MAKER_RATE if maker else TAKER_RATE))
    position.realised += realised
    position.update_time = state.account.update_time = now
    state.account.wallet += realised - commission
    trade = Trade(
        trade_id=state.ids.next_trade(),
        order_id=order.order_id,
        symbol=order.symbol,
        side=order.side,
        position_side=order.position_side,
        price=price,
        quantity=quantity,
        commission=commission,
        realised=realised,
        maker=maker,
        time=now,
    )
    state.trades.append(trade)
    change_status(state, order, "PARTIALLY_FILLED" if order.remaining else "FILLED", trade)
    if prints:
        print_trade(state, order.symbol, price, quantity, buys=(order.side == "BUY") is not maker)
    expire_orphans(state, position)


def print_trade(state: State, symbol: str, price: Decimal, quantity: Decimal, *, buys: bool) -> None:
    """Put a trade on the tape and into the candles; `buys` when the taker bought."""
    trade = state.tape.add(symbol, price, quantity, state.now, buyer_is_maker=not buys)
    state.candles.add_trade(symbol, trade, state.quotes[symbol].last)
    emission.emit_market_trade(state, symbol, trade)


def change_status(
    state: State, order: Order, status: str, trade: Trade | None = None, expiry: str | None = None
) -> None:
    """Move an order to another status; one that closes takes its conditional order with it.

    Args:
        state: the exchange.
        order: the order.
        status: its new status.
        trade: the fill that changes it, if any.
        expiry: the `er` of an EXPIRED order, where it does not follow from order and position.
    """
    order.status = status
    order.update_time = state.now
    if not order.is_open:
        state.orders.settle(order)
        state.ahead.pop(order.order_id, None)
    if trade is not None:
        emission.emit_fill(state, order, trade)
    else:
        emission.emit_order_closed(state, order, expiry)
    if order.is_open:
        return
    if order.algo_id is not None:
        algo = state.algos.by_id(order.algo_id)
        # Before TRIGGERED, the confirmation sees that the order has closed.
        if algo.status == "TRIGGERED":
            schedule_finish(state, algo)


def times_of(state: State, algo: AlgoOrder) -> TriggerTimes:
    """Return how long each step of a conditional order's trigger takes."""
    return draw_times(state.seed, algo.algo_id, state.trigger_delay)


def schedule_finish(state: State, algo: AlgoOrder) -> None:
    """Let a conditional order whose child has closed be FINISHED in a moment."""
    state.schedule.add(state.now + times_of(state, algo).finished, FINISH_ALGO, algo.algo_id)


def change_algo_status(state: State, algo: AlgoOrder, status: str) -> None:
    """Move a conditional order to another status, and tell."""
    algo.status, algo.update_time = status, state.now
    if status in FINAL_STATUSES:
        state.algos.close(algo)
    elif status != "NEW":
        state.algos.settle(algo)
    emission.emit_algo(state, algo)


def expire_orphans(state: State, position: Position) -> None:
    """Expire what rested on a position that is no longer there to be reduced."""
    for algo in state.algos.open(position.symbol):
        if (
            algo.needs_position
            and algo.position_side == position.side
            and not position.closable_by(algo.side)
        ):
            change_algo_status(state, algo, "EXPIRED")
    for order in state.orders.open_of(position.symbol):
        mine = order.position_side == position.side and order.remaining > 0
        if mine and order.only_reduces and not position.closable_by(order.side):
            change_status(state, order, "EXPIRED")
