"""Own the exits of positions: hold each one to its plan, and never leave it bare."""

from exit_shim.executor.plan import (
    Breakeven,
    ExitPlan,
    HardStop,
    Offset,
    PartialTake,
    PlanError,
    Trail,
    at_fraction,
    at_price,
    at_r,
)
from exit_shim.executor.router import ExitRouter

__all__ = [
    "Breakeven",
    "ExitPlan",
    "ExitRouter",
    "HardStop",
    "Offset",
    "PartialTake",
    "PlanError",
    "Trail",
    "at_fraction",
    "at_price",
    "at_r",
]
