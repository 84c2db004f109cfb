"""What the exchange asks of prices and quantities of a contract, and how amounts are made to fit. Pure."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import msgspec

from exit_shim.executor.plan import Side
from exit_shim.guard.amounts import to_decimal


class ContractRules(msgspec.Struct, frozen=True):
    """Hold the filters of one contract, from exchangeInfo.

    Attributes:
        tick: The step of prices.
        step: The step of quantities.
        min_quantity: The smallest quantity of an order.
        max_quantity: The largest quantity of a LIMIT order.
        max_market_quantity: The largest quantity of an order that trades at the market.
        min_notional: The smallest quantity times price, for orders that are not reduce-only.
        highest: A LIMIT order's price is at most this multiple of the mark price.
        lowest: A LIMIT order's price is at least this multiple of the mark price.
    """

    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    max_market_quantity: Decimal
    min_notional: Decimal
    highest: Decimal
    lowest: Decimal

    def trigger(self, level: Decimal, side: Side) -> Decimal:
        """Return the trigger price of a stop: on the tick, rounded toward safety."""
        return _on_step(level, self.tick, ROUND_CEILING if side == "LONG" else ROUND_FLOOR)

    def take_price(self, level: Decimal, side: Side) -> Decimal:
        """Return the price of a take: on the tick, not worse than its level."""
        return _on_step(level, self.tick, ROUND_CEILING if side == "LONG" else ROUND_FLOOR)

    def quantity(self, amount: Decimal) -> Decimal:
        """Return a quantity on the step, rounded down."""
        return _on_step(amount, self.step, ROUND_FLOOR)

    def is_too_small(self, quantity: Decimal, price: Decimal, *, is_exempt: bool) -> bool:
        """Return whether an order is under the minima; reduce-only orders are exempt from the notional."""
        return quantity < self.min_quantity or (not is_exempt and quantity * price < self.min_notional)

    def is_in_band(self, price: Decimal, mark: Decimal) -> bool:
        """Return whether a LIMIT order at this price is taken while the mark price is there."""
        return mark * self.lowest <= price <= mark * self.highest


def _on_step(amount: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (amount / step).to_integral_value(rounding) * step if step else amount


class RulesError(ValueError):
    """Raised where the exchange does not list a symbol, or lists it without the filters of a contract."""


def read_rules(exchange_info: Mapping[str, Any], symbol: str) -> ContractRules:
    """Return the rules of a contract.

    Args:
        exchange_info: The answer of exchangeInfo.
        symbol: The contract.

    Raises:
        RulesError: The exchange does not list it, or the answer is not what the exchange would give.
    """
    for entry in exchange_info.get("symbols", ()):
        if entry.get("symbol") == symbol:
            return _read_filters(entry, symbol)
    raise RulesError(f"the exchange does not list {symbol!r}; check the spelling")


def _read_filters(entry: Mapping[str, Any], symbol: str) -> ContractRules:
    filters = {row.get("filterType"): row for row in entry.get("filters", ())}

    def number(filter_type: str, name: str, default: str | None = None) -> Decimal:
        value = to_decimal(filters.get(filter_type, {}).get(name, default))
        if value is None:
            raise RulesError(f"exchangeInfo lists {symbol!r} without {filter_type}.{name}")
        return value

    return ContractRules(
        tick=number("PRICE_FILTER", "tickSize"),
        step=number("LOT_SIZE", "stepSize"),
        min_quantity=number("LOT_SIZE", "minQty"),
        max_quantity=number("LOT_SIZE", "maxQty"),
        max_market_quantity=number("MARKET_LOT_SIZE", "maxQty", str(number("LOT_SIZE", "maxQty"))),
        min_notional=number("MIN_NOTIONAL", "notional", "0"),
        highest=number("PERCENT_PRICE", "multiplierUp", "1000"),
        lowest=number("PERCENT_PRICE", "multiplierDown", "0"),
    )
