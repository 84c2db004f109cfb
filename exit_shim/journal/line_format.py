"""Events as lines of a spool file, each with a checksum."""

import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

NOTHING: Final = "-"
CRC_DIGITS: Final = 8
MOST: Final = 2**63 - 1
"""The greatest number that a row can hold."""

Subject: TypeAlias = tuple[str, int]
"""The run and the number of an intent."""


class Line(NamedTuple):
    """One event as text.

    `event` is its name, which may be one of a later release. `about` is RUN_ID:SEQ of an intent, or None.
    """

    seq: int
    ts: int
    event: str
    about: str | None
    body: str

    def subject(self) -> Subject | None:
        """Return the run and the number of the intent that it is about; None for an event about no order."""
        run_id, _, seq = (self.about or "").rpartition(":")
        return (run_id, int(seq)) if run_id and seq.isdecimal() and len(seq) < len(str(MOST)) else None

    def text(self) -> bytes:
        """Return the bytes that checksum and hash chain are taken over."""
        return f"{self.seq} {self.ts} {self.event} {self.about or NOTHING} {self.body}".encode()


def compose(seq: int, ts: int, event: bytes, about: bytes, body: bytes) -> bytes:
    """Return the bytes of a line; `body` is JSON, so it has no line break."""
    text = b"%d %d %b %b %b" % (seq, ts, event, about, body)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def parse(data: bytes) -> Iterator[Line | None]:
    """Yield the events in whole lines, None for a damaged one; ignore what follows the last line break."""
    for written in data.split(b"\n")[:-1]:
        if written:
            yield _line(written)


def measure_lines(data: bytes) -> int:
    """Return how many bytes of `data` are whole lines."""
    return data.rfind(b"\n") + 1


def _line(written: bytes) -> Line | None:
    try:
        text = written[CRC_DIGITS + 1 :]
        if int(written[:CRC_DIGITS], 16) != zlib.crc32(text):
            return None
        seq, ts, event, about, body = text.decode().split(" ", 4)
        if max(abs(int(seq)), abs(int(ts))) > MOST:
            return None
        return Line(int(seq), int(ts), event, None if about == NOTHING else about, body)
    except ValueError:
        return None
