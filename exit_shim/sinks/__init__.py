"""Where concluded orders go besides the journal: one short file per destination."""

from typing import Protocol

from exit_shim.domain.events import Record

__all__ = ["Sink"]


class Sink(Protocol):
    """A destination. Called after the order, on the shim's own thread but in the order's context.

    What it raises is counted and logged. One that hangs costs those events of its shim that come when too
    many are waiting already, and no order anything.
    """

    def emit(self, record: Record) -> None:
        """Take one concluded order."""
