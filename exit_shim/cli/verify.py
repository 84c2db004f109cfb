"""`exit-shim verify`: whether the journal is complete and unchanged."""

import sys
from typing import Any, Final, NamedTuple

import click

from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import from_option, journal_option, json_option
from exit_shim.cli.output import Red, pluralize, say
from exit_shim.cli.progress import ProgressBar
from exit_shim.cli.sources import readable_journal_errors, source_at
from exit_shim.cli.tables import Column, show_table
from exit_shim.journal import Flaw, Numbers, RecordSource, Run, verify_run

RUN_COLUMNS: Final = (
    Column("run"),
    Column("host", 2),
    Column("pid", 3),
    Column("events", 1),
    Column("head", 4),
    Column("result", wraps=True),
)


class VerifiedRun(NamedTuple):
    """A run with its first flaw, None for none, and the numbers of its events."""

    run: Run
    flaw: Flaw | None
    numbers: Numbers

    @property
    def unexplained(self) -> int:
        """How many events never reached the file without the journal recording them as lost."""
        return max(0, (self.numbers.missing or 0) - self.numbers.lost)


@click.command()
@json_option
@journal_option
@from_option
def verify(*, as_json: bool, journal: str | None, dsn: str | None) -> None:
    """Check that no recorded event is missing or changed.

    Follows the hash chain of each run and names the first row that is missing, changed or out of order. The
    exit status is 1 where there is one. A run that was removed as a whole, or cut at its end by somebody who
    knew how, shows only against a copy that was shipped elsewhere.

    Missing event numbers are counted and are not a flaw: those events never reached the file, for example
    because the process was killed while writing. An order leaves only once its own event is in the file.
    """
    with readable_journal_errors():
        source = source_at(journal, dsn)
        runs = source.read_runs()
        with ProgressBar("verifying", sum(run.pos - run.pruned_pos for run in runs)) as bar:
            verified = [check_run(source, run, bar) for run in runs]
        lost = source.count_lost()
    if as_json:
        say(json_text([as_dict(one) for one in verified]))
    else:
        show_report(verified, lost)
    sys.exit(any(one.flaw is not None for one in verified))


def check_run(source: RecordSource, run: Run, bar: ProgressBar) -> VerifiedRun:
    """Verify a run; once more where it was pruned meanwhile."""
    numbers = Numbers(run)
    flaw = verify_run(run, numbers.passing(bar.over(source.read_events(run_id=run.run_id))))
    if flaw is not None:
        for now in source.read_runs():
            if now.run_id == run.run_id and now.pruned_pos > run.pruned_pos:
                return check_run(source, now, bar)
    return VerifiedRun(run, flaw, numbers)


def show_report(verified: list[VerifiedRun], lost: int) -> None:
    """Print a row for each run, and the totals."""
    show_table(RUN_COLUMNS, [run_row(one) for one in verified])
    flawed = sum(one.flaw is not None for one in verified)
    missing = sum(one.unexplained for one in verified if one.flaw is None)
    say(
        f"{pluralize(len(verified), 'run')}, {flawed} flawed; {pluralize(lost, 'event')} recorded as lost, "
        f"{missing} more missing by their numbers"
    )


def run_row(verified: VerifiedRun) -> tuple[object, ...]:
    """Return a run's cells: who wrote it, how many events it has, its last hash and the result."""
    run = verified.run
    return (
        run.run_id,
        run.header.host or "?",
        run.header.pid or "?",
        run.pos - run.pruned_pos,
        run.head.hex()[:16],
        result_text(verified),
    )


def result_text(verified: VerifiedRun) -> str:
    """Say what was found in a run."""
    flaw = verified.flaw
    if flaw is None:
        missing = verified.unexplained
        return f"complete; {missing} never reached the file" if missing else "complete"
    at = f"event {flaw.pos}" + ("" if flaw.seq is None else f" (seq {flaw.seq})")
    return Red(f"{at}: {flaw.what}")


def as_dict(verified: VerifiedRun) -> dict[str, Any]:
    """Return a run's JSON object; after a flaw the numbers are unknown, since not all events were read."""
    run, flaw, numbers = verified
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
