"""Attribute, record and guard every exit order of a futures bot, by one line around its client."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.api import (
        delegate,
        feed_user_event,
        get_exit_mode,
        get_exit_order_metrics,
        install,
        is_exit_brain_mode,
        is_legacy_exit_mode,
        log_exit_metrics_summary,
        submit_exit_order,
        watch,
        wrap,
    )
    from exit_shim.attribution.attribute import attributed
    from exit_shim.attribution.propagation import carry
    from exit_shim.clients.patching import uninstall
    from exit_shim.clients.proxy import unwrap
    from exit_shim.domain.doors import Door
    from exit_shim.errors import ExitOrderDenied
    from exit_shim.guard.policy import Policy, PolicyError, Roles
    from exit_shim.guard.rules import RuleContext, rule
    from exit_shim.shim import ExitShim
    from exit_shim.sinks import Sink
else:
    # On first use: pytest loads this package at every start for its plugin.
    from exit_shim.runtime.lazy_names import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "exit_shim.attribution.attribute": ("attributed",),
            "exit_shim.attribution.propagation": ("carry",),
            "exit_shim.domain.doors": ("Door",),
            "exit_shim.errors": ("ExitOrderDenied",),
            "exit_shim.api": (
                "delegate",
                "get_exit_mode",
                "get_exit_order_metrics",
                "feed_user_event",
                "install",
                "is_exit_brain_mode",
                "is_legacy_exit_mode",
                "log_exit_metrics_summary",
                "submit_exit_order",
                "watch",
                "wrap",
            ),
            "exit_shim.clients.patching": ("uninstall",),
            "exit_shim.guard.policy": ("Policy", "PolicyError", "Roles"),
            "exit_shim.clients.proxy": ("unwrap",),
            "exit_shim.guard.rules": ("RuleContext", "rule"),
            "exit_shim.shim": ("ExitShim",),
            "exit_shim.sinks": ("Sink",),
        },
    )

__all__ = [
    "Door",
    "ExitOrderDenied",
    "ExitShim",
    "Policy",
    "PolicyError",
    "Roles",
    "RuleContext",
    "Sink",
    "attributed",
    "carry",
    "delegate",
    "feed_user_event",
    "get_exit_mode",
    "get_exit_order_metrics",
    "install",
    "is_exit_brain_mode",
    "is_legacy_exit_mode",
    "log_exit_metrics_summary",
    "rule",
    "submit_exit_order",
    "uninstall",
    "unwrap",
    "watch",
    "wrap",
]
