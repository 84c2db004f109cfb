"""Where records are read from: this host's journal, or the database that many hosts share."""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from exit_shim.domain.events import Record
from exit_shim.journal.default_path import journal_path, state_folder
from exit_shim.journal.queries import JournalReader
from exit_shim.journal.record_source import RecordFilter, RecordSource
from exit_shim.journal.schema import JournalError


def source_of(dsn: str | None) -> RecordSource:
    """Return the central database at `dsn`, or the journal of that path; without one, this host's journal."""
    if dsn and not is_dsn(dsn):
        return journal_source(dsn)
    if dsn:
        from exit_shim.sinks.postgres.queries import PostgresReader  # noqa: PLC0415 - psycopg is an extra

        return PostgresReader(dsn)
    return journal_source()


def is_dsn(text: str) -> bool:
    """Return whether a text is libpq's, a URL or key=value pairs, and not the path of a journal."""
    return "://" in text or ("=" in text and not Path(text).exists())


def source_at(journal: str | None, dsn: str | None) -> RecordSource:
    """Return the journal at a path that was typed, else the database, else this host's journal."""
    if journal is None:
        return source_of(dsn)
    # An environment variable may name a database too.
    if dsn is not None and is_typed("dsn"):
        raise click.UsageError("--journal and --from exclude each other")
    return journal_source(journal)


def is_typed(name: str) -> bool:
    """Return whether an option is on the command line, and not in an environment variable."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def journal_source(path: str | None = None) -> JournalReader:
    """Return the journal at `path`; without one, this host's journal."""
    return JournalReader(journal_path(path))


def local_journal() -> Path:
    """Return the journal that `exit-shim run --local` writes unless another one is named."""
    return state_folder() / "local.db"


def local_hint() -> str:
    """Return where the last local run wrote its journal, where the usual one is missing; else ""."""
    try:
        path, local = journal_path(), local_journal()
    # A user without a home has no folder for it.
    except RuntimeError:
        return ""
    if not local.exists() or Path(path).exists():
        return ""
    # Needed for this message alone.
    import shlex  # noqa: PLC0415

    context = click.get_current_context(silent=True)
    command = "summary" if context is None else context.info_name
    return f"; the last local run wrote {local}: exit-shim {command} --journal {shlex.quote(str(local))}"


@contextlib.contextmanager
def readable_journal_errors() -> Iterator[None]:
    """End the command with the text of a JournalError."""
    try:
        yield
    except JournalError as error:
        hint = local_hint() if str(error).startswith("there is no journal") else ""
        raise click.ClickException(f"{error}{hint}") from error


def read_orders(path: Path, **filters: Any) -> Generator[Record, None, None]:
    """Yield the recorded orders of a journal."""
    with readable_journal_errors():
        yield from JournalReader(path).read_records(RecordFilter(**filters))
