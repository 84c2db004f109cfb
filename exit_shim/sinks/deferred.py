"""Rules that only warn, and other sinks, away from the order's thread."""

from collections.abc import Callable, Sequence

import msgspec

from exit_shim.domain.events import OrderFindings, Record
from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.sinks import Sink

Find = Callable[[], OrderFindings | None]
"""Asks the rules about an order."""


class DeferredSinks:
    """Has the rules asked and hands each record to the sinks, by way of `dispatch`, in its own time.

    Args:
        sinks: Get each record, with what was found.
        dispatch: On whose thread.
        troubles: Takes note of what fails.
        keep: Gets each record of which something was found.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        dispatch: Dispatch,
        internal_errors: InternalErrors,
        keep: Callable[[Record], None] | None = None,
    ) -> None:
        self._sinks = tuple(sinks)
        self._dispatch = dispatch
        self._internal_errors = internal_errors
        self._keep = keep

    def tell(self, record: Record, find: Find | None) -> None:
        """Take one concluded order; `find` is None where there is nothing to ask about it."""
        if self._sinks or find is not None:
            self._dispatch.hand_over(self._tell, record, find)

    def _tell(self, record: Record, find: Find | None) -> None:
        if find is not None:
            found = self._internal_errors.otherwise(None, "apply the rules", find)
            if found is not None:
                record = msgspec.structs.replace(record, findings=found)
                if self._keep is not None:
                    self._internal_errors.otherwise(None, "journal what was found", self._keep, record)
        for sink in self._sinks:
            try:
                sink.emit(record)
            except Exception as error:  # noqa: BLE001, PERF203 - one sink's failure is not another's
                self._internal_errors.note(f"sink {type(sink).__name__}", error)
