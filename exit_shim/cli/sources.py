"""Where records are read from: this host's journal, or the database that many hosts share."""

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

import click

from exit_shim.domain.events import Record
from exit_shim.journal.default_path import journal_path
from exit_shim.journal.queries import JournalReader
from exit_shim.journal.record_source import RecordFilter, RecordSource, StoredStep
from exit_shim.journal.schema import JournalError


def source_of(dsn: str | None) -> RecordSource:
    """Return the central database at `dsn`; without one, this host's journal."""
    if dsn:
        from exit_shim.sinks.postgres.queries import PostgresReader  # noqa: PLC0415 - psycopg is an extra

        return PostgresReader(dsn)
    return JournalReader(journal_path())


@contextlib.contextmanager
def readable_journal_errors() -> Iterator[None]:
    """End the command with the text of a JournalError."""
    try:
        yield
    except JournalError as error:
        raise click.ClickException(str(error)) from error


def read_orders(dsn: str | None = None, **filters: Any) -> Generator[Record, None, None]:
    """Yield the recorded orders of the journal, or of the central database."""
    with readable_journal_errors():
        yield from source_of(dsn).read_records(RecordFilter(**filters))


def read_steps(
    dsn: str | None = None, *, since_ns: int | None = None, named: str | None = None
) -> Generator[StoredStep, None, None]:
    """Yield the recorded steps of exit executors of the journal, or of the central database."""
    with readable_journal_errors():
        yield from source_of(dsn).read_steps(since_ns=since_ns, named=named)
