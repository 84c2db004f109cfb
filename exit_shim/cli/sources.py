"""Where records are read from: this host's journal, or the database that many hosts share."""

import contextlib
from collections.abc import Generator, Iterator
from types import ModuleType
from typing import Any

import click

from exit_shim import journal
from exit_shim.domain.events import Record
from exit_shim.journal.default_path import journal_path


def source_of(dsn: str | None) -> tuple[ModuleType, str]:
    """Return the module with the queries, and the path or DSN that they take."""
    if not dsn:
        return journal, journal_path()
    from exit_shim.sinks.postgres import queries  # noqa: PLC0415 - psycopg is an extra

    return queries, dsn


@contextlib.contextmanager
def readable_journal_errors() -> Iterator[None]:
    """End the command with the text of a JournalError."""
    try:
        yield
    except journal.JournalError as error:
        raise click.ClickException(str(error)) from error


def read_orders(dsn: str | None = None, **filters: Any) -> Generator[Record, None, None]:
    """Yield the recorded orders of the journal, or of the central database."""
    with readable_journal_errors():
        source, place = source_of(dsn)
        yield from source.read_records(place, **filters)
