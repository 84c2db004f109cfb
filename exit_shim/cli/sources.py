"""The option `--from`: read this host's journal, or the database that many hosts share."""

from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from exit_shim.journal.record_source import RecordSource

FROM_VARIABLE: Final = "EXIT_SHIM_FROM"

from_ = click.option(
    "--from",
    "dsn",
    metavar="DSN",
    envvar=FROM_VARIABLE,
    help="Read the database of all hosts, postgresql://USER@HOST/DATABASE, instead of this host's journal.",
)


def source_of(dsn: str | None) -> "RecordSource":
    """Return the central database at `dsn`; without one, this host's journal."""
    # The imports are inside, so that a command which reads no record starts without them.
    if dsn:
        from exit_shim.sinks.postgres.queries import PostgresReader  # noqa: PLC0415

        return PostgresReader(dsn)
    from exit_shim.configuration import journal_path  # noqa: PLC0415
    from exit_shim.journal.queries import JournalReader  # noqa: PLC0415

    return JournalReader(journal_path())
