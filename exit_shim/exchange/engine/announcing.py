"""Telling the feed what changed. Each function costs one test while nobody listens."""

from __future__ import annotations

from msgspec.structs import replace as copied

from .algo import AlgoOrder
from .events import (
    AccountEvent,
    AlgoEvent,
    AssetsModeEvent,
    LeverageEvent,
    ListenKeyEvent,
    OrderEvent,
    PositionRow,
    QuoteEvent,
    TradeEvent,
)
from .margin import cross_wallet, exposure, unrealised_of
from .numbers import ZERO
from .orders import Order, Trade
from .positions import Position
from .state import State


def arrival(state: State, order: Order, execution: str = "NEW") -> None:
    """An order is about to meet the book: told after its first TRADE_LITE, or when `settled` is called."""
    if state.feed.active:
        state.feed.hold(_order_event(state, order, execution))


def settled(state: State) -> None:
    """The order has met the book."""
    state.feed.release()


def fill(state: State, order: Order, trade: Trade) -> None:
    """An order was filled: TRADE_LITE, what was held back of it, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE."""
    if not state.feed.active:
        return
    state.feed.emit(TradeEvent(time=state.now, order=copied(order), trade=trade))
    account(state, "ORDER", state.position(order.symbol, order.position_side))
    state.feed.emit(_order_event(state, order, "TRADE", trade))


def order_closed(state: State, order: Order) -> None:
    """An order was cancelled or expired."""
    if state.feed.active:
        execution = "CANCELED" if order.status == "CANCELED" else "EXPIRED"
        state.feed.emit(_order_event(state, order, execution))


def algo(state: State, changed: AlgoOrder) -> None:
    """A conditional order was placed, activated, triggered, finished, refused, cancelled or expired."""
    if state.feed.active:
        # TRIGGERING and REJECTED come from a conditional order that has become none.
        child = None if changed.child_id is None else state.orders.get(changed.child_id)
        state.feed.emit(
            AlgoEvent(time=state.now, algo=copied(changed), child=None if child is None else copied(child))
        )


def account(state: State, reason: str, *positions: Position, moves_wallet: bool = True) -> None:
    """Wallet or positions changed; `reason` is one of the words that ACCOUNT_UPDATE has for it."""
    if state.feed.active:
        state.feed.emit(
            AccountEvent(
                time=state.now,
                reason=reason,
                wallet=state.account.wallet if moves_wallet else None,
                cross=cross_wallet(state),
                positions=tuple(_row(state, position) for position in positions),
            )
        )


def leverage(state: State, symbol: str) -> None:
    """The leverage of a symbol was changed."""
    if state.feed.active:
        chosen = state.account.of(symbol).leverage
        state.feed.emit(LeverageEvent(time=state.now, symbol=symbol, leverage=chosen))


def assets_mode(state: State) -> None:
    """Multi-Assets mode was switched."""
    if state.feed.active:
        state.feed.emit(AssetsModeEvent(time=state.now, multi_assets=state.account.multi_assets))


def listen_key(state: State, key: str, *, expired: bool) -> None:
    """A listen key has ended."""
    if state.feed.active:
        state.feed.emit(ListenKeyEvent(time=state.now, listen_key=key, expired=expired))


def quote(state: State, symbol: str) -> None:
    """The prices of a symbol have changed."""
    state.ids.update += 1
    if state.feed.active:
        state.feed.emit(
            QuoteEvent(time=state.now, symbol=symbol, quote=state.quotes[symbol], update_id=state.ids.update)
        )


def _order_event(state: State, order: Order, execution: str, trade: Trade | None = None) -> OrderEvent:
    found = exposure(state, state.position(order.symbol, order.position_side))
    return OrderEvent(
        time=state.now,
        execution=execution,
        order=copied(order),
        trade=trade,
        expiry=_expiry(state, order) if execution == "EXPIRED" else "0",
        bids=found.bids,
        asks=found.asks,
    )


def _expiry(state: State, order: Order) -> str:
    position = state.position(order.symbol, order.position_side)
    if order.status == "EXPIRED_IN_MATCH":
        return "3" if order.time_in_force == "IOC" else "1"
    if order.only_reduces and not position.closable_by(order.side):
        return "4"
    if order.type == "MARKET":
        return "9"
    return "2" if order.time_in_force == "IOC" else "0"


def _row(state: State, position: Position) -> PositionRow:
    margin_type = state.account.of(position.symbol).margin_type
    isolated = margin_type == "ISOLATED" and position.amount
    return PositionRow(
        position=copied(position),
        unrealised=unrealised_of(state, position),
        margin_type=margin_type,
        isolated_wallet=position.isolated if isolated else ZERO,
    )
