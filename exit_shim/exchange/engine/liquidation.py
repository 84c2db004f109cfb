"""Liquidation: the exchange closes what its margin does not carry any more, and warns before it does."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from . import emission
from .brackets import find_bracket
from .fills import change_status, fill
from .margin import cross_wallet, is_isolated, maintenance, unrealised_of
from .numbers import ZERO, money
from .orders import Order
from .positions import Position
from .state import State

#: What a liquidation costs, as a part of its notional value (`liquidationFee` of exchangeInfo).
FEE_RATE = Decimal("0.01")
#: The part of its margin that a position must keep when the user is warned.
WARNING_RATIO = Decimal("0.8")
CROSS = "CROSS"
#: Steps in which the brackets at a liquidation price are found; there are ten brackets.
MOST_STEPS = 12


def liquidate_due(state: State) -> None:
    """Close every position whose margin has fallen to its maintenance margin, and warn of those near it."""
    if not state.margins_changed:
        return
    near = set()
    for position in [row for row in state.open_positions() if is_isolated(state, row.symbol)]:
        ratio = _margin_ratio(state, [position])
        if ratio >= 1:
            _liquidate(state, position)
        elif ratio >= WARNING_RATIO:
            near.add(f"{position.symbol}/{position.side}")
    while shared := _cross_positions(state):
        ratio = _margin_ratio(state, shared)
        if ratio < 1:
            near |= {CROSS} if ratio >= WARNING_RATIO else set()
            break
        _liquidate(state, min(shared, key=lambda position: unrealised_of(state, position)))
    _warn(state, near)
    state.margins_changed = False


def liquidation_price(state: State, position: Position) -> Decimal:
    """Return the mark price at which a position is liquidated if no other price moves, zero for never."""
    if not position.amount:
        return ZERO
    group = _same_margin(state, position)
    at_price = [row for row in group if row.symbol == position.symbol]
    others = [row for row in group if row.symbol != position.symbol]
    left = _margin(state, group, others) - sum((maintenance(state, row) for row in others), ZERO)
    price = state.quotes[position.symbol].mark
    for _ in range(MOST_STEPS):
        before, price = price, _price_in_brackets(state, at_price, left, price)
        if price in {before, ZERO}:
            break
    # Beyond the prices at which the symbol trades lies what legs of equal size would need.
    return price if price <= state.symbols[position.symbol].max_price else ZERO


def _price_in_brackets(state: State, rows: list[Position], left: Decimal, price: Decimal) -> Decimal:
    """Return the liquidation price if each position were in its bracket at `price`."""
    slope, owed = ZERO, -left
    for row in rows:
        size = abs(row.amount)
        bracket = find_bracket(state.symbols[row.symbol].brackets, size * price)
        slope += row.amount - size * bracket.rate
        owed += row.cost - bracket.deduction
    return max(ZERO, owed / slope) if slope else ZERO


def _same_margin(state: State, position: Position) -> list[Position]:
    """Return the positions that rest on the same margin, this one included."""
    return [position] if is_isolated(state, position.symbol) else _cross_positions(state)


def _cross_positions(state: State) -> list[Position]:
    return [row for row in state.open_positions() if not is_isolated(state, row.symbol)]


def _margin(state: State, group: list[Position], counted: Iterable[Position]) -> Decimal:
    """Return the wallet of positions that share one, with the unrealised profit of some of them."""
    own = is_isolated(state, group[0].symbol)
    wallet = group[0].isolated if own else cross_wallet(state)
    return wallet + sum((unrealised_of(state, row) for row in counted), ZERO)


def _margin_ratio(state: State, group: list[Position]) -> Decimal:
    """Return what a margin must keep as a part of what it has; 1 and more is liquidation."""
    margin = _margin(state, group, group)
    kept = sum((maintenance(state, row) for row in group), ZERO)
    return kept / margin if margin > 0 else Decimal(1)


def _liquidate(state: State, position: Position) -> None:
    """Cancel what is open on a position, and close it at the mark price."""
    for order in state.orders.open_of(position.symbol):
        if order.position_side == position.side:
            change_status(state, order, "EXPIRED", expiry="5")
    price = _closing_price(state, position)
    order = _make_order(state, position, price)
    state.orders.add(order)
    emission.emit_arrival(state, order)
    own = is_isolated(state, position.symbol)
    left = (position.isolated if own else cross_wallet(state)) + money(position.unrealised(price))
    fee = min(money(abs(position.amount) * price * FEE_RATE), max(ZERO, left))
    fill(state, order, order.quantity, price, maker=False, commission=fee)
    if left < 0:
        # The insurance fund pays what the margin does not.
        state.account.wallet -= left
        emission.emit_account(state, "INSURANCE_CLEAR")


def _closing_price(state: State, position: Position) -> Decimal:
    symbol = state.symbols[position.symbol]
    rounding = ROUND_FLOOR if position.amount > 0 else ROUND_CEILING
    ticks = (state.quotes[symbol.name].mark / symbol.tick).quantize(Decimal(1), rounding)
    return max(symbol.tick, ticks * symbol.tick)


def _make_order(state: State, position: Position, price: Decimal) -> Order:
    order_id = state.ids.next_order()
    return Order(
        order_id=order_id,
        client_id=f"autoclose-{state.now}{order_id % 1_000_000:06d}",
        symbol=position.symbol,
        side="SELL" if position.amount > 0 else "BUY",
        position_side=position.side,
        type="LIMIT",
        time_in_force="IOC",
        quantity=abs(position.amount),
        price=price,
        reduce_only=False,
        close_position=False,
        price_match="NONE",
        self_trade_prevention="NONE",
        good_till_date=0,
        time=state.now,
        update_time=state.now,
        priority=order_id,
        liquidates=True,
    )


def _warn(state: State, near: set[str]) -> None:
    """Send MARGIN_CALL for the margins that have come near their end since the last time."""
    for name in sorted(near - state.margin_called):
        if name == CROSS:
            emission.emit_margin_call(state, _cross_positions(state), cross=True)
        else:
            symbol, _, side = name.partition("/")
            emission.emit_margin_call(state, [state.position(symbol, side)], cross=False)
    state.margin_called = near
