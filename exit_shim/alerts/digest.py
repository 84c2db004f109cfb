"""The daily digest: what was found, and who fights whom; single conflicts alarm nobody."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from exit_shim.alerts.episodes import Message
from exit_shim.alerts.wording import SECOND_NS, duration, plain
from exit_shim.journal import RecordSource
from exit_shim.journal.record_source import Fight, FindingCount
from exit_shim.reports.lives import PositionName, Span

DIGEST: Final = "digest"

DAY_NS: Final = 24 * 3_600 * SECOND_NS

MOST_FIGHTS: Final = 8
MOST_POSITIONS: Final = 8


class TimeOfDay(NamedTuple):
    """A time of each day."""

    hour: int
    minute: int

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"


class DigestClock:
    """Know when the next digest is due.

    Args:
        at: The time of day; None: never.
        time_of: Returns the time of nanoseconds since the epoch, in the zone that `at` is in.
        started_ns: When the watch began.
        last_ns: When the last digest was sent; None for never.
    """

    def __init__(
        self,
        at: TimeOfDay | None,
        time_of: Callable[[int], datetime],
        started_ns: int,
        last_ns: int | None = None,
    ) -> None:
        self._at = at
        self._time_of = time_of
        # One that was due while nobody watched is sent late, not left out.
        self._due_ns = self._next(started_ns if last_ns is None else last_ns)
        self.since_ns = started_ns - DAY_NS if last_ns is None else max(last_ns, started_ns - 7 * DAY_NS)

    def take_due(self, now_ns: int) -> tuple[int, int] | None:
        """Return from when until when a digest is due; None where none is."""
        if self._due_ns is None or now_ns < self._due_ns:
            return None
        span = self.since_ns, now_ns
        self.since_ns, self._due_ns = now_ns, self._next(now_ns)
        return span

    def _next(self, after_ns: int) -> int | None:
        if self._at is None:
            return None
        after = self._time_of(after_ns)
        due = after.replace(hour=self._at.hour, minute=self._at.minute, second=0, microsecond=0)
        if due <= after:
            due += timedelta(days=1)
        return int(due.timestamp()) * SECOND_NS


class BareTimes:
    """Add up for how long positions were bare, until it is asked for."""

    def __init__(self) -> None:
        # For how long in all, and how often.
        self._spans: dict[PositionName, tuple[int, int]] = {}

    def take_span(self, span: Span) -> None:
        """Take a span of cover that has ended."""
        if span.cover == "bare" and span.end_ns is not None and len(self._spans) < MOST_POSITIONS * 100:
            bare_ns, often = self._spans.get(span.position, (0, 0))
            self._spans[span.position] = bare_ns + span.end_ns - span.start_ns, often + 1

    def take_lines(self) -> Iterator[str]:
        """Yield a line for each position that was bare, the longest first, and begin anew."""
        longest = sorted(self._spans.items(), key=lambda pair: -pair[1][0])
        for name, (bare_ns, often) in longest[:MOST_POSITIONS]:
            times = "once" if often == 1 else f"{often} times"
            yield f"{plain(name.symbol)} was bare for {duration(bare_ns)}, {times}"
        self._spans.clear()


def make_digest(
    source: RecordSource, span: tuple[int, int], stamp: Callable[[int], str], bare: Iterable[str]
) -> Message:
    """Return the digest of a time.

    Args:
        source: What to read.
        span: From when until when.
        stamp: Writes a time for people.
        bare: A line for each position that was bare.

    Raises:
        JournalError: The source cannot be read.
    """
    since_ns, until_ns = span
    findings = source.read_finding_counts(since_ns=since_ns, until_ns=until_ns)
    fights = source.read_fights(since_ns=since_ns, until_ns=until_ns)
    reasons: Counter[str] = Counter()
    for each in findings:
        reasons[each.code] += each.number
    return Message(
        DIGEST,
        DIGEST,
        title_of(reasons, fights),
        "\n".join(
            [
                f"from {stamp(since_ns)} until {stamp(until_ns)}",
                *finding_lines(reasons, findings),
                *fight_lines(fights),
                *bare,
                "next: exit-shim summary",
            ]
        ),
    )


def title_of(reasons: Counter[str], fights: list[Fight]) -> str:
    """Return the first line of the digest."""
    taken = sum(fight.orders for fight in fights)
    total = sum(reasons.values())
    if not total and not taken:
        return "daily digest: nothing was found"
    return f"daily digest: {total} findings, {taken} orders taken from other modules"


def finding_lines(reasons: Counter[str], findings: list[FindingCount]) -> Iterator[str]:
    """Yield what was found, by reason, each with the module that it was found of most."""
    for code, number in reasons.most_common():
        modules = [each for each in findings if each.code == code and each.module is not None]
        most = max(modules, key=lambda each: each.number, default=None)
        yield f"{plain(code)} {number}" + (f", mostly {plain(most.module)}" if most else "")


def fight_lines(fights: list[Fight]) -> Iterator[str]:
    """Yield who fights whom, the most first."""
    pairs: Counter[tuple[str, str | None, str]] = Counter()
    places: dict[tuple[str, str | None, str], Fight] = {}
    for fight in fights:
        key = fight.module, fight.victim, fight.operation
        pairs[key] += fight.orders
        places[key] = max(places.get(key, fight), fight, key=lambda each: each.orders)
    for key, orders in pairs.most_common(MOST_FIGHTS):
        module, victim, operation = key
        whose = f"{plain(victim)}'s" if victim is not None else "orders of nobody known"
        verb = "changes" if operation == "modify" else "cancels"
        place = f"{plain(places[key].function)} {plain(places[key].place)}"
        yield f"{orders} x {plain(module)} {verb} {whose}, mostly at {place}"
