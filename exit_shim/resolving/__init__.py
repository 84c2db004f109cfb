"""What became of orders in doubt: asked of the exchange by their client order ids, read-only, unhurriedly."""

from exit_shim.resolving.asking import Asker
from exit_shim.resolving.cases import PACE, Case, Pace
from exit_shim.resolving.resolver import Resolver, pursue
from exit_shim.resolving.siblings import Sibling, can_have_sibling

__all__ = ["PACE", "Asker", "Case", "Pace", "Resolver", "Sibling", "can_have_sibling", "pursue"]
