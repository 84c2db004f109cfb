"""Who may own exits in which mode, and the verdict on one order. Pure."""

from typing import Final, Literal

import msgspec

from exit_shim.attribution import Attribution
from exit_shim.doors import Intent
from exit_shim.modes import EXIT_BRAIN_V3
from exit_shim.orders import ExitOrder

Action = Literal["allow", "warn", "deny", "suppress"]

OWNERSHIP_CONFLICT: Final = "OWNERSHIP_CONFLICT"

REASONS: Final = (OWNERSHIP_CONFLICT,)
"""Every code that a verdict can give as its reason."""


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Who is who, by short or dotted module name.

    `legacy` modules may act but should not where an owner is in force; `executors` carry out what others
    decide and are passed through when an order is attributed; `owners` hold the exits in EXIT_BRAIN_V3.
    The defaults are those of the exit architecture that this package grew out of.
    """

    legacy: frozenset[str] = frozenset(
        {
            "position_monitor",
            "trailing_stop_manager",
            "hybrid_tpsl",
            "event_driven_executor",
            "dynamic_trailing_rearm",
        }
    )
    executors: frozenset[str] = frozenset({"safe_order_executor"})
    owners: frozenset[str] = frozenset({"exit_brain_executor", "exit_brain_v3"})


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to happen with an order, and why: stable codes, each with its `key=value` facts."""

    action: Action = "allow"
    reasons: tuple[str, ...] = ()


ALLOWED: Final = Verdict()


def judge(intent: Intent, order: ExitOrder, attribution: Attribution, mode: str, roles: Roles) -> Verdict:
    """The soft guard: an exit of a legacy module in EXIT_BRAIN_V3 is warned of and let through."""
    if mode != EXIT_BRAIN_V3 or intent not in {"place", "modify"} or order.kind in {"conditional", "unknown"}:
        return ALLOWED
    if roles.legacy.isdisjoint((attribution.module, attribution.dotted_module)):
        return ALLOWED
    return Verdict("warn", (f"{OWNERSHIP_CONFLICT} module={attribution.module} mode={mode} role=legacy",))
