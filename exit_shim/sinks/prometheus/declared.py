"""Name every metric: its type, its meaning and its labels."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: Its name, as it is scraped.
        type: Its type.
        help: What it says, in one sentence.
        labels: The names of its labels.
        fixed: Those of them that have few values, whatever the record holds.
    """

    name: str
    type: Literal["gauge", "counter", "histogram", "info"]
    help: str
    labels: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


UP: Final = Metric("exit_shim_up", "gauge", "Whether the record could be read: 1, or 0.")

BUILD: Final = Metric("exit_shim_build_info", "info", "The release that serves this.", ("version", "python"))

READING: Final = Metric("exit_shim_reading_seconds", "gauge", "How long reading the record took.")

ORDERS: Final = Metric(
    "exit_shim_orders_total",
    "counter",
    "Exit orders, changes and cancels that were concluded; each once. Those in doubt are not among them.",
    ("module", "intent", "kind", "outcome", "mode"),
    ("intent", "kind", "outcome"),
)

IN_DOUBT: Final = Metric(
    "exit_shim_orders_in_doubt",
    "gauge",
    "Orders of which nobody knows whether the exchange has them, and those under way.",
    ("module",),
)

IN_DOUBT_AGE: Final = Metric(
    "exit_shim_orders_in_doubt_oldest_seconds",
    "gauge",
    "The age of the oldest order in doubt; 0 where there is none.",
)

POSITIONS: Final = Metric(
    "exit_shim_positions",
    "gauge",
    "Open positions by cover: covered, partly, bare or unknown.",
    ("cover",),
    ("cover",),
)

COVER: Final = Metric(
    "exit_shim_position_cover",
    "gauge",
    "1 for the cover that an open position has now.",
    ("account", "symbol", "position_side", "cover"),
)

BARE: Final = Metric(
    "exit_shim_position_bare_seconds",
    "gauge",
    "How long a position has been without any stop; only positions that are bare now. bared_by is the module "
    "that took the last stop away, if one did.",
    ("account", "symbol", "position_side", "bared_by"),
)

FINDINGS: Final = Metric(
    "exit_shim_findings_total",
    "counter",
    "What the guard found, by reason code; module is empty for what is about no single order.",
    ("code", "module"),
)

FIGHTS: Final = Metric(
    "exit_shim_fights_total",
    "counter",
    "Orders that a module cancelled or changed and another one (victim) had placed.",
    ("module", "victim", "intent"),
    ("intent",),
)

LOST: Final = Metric(
    "exit_shim_lost_events_total", "counter", "Events that could not be recorded and are recorded as lost."
)

LAG: Final = Metric("exit_shim_lag_seconds", "gauge", "The age of a host's newest recorded event.", ("host",))

BEFORE_SEND: Final = Metric(
    "exit_shim_before_send_seconds", "histogram", "What the shim added to an order before it was sent."
)

DURATION: Final = Metric(
    "exit_shim_order_duration_seconds", "histogram", "How long an order's call took, the exchange included."
)

METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        *(UP, BUILD, READING, ORDERS, IN_DOUBT, IN_DOUBT_AGE, POSITIONS, COVER, BARE),
        *(FINDINGS, FIGHTS, LOST, LAG, BEFORE_SEND, DURATION),
    )
}
"""Every metric by its name; each is declared at every scrape, whatever could be read."""
