"""Where the record is read from: this host's journal, or the database that many hosts share."""

from types import ModuleType
from typing import Final

import click

from exit_shim import journal
from exit_shim.configuration import journal_path

FROM_VARIABLE: Final = "EXIT_SHIM_FROM"

from_ = click.option(
    "--from",
    "dsn",
    metavar="DSN",
    envvar=FROM_VARIABLE,
    help="Read postgresql://USER@HOST/DATABASE, of all hosts, and not this host's journal.",
)


def source_of(dsn: str | None) -> tuple[ModuleType, str]:
    """What reads the record, and what it is told: the two have functions of the same names."""
    if not dsn:
        return journal, journal_path()
    from exit_shim.sinks.postgres import queries  # noqa: PLC0415 - an extra, which only those pay for who use it

    return queries, dsn
