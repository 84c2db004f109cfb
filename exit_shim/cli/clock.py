"""The zone that a command reads and writes times in."""

import os
import re
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Final, NamedTuple, TypeVar

import click

from exit_shim.cli.output import line_limit

F = TypeVar("F", bound=Callable[..., Any])

NANOSECONDS: Final = 1_000_000_000

LATEST_NS: Final = 2**63 - 1
"""The last moment that SQLite can hold."""

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2261
"""The years that nanoseconds since the epoch can hold whole."""

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

UTC: Final = "UTC"

CHOSEN_ZONE: Final = "exit_shim.zone"
"""The key in `Context.meta` under which the chosen zone is kept."""


class TimeColumn(NamedTuple):
    """The header of a column of times, which has their zone, and what writes one."""

    header: str
    text: Callable[[int], str]


class Clock(NamedTuple):
    """Read and write times in one zone.

    Attributes:
        zone: The zone; None for that of this machine.
        name: Its name, for headers.
    """

    zone: tzinfo | None
    name: str

    def time_of(self, ns: int) -> datetime:
        """Return the time of nanoseconds since the epoch."""
        return datetime.fromtimestamp(ns / NANOSECONDS, self.zone)

    def stamp(self, ns: int) -> str:
        """Return date and time, with milliseconds."""
        return f"{self.time_of(ns):%Y-%m-%d %H:%M:%S.%f}"[:-3]

    def second(self, ns: int) -> str:
        """Return date and time, to the second."""
        return f"{self.time_of(ns):%Y-%m-%d %H:%M:%S}"

    def date(self, ns: int) -> str:
        """Return the date."""
        return f"{self.time_of(ns):%Y-%m-%d}"

    def time_of_day(self, ns: int) -> str:
        """Return the time without its date, with milliseconds."""
        return f"{self.time_of(ns):%H:%M:%S.%f}"[:-3]

    def line_stamp(self, ns: int) -> str:
        """Return what a line of its own begins with: without the date on a terminal, which is narrow."""
        return self.stamp(ns) if line_limit() is None else self.time_of_day(ns)

    def with_zone(self, ns: int) -> str:
        """Return date and time, with milliseconds and the zone, for a line of its own."""
        return f"{self.stamp(ns)} {self.name}"

    def zone_at(self, ns: int) -> str:
        """Return the zone's abbreviation at a moment, such as CEST."""
        return self.time_of(ns).astimezone(self.zone).tzname() or self.name

    def column(self, times: Collection[int]) -> "TimeColumn":
        """Return how a table shows these times: on a terminal, which is narrow, without a date they share.

        Args:
            times: In nanoseconds since the epoch.
        """
        is_narrow = line_limit() is not None
        days = {f"{self.date(ns)} {self.zone_at(ns)}" for ns in times} if is_narrow else set()
        if len(days) == 1:
            return TimeColumn(days.pop(), self.time_of_day)
        return TimeColumn(f"time ({self.name})", self.stamp)

    def read(self, text: str) -> int:
        """Return the nanoseconds of an age or of a time, which is in this zone where it names none.

        Raises:
            ValueError: The text is no time.
            OverflowError: No calendar has it.
        """
        if ago := re.fullmatch(r"(\d+)([smhd])", text, re.ASCII):
            moment = datetime.now(timezone.utc) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        else:
            # Python 3.10 does not read a Z.
            moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
            moment = moment if moment.tzinfo else moment.replace(tzinfo=self.zone)
            # Local time has no first and last year, and a journal has neither.
            if moment.year < FIRST_YEAR:
                return 0
            if moment.year > LAST_YEAR:
                return LATEST_NS
        return min(max(int(moment.timestamp() * NANOSECONDS), 0), LATEST_NS)


UTC_CLOCK: Final = Clock(timezone.utc, UTC)


def local_clock() -> Clock:
    """Return the clock of this machine's zone, by its name where the system tells it."""
    name = os.environ.get("TZ", "").lstrip(":") or linked_zone()
    # A name says what an abbreviation does not: that it is summer time for half of the year.
    if not name or name.startswith("/"):
        name = time.strftime("%Z") or "local time"
    return Clock(None, UTC if name in {UTC, "Etc/UTC"} else name)


def linked_zone() -> str:
    """Return the zone that /etc/localtime is a link to, "" where it is none."""
    try:
        return os.readlink("/etc/localtime").rpartition("zoneinfo/")[2]  # noqa: PTH115 - loads pathlib
    except OSError:
        return ""


def clock_of(ctx: click.Context | None) -> Clock:
    """Return the clock that was chosen on the command line, else that of this machine."""
    chosen: Clock | None = None if ctx is None else ctx.meta.get(CHOSEN_ZONE)
    return chosen or local_clock()


def choose_utc(ctx: click.Context, _param: click.Parameter, is_chosen: bool) -> None:
    """Choose UTC."""
    if is_chosen:
        choose(ctx, UTC_CLOCK)


def choose_zone(ctx: click.Context, param: click.Parameter, name: str | None) -> None:
    """Choose a zone by its name in the time zone database."""
    if name is None:
        return
    # Most commands need it not, and it takes as long to load as sqlite3.
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    try:
        zone = ZoneInfo(name)
    # A name may be a path, a folder or no name at all.
    except (LookupError, ValueError, OSError):
        expected = "expected a name such as Europe/Berlin"
        raise click.BadParameter(f"{name!r} is not a time zone; {expected}", ctx, param) from None
    choose(ctx, Clock(zone, name))


def choose(ctx: click.Context, clock: Clock) -> None:
    """Keep a clock for the rest of the command line; refuse a second one."""
    if CHOSEN_ZONE in ctx.meta:
        raise click.UsageError("--utc and --tz exclude each other")
    ctx.meta[CHOSEN_ZONE] = clock


def clock_options(command: F) -> F:
    """Add `--utc` and `--tz`; they are read before any time on the command line."""
    utc = click.option(
        "--utc",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=choose_utc,
        help="Read and show times in UTC instead of local time.",
    )
    zone = click.option(
        "--tz",
        metavar="ZONE",
        is_eager=True,
        expose_value=False,
        callback=choose_zone,
        help="Read and show times in ZONE, such as Europe/Berlin.",
    )
    return utc(zone(command))


class PointInTime(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A time in ISO 8601 (in the chosen zone where it names none), or an age: 90s, 15m, 2h, 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds since the epoch."""
        if isinstance(value, int):
            return value
        try:
            return clock_of(ctx).read(value)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is not a time; expected 90s, 15m, 2h, 7d or 2026-11-23T09:30", param, ctx)
