"""`exit-shim summary`, `records` and `tail`: what the journal holds."""

import contextlib
import difflib
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast

import click

from exit_shim.cli.output import json_text, say
from exit_shim.cli.sources import from_, source_of
from exit_shim.cli.tables import NANOSECONDS, RECORD_COLUMNS, Report, record_row, show
from exit_shim.domain.events import Record
from exit_shim.guard.policy import meant
from exit_shim.journal import JournalError, RecordFilter
from exit_shim.journal.record_source import Field

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

LATEST_NS: Final = 2**63 - 1
"""The last moment that SQLite can hold."""

POLL_S: Final = 0.25
MOST_NAMED: Final = 10
"""How many values that a filter could have are listed where it has none of them."""

PATIENCE_NS: Final = 15 * NANOSECONDS
"""How long `tail` waits for an order's outcome before it shows the order as in doubt."""


class Since(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A moment: ISO 8601 (UTC where no zone is given), or so long ago: 90s, 15m, 2h, 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds since the epoch."""
        if isinstance(value, int):
            return value
        try:
            return nanoseconds(moment_of(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 90s, 15m, 2h, 7d or 2026-11-23T09:30", param, ctx)


def moment_of(value: str) -> datetime:
    """The moment that `value` names; ValueError or OverflowError where it names none."""
    if ago := re.fullmatch(r"(\d+)([smhd])", value, re.ASCII):
        return datetime.now(timezone.utc) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value))  # Python 3.10 does not know Z
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def nanoseconds(moment: datetime) -> int:
    """Return a moment since the epoch; of what no journal can hold the first or last that it can."""
    return min(max(int(moment.timestamp() * NANOSECONDS), 0), LATEST_NS)


as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
since = click.option(
    "--since", type=Since(), metavar="T", help="Only orders since T: 15m, 2h, 7d, 2026-11-23."
)


@contextlib.contextmanager
def complaints() -> Iterator[None]:
    """What is wrong with the journal ends the command with its text."""
    try:
        yield
    except JournalError as error:
        raise click.ClickException(str(error)) from error


def read(dsn: str | None = None, **narrowed: Any) -> Iterator[Record]:
    """The records of the journal, or of the central database."""
    with complaints():
        yield from source_of(dsn).read_records(RecordFilter(**narrowed))


def json_line(record: Record) -> str:
    """One JSON object on one line."""
    return json_text(record.flat())


@click.command()
@as_json
@since
@from_
def summary(*, as_json: bool, since: int | None, dsn: str | None) -> None:
    """Count the recorded exit orders by module, kind and place."""
    with complaints():
        source = source_of(dsn)
        report = Report(
            source.read_counts(since_ns=since),
            source.read_stacks(since_ns=since),
            source.count_lost(),
        )
    if as_json:
        say(json_text(report.as_dict()))
    else:
        report.show()


@click.command()
@as_json
@since
@click.option("--module", metavar="M", help="Only orders of module M, by its short name.")
@click.option("--symbol", metavar="S", help="Only orders on symbol S.")
@click.option("--host", metavar="H", help="With --from: only orders of processes on host H.")
@click.option("--account", metavar="A", help="With --from: only orders on the account of label A.")
@from_
def records(
    *, as_json: bool, since: int | None, symbol: str | None, dsn: str | None, **of: str | None
) -> None:
    """List the recorded exit orders, oldest first."""
    filters = {"symbol": symbol.upper() if symbol else None, **of}
    narrowed = {name: value for name, value in filters.items() if value is not None}
    if not dsn and narrowed.keys() & {"host", "account"}:
        raise click.UsageError("--host and --account go with --from: a journal is of one host")
    found = read(dsn, since_ns=since, **narrowed)
    if not (print_lines if as_json else print_table)(found):
        say(why_empty(dsn, narrowed, since), err=True)


def print_lines(found: Iterator[Record]) -> int:
    """Print records as JSON lines as they come; return how many."""
    number = 0
    for record in found:
        say(json_line(record))
        number += 1
    return number


def print_table(found: Iterator[Record]) -> int:
    """Print records as a table; return how many."""
    rows = [record_row(record) for record in found]
    show(RECORD_COLUMNS, rows)
    return len(rows)


def why_empty(dsn: str | None, narrowed: dict[str, str], since_ns: int | None) -> str:
    """Say why no order is listed: there is none at all, none with this value, or none with all of them."""
    with complaints():
        source = source_of(dsn)
        where = source.name
        if not source.read_values("module"):
            return f"{where} has no exit orders yet"
        for name, value in narrowed.items():
            if value not in (seen := source.read_values(cast("Field", name))):
                return (
                    f"--{name} {value!r} fits no order in {where}{meant(value, seen)}; {listed(value, seen)}"
                )
    filters = [f"--{name} {value!r}" for name, value in narrowed.items()]
    if since_ns:
        filters.append(
            f"--since {datetime.fromtimestamp(since_ns / NANOSECONDS, timezone.utc):%Y-%m-%dT%H:%MZ}"
        )
    return f"no order in {where} fits {' and '.join(filters)}; leave out or widen a filter"


def listed(value: str, seen: list[str]) -> str:
    """List the values that there are, those nearest to a mistaken one first."""
    nearest = difflib.get_close_matches(value, seen, n=MOST_NAMED, cutoff=0.0)
    more = len(seen) - len(nearest)
    return f"it has {', '.join(nearest) or 'none'}" + (f" and {more} more" if more else "")


@click.command()
@as_json
def tail(*, as_json: bool) -> None:
    """Show exit orders as they are recorded, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        follow(as_json=as_json)


def follow(*, as_json: bool) -> None:
    """Poll the journal for good; an order is shown once its outcome is known, or late."""
    shown: dict[tuple[str, int], int] = {}
    start = time.time_ns()
    while True:
        horizon = time.time_ns() - 2 * PATIENCE_NS
        shown = {key: ts for key, ts in shown.items() if ts >= horizon}
        for record in read(since_ns=max(start, horizon)):
            key, ts = (record.run_id, record.seq), record.intent.ts
            settled = record.outcome is not None or ts < time.time_ns() - PATIENCE_NS
            if settled and key not in shown:
                shown[key] = ts
                say(json_line(record) if as_json else "  ".join(map(str, record_row(record))))
        time.sleep(POLL_S)
