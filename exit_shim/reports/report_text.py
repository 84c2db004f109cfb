"""Times, lengths and numbers as a report writes them."""

from datetime import datetime, timezone
from typing import Final, NamedTuple

SECOND_NS: Final = 1_000_000_000

NOTHING: Final = "\N{EN DASH}"
"""What stands for no value."""

HALF_A_MILLISECOND: Final = 0.0005
MINUTE_S: Final = 60

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


class Clock(NamedTuple):
    """Write times in a zone, of which the offset stays the same throughout a report.

    Attributes:
        offset_ns: How far it is ahead of UTC, in nanoseconds.
        is_one_day: Whether all times are of one day, so that only the top of the page has the date.
    """

    offset_ns: int = 0
    is_one_day: bool = False

    def stamp(self, ns: int) -> str:
        """Return a time with its milliseconds, and the date where it is needed."""
        return f"{self._moment(ns):{'' if self.is_one_day else '%Y-%m-%d '}%H:%M:%S.%f}"[:-3]

    def second(self, ns: int) -> str:
        """Return a time to the second, and the date where it is needed."""
        return self.stamp(ns)[:-4]

    def full(self, ns: int) -> str:
        """Return date and time to the second."""
        return f"{self._moment(ns):%Y-%m-%d %H:%M:%S}"

    def day(self, ns: int) -> int:
        """Return the number of the day of a moment."""
        return (ns + self.offset_ns) // (86_400 * SECOND_NS)

    def _moment(self, ns: int) -> datetime:
        return datetime.fromtimestamp((ns + self.offset_ns) / SECOND_NS, timezone.utc)


def length_text(ns: int) -> str:
    """Return how long something lasted, with its two largest units, or a dash for no time."""
    if not ns:
        return NOTHING
    seconds = ns / SECOND_NS
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= HALF_A_MILLISECOND else "under 1 ms"
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit in UNITS:
        if whole >= size:
            return join_units(whole // size, unit, whole % size, size)
    return f"{whole} s"


def join_units(number: int, unit: str, rest: int, size: int) -> str:
    """Return a number of the larger unit, and what is left over in the next smaller one."""
    smaller = {86_400: (3_600, "h"), 3_600: (60, "min"), 60: (1, "s")}
    small, small_unit = smaller[size]
    return f"{number} {unit} {rest // small} {small_unit}" if rest // small else f"{number} {unit}"


def step_text(ns: int) -> str:
    """Return how long a step of time is, as in "orders per hour"."""
    names = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day", 7 * 86_400: "week"}
    seconds = ns // SECOND_NS
    return names.get(seconds, length_text(ns))


def duration_text(us: float) -> str:
    """Return a number of microseconds."""
    if us == float("inf"):
        return "more"
    for size, unit in ((1_000_000, "s"), (1_000, "ms")):
        if us >= size:
            return f"{us / size:g} {unit}"
    return f"{us:.0f} µs"


def share_text(part: int, whole: int) -> str:
    """Return a share in per cent, or a dash of nothing."""
    return f"{100 * part / whole:.0f} %" if whole else NOTHING


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun: "1 order", "2,000 orders"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
