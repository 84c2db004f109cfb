"""Look up orders in doubt at the exchange by their client order ids, with read-only requests."""

from exit_shim.resolving.asking import Budget, ExchangeReader
from exit_shim.resolving.doubt import PACE, Doubt, RetryPolicy
from exit_shim.resolving.resolver import FIND_LEFT, Resolver, pursue
from exit_shim.resolving.weight import UsedWeight, UsedWeights

__all__ = [
    "FIND_LEFT",
    "PACE",
    "Budget",
    "Doubt",
    "ExchangeReader",
    "Resolver",
    "RetryPolicy",
    "UsedWeight",
    "UsedWeights",
    "pursue",
]
