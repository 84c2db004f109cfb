"""What became of orders in doubt: asked of the exchange by their client order ids, read-only, unhurriedly."""

from exit_shim.resolving.asking import Budget, ExchangeReader
from exit_shim.resolving.doubt import PACE, Doubt, RetryPolicy
from exit_shim.resolving.resolver import TAKE_UP, Resolver, pursue
from exit_shim.resolving.weight import UsedWeight, UsedWeights

__all__ = [
    "PACE",
    "TAKE_UP",
    "Budget",
    "Doubt",
    "ExchangeReader",
    "Resolver",
    "RetryPolicy",
    "UsedWeight",
    "UsedWeights",
    "pursue",
]
