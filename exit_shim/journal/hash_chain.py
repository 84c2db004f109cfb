"""The hash chain of a run: each event's link is taken over the link before it and the event. Pure."""

import hashlib
from typing import Final

from exit_shim.journal.line_format import Line

LINK_BYTES: Final = 16


def seed(run_id: str) -> bytes:
    """What a run's first event is linked to."""
    return hashlib.blake2b(run_id.encode(), digest_size=LINK_BYTES).digest()


def link(previous: bytes, line: Line) -> bytes:
    """The link of an event: BLAKE2b, 16 bytes, over the link before it and the event's own text."""
    return hashlib.blake2b(previous + line.text(), digest_size=LINK_BYTES).digest()
