"""What the exchange holds at the moment, in the forms of its own endpoints."""

from __future__ import annotations

from exit_shim.exchange.engine.algo import AlgoOrder
from exit_shim.exchange.engine.market import Quote
from exit_shim.exchange.engine.orders import Order
from exit_shim.exchange.engine.state import State

from . import account, algo, orders

Json = dict[str, object]


def render_positions(state: State, symbol: str | None = None) -> list[Json]:
    """Return the positions that are not flat, as GET /fapi/v3/positionRisk has them."""
    positions = [position for position in state.open_positions() if symbol in {None, position.symbol}]
    return [account.position_risk_row(state, position) for position in positions]


def render_orders(state: State, found: list[Order]) -> list[Json]:
    """Return orders as GET /fapi/v1/openOrders has them."""
    return [orders.render_queried(order, state.symbols[order.symbol]) for order in found]


def render_algos(state: State, found: list[AlgoOrder]) -> list[Json]:
    """Return conditional orders as GET /fapi/v1/openAlgoOrders has them."""
    return [algo.render_opened(each, state.symbols[each.symbol]) for each in found]


def render_quote(quote: Quote) -> Json:
    """Return the prices of a symbol."""
    return {name: f"{getattr(quote, name):f}" for name in ("mark", "last", "bid", "ask")}
