"""What became of orders in doubt: asked of the exchange by their client order ids, read-only, unhurriedly."""

from exit_shim.resolving.asking import Asker, Budget
from exit_shim.resolving.cases import PACE, Case, Pace
from exit_shim.resolving.resolver import TAKE_UP, Resolver, pursue
from exit_shim.resolving.siblings import Sibling, can_have_sibling
from exit_shim.resolving.weight import UsedWeight, UsedWeights

__all__ = [
    "PACE",
    "TAKE_UP",
    "Asker",
    "Budget",
    "Case",
    "Pace",
    "Resolver",
    "Sibling",
    "UsedWeight",
    "UsedWeights",
    "can_have_sibling",
    "pursue",
]
