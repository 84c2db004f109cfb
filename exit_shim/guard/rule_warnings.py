"""Ask the rules that only warn: in the background, once the outcome of an order is known."""

from typing import Final

from exit_shim.domain.events import OrderFindings, Outcome
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.gateway.recorder import Recorder
from exit_shim.guard.judge import Guard


class RuleWarnings:
    """Asks the rules about each order of this process, and records what they find.

    Args:
        guard: Has the rules.

    Attributes:
        recorder: Takes what they find; set once there is one.
    """

    wants: Final = frozenset({Outcome})

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.recorder: Recorder | None = None

    def on(self, recorded: RecordedEvent) -> None:
        """Ask the rules about the order of an outcome."""
        findings: OrderFindings | None = self._guard.findings(recorded)
        if findings is None:
            return
        recorded.found = findings.reasons
        if self.recorder is not None:
            self.recorder.record(findings, recorded.about)
