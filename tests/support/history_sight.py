"""One call of a module, and what the engine shows just before it."""

from decimal import Decimal
from typing import Any, NamedTuple

from cover_oracle import is_any, is_whole, open_positions

WITHIN = Decimal("0.5")
"""The default of the policy's key `cover_within`."""

CLOSING_SIDES = frozenset({("SELL", "LONG"), ("BUY", "SHORT")})
INTENTS = {
    "futures_create_order": "place",
    "futures_place_batch_order": "place",
    "futures_modify_order": "modify",
}


class Call(NamedTuple):
    """What a module asks its client for."""

    bot: Any
    method: str
    params: dict[str, Any]
    limit: float | None = None

    @property
    def operation(self) -> str:
        """What the call does to orders."""
        return INTENTS.get(self.method, "cancel")

    @property
    def is_exit(self) -> bool:
        """Whether it places what can only reduce."""
        if "batchOrders" in self.params:
            return True
        sides = self.params.get("side"), self.params.get("positionSide")
        return (
            bool(self.params.get("reduceOnly") or self.params.get("closePosition")) or sides in CLOSING_SIDES
        )

    @property
    def number(self) -> int:
        """The id that it is about, 0 for none."""
        return int(self.params.get("algoId") or self.params.get("orderId") or 0)

    def __str__(self) -> str:
        return f"{self.bot.module} {self.method} {self.params}"


class Sight:
    """What the engine shows just before a call.

    Args:
        world: The guarded one.
        call: The call.
    """

    def __init__(self, world: Any, call: Call) -> None:
        self._exchange, self._call = world.exchange, call
        self.symbol = self._find_symbol()
        self.began = world.now()
        self.placed: list[int] = []
        self.requests = len(world.exchange.order_requests)
        self.is_covered = world.is_covered(self.symbol)
        self.words = words(world, self.symbol)
        name = call.params.get("clientAlgoId") or call.params.get("newClientOrderId")
        named = [algo.algo_id for algo in self._exchange.engine.open_algos() if algo.client_id == name]
        named += [order.order_id for order in self._exchange.engine.open_orders() if order.client_id == name]
        self.name_is_of = world.placed_by.get(named[0]) if named else None
        self.is_close = call.operation == "place" and call.is_exit and is_close(self._exchange, call.params)
        self.strips = call.operation == "cancel" and self._strips()

    def _find_symbol(self) -> str:
        """Return the symbol of the call: that of the order that it names."""
        params = self._call.params
        for algo in self._exchange.engine.open_algos():
            if self._call.operation == "cancel" and (
                algo.algo_id == params.get("algoId") or algo.client_id == params.get("clientAlgoId")
            ):
                return str(algo.symbol)
        return str(self._call.bot.symbol)

    def _strips(self) -> bool:
        """Whether a cancel bares a position that anybody's stops covered."""
        return any(
            is_whole(self._exchange, one, is_any, WITHIN)
            and not is_whole(self._exchange, one, self._stays, WITHIN)
            for one in open_positions(self._exchange, self.symbol)
        )

    def _stays(self, algo: Any) -> bool:
        params = self._call.params
        if "algoId" in params or "clientAlgoId" in params:
            return algo.algo_id != params.get("algoId") and algo.client_id != params.get("clientAlgoId")
        return not params.get("conditional")


def is_close(exchange: Any, params: dict[str, Any]) -> bool:
    """Return whether an exit closes now: at market, IOC, FOK, or priced through every price that there is."""
    if params.get("type") == "MARKET" or params.get("timeInForce") in {"IOC", "FOK"}:
        return True
    if params.get("type") != "LIMIT":
        return False
    quote, price = exchange.engine.quote(params["symbol"]), Decimal(str(params["price"]))
    prices = (quote.mark, quote.last, quote.bid, quote.ask)
    return price <= min(prices) if params["side"] == "SELL" else price >= max(prices)


def words(world: Any, symbol: str) -> str:
    """Return what is open and rests of a symbol, for people."""
    engine = world.exchange.engine
    quote = engine.quote(symbol)
    lines = [f"mark={quote.mark} last={quote.last}"]
    positions = open_positions(world.exchange, symbol)
    lines += [f"open {one.side} {one.amount} liquidation={one.liquidation}" for one in positions]
    for algo in engine.open_algos(symbol):
        size = "whole" if algo.close_position else algo.quantity
        line = f"{world.placed_by.get(algo.algo_id)}: {algo.type} {algo.side} {algo.position_side} {size}"
        line += f" at {algo.trigger_price} {algo.working_type} active={algo.activated}"
        lines.append(line + (f" name={algo.client_id}" if len(algo.client_id) == 1 else ""))
    for order in engine.open_orders(symbol):
        whose, sides = world.placed_by.get(order.order_id), f"{order.side} {order.position_side}"
        lines.append(f"{whose}: LIMIT {sides} {order.remaining} at {order.price}")
    return "; ".join(lines)
