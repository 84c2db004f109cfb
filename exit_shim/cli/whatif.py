"""`exit-shim whatif`: what another policy would have denied of what was recorded."""

import sys
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from exit_shim.cli.reading import as_json, since
from exit_shim.cli.sources import source_of
from exit_shim.cli.tables import show
from exit_shim.configuration import journal_path
from exit_shim.guard.replaying import Replay, Touched, replay, replay_records
from exit_shim.journal import JournalError, count_orders, read_bodies
from exit_shim.policy import PolicyError, Standings, meant, read_policy
from exit_shim.rules import own_codes, own_rules


@click.command()
@click.option("--policy", required=True, metavar="FILE", help="The policy to try, a TOML file.")
@click.option(
    "--from", "journal", metavar="PATH|DSN", help="Another journal, or postgresql://… of all hosts."
)
@click.option("--mode", metavar="NAME", help="As if this mode had been in force, not the recorded ones.")
@since
@as_json
def whatif(*, policy: str, journal: str | None, mode: str | None, since: int | None, as_json: bool) -> None:
    """Take the recorded orders through another policy, and say what it would have denied.

    Where the guard would look at the exchange, the journal answers; see docs/policy.md. Nothing is sent.
    """
    try:
        standings = Standings(read_policy(policy, own_codes()), policy)
    except PolicyError as error:
        raise click.ClickException(str(error)) from error
    if mode is not None and mode not in standings.modes:
        raise click.UsageError(f"{mode!r} is no mode of {policy}{meant(mode, standings.modes)}")
    into = Replay(standings, own_rules(lambda *_: None), mode)
    try:
        run(into, journal or journal_path(), since or 0)
    except JournalError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(msgspec.json.encode(told(into)))
        return
    report(into)


def run(into: Replay, source: str, since_ns: int) -> None:
    """Replay, with a bar where somebody looks; of a database it is not known beforehand how long it takes."""
    central = source.startswith(("postgresql:", "postgres:"))
    total = None if central else count_orders(source, since_ns=since_ns)
    with Progress(console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("replaying", total=total)
        taken = (
            replay_records(source_of(source)[0].read_records(source, since_ns=since_ns), into)
            if central
            else replay(read_bodies(source, since_ns=since_ns), into)
        )
        for number in taken:
            bar.advance(task, number)


def told(into: Replay) -> dict[str, Any]:
    """The findings, JSON-ready."""
    return {
        "orders": into.orders,
        "denied": into_total(into, "denied"),
        "overridden": into_total(into, "overridden"),
        "by": [{**row._asdict(), "orders": number} for row, number in sorted_rows(into)],
        "positions": [{**at._asdict(), **dict(counts)} for at, counts in into.touched.items()],
    }


def into_total(into: Replay, fate: str) -> int:
    """How many orders met a fate."""
    return sum(number for row, number in into.rows.items() if row.fate == fate)


def sorted_rows(into: Replay) -> list[tuple[Any, int]]:
    """The rows, the largest first within each fate."""
    return sorted(into.rows.items(), key=lambda one: (one[0].fate, -one[1], str(one[0])))


def report(into: Replay) -> None:
    """The findings for people."""
    if into.rows:
        show(
            ("would be", "module", "rule", "does", "kind", "symbol", "orders"),
            [(*row, number) for row, number in sorted_rows(into)],
        )
    if into.touched:
        click.echo("positions whose stops it would decide about:")
        for at, counts in into.touched.items():
            click.echo(f"  {position(at)}: " + ", ".join(f"{what} {n}" for what, n in counts.items()))
    click.echo(
        f"{into.orders} orders: {into_total(into, 'denied')} would be denied, "
        f"{into_total(into, 'overridden')} stops would go out all the same"
    )


def position(at: Touched) -> str:
    """A position in words."""
    which = {"SELL": "long", "BUY": "short"}.get(str(at.side), "")
    return f"{at.symbol} {which}".strip() + (f" of {at.account}" if at.account else "")
