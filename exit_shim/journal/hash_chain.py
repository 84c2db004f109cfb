"""The hash chain of a run: each event's link is a hash over the link before it and the event."""

import hashlib
from typing import Final

from exit_shim.journal.line_format import Line

LINK_BYTES: Final = 16


def seed(run_id: str) -> bytes:
    """Return the link before a run's first event."""
    return hashlib.blake2b(run_id.encode(), digest_size=LINK_BYTES).digest()


def link(previous: bytes, line: Line) -> bytes:
    """Return the link of an event."""
    return hashlib.blake2b(previous + line.text(), digest_size=LINK_BYTES).digest()
