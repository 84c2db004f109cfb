"""`exit-shim whatif`: what another policy would have denied among the recorded orders."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import FROM_VARIABLE, json_option, refuse_password, since_option
from exit_shim.cli.output import pluralize, say
from exit_shim.cli.sources import source_of
from exit_shim.cli.tables import show_table
from exit_shim.guard.policy import CompiledPolicy, PolicyError, parse_policy
from exit_shim.guard.rules import custom_codes, custom_rules
from exit_shim.guard.whatif import Replay, Touched, replay, replay_records
from exit_shim.journal import JournalError, JournalReader, RecordFilter, with_home
from exit_shim.journal.default_path import journal_path
from exit_shim.runtime.nearest_name import did_you_mean


@click.command()
@click.option("--policy", required=True, metavar="FILE", help="The policy to test, a TOML file.")
@click.option(
    "--from",
    "journal",
    metavar="PATH|DSN",
    envvar=FROM_VARIABLE,
    callback=refuse_password,
    help="Another journal, or all hosts from postgresql://USER@HOST/DATABASE.",
)
@click.option("--mode", metavar="NAME", help="Assume this mode instead of the recorded ones.")
@since_option
@json_option
def whatif(*, policy: str, journal: str | None, mode: str | None, since: int | None, as_json: bool) -> None:
    """Test another policy against the recorded orders.

    Where the guard would look at the exchange, the journal answers; see docs/explanation/cover.md. Nothing
    is sent.
    """
    text = read_policy_text(policy)
    try:
        compiled_policy = CompiledPolicy(parse_policy(text, policy, custom_codes()), policy)
    except PolicyError as error:
        raise click.ClickException(str(error)) from error
    if mode is not None and mode not in compiled_policy.modes:
        raise click.UsageError(
            f"{mode!r} is not a mode of {policy}{did_you_mean(mode, compiled_policy.modes)}"
        )
    outcome = Replay(compiled_policy, custom_rules(lambda *_: None), mode)
    replay_source(outcome, journal, since or 0)
    if as_json:
        say(json_text(as_dict(outcome)))
    else:
        show_report(outcome)


def read_policy_text(policy: str) -> str:
    """Return the text of the policy file; end the command where it cannot be read."""
    expected = "expected the path of a policy, a TOML file such as exit_shim.toml"
    try:
        return Path(policy).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise click.UsageError(f"--policy {policy!r} does not exist; {expected}") from None
    # A path with a NUL, or text that is not UTF-8, is a ValueError.
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.UsageError(f"--policy {policy!r} cannot be read ({why}); {expected}") from None


def replay_source(outcome: Replay, journal: str | None, since_ns: int) -> None:
    """Replay a journal or database; end the command where it cannot be read."""
    try:
        replay_orders(outcome, journal or journal_path(), since_ns)
    except JournalError as error:
        if journal is None or is_dsn(journal) or Path(with_home(journal)).exists():
            raise click.ClickException(str(error)) from error
        raise click.UsageError(
            f"--from {journal!r} is not a journal; expected a path or postgresql://USER@HOST/DATABASE"
        ) from error


def is_dsn(source: str) -> bool:
    """Return whether a source is the database of all hosts."""
    return source.startswith(("postgresql:", "postgres:"))


def replay_orders(outcome: Replay, source: str, since_ns: int) -> None:
    """Replay all orders, with a progress bar on a terminal."""
    is_central = is_dsn(source)
    # How many orders a database has is not known beforehand.
    total = None if is_central else JournalReader(source).count_orders(since_ns=since_ns)
    with Progress(console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("replaying", total=total)
        steps = (
            replay_records(source_of(source).read_records(RecordFilter(since_ns=since_ns)), outcome)
            if is_central
            else replay(JournalReader(source).read_bodies(since_ns=since_ns), outcome)
        )
        for number in steps:
            bar.advance(task, number)


def as_dict(outcome: Replay) -> dict[str, Any]:
    """Return the result, JSON-ready."""
    return {
        "orders": outcome.orders,
        "denied": count_fate(outcome, "denied"),
        "overridden": count_fate(outcome, "overridden"),
        "answered": count_fate(outcome, "answered"),
        "by": [{**row._asdict(), "orders": number} for row, number in sort_rows(outcome)],
        "positions": [{**at._asdict(), **dict(counts)} for at, counts in outcome.touched.items()],
    }


def count_fate(outcome: Replay, fate: str) -> int:
    """Return how many orders met a fate."""
    return sum(number for row, number in outcome.rows.items() if row.fate == fate)


def sort_rows(outcome: Replay) -> list[tuple[Any, int]]:
    """Return the rows with their counts, the largest first within each fate."""
    return sorted(outcome.rows.items(), key=lambda item: (item[0].fate, -item[1], str(item[0])))


def show_report(outcome: Replay) -> None:
    """Print the result for people."""
    if outcome.rows:
        show_table(
            ("would be", "module", "rule", "does", "kind", "symbol", "orders"),
            [(*row[:-1], row.symbol or "?", number) for row, number in sort_rows(outcome)],
        )
    if outcome.touched:
        say("positions whose stops the policy would have decided about:")
        for at, counts in outcome.touched.items():
            say(f"  {position_text(at)}: " + ", ".join(f"{fate} {n}" for fate, n in counts.items()))
    say(
        f"{pluralize(outcome.orders, 'order')}: {count_fate(outcome, 'denied')} would be denied, "
        f"{pluralize(count_fate(outcome, 'overridden'), 'denied stop')} would be sent for lack of cover"
    )
    if answered := count_fate(outcome, "answered"):
        say(f"{answered} cancels and changes of simulated orders would be answered by the guard")


def position_text(at: Touched) -> str:
    """Name a position."""
    side = {"SELL": "long", "BUY": "short"}.get(str(at.side), "")
    return f"{at.symbol} {side}".strip() + (f" of {at.account}" if at.account else "")
