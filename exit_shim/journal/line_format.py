"""An event as one line of a spool: written in one piece, and checked when it is read back. Pure."""

import zlib
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, cast, get_args

EventName = Literal[
    "run_started",
    "intent",
    "outcome",
    "order_findings",
    "resolution",
    "switch",
    "guard_finding",
    "internal_error",
    "lost",
    "run_ended",
]
"""What an event says: a run's start and end, an order or a cancel about to leave, what came of it, what the
rules that only warn found about it, what a later look at the exchange proved of it, a change of mode, a
finding of the guard about no single order, a failure of the shim's own, events lost."""

EVENTS: Final = frozenset(get_args(EventName))

NOTHING: Final = "-"
CRC_DIGITS: Final = 8
MOST: Final = 2**63 - 1
"""The greatest number that a row takes."""


class Line(NamedTuple):
    """One event. `about` is the intent's `seq`, behind `RUN_ID:` where that is another run's."""

    seq: int
    ts: int
    event: str
    about: str | None
    body: str

    def text(self) -> bytes:
        """What the checksum and the chain are taken over."""
        return f"{self.seq} {self.ts} {self.event} {self.about or NOTHING} {self.body}".encode()


def compose(seq: int, ts: int, event: bytes, about: bytes, body: bytes) -> bytes:
    """The bytes of a line; `body` is JSON, so it has no line break."""
    text = b"%d %d %b %b %b" % (seq, ts, event, about, body)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def parse(data: bytes) -> Iterator[Line | None]:
    """The events in whole lines; None for a damaged one. What follows the last line break is left out."""
    for written in data.split(b"\n")[:-1]:
        if written:
            yield _line(written)


def whole(data: bytes) -> int:
    """How many bytes of `data` are whole lines."""
    return data.rfind(b"\n") + 1


def _line(written: bytes) -> Line | None:
    try:
        text = written[CRC_DIGITS + 1 :]
        if int(written[:CRC_DIGITS], 16) != zlib.crc32(text):
            return None
        seq, ts, event, about, body = text.decode().split(" ", 4)
        if max(abs(int(seq)), abs(int(ts))) > MOST:
            return None
        return Line(int(seq), int(ts), cast("EventName", event), None if about == NOTHING else about, body)
    except ValueError:
        return None
