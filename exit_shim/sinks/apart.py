"""Other sinks, away from the order's thread."""

from collections.abc import Sequence

from exit_shim.dispatch import Dispatch
from exit_shim.records import Record
from exit_shim.sinks import Sink
from exit_shim.troubles import Troubles


class Apart:
    """Hands each record to the sinks by way of `dispatch`; how long they take is their own affair."""

    def __init__(self, sinks: Sequence[Sink], dispatch: Dispatch, troubles: Troubles) -> None:
        self._sinks = tuple(sinks)
        self._dispatch = dispatch
        self._troubles = troubles

    def emit(self, record: Record) -> None:
        """Take one concluded order."""
        if self._sinks:
            self._dispatch.hand_over(self._emit, record)

    def _emit(self, record: Record) -> None:
        for sink in self._sinks:
            try:
                sink.emit(record)
            except Exception as error:  # noqa: BLE001, PERF203 - one sink's failure is not another's
                self._troubles.note(f"sink {type(sink).__name__}", error)
