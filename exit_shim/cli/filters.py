"""The options that narrow what a command reads, and the selection that they make."""

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from typing import Any, Final

import click
import msgspec

from exit_shim.cli.clock import Clock, PointInTime, clock_of, clock_options
from exit_shim.cli.options import from_option, journal_option
from exit_shim.cli.sources import readable_journal_errors, source_at
from exit_shim.domain.events import Record
from exit_shim.domain.orders import KINDS
from exit_shim.journal.order_state import IN_DOUBT
from exit_shim.journal.queries import JournalReader
from exit_shim.journal.record_source import RecordFilter, RecordSource, StoredEvent, StoredStep
from exit_shim.journal.rows import subject_of
from exit_shim.runtime.nearest_name import did_you_mean

LAST: Final = "last"

STATES: Final = (
    *("accepted", "rejected", "denied", "simulated", "not_sent", "not_there"),
    IN_DOUBT,
)
"""What an order can have come to."""

SPELLINGS: Final = {"in_doubt": IN_DOUBT, "in-doubt": IN_DOUBT, "unknown": IN_DOUBT}
"""Other words for a state, which need no quotes in a shell."""

OPTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "journal": journal_option,
    "dsn": from_option,
    "account": click.option("--account", metavar="LABEL", help="Only orders of the account of this label."),
    "host": click.option("--host", metavar="H", help="With --from: only orders from host H."),
    "run": click.option(
        "--run", metavar="RUN", help="Only orders of this run; `last`: the newest that has orders."
    ),
    "since": click.option(
        "--since",
        type=PointInTime(),
        metavar="T",
        help="Only orders since T: 15m, 2h, 7d, 2026-11-23T09:30; local time unless --utc, --tz or T say so.",
    ),
    "until": click.option("--until", type=PointInTime(), metavar="T", help="Only orders before T."),
    "symbol": click.option("--symbol", metavar="S", help="Only orders on symbol S."),
    "module": click.option("--module", metavar="M", help="Only orders of module M, by its short name."),
    "kind": click.option("--kind", metavar="K", help=f"Only orders of kind K: {', '.join(sorted(KINDS))}."),
    "outcome": click.option(
        "--outcome", metavar="O", help=f"Only orders that came to O: {', '.join(STATES[:-1])}, in_doubt."
    ),
    "reason": click.option(
        "--reason", metavar="CODE", help="Only orders for which the guard gave this reason, such as STRIPPED."
    ),
    "limit": click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N orders."
    ),
}
"""Each option that narrows what is read, by the name of its value."""


class Selection(msgspec.Struct, frozen=True):
    """What a command reads, and the clock that it shows times by.

    Attributes:
        source: The journal or database.
        wanted: Which orders.
        clock: The zone for times.
        given: The options that narrow, as they were typed, for messages.
        journal: The journal's path; None for a database.
        dsn: The database; None for a journal.
    """

    source: RecordSource
    wanted: RecordFilter
    clock: Clock
    given: Mapping[str, str] = {}
    journal: str | None = None
    dsn: str | None = None

    @property
    def is_by_time_alone(self) -> bool:
        """Whether nothing but --since and --until narrows, so that counts of the source serve."""
        return self.wanted == RecordFilter(since_ns=self.wanted.since_ns, until_ns=self.wanted.until_ns)

    def narrow(self, **changes: Any) -> "Selection":
        """Return the selection with other values of `RecordFilter`."""
        return msgspec.structs.replace(self, wanted=self.wanted._replace(**changes))

    def read_records(self) -> Generator[Record, None, None]:
        """Yield the orders, oldest first; end the command where they cannot be read."""
        wanted = self.wanted
        with readable_journal_errors(), contextlib.closing(self._read()) as records:
            # The code of a reason and the newest so many are not asked of the source.
            fitting = (each for each in records if wanted.reason is None or has_reason(each, wanted.reason))
            yield from fitting if wanted.limit is None else deque(fitting, wanted.limit)

    def read_named(self, name: str) -> Iterator[Record]:
        """Yield the order of this id, its cancels and its changes, whatever else is wanted."""
        with readable_journal_errors():
            yield from self.source.read_records(RecordFilter(named=name))

    def read_steps_named(self, name: str) -> Iterator[StoredStep]:
        """Yield the steps of the episode in which the order of this id is, whatever else is wanted."""
        with readable_journal_errors():
            yield from self.source.read_steps(named=name)

    def read_steps(self, *, named: str | None = None) -> Iterator[StoredStep]:
        """Yield the steps of exit executors, oldest first, narrowed as orders are."""
        with readable_journal_errors():
            steps = self.source.read_steps(since_ns=self.wanted.since_ns, named=named)
            yield from filter(self.has_step, steps)

    def has_step(self, stored: StoredStep) -> bool:
        """Return whether a step of an executor is of the symbol, account, run and time."""
        wanted, step = self.wanted, stored.step
        pairs = (
            (wanted.symbol, step.symbol),
            (wanted.account, step.account),
            (wanted.run_id, stored.run_id),
        )
        is_early = wanted.until_ns is None or stored.ts < wanted.until_ns
        return is_early and all(value in (None, actual) for value, actual in pairs)

    def has_fact(self, stored: StoredEvent) -> bool:
        """Return whether an event about no order is of the run, symbol and account; a loss is of all."""
        about, wanted = subject_of(stored.body), self.wanted
        pairs = (
            (wanted.run_id, stored.run_id),
            (wanted.symbol, about.symbol or wanted.symbol),
            (wanted.account, about.account or wanted.account),
        )
        return all(value in (None, actual) for value, actual in pairs)

    def _read(self) -> Any:
        """Return a generator of the orders; of a source that cannot narrow by reason, without these two."""
        can_narrow = "reason" in getattr(self.source, "CLAUSES", ())
        wanted = self.wanted if can_narrow else self.wanted._replace(reason=None, limit=None)
        return self.source.read_records(wanted)


def has_reason(record: Record, code: str | None) -> bool:
    """Return whether the guard gave a reason for an order."""
    return any(reason.code == code for reason in record.reasons)


def filter_options(*, omit: Collection[str] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the shared options, and what they select as `selection: Selection`.

    Args:
        omit: The names in `OPTIONS` that the command has no use for.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_selection(**options: Any) -> Any:
            values = {name: options.pop(name, None) for name in OPTIONS}
            clock = clock_of(click.get_current_context(silent=True))
            return command(selection=select(clock, **values), **options)

        decorated = clock_options(with_selection)
        for name, option in reversed(list(OPTIONS.items())):
            if name not in omit:
                decorated = option(decorated)
        return decorated

    return decorate


def select(clock: Clock, *, journal: str | None = None, dsn: str | None = None, **values: Any) -> Selection:
    """Return the selection that these options make.

    Args:
        clock: The chosen clock.
        journal: The path of a journal; None for the usual one.
        dsn: A database to read instead.
        values: The values of the other options, by their names in `OPTIONS`.
    """
    with readable_journal_errors():
        source = source_at(journal, dsn)
    if isinstance(source, JournalReader) and values.get("host"):
        raise click.UsageError("--host needs --from: the journal has the orders of one host")
    return Selection(
        source=source,
        wanted=make_filter(source, values),
        clock=clock,
        given=given_texts(values, clock),
        journal=str(source.path) if isinstance(source, JournalReader) else None,
        dsn=None if isinstance(source, JournalReader) else dsn,
    )


def make_filter(source: RecordSource, values: Mapping[str, Any]) -> RecordFilter:
    """Return what the options narrow to, in the spelling of the record."""
    symbol, reason, run = values.get("symbol"), values.get("reason"), values.get("run")
    return RecordFilter(
        module=values.get("module"),
        symbol=symbol.upper() if symbol else None,
        since_ns=values.get("since"),
        until_ns=values.get("until"),
        run_id=newest_run(source) if run == LAST else run,
        host=values.get("host"),
        account=values.get("account"),
        kind=known_word("--kind", values.get("kind"), KINDS),
        outcome=known_word("--outcome", values.get("outcome"), STATES),
        reason=reason.upper() if reason else None,
        limit=values.get("limit"),
    )


def known_word(option: str, word: str | None, words: Collection[str]) -> str | None:
    """Return one of the known words; refuse any other, and name the nearest."""
    if word is None:
        return None
    word = SPELLINGS.get(word.lower(), word.lower())
    if word not in words:
        raise click.UsageError(
            f"{option} {word!r} is invalid{did_you_mean(word, words)}; expected {', '.join(sorted(words))}"
        )
    return word


def newest_run(source: RecordSource) -> str | None:
    """Return the newest run that has orders; None where no run has any."""
    with readable_journal_errors():
        for run in reversed(source.read_runs()):
            orders = source.read_records(RecordFilter(run_id=run.run_id, limit=1))
            if next(iter(orders), None) is not None:
                return run.run_id
    return None


def given_texts(values: Mapping[str, Any], clock: Clock) -> dict[str, str]:
    """Return the options that narrow, each as it reads in a message."""
    texts = {}
    for name, value in values.items():
        if value is not None:
            is_time = name in {"since", "until"}
            texts[f"--{name}"] = f"{clock.second(value)} {clock.name}" if is_time else repr(value)
    return texts
