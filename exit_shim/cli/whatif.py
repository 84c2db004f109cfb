"""`exit-shim whatif`: what another policy would have denied of what was recorded."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from exit_shim.cli.output import json_text, say
from exit_shim.cli.reading import as_json, since
from exit_shim.cli.sources import source_of
from exit_shim.cli.tables import show
from exit_shim.configuration import journal_path
from exit_shim.guard.policy import CompiledPolicy, PolicyError, meant, parse_policy
from exit_shim.guard.rules import custom_codes, custom_rules
from exit_shim.guard.whatif import Replay, Touched, replay, replay_records
from exit_shim.journal import JournalError, JournalReader, RecordFilter, with_home


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

    Where the guard would look at the exchange, the journal answers; see docs/explanation/cover.md. Nothing
    is sent.
    """
    text = read_text(policy)
    try:
        compiled_policy = CompiledPolicy(parse_policy(text, policy, custom_codes()), policy)
    except PolicyError as error:
        raise click.ClickException(str(error)) from error
    if mode is not None and mode not in compiled_policy.modes:
        raise click.UsageError(f"{mode!r} is no mode of {policy}{meant(mode, compiled_policy.modes)}")
    into = Replay(compiled_policy, custom_rules(lambda *_: None), mode)
    try:
        run(into, journal or journal_path(), since or 0)
    except JournalError as error:
        if journal is None or is_central(journal) or Path(with_home(journal)).exists():
            raise click.ClickException(str(error)) from error
        raise click.UsageError(
            f"there is no journal at {journal!r}, which --from names; expected a path, or postgresql://…"
        ) from error
    if as_json:
        say(json_text(told(into)))
        return
    report(into)


def read_text(policy: str) -> str:
    """Return the text of the policy file; end the command where --policy names none."""
    expected = "expected the path of a policy, a TOML file such as exit_shim.toml"
    try:
        return Path(policy).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise click.UsageError(f"--policy {policy!r} is not there; {expected}") from None
    except (OSError, ValueError) as error:  # a path with a NUL, or text that is not UTF-8
        why = getattr(error, "strerror", None) or error
        raise click.UsageError(f"--policy {policy!r} cannot be read ({why}); {expected}") from None


def is_central(source: str) -> bool:
    """Return whether a source is the database of all hosts."""
    return source.startswith(("postgresql:", "postgres:"))


def run(into: Replay, source: str, since_ns: int) -> None:
    """Replay, with a bar where somebody looks; of a database it is not known beforehand how long it takes."""
    central = is_central(source)
    total = None if central else JournalReader(source).count_orders(since_ns=since_ns)
    with Progress(console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("replaying", total=total)
        taken = (
            replay_records(source_of(source).read_records(RecordFilter(since_ns=since_ns)), into)
            if central
            else replay(JournalReader(source).read_bodies(since_ns=since_ns), into)
        )
        for number in taken:
            bar.advance(task, number)


def told(into: Replay) -> dict[str, Any]:
    """The findings, JSON-ready."""
    return {
        "orders": into.orders,
        "denied": into_total(into, "denied"),
        "overridden": into_total(into, "overridden"),
        "answered": into_total(into, "answered"),
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
            [(*row[:-1], row.symbol or "?", number) for row, number in sorted_rows(into)],
        )
    if into.touched:
        say("positions whose stops it would decide about:")
        for at, counts in into.touched.items():
            say(f"  {position(at)}: " + ", ".join(f"{what} {n}" for what, n in counts.items()))
    say(
        f"{into.orders} orders: {into_total(into, 'denied')} would be denied, "
        f"{into_total(into, 'overridden')} stops would go out all the same"
    )
    if answered := into_total(into, "answered"):
        say(f"{answered} cancels and changes of simulated orders would be answered, which denies nothing")


def position(at: Touched) -> str:
    """A position in words."""
    which = {"SELL": "long", "BUY": "short"}.get(str(at.side), "")
    return f"{at.symbol} {which}".strip() + (f" of {at.account}" if at.account else "")
