"""`exit-shim whatif`: what another policy would have denied among the recorded orders."""

from pathlib import Path
from typing import Any, Final

import click

from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import json_option
from exit_shim.cli.output import Red, pluralize, say
from exit_shim.cli.progress import ProgressBar
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.tables import show_table
from exit_shim.cli.why_empty import why_empty
from exit_shim.guard.policy import CompiledPolicy, PolicyError, parse_policy
from exit_shim.guard.rules import custom_codes, custom_rules
from exit_shim.guard.whatif import Replay, Touched, replay, replay_records
from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.runtime.nearest_name import did_you_mean

FATE_COLUMNS: Final = ("would be", "rule", "does", "kind", "symbol", "orders")


@click.command()
@click.option("--policy", required=True, metavar="FILE", help="The policy to test, a TOML file.")
@click.option("--mode", metavar="NAME", help="Assume this mode instead of the recorded ones.")
@json_option
@filter_options(omit={"module", "kind", "outcome", "reason", "limit"})
def whatif(*, policy: str, mode: str | None, as_json: bool, selection: Selection) -> None:
    """Test another policy against the recorded orders.

    Where the guard would look at the exchange, the journal answers; see docs/explanation/cover.md. Nothing
    is sent. All modules' orders are replayed, since one's stops may cover for another's; the other filters
    narrow what is replayed. --from takes the path of a journal, too.
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
    replay_selection(outcome, selection)
    if as_json:
        say(json_text(as_dict(outcome)))
    else:
        show_report(outcome)
    if not outcome.orders:
        say(why_empty(selection), err=True)


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


def replay_selection(outcome: Replay, selection: Selection) -> None:
    """Replay the selected orders; end the command where they cannot be read."""
    source, wanted = selection.source, selection.wanted
    since_ns = wanted.since_ns or 0
    with readable_journal_errors():
        if isinstance(source, JournalReader) and wanted == RecordFilter(since_ns=wanted.since_ns):
            # The bodies alone are faster than whole records, and a journal can count them beforehand.
            steps = replay(source.read_bodies(since_ns=since_ns), outcome)
            total = source.count_orders(since_ns=since_ns)
        else:
            steps, total = replay_records(selection.read_records(), outcome), None
        with ProgressBar("replaying", total) as bar:
            for number in steps:
                bar.advance(number)


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
        show_fates(outcome)
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


def show_fates(outcome: Replay) -> None:
    """Print what would become of how many orders, by module."""
    by_module = sorted(sort_rows(outcome), key=lambda item: item[0].module)
    rows = [
        (
            Red(row.fate) if row.fate == "denied" else row.fate,
            row.rule,
            row.operation,
            row.kind,
            row.symbol or "?",
            n,
        )
        for row, n in by_module
    ]
    show_table(FATE_COLUMNS, rows, heads=[row.module for row, _ in by_module])


def position_text(at: Touched) -> str:
    """Name a position."""
    side = {"SELL": "long", "BUY": "short"}.get(str(at.side), "")
    return f"{at.symbol} {side}".strip() + (f" of {at.account}" if at.account else "")
