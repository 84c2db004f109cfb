"""Send events to destinations besides the journal: one short file for each."""

from exit_shim.domain.recorded import Consumer as Sink

__all__ = ["Sink"]
