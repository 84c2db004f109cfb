"""Judge cover by the state of the local exchange's engine: by the rule's text, without the guard's code."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

STOPS = frozenset({"STOP_MARKET", "TRAILING_STOP_MARKET"})
NOTHING = Decimal(0)


class Open(NamedTuple):
    """An open position of a symbol and side."""

    symbol: str
    side: str
    amount: Decimal
    liquidation: Decimal

    @property
    def exit_side(self) -> str:
        """Return the side of orders that reduce it."""
        return "SELL" if self.amount > 0 else "BUY"


def open_positions(exchange: Any, symbol: str) -> list[Open]:
    """Return what is open of a symbol, by the exchange's own account."""
    return [
        Open(symbol, str(row["positionSide"]), amount, Decimal(str(row["liquidationPrice"])))
        for row in exchange.positions()
        if row["symbol"] == symbol and (amount := Decimal(str(row["positionAmt"])))
    ]


def is_exit_of(order: Any, position: Open) -> bool:
    """Return whether an order of the engine can only reduce a position."""
    if (order.side, order.position_side) != (position.exit_side, position.side):
        return False
    return position.side != "BOTH" or order.reduce_only or order.close_position


def trigger_of(algo: Any) -> Decimal:
    """Return where a stop fires now; a trailing one's follows the best price seen."""
    if algo.type != "TRAILING_STOP_MARKET":
        return Decimal(algo.trigger_price)
    rate = algo.callback_rate / 100
    return Decimal(algo.extreme * (1 - rate if algo.side == "SELL" else 1 + rate))


def is_sure(exchange: Any, algo: Any, position: Open, within: Decimal) -> bool:
    """Return whether a stop will surely fire while there is still something to save."""
    if algo.type not in STOPS or not algo.is_open or not is_exit_of(algo, position):
        return False
    if algo.type == "TRAILING_STOP_MARKET" and not algo.activated:
        return False
    quote = exchange.engine.quote(position.symbol)
    price, trigger = quote.working(algo.working_type), trigger_of(algo)
    falls = position.amount > 0
    if (trigger >= price) if falls else (trigger <= price):
        return False
    if abs(price - trigger) > within * price:
        return False
    liquidation = position.liquidation
    return not liquidation or ((trigger > liquidation) if falls else (trigger < liquidation))


def is_whole(exchange: Any, position: Open, counts: Callable[[Any], bool], within: Decimal) -> bool:
    """Return whether sure stops that count close all of a position; in hedge mode by closePosition alone."""
    engine = exchange.engine
    exits = [algo for algo in engine.open_algos(position.symbol) if is_exit_of(algo, position)]
    sure = [algo for algo in exits if counts(algo) and is_sure(exchange, algo, position, within)]
    if any(algo.close_position for algo in sure):
        return True
    if position.side != "BOTH":
        return False  # the exchange refuses a stop on more than is left when it fires
    return sum((algo.quantity for algo in sure), NOTHING) >= abs(position.amount)


def is_covered(
    exchange: Any, symbol: str, counts: Callable[[Any], bool], within: Decimal = Decimal("0.5")
) -> bool:
    """Return whether every open position of a symbol is covered whole; a flat symbol is not."""
    positions = open_positions(exchange, symbol)
    return bool(positions) and all(is_whole(exchange, one, counts, within) for one in positions)


def is_bare(exchange: Any, position: Open) -> bool:
    """Return whether stops do not close all of a position though the price runs through them one by one."""
    algos = exchange.engine.open_algos(position.symbol)
    everywhere = Decimal("0.99")
    stops = [algo for algo in algos if is_sure(exchange, algo, position, everywhere)]
    left, falls = abs(position.amount), position.amount > 0
    for algo in sorted(stops, key=trigger_of, reverse=falls):
        if algo.close_position:
            return False
        if position.side == "BOTH":
            left -= min(left, algo.quantity)
        elif algo.quantity <= left:
            left -= algo.quantity
    return bool(left)


def is_any(_: Any) -> bool:
    """Count every stop."""
    return True
