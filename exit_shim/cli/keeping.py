"""`exit-shim verify` and `prune`: whether the journal is whole, and letting go of what is old."""

import re
import sys
from typing import Any, Final

import click

from exit_shim.cli.output import json_text, say
from exit_shim.cli.reading import as_json, complaints, moment_of, nanoseconds
from exit_shim.cli.sources import from_, source_of
from exit_shim.cli.tables import show
from exit_shim.configuration import journal_path
from exit_shim.journal import Flaw, Numbers, RecordSource, Run, prune, verify_run

UNITS: Final = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


class Size(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """Bytes: 500MB, 2GB, 1500000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+)([KMG]?)B?", value.strip().upper(), re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no size; write 500MB, 2GB or a number of bytes", param, ctx)
        return int(found[1]) * UNITS[found[2]]


class Age(click.ParamType):  # type: ignore[type-arg]
    """So long ago, or a moment: 90d, 12h, 2026-01-01."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds since the epoch."""
        try:
            return nanoseconds(moment_of(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no age; write 90d, 12h or 2026-01-01", param, ctx)


@click.command()
@as_json
@from_
def verify(*, as_json: bool, dsn: str | None) -> None:
    """Check each run's chain of events, and name the first row that is missing, changed or out of order.

    The exit status is 1 where there is one. What is gone with the whole of its run, or was taken from the end
    by someone who knew how, shows only against a copy that was shipped elsewhere.

    Numbers that no event has are told too, and are no flaw: events that never came to the file, as of a
    process that was killed amid them. An order leaves only once its own event is there.
    """
    with complaints():
        source = source_of(dsn)
        found = [checked(source, run) for run in source.read_runs()]
        lost = source.count_lost()
    if as_json:
        say(json_text([as_told(*one) for one in found]))
    else:
        show(
            ("run", "host", "pid", "events", "head", "found"),
            [(run.run_id, *run_row(run), told(flaw, numbers)) for run, flaw, numbers in found],
        )
        flawed = sum(flaw is not None for _, flaw, _ in found)
        missing = sum(unexplained(numbers) for _, flaw, numbers in found if flaw is None)
        say(
            f"{len(found)} runs, {flawed} flawed, {lost} events lost by what the journal itself says, "
            f"{missing} missing besides by their numbers"
        )
    sys.exit(any(flaw is not None for _, flaw, _ in found))


@click.command(name="prune")
@click.option("--older-than", type=Age(), metavar="T", help="Events older than T: 90d, 12h, 2026-01-01.")
@click.option(
    "--max-size", type=Size(), metavar="BYTES", help="Then the oldest, until the file has this: 2GB."
)
@as_json
def prune_(*, older_than: int | None, max_size: int | None, as_json: bool) -> None:
    """Delete what is old; never an order in doubt, nor what has yet to be shipped.

    Running bots go on meanwhile. A run's events go from its beginning, up to the first that must stay; the
    run itself goes when it is over and nothing is left of it.
    """
    if older_than is None and max_size is None:
        raise click.UsageError("say what is old: --older-than 90d, or --max-size 2GB")
    with complaints():
        gone = prune(journal_path(), before_ns=older_than, max_bytes=max_size)
    if as_json:
        say(json_text(gone._asdict()))
        return
    say(f"{gone.events} events deleted, {gone.runs} runs with them, {gone.bytes} bytes given back")
    if gone.in_doubt:
        say(f"{gone.in_doubt} runs keep old events because of orders in doubt; see exit-shim reconcile")
    if gone.unshipped:
        say(f"{gone.unshipped} runs keep old events that have not been shipped; see exit-shim ship")


def checked(source: RecordSource, run: Run) -> tuple[Run, Flaw | None, Numbers]:
    """A run, its first flaw and its numbers; looked at again where it was pruned meanwhile."""
    numbers = Numbers(run)
    flaw = verify_run(run, numbers.passing(source.read_events(run_id=run.run_id)))
    if flaw is not None:
        for now in source.read_runs():
            if now.run_id == run.run_id and now.pruned_pos > run.pruned_pos:
                return checked(source, now)
    return run, flaw, numbers


def unexplained(numbers: Numbers) -> int:
    """How many events never came to the file of which the journal itself does not say so."""
    return max(0, (numbers.missing or 0) - numbers.lost)


def run_row(run: Run) -> tuple[object, ...]:
    """Who wrote it, how many events it has, and the link of its last."""
    return (
        run.header.host or "?",
        run.header.pid or "?",
        run.pos - run.pruned_pos,
        run.head.hex()[:16],
    )


def told(flaw: Flaw | None, numbers: Numbers) -> str:
    """What was found of a run, in words."""
    if flaw is None:
        missing = unexplained(numbers)
        return f"whole; {missing} never came to the file" if missing else "whole"
    where = f"event {flaw.pos}" + ("" if flaw.seq is None else f" (seq {flaw.seq})")
    return f"{where}: {flaw.what}"


def as_told(run: Run, flaw: Flaw | None, numbers: Numbers) -> dict[str, Any]:
    """A run's line of the JSON; numbers tell nothing where not all events were looked at."""
    return {
        "run_id": run.run_id,
        "host": run.header.host,
        "pid": run.header.pid,
        "events": run.pos - run.pruned_pos,
        "head": run.head.hex(),
        "flaw": None if flaw is None else flaw._asdict(),
        "missing": numbers.missing if flaw is None else None,
        "lost": numbers.lost if flaw is None else None,
    }
