"""`exit-shim init`: a policy, and exit plans, to start from."""

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from exit_shim.cli.bot_source import BotSource, read_bot_source, source_option
from exit_shim.cli.doctor_source import reach_problems
from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.output import pluralize, say
from exit_shim.cli.passthrough import suggest_passthrough
from exit_shim.cli.progress import ProgressBar
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.suggested_plans import Distance, measure_stops, plans_text
from exit_shim.cli.suggested_policy import Advice, advise, policy_text
from exit_shim.cli.why import typed_source
from exit_shim.cli.why_empty import why_empty
from exit_shim.cli.why_policy import enforce_all
from exit_shim.domain.events import PositionSeen
from exit_shim.guard.policy import CompiledPolicy, parse_policy
from exit_shim.guard.policy.load import FILE_NAME
from exit_shim.guard.whatif import Replay, replay_records
from exit_shim.journal import Count, RecordFilter, Stack
from exit_shim.journal.record_source import Fight
from exit_shim.journal.rows import decode
from exit_shim.journal.schema import JournalError
from exit_shim.scan.modules import SourceModule, find_modules

STDOUT: Final = "-"

MOST_REPLAYED: Final = 50_000
"""How many orders are replayed for the forecast in the file; `whatif` replays any number."""


@click.command()
@click.option(
    "-o",
    "--output",
    default=FILE_NAME,
    show_default=True,
    metavar="FILE",
    help="The policy file to write; `-` prints it.",
)
@click.option(
    "--plans", metavar="FILE", help="Also write exit plans for the executor to FILE; `-` prints them."
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@source_option
@filter_options(
    omit={"account", "host", "run", "until", "symbol", "module", "kind", "outcome", "reason", "limit"}
)
def init(*, output: str, plans: str | None, force: bool, source: Path | None, selection: Selection) -> None:
    """Write a policy from what the journal and the bot's source show.

    It names the modules that should own the exits, those that should not act any more and the helpers that
    send what others decided, each with its numbers in a comment. It only warns; what to enforce next is
    commented out. With --plans also a file of exit plans: a hard stop for each symbol that was seen.
    The source adds modules that could place exits and were never seen, and helpers.
    """
    for path in filter(None, (output, plans)):
        refuse_existing(path, force=force)
    bot = read_bot_source(source)
    modules = [] if isinstance(bot, str) else find_modules(bot.scan)
    counts, fights, stacks = read_history(selection, modules)
    if not counts and not modules:
        raise click.ClickException(why_empty(selection))
    advice = advise(counts, fights, suggest_passthrough(stacks), modules)
    orders = sum(count.orders for count in counts)
    about = about_text(counts, modules, bot)
    write(output, policy_text(advice, about, file_name(output), forecast_of(advice, orders, selection)))
    if plans is not None:
        write(plans, plans_text(measure(selection), about, file_name(plans)))
    say_next(selection, output, plans)


def read_history(
    selection: Selection, modules: Sequence[SourceModule]
) -> tuple[list[Count], list[Fight], list[Stack]]:
    """Return what the journal has; nothing where there is no journal yet and the source shows modules."""
    since_ns = selection.wanted.since_ns
    try:
        return (
            list(selection.source.read_counts(since_ns=since_ns)),
            list(selection.source.read_fights(since_ns=since_ns)),
            list(selection.source.read_stacks(since_ns=since_ns)),
        )
    except JournalError:
        if modules:
            return [], [], []
        with readable_journal_errors():
            raise


def about_text(counts: Sequence[Count], modules: Sequence[SourceModule], bot: BotSource | str) -> str:
    """Return what the policy is made from, in words, and which orders of the source are not seen."""
    orders = sum(count.orders for count in counts)
    names = {count.site.module for count in counts}
    about = f"{pluralize(orders, 'recorded order')} by {pluralize(len(names), 'module')}"
    about += f", and the source of {pluralize(len(modules), 'module')}" * bool(modules)
    unseen = [] if isinstance(bot, str) else [text for _, text in reach_problems(bot.scan)]
    return ". ".join((about, *unseen))


def refuse_existing(path: str, *, force: bool) -> None:
    """Refuse to overwrite a file."""
    if path != STDOUT and Path(path).exists() and not force:
        raise click.UsageError(
            f"{path!r} exists; give another name with -o or --plans, or --force to overwrite it"
        )


def file_name(path: str) -> str:
    """Return how a shell calls a file."""
    return "FILE" if path == STDOUT else shlex.quote(path)


def forecast_of(advice: Advice, orders: int, selection: Selection) -> str | None:
    """Return what the policy would hold back where all of it is enforced; None for none or too many."""
    if not 0 < orders <= MOST_REPLAYED:
        return None
    policy = parse_policy(policy_text(advice, "", "", None))
    outcome = Replay(CompiledPolicy(enforce_all(policy), FILE_NAME))
    with readable_journal_errors(), contextlib.ExitStack() as opened:
        bar = opened.enter_context(ProgressBar("replaying", orders))
        wanted = RecordFilter(since_ns=selection.wanted.since_ns)
        for number in replay_records(selection.source.read_records(wanted), outcome):
            bar.advance(number)
    fates = dict.fromkeys(("denied", "overridden"), 0)
    for row, number in outcome.rows.items():
        fates[row.fate] = fates.get(row.fate, 0) + number
    return (
        f"All of it enforced, {fates['denied']} of these {orders} orders would have been held back, and "
        f"{fates['overridden']} more but for lack of an owner's stop."
    )


def measure(selection: Selection) -> dict[str, Distance | None]:
    """Return how far the stops of each symbol were from the entry."""
    with readable_journal_errors():
        since_ns, source = selection.wanted.since_ns, selection.source
        facts = source.read_facts({"position_seen"}, since_ns=since_ns)
        sights = ((stored.ts, decode(PositionSeen, stored.body)) for stored in facts)
        return measure_stops(source.read_records(RecordFilter(since_ns=since_ns)), sights)


def write(path: str, text: str) -> None:
    """Write a file, or print it."""
    if path == STDOUT:
        say(*text.splitlines())
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.ClickException(
            f"{path!r} cannot be written ({why}); give another path with -o"
        ) from error
    say(f"Wrote {path}.", err=True)


def say_next(selection: Selection, output: str, plans: str | None) -> None:
    """Print the commands to type next; to stderr, so that a file that is printed stays one."""
    where = typed_source(selection)
    if output != STDOUT:
        say(f"Next: {shlex.join(['exit-shim', 'whatif', '--policy', output, *where])}", err=True)
    if plans not in (None, STDOUT):
        say(f"      {shlex.join(['exit-shim', 'protect', '--plans', str(plans), '--dry-run'])}", err=True)
