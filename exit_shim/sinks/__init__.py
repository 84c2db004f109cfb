"""Where concluded orders go besides the journal: one short file per destination."""

from typing import Protocol

from exit_shim.records import Record

__all__ = ["Sink"]


class Sink(Protocol):
    """A destination. Called after the send, on the order's thread; what it raises is counted and logged."""

    def emit(self, record: Record) -> None:
        """Take one concluded order."""
