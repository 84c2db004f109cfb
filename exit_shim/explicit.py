"""The explicit interface, in the names that hand-made exit gateways had, on the process-wide shim."""

from collections.abc import Mapping
from typing import Any

from exit_shim.modes import EXIT_BRAIN_V3, LEGACY
from exit_shim.shim import default_shim, default_shim_for_an_order
from exit_shim.sinks.metrics import ExitOrderMetrics


async def submit_exit_order(
    module_name: str,
    symbol: str,
    order_params: Mapping[str, Any],
    order_kind: str,
    client: Any,
    explanation: str | None = None,
) -> Any:
    """Place one exit order in the name of `module_name`, as `client.futures_create_order(**order_params)`.

    Args:
        module_name: Who asks; recorded as is, with evidence "context".
        symbol: The position's symbol. What is sent is `order_params`; a difference is logged.
        order_params: The order under Binance's field names, sent as it is.
        order_kind: sl, tp, partial_tp, trailing, breakeven, close or other_exit.
        client: A python-binance client, sync (called on a worker thread) or async, wrapped or not.
        explanation: Why, for the person who reads the record.

    Returns:
        What the client returned; what it raises is raised.
    """
    return await default_shim_for_an_order().submit(
        module_name, symbol, order_params, order_kind, client, explanation
    )


def delegate(symbol: str, *, to: str, within: float = 30.0) -> None:
    """Give the exits of a symbol to an owner, on the process-wide shim.

    Where no protective order of the owner is live `within` seconds from now, that is DELEGATION_GAP; where a
    legacy module acts on the symbol while the owner has none, LEGACY_FALLBACK.

    Raises:
        ValueError: `to` names nobody, or `within` is not above zero.
    """
    default_shim().delegate(symbol, to=to, within=within)


def get_exit_order_metrics() -> ExitOrderMetrics:
    """The counts of the process-wide shim; `get_summary()` has them as a dict."""
    return default_shim().metrics


def log_exit_metrics_summary() -> None:
    """Log the counts in one line under [EXIT_METRICS]."""
    default_shim().log_summary()


def get_exit_mode() -> str:
    """EXIT_MODE of this moment: "LEGACY" or "EXIT_BRAIN_V3"; anything else is warned of and is LEGACY."""
    return default_shim().mode()


def is_exit_brain_mode() -> bool:
    """Whether an owner, not the legacy modules, is meant to hold the exits."""
    return get_exit_mode() == EXIT_BRAIN_V3


def is_legacy_exit_mode() -> bool:
    """Whether the legacy modules manage exits on their own."""
    return get_exit_mode() == LEGACY
