"""Cross margin: what positions and open orders bind, and what is left to open more with."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .brackets import find_bracket
from .errors import BALANCE_INSUFFICIENT, MARGIN_INSUFFICIENT, MAX_POSITION
from .numbers import ZERO, money
from .orders import Order
from .positions import Position
from .state import State


class Exposure(msgspec.Struct, frozen=True):
    """Notional values of one position side in USDT: the position (signed), open bids and open asks."""

    position: Decimal
    bids: Decimal
    asks: Decimal

    @property
    def worst(self) -> Decimal:
        """Return the largest position that the open orders could make."""
        return max(abs(self.position + self.bids), abs(self.position - self.asks), abs(self.position))


class Margins(msgspec.Struct, frozen=True):
    """Amounts of margin in USDT."""

    position: Decimal
    orders: Decimal

    @property
    def initial(self) -> Decimal:
        """Return the initial margin of the position and its orders."""
        return self.position + self.orders


NO_EXPOSURE = Exposure(ZERO, ZERO, ZERO)
NO_MARGINS = Margins(ZERO, ZERO)


def exposure(state: State, position: Position) -> Exposure:
    """Return the notional values of a position and of its open orders that may open more."""
    orders = state.orders.open_of(position.symbol)
    # So it is for most of hundreds of symbols.
    if not orders and not position.amount:
        return NO_EXPOSURE
    bids = asks = ZERO
    for order in orders:
        if order.position_side != position.side or order.only_reduces:
            continue
        value = order.remaining * order.price
        bids, asks = (bids + value, asks) if order.side == "BUY" else (bids, asks + value)
    return Exposure(position.amount * state.quotes[position.symbol].mark, bids, asks)


def margins(state: State, position: Position) -> Margins:
    """Return the margin that a position and its open orders bind at the symbol's leverage."""
    values = exposure(state, position)
    if values is NO_EXPOSURE:
        return NO_MARGINS
    leverage = state.account.of(position.symbol).leverage
    position_margin = money(abs(values.position) / leverage)
    return Margins(position=position_margin, orders=money(values.worst / leverage) - position_margin)


def active_positions(state: State) -> list[Position]:
    """Return positions that are not flat or have open orders, by symbol and side."""
    keys = {(position.symbol, position.side) for position in state.open_positions()}
    keys |= {(order.symbol, order.position_side) for order in state.orders.open()}
    return [state.position(symbol, side) for symbol, side in sorted(keys)]


def unrealised(state: State) -> Decimal:
    """Return the unrealised profit of all positions in USDT at mark price."""
    return sum((unrealised_of(state, position) for position in state.open_positions()), ZERO)


def unrealised_of(state: State, position: Position) -> Decimal:
    """Return the unrealised profit of one position in USDT at mark price."""
    return money(position.unrealised(state.quotes[position.symbol].mark)) if position.amount else ZERO


def maintenance(state: State, position: Position) -> Decimal:
    """Return the margin in USDT below which a position is liquidated, by the bracket of its size."""
    if not position.amount:
        return ZERO
    notional = abs(position.amount) * state.quotes[position.symbol].mark
    bracket = find_bracket(state.symbols[position.symbol].brackets, notional)
    return notional * bracket.rate - bracket.deduction


def available(state: State) -> Decimal:
    """Return the margin that is free for new positions, never below zero."""
    bound = profit = ZERO
    for position in active_positions(state):
        required = margins(state, position)
        if is_isolated(state, position.symbol):
            bound += required.orders
        else:
            bound += required.initial
            profit += unrealised_of(state, position)
    return max(ZERO, cross_wallet(state) + profit - bound)


def is_isolated(state: State, symbol: str) -> bool:
    """Return whether the positions of a symbol have isolated wallets."""
    return state.account.of(symbol).margin_type == "ISOLATED"


def cross_wallet(state: State) -> Decimal:
    """Return the wallet without what isolated positions hold of it."""
    return state.account.wallet - sum((position.isolated for position in state.open_positions()), ZERO)


def cross_unrealised(state: State) -> Decimal:
    """Return the unrealised profit of the positions that share the wallet."""
    shared = (row for row in state.open_positions() if not is_isolated(state, row.symbol))
    return sum((unrealised_of(state, position) for position in shared), ZERO)


def require_margin(state: State, order: Order, price: Decimal) -> None:
    """Refuse an order that opens more than the account can carry.

    Raises:
        ExchangeError: -2018 without a balance, -2019 without the margin, -2027 over what the leverage
            permits.
    """
    if order.only_reduces:
        return
    settings = state.account.of(order.symbol)
    before = exposure(state, state.position(order.symbol, order.position_side))
    value = order.remaining * price
    buys = order.side == "BUY"
    after = Exposure(before.position, before.bids + value * buys, before.asks + value * (not buys))
    if after.worst <= before.worst:
        return
    if state.account.wallet <= 0:
        raise BALANCE_INSUFFICIENT.error()
    if money((after.worst - before.worst) / settings.leverage) > available(state):
        raise MARGIN_INSUFFICIENT.error()
    if after.worst > state.symbols[order.symbol].max_notional(settings.leverage):
        raise MAX_POSITION.error()
