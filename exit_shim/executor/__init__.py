"""Own the exits of positions: hold each one to its plan, and never leave it bare."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.executor.brain_plans import BrainReading, read_brain_plan
    from exit_shim.executor.brain_router import BrainRouter
    from exit_shim.executor.exact import PlanError
    from exit_shim.executor.executor import ExitExecutor
    from exit_shim.executor.legs import Breakeven, HardStop, PartialTake, Trail
    from exit_shim.executor.offset import Offset, at_fraction, at_price, at_r
    from exit_shim.executor.plan import ExitPlan
    from exit_shim.executor.plan_files import PlanFile, PlanFileError, load_plans
    from exit_shim.executor.protection import Protection
    from exit_shim.executor.router import ExitRouter
else:
    # On first use: a brain that only makes plans must not load the guard.
    from exit_shim.runtime.lazy_names import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "exit_shim.executor.brain_plans": ("BrainReading", "read_brain_plan"),
            "exit_shim.executor.brain_router": ("BrainRouter",),
            "exit_shim.executor.exact": ("PlanError",),
            "exit_shim.executor.executor": ("ExitExecutor",),
            "exit_shim.executor.legs": ("Breakeven", "HardStop", "PartialTake", "Trail"),
            "exit_shim.executor.offset": ("Offset", "at_fraction", "at_price", "at_r"),
            "exit_shim.executor.plan": ("ExitPlan",),
            "exit_shim.executor.plan_files": ("PlanFile", "PlanFileError", "load_plans"),
            "exit_shim.executor.protection": ("Protection",),
            "exit_shim.executor.router": ("ExitRouter",),
        },
    )

__all__ = [
    "BrainReading",
    "BrainRouter",
    "Breakeven",
    "ExitExecutor",
    "ExitPlan",
    "ExitRouter",
    "HardStop",
    "Offset",
    "PartialTake",
    "PlanError",
    "PlanFile",
    "PlanFileError",
    "Protection",
    "Trail",
    "at_fraction",
    "at_price",
    "at_r",
    "load_plans",
    "read_brain_plan",
]
