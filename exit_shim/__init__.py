"""One line around a python-binance client, and every exit order of a legacy futures bot has a name."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.attribution import attributed
    from exit_shim.carrying import carry
    from exit_shim.doors import Door
    from exit_shim.errors import ExitOrderDenied
    from exit_shim.explicit import (
        delegate,
        get_exit_mode,
        get_exit_order_metrics,
        heard,
        is_exit_brain_mode,
        is_legacy_exit_mode,
        log_exit_metrics_summary,
        submit_exit_order,
        watch,
    )
    from exit_shim.installation import install, uninstall
    from exit_shim.policy import Policy, PolicyError, Roles
    from exit_shim.proxy import unwrap
    from exit_shim.rules import Case, rule
    from exit_shim.shim import ExitShim, wrap
    from exit_shim.sinks import Sink
else:
    # On first use: pytest loads this package at every start for its plugin, and python-binance,
    # which ExitOrderDenied rests on, is not for everybody to wait for.
    from exit_shim._lazy import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "attribution": ("attributed",),
            "carrying": ("carry",),
            "doors": ("Door",),
            "errors": ("ExitOrderDenied",),
            "explicit": (
                "delegate",
                "get_exit_mode",
                "get_exit_order_metrics",
                "heard",
                "is_exit_brain_mode",
                "is_legacy_exit_mode",
                "log_exit_metrics_summary",
                "submit_exit_order",
                "watch",
            ),
            "installation": ("install", "uninstall"),
            "policy": ("Policy", "PolicyError", "Roles"),
            "proxy": ("unwrap",),
            "rules": ("Case", "rule"),
            "shim": ("ExitShim", "wrap"),
            "sinks": ("Sink",),
        },
    )

__all__ = [
    "Case",
    "Door",
    "ExitOrderDenied",
    "ExitShim",
    "Policy",
    "PolicyError",
    "Roles",
    "Sink",
    "attributed",
    "carry",
    "delegate",
    "get_exit_mode",
    "get_exit_order_metrics",
    "heard",
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
