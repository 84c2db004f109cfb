"""`exit-shim scan`: every place in a bot's source that sends an order, and which of them were ever seen."""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from exit_shim.cli.bot_source import leaves_of
from exit_shim.cli.clock import Clock, clock_of, clock_options
from exit_shim.cli.doctor_source import RAW_WAYS, outdated_texts
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import pluralize, say, say_styled, show_lines
from exit_shim.cli.sources import journal_source, readable_journal_errors
from exit_shim.cli.tables import Column, show_table, text_lines
from exit_shim.clients.packages import is_raw_wanted
from exit_shim.journal import RecordFilter
from exit_shim.scan.sarif import sarif
from exit_shim.scan.scan import scan as scan_source
from exit_shim.scan.seen import Seen, count_seen
from exit_shim.scan.sites import Scan, Site

UNDER: Final = 1
"""The exit status where less than `--fail-under` is seen or in reach."""

MOST_LEFT_OUT: Final = 10
"""How many files that were left out are listed; `--json` has all."""

REACH: Final = {
    "wrap": "wrap, install",
    "install": "install only",
    "raw": "install(raw=True)",
    "neither": "neither",
}

COLUMNS: Final = (Column("line"), Column("function", rank=2), Column("sends"), Column("what"))


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--against",
    metavar="JOURNAL",
    type=click.Path(exists=True, dir_okay=False),
    help="Compare with the orders of this journal: which places were seen, and which never.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the scan as one JSON object.")
@click.option("--sarif", "as_sarif", is_flag=True, help="Print the scan in SARIF 2.1.0, for code hosts.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Exit with 1 where less is seen; without --against, in reach of install(). Raw requests count as in "
    "reach where EXIT_SHIM_RAW is 1.",
)
@clock_options
def scan(*, path: Path, against: str | None, as_json: bool, as_sarif: bool, fail_under: float | None) -> None:
    """List every place in a bot's source that sends a futures order.

    The source is read, not run or imported. A place is in reach of `wrap` or only of `install()` where it
    uses a supported client. Raw requests by requests, httpx or aiohttp are in reach of `install(raw=True)`,
    those by other ways of neither. The functions that call a function that sends are listed too.

    With --against it says which places the journal has orders of, how many, and since when none came.
    """
    if as_json and as_sarif:
        raise click.UsageError("--json and --sarif exclude each other")
    found = scan_source(path)
    seen = None if against is None else read_seen(found, against)
    if as_json:
        say(json_text(as_object(found, seen)))
    elif as_sarif:
        say(json_text(sarif(found, seen, version("exit_shim"))))
    else:
        show(found, seen, clock_of(click.get_current_context()))
    if fail_under is not None and percentage(found, seen) < fail_under:
        what = "in reach" if seen is None else "seen"
        say(f"{percentage(found, seen):.1f} % {what}, expected at least {fail_under:g} %", err=True)
        sys.exit(UNDER)


def read_seen(found: Scan, journal: str) -> dict[Site, Seen]:
    """Return how often the journal saw each site."""
    with readable_journal_errors():
        return count_seen(found, journal_source(journal).read_records(RecordFilter()))


def percentage(found: Scan, seen: Mapping[Site, Seen] | None) -> float:
    """Return the share of sending sites that were seen, or are in reach; 100 where there are none."""
    sites = [site for site in leaves_of(found) if seen is None or site.is_recorded]
    counted = [site for site in sites if (is_in_reach(site) if seen is None else site in seen)]
    return 100 * len(counted) / len(sites) if sites else 100.0


def is_in_reach(site: Site) -> bool:
    """Return whether `install()` covers a site; raw requests only where the environment says so."""
    return is_raw_wanted() if site.reach == "raw" else site.reach != "neither"


def as_object(found: Scan, seen: Mapping[Site, Seen] | None) -> dict[str, Any]:
    """Return a scan as JSON has it: times in nanoseconds since the epoch."""
    whole: dict[str, Any] = msgspec.to_builtins(found)
    if seen is not None:
        for row, site in zip(whole["sites"], found.sites, strict=True):
            orders, last_ns = seen.get(site, Seen(0, 0))
            row.update(seen=orders, last_seen_ns=last_ns or None)
    return whole


def show(found: Scan, seen: Mapping[Site, Seen] | None, clock: Clock) -> None:
    """Print totals, the table, what was left out, and what to do."""
    say_styled(headline(found, seen), "bold")
    say(*totals(found))
    if found.sites:
        columns, rows = table_of(found, seen, clock)
        show_table(columns, rows, heads=[site.file for site in found.sites])
    show_left_out(found)
    for text in advice(found, seen):
        show_lines(text_lines("", text))


def headline(found: Scan, seen: Mapping[Site, Seen] | None) -> str:
    """Return the first line: how many sites there are, and how many were seen."""
    sites = leaves_of(found)
    if seen is None:
        return pluralize(len(sites), "site") + " that send orders" * (len(sites) != 1)
    recorded = [site for site in sites if site.is_recorded]
    entries = len(sites) - len(recorded)
    return (
        f"{pluralize(len(recorded), 'site')}, {sum(site in seen for site in recorded)} seen"
        + f"; {pluralize(entries, 'site')} of entries, which are not recorded" * bool(entries)
    )


def totals(found: Scan) -> Iterator[str]:
    """Yield what the sites do, how they can be seen, and what was read."""
    sites = leaves_of(found)
    if sites:
        actions = [
            (sum(site.action == name for site in sites), name) for name in ("place", "change", "cancel")
        ]
        reach = [(sum(site.reach == name for site in sites), text) for name, text in REACH.items()]
        yield (
            "They "
            + ", ".join(f"{name} ({number})" for number, name in actions if number)
            + "; in reach of "
            + ", of ".join(f"{text} ({number})" for number, text in reach if number)
        )
    callers = len(found.sites) - len(sites)
    if callers:
        yield f"{pluralize(callers, 'call')} lead{'s' * (callers == 1)} to them (→)"
    yield f"Read: {pluralize(found.files, 'file')}, {found.lines:,} lines, by Python {found.python}"


def table_of(
    found: Scan, seen: Mapping[Site, Seen] | None, clock: Clock
) -> tuple[list[Column], list[list[str]]]:
    """Return the columns and rows of the table; the reach only where it is not the same for all."""
    rows = [cells_of(site) for site in found.sites]
    columns = list(COLUMNS)
    if len({site.reach for site in found.sites}) > 1:
        columns.append(Column("reach"))
        rows = [[*row, REACH[site.reach]] for row, site in zip(rows, found.sites, strict=True)]
    if seen is not None:
        columns += [Column("seen"), Column("last", rank=1)]
        rows = [
            [*row, *seen_cells(site, seen.get(site), clock)]
            for row, site in zip(rows, found.sites, strict=True)
        ]
    return columns, rows


def cells_of(site: Site) -> list[str]:
    """Return the cells of a site that every table has."""
    sends = site.door if site.is_leaf else f"→ {last_part(site.through or '')}"
    if site.is_leaf and site.through:
        sends += f" by {site.through}"
    return [str(site.line), last_part(site.function) or "(top)", sends, site.kind or site.action]


def last_part(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


def seen_cells(site: Site, seen: Seen | None, clock: Clock) -> list[str]:
    """Return how often a site was seen, and when last."""
    if seen is None:
        return ["never" if site.is_recorded else "", ""]
    return [str(seen.orders), clock.second(seen.last_ns)]


def show_left_out(found: Scan) -> None:
    """Print the files that were not read, or only searched as text."""
    for head, rows in (("Not read", found.left_out), ("Searched as text only", found.unparsed)):
        for row in rows[:MOST_LEFT_OUT]:
            show_lines(text_lines("", f"{head}: {row.name}: {row.reason}"))
        if len(rows) > MOST_LEFT_OUT:
            say(f"{head}: {len(rows) - MOST_LEFT_OUT} more; see --json")


def advice(found: Scan, seen: Mapping[Site, Seen] | None) -> Iterator[str]:
    """Yield what follows from the reach of the sites, and what is wrong since 2025-12-09."""
    for code, text in outdated_texts(found, is_bridged=False):
        yield f"{code}: {text}."
    sites = leaves_of(found)
    outside = sorted({site.library for site in sites if site.reach == "neither"})
    if outside:
        yield f"Out of reach: what goes out by {', '.join(outside)} is neither recorded nor guarded."
    if any(site.reach == "raw" for site in sites) and not is_raw_wanted():
        yield f"Raw requests are recorded only with {RAW_WAYS}."
    if any(site.reach == "install" for site in sites):
        yield "Use exit_shim.install(): a client that calls its own methods is not seen by wrap(client)."
    if seen is not None and any(
        site not in seen and site.is_recorded and site.reach != "neither" for site in sites
    ):
        yield "A site that was never seen has not run yet, or its client is not wrapped."
