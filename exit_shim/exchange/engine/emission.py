"""Events of the engine. Each function costs one test while nobody listens."""

from __future__ import annotations

from msgspec.structs import replace as copied

from .algo import AlgoOrder
from .events import (
    AccountEvent,
    AlgoEvent,
    AssetsModeEvent,
    CalledPosition,
    LeverageEvent,
    ListenKeyEvent,
    MarginCallEvent,
    MarketTradeEvent,
    OrderEvent,
    PositionRow,
    QuoteEvent,
    TradeEvent,
)
from .margin import cross_wallet, exposure, maintenance, unrealised_of
from .numbers import ZERO
from .orders import Order, Trade
from .positions import Position
from .state import State
from .tape import MarketTrade


def hold_arrival(state: State, order: Order, execution: str = "NEW") -> None:
    """Hold back the event of an arriving order until its first fill, or until `release_arrival`."""
    if state.feed.active:
        state.feed.hold(_order_event(state, order, execution))


def release_arrival(state: State) -> None:
    """Emit the event that was held back, since the order has met the book."""
    state.feed.release()


def emit_fill(state: State, order: Order, trade: Trade) -> None:
    """Emit the events of a fill: TRADE_LITE, the held arrival, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE."""
    if not state.feed.active:
        return
    if not order.liquidates:
        state.feed.emit(TradeEvent(time=state.now, order=copied(order), trade=trade))
    emit_account(state, "ORDER", state.position(order.symbol, order.position_side))
    state.feed.emit(_order_event(state, order, "CALCULATED" if order.liquidates else "TRADE", trade))


def emit_order_closed(state: State, order: Order, expiry: str | None = None) -> None:
    """Emit that an order was cancelled or has expired; `expiry` is its `er` where that is known."""
    if state.feed.active:
        execution = "CANCELED" if order.status == "CANCELED" else "EXPIRED"
        event = _order_event(state, order, execution)
        state.feed.emit(event if expiry is None else copied(event, expiry=expiry))


def emit_algo(state: State, changed: AlgoOrder) -> None:
    """Emit the new status of a conditional order."""
    if state.feed.active:
        state.feed.emit(AlgoEvent(time=state.now, algo=copied(changed), child=_child(state, changed)))


def emit_account(
    state: State, reason: str, *positions: Position, moves_wallet: bool = True, symbol: str = ""
) -> None:
    """Emit that the wallet or positions changed; `reason` is a word that ACCOUNT_UPDATE has for it."""
    if state.feed.active:
        state.feed.emit(
            AccountEvent(
                time=state.now,
                reason=reason,
                wallet=state.account.wallet if moves_wallet else None,
                cross=cross_wallet(state),
                positions=tuple(_row(state, position) for position in positions),
                symbol=symbol,
            )
        )


def emit_arrival(state: State, order: Order) -> None:
    """Emit that the exchange has placed an order by itself."""
    if state.feed.active:
        state.feed.emit(_order_event(state, order, "NEW"))


def emit_margin_call(state: State, positions: list[Position], *, cross: bool) -> None:
    """Emit that positions are near their liquidation; `cross` for those that share the wallet."""
    if state.feed.active:
        rows = tuple(
            CalledPosition(
                row=_row(state, position),
                mark=state.quotes[position.symbol].mark,
                maintenance=maintenance(state, position),
            )
            for position in positions
        )
        wallet = cross_wallet(state) if cross else None
        state.feed.emit(MarginCallEvent(time=state.now, cross=wallet, positions=rows))


def emit_leverage(state: State, symbol: str) -> None:
    """Emit the new leverage of a symbol."""
    if state.feed.active:
        chosen = state.account.of(symbol).leverage
        state.feed.emit(LeverageEvent(time=state.now, symbol=symbol, leverage=chosen))


def emit_assets_mode(state: State) -> None:
    """Emit that Multi-Assets mode was switched."""
    if state.feed.active:
        state.feed.emit(AssetsModeEvent(time=state.now, multi_assets=state.account.multi_assets))


def emit_listen_key(state: State, key: str, *, expired: bool) -> None:
    """Emit that a listen key has ended."""
    if state.feed.active:
        state.feed.emit(ListenKeyEvent(time=state.now, listen_key=key, expired=expired))


def emit_quote(state: State, symbol: str) -> None:
    """Emit the new prices of a symbol."""
    state.ids.update += 1
    if state.feed.active:
        state.feed.emit(
            QuoteEvent(time=state.now, symbol=symbol, quote=state.quotes[symbol], update_id=state.ids.update)
        )


def emit_market_trade(state: State, symbol: str, trade: MarketTrade) -> None:
    """Emit a trade of the market."""
    if state.feed.active:
        state.feed.emit(MarketTradeEvent(time=state.now, symbol=symbol, trade=trade))


def _child(state: State, algo: AlgoOrder) -> Order | None:
    # A conditional order that is TRIGGERING or REJECTED has not become an order.
    child = None if algo.child_id is None else state.orders.get(algo.child_id)
    if child is None:
        return None
    # TRIGGERED says nothing of a fill that came before it.
    return copied(child, executed=ZERO, quote=ZERO) if algo.status == "TRIGGERED" else copied(child)


def _order_event(state: State, order: Order, execution: str, trade: Trade | None = None) -> OrderEvent:
    values = exposure(state, state.position(order.symbol, order.position_side))
    return OrderEvent(
        time=state.now,
        execution=execution,
        order=copied(order),
        trade=trade,
        expiry=_expiry(state, order) if execution == "EXPIRED" else "0",
        bids=values.bids,
        asks=values.asks,
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
