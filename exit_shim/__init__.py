"""One line around a python-binance client, and every exit order of a legacy futures bot has a name."""

from typing import TYPE_CHECKING, Any

from exit_shim.attribution import attributed
from exit_shim.explicit import (
    get_exit_mode,
    get_exit_order_metrics,
    is_exit_brain_mode,
    is_legacy_exit_mode,
    log_exit_metrics_summary,
    submit_exit_order,
)
from exit_shim.policy import Roles
from exit_shim.proxy import unwrap
from exit_shim.shim import ExitShim, wrap
from exit_shim.sinks import Sink

if TYPE_CHECKING:
    from exit_shim.errors import ExitOrderDenied

__all__ = [
    "ExitOrderDenied",
    "ExitShim",
    "Roles",
    "Sink",
    "attributed",
    "get_exit_mode",
    "get_exit_order_metrics",
    "is_exit_brain_mode",
    "is_legacy_exit_mode",
    "log_exit_metrics_summary",
    "submit_exit_order",
    "unwrap",
    "wrap",
]


def __getattr__(name: str) -> Any:
    """ExitOrderDenied on first use: it rests on python-binance, which nothing here imports otherwise."""
    if name == "ExitOrderDenied":
        from exit_shim.errors import ExitOrderDenied  # noqa: PLC0415

        return ExitOrderDenied
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
