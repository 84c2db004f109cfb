"""Who says how a position is to be left: the router, an answer per position."""

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from exit_shim.executor.plan import ExitPlan
from exit_shim.guard.exchange_snapshot import OpenPosition


@runtime_checkable
class ExitRouter(Protocol):
    """Return the exit plan of a position."""

    def plan_for(self, position: OpenPosition) -> ExitPlan | None:
        """Return the plan of an open position; None for a position to leave alone.

        Called at each pass, so it should be quick. The plan in force is replaced by one of another `plan_id`
        or a higher `revision`.

        Args:
            position: Symbol, side, size, entry price, mark price and liquidation price.

        Raises:
            PlanError: The plan cannot be meant; the plan in force stays.
        """


Router: TypeAlias = ExitRouter | Callable[[OpenPosition], ExitPlan | None]
"""A router, or a function that does what `plan_for` does."""


def plan_function(router: Router) -> Callable[[OpenPosition], ExitPlan | None]:
    """Return the function that asks a router."""
    return router.plan_for if isinstance(router, ExitRouter) else router
