"""Count exit orders in memory, under the keys that the first exit gateways had, and a few more."""

from collections import Counter
from typing import Any

from exit_shim.domain.events import Outcome
from exit_shim.domain.reason_codes import OWNERSHIP_CONFLICT
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.runtime.reentrancy import DeferredAggregate


class ExitOrderMetrics(DeferredAggregate[RecordedEvent]):
    """Count since the start of the process or the last `reset`; thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Set all counts to zero."""
        with self._lock:
            self._taken.clear()
            self._by_module: Counter[str] = Counter()
            self._by_kind: Counter[str] = Counter()
            self._by_outcome: Counter[str] = Counter()
            self._other: Counter[str] = Counter()
            self._conflicts = 0

    def _fold(self, recorded: RecordedEvent) -> None:
        intent, outcome = recorded.intent, recorded.event
        if intent is None or not isinstance(outcome, Outcome):
            return
        if intent.operation != "place" or intent.order.kind == "conditional":
            self._other["conditional" if intent.operation == "place" else intent.operation] += 1
            return
        self._by_module[intent.attribution.module] += 1
        self._by_kind[intent.order.kind] += 1
        self._by_outcome[outcome.result] += 1
        self._conflicts += intent.verdict.has(OWNERSHIP_CONFLICT)

    def get_summary(self) -> dict[str, Any]:
        """Return the counts; JSON-ready.

        `total_orders`, `orders_by_module`, `orders_by_kind` and `ownership_conflicts` count every exit
        order submitted, whatever its outcome; `orders_by_outcome` counts the outcomes.
        """
        with self._lock:
            self._fold_all()
            return {
                "total_orders": sum(self._by_module.values()),
                "orders_by_module": dict(self._by_module),
                "orders_by_kind": dict(self._by_kind),
                "ownership_conflicts": self._conflicts,
                "orders_by_outcome": dict(self._by_outcome),
                "conditional_orders": self._other["conditional"],
                "cancels": self._other["cancel"],
                "modifications": self._other["modify"],
                "test_orders": self._other["test"],
            }
