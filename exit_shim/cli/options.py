"""Options that several commands share."""

import re
from typing import Final

import click
from click.core import ParameterSource

FROM_VARIABLE: Final = "EXIT_SHIM_FROM"

PASSWORD_IN_DSN: Final = re.compile(r"://[^/@:]*:.+@|password\s*=", re.IGNORECASE)


def refuse_password(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse a DSN with a password on the command line, which every user of the host can read."""
    is_typed = ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE
    if value and is_typed and PASSWORD_IN_DSN.search(value):
        raise click.UsageError(
            f"{param.opts[0]} has a password, and every user of this host can read command lines; "
            f"put the DSN into {param.envvar}, or the password into PGPASSWORD or ~/.pgpass"
        )
    return value


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")

journal_option = click.option(
    "--journal", metavar="PATH", help="The journal to read, instead of EXIT_SHIM_JOURNAL or the default one."
)

from_option = click.option(
    "--from",
    "dsn",
    metavar="DSN",
    envvar=FROM_VARIABLE,
    callback=refuse_password,
    help="Read all hosts from postgresql://USER@HOST/DATABASE instead of this host's journal.",
)
