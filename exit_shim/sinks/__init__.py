"""Where events go besides the journal: one short file per destination."""

from exit_shim.domain.recorded import Consumer as Sink

__all__ = ["Sink"]
